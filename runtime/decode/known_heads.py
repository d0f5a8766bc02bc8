"""Which decoder a model needs, as far as names aside its outputs leave no doubt.

A guess that is wrong shows boxes where there is nothing, so what can be read in two ways is not guessed at all; the
reason says what the two are.
"""

from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Tuple

Size = Tuple[int, int]
Shape = Tuple[int, ...]

#: Levels that detectors come with: three, with a coarser one, with a finer one.
PYRAMIDS = ((8, 16, 32), (8, 16, 32, 64), (4, 8, 16, 32))
ANCHORS_A_CELL = 3
#: One class and 17 key points of three numbers each, as pose models have them: also 52 classes.
POSE_CHANNELS = 56


class Guess(NamedTuple):
    """A specification as `decoder_of` reads it, or None, and why.

    The specification has no class names: "classes" is their number where shapes tell it, and missing otherwise.
    """

    spec: Optional[Dict[str, Any]]
    reason: str


def guess(outputs: Mapping[str, Shape], dtypes: Mapping[str, str], input_size: Size) -> Guess:
    """What the shapes of a model's outputs say of its head.

    Parameters
    ----------
    outputs : mapping of str to tuple of int
        Shape of each output.
    dtypes : mapping of str to str
        numpy's name of each output's type.
    input_size : tuple of int
        Height and width of the model's input.
    """
    names = list(outputs)
    shapes = [tuple(outputs[name]) for name in names]
    whole = ["int" in dtypes[name] for name in names]
    if len(names) == 4:
        return _efficient_nms(names, shapes, whole)
    if len(names) == 3:
        return _torchvision(names, shapes, whole)
    if len(names) != 1:
        return Guess(None, f"{len(names)} outputs: which of them are boxes, and in which order, is not in their shapes")
    shape = shapes[0]
    if len(shape) == 3 and not whole[0] and shape[1:] != tuple(input_size):
        return _rows(names[0], shape, input_size)
    return _map(names[0], shape, whole[0], input_size)


def _boxes(head: str, names: List[str], **more: Any) -> Dict[str, Any]:
    return dict(kind="boxes", head=head, outputs=names, **more)


def _rows(name: str, shape: Shape, input_size: Size) -> Guess:
    """One output of three axes that is no map."""
    cells = {}
    for strides in PYRAMIDS:
        if not any(length % max(strides) for length in input_size):
            cells[sum((input_size[0] // one) * (input_size[1] // one) for one in strides)] = strides
    _, first, last = shape
    if first in cells and last in cells or first in [count * ANCHORS_A_CELL for count in cells] and last in cells:
        return Guess(None, f"{first} and {last} both are counts of cells: which axis has the channels is open")
    if last in cells:
        strides = cells[last]
        if first <= 4:
            return Guess(None, f"{first} channels of {last} cells are too few for a box and classes")
        if first == POSE_CHANNELS:
            return Guess(None, f"{first} channels are 52 classes, or a pose model's one class and 17 key points")
        spec = _boxes("yolov8", [name], classes=first - 4, strides=list(strides), axis=1)
        return Guess(
            spec, f"4 + {first - 4} channels of {last} cells, which strides {list(strides)} make: as YOLOv8 has"
        )
    if first in cells:
        five = f"5 + {last - 5} (YOLOX, decoded or not)"
        return Guess(None, f"rows of {last}, one a cell, are {five}, 4 + {last - 4} (YOLOv8 turned) or distributions")
    for count, strides in cells.items():
        if first == ANCHORS_A_CELL * count and last > 5:
            spec = _boxes("yolov5", [name], classes=last - 5, strides=list(strides))
            return Guess(spec, f"rows of 5 + {last - 5}, three for each cell of strides {list(strides)}: as YOLOv5 has")
    if last == 6:
        spec = _boxes("nms", [name], form="rows")
        return Guess(
            spec, f"{first} rows of 6, not as many as cells: boxes in pixels, scores and classes after suppression"
        )
    return Guess(None, f"{first} rows of {last} go with no strides of {', '.join(map(str, PYRAMIDS))}")


def _efficient_nms(names: List[str], shapes: List[Shape], whole: List[bool]) -> Guess:
    """Four outputs, in whatever order: a whole number, boxes, scores, whole classes."""
    places = {}
    most = [shape[1] for shape in shapes if len(shape) == 3 and shape[2] == 4]
    for place, (shape, is_whole) in enumerate(zip(shapes, whole)):
        part = None
        if len(shape) == 3 and most and shape[1:] == (most[0], 4) and not is_whole:
            part = "boxes"
        elif len(shape) == 2 and is_whole and shape[1] == 1 and most != [1]:
            part = "number"
        elif len(shape) == 2 and most and shape[1] == most[0]:
            part = "classes" if is_whole else "scores"
        if part is None or part in places:
            return Guess(None, "four outputs, not EfficientNMS's number, boxes, scores and classes")
        places[part] = names[place]
    spec = _boxes("nms", [places[part] for part in ("number", "boxes", "scores", "classes")], form="efficient_nms")
    return Guess(spec, "number, boxes, scores and classes as EfficientNMS outputs them; boxes taken to be in pixels")


def _torchvision(names: List[str], shapes: List[Shape], whole: List[bool]) -> Guess:
    """Three outputs, in whatever order: boxes (N, 4), whole labels (N,), scores (N,)."""
    places = {}
    for name, shape, is_whole in zip(names, shapes, whole):
        if len(shape) == 2 and shape[1] == 4 and not is_whole:
            places["boxes"] = name
        elif len(shape) == 1:
            places["labels" if is_whole else "scores"] = name
    if len(places) < 3 or len({shape[0] for shape in shapes}) > 1:
        return Guess(None, "three outputs: maps of a level each, or parts of a head whose order is not in their shapes")
    spec = _boxes("nms", [places[part] for part in ("boxes", "labels", "scores")], form="torchvision", background=0)
    return Guess(spec, "boxes, labels and scores as torchvision's detectors output them; label 0 taken as background")


def _map(name: str, shape: Shape, whole: bool, input_size: Size) -> Guess:
    """One output that may be a mask."""
    size = tuple(input_size)
    common: Dict[str, Any] = {"kind": "mask", "outputs": [name]}
    if whole and (shape[1:] == size or shape[1:] == (1,) + size):
        return Guess(dict(common, head="classes"), "whole numbers of the input's size: a class for each pixel")
    if len(shape) != 4 or shape[2:] != size or whole:
        return Guess(None, f"shape {list(shape)} is neither rows of boxes nor a map of the input's {size[0]}x{size[1]}")
    if shape[1] == 1:
        return Guess(None, "one channel of the input's size: a mask, or depth, or anything else that pixels have")
    if shape[1] == 3:
        return Guess(None, "three channels of the input's size: three classes, or the colours of a picture")
    spec = dict(common, head="argmax", classes=shape[1], axis=1)
    return Guess(spec, f"{shape[1]} channels of the input's size: the highest is the pixel's class")
