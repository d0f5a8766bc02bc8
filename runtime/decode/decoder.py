"""From a model's outputs to boxes or masks, as a JSON object says: `decode_spec` has the table of its keys.

Whatever can be wrong is found when a decoder is made, from the names and shapes of the outputs alone.
"""

from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

import numpy as np

from ..errors import BundleError, EngineError
from . import decode_spec as d
from .class_maps import MASK_HEADS
from .heads import end_to_end, fcos, nanodet, ssd, yolov5, yolov8, yolox
from .scored_boxes import Head, Named, Rules, findings, rule_keys

BOX_HEADS: Dict[str, Head] = {
    "yolov5": yolov5.HEAD,
    "yolov8": yolov8.HEAD,
    "yolox": yolox.HEAD,
    "ssd": ssd.HEAD,
    "fcos": fcos.HEAD,
    "nanodet": nanodet.HEAD,
    "nms": end_to_end.HEAD,
}
HEADS: Dict[str, Mapping[str, Any]] = {"boxes": BOX_HEADS, "mask": MASK_HEADS}

#: Arrays in the order of the spec, and the threshold of scores, to what was found in each picture.
Finish = Callable[[List[np.ndarray], Optional[float]], List[Any]]


class Decoder(NamedTuple):
    """What makes boxes or masks of a model's outputs; `decoder_of` makes it.

    Attributes
    ----------
    kind : {"boxes", "mask"}
    classes : tuple of str
        Names, by the number that stands in `Detections.classes` or in a mask.
    expected : tuple
        Name and shape of each output that is read.
    apart : int
        So many of them, the first, have a first axis of their own; that of all others is one and the same.
    finish : function
    score : float
        What boxes have to score more than, where nobody says otherwise; 0 for masks.
    """

    kind: str
    classes: Tuple[str, ...]
    expected: Tuple[Tuple[str, Tuple[int, ...]], ...]
    apart: int
    finish: Finish
    score: float = 0.0

    def decode(self, outputs: Mapping[str, np.ndarray], score: Optional[float] = None) -> List[Any]:
        """What was found in each picture of a batch.

        Parameters
        ----------
        outputs : mapping of str to ndarray
            Those of the model, by name; the first axis may be of any length.
        score : float, optional
            Boxes have to score more than this, instead of more than the spec's `score`.

        Returns
        -------
        list
            For boxes a `Detections` a picture, in pixels of the model's input; for masks an ndarray (H, W) of uint8,
            or of uint16 where there are more than 256 classes.

        Raises
        ------
        EngineError
            If an output is missing, or of another shape than when the decoder was made, first axis apart.
        """
        arrays = []
        for name, shape in self.expected:
            if name not in outputs:
                raise EngineError(f"the engine made no output '{name}'")
            array = np.asarray(outputs[name])
            if array.ndim != len(shape) or array.shape[1:] != shape[1:]:
                raise EngineError(f"output '{name}': expected shape {list(shape)}, found {list(array.shape)}")
            arrays.append(array if array.dtype.kind in "iub" else array.astype(np.float32))
        uneven = _uneven([name for name, _ in self.expected], [array.shape for array in arrays], self.apart)
        if uneven:
            raise EngineError("outputs of one batch: found " + uneven)
        # What is no number or overflows is left out at the end, and nothing to warn of.
        with np.errstate(all="ignore"):
            return self.finish(arrays, score)


def decoder_of(spec: Mapping[str, Any], outputs: Mapping[str, Tuple[int, ...]], input_size: Tuple[int, int]) -> Decoder:
    """The decoder that a specification asks for.

    Parameters
    ----------
    spec : mapping
        As `decode_spec` describes it.
    outputs : mapping of str to tuple of int
        The model's outputs and their shapes.
    input_size : tuple of int
        Height and width of the model's input.

    Raises
    ------
    BundleError
        With everything that is wrong with the keys, or the first thing that does not go with the outputs.
    """
    head, keys = _head_of(spec)
    faults = d.faults_of(spec, keys, "head " + spec["head"])
    if faults:
        raise d.together(faults)
    fields = d.fields_of(spec, keys)
    names = fields["outputs"]
    for name in names:
        if name not in outputs:
            found = "the model's outputs are " + ", ".join(sorted(outputs))
            raise d.wrong("outputs", "names of the model's outputs", name, found)
    if len(set(names)) < len(names):
        raise d.wrong("outputs", "each output once", list(names), d.OUTPUTS.hint)
    counted = isinstance(fields["classes"], int)
    classes = tuple(map(str, range(fields["classes"]))) if counted else fields["classes"]
    shapes = tuple(tuple(outputs[name]) for name in names)
    named = Named(names, shapes, len(classes), (input_size[0], input_size[1]))
    build = _boxes if spec["kind"] == "boxes" else _mask
    finish = build(head, fields, named)
    # As many indices are selected as there are boxes found, whatever the batch.
    apart = 1 if fields.get("form") == "selected_indices" else 0
    uneven = _uneven(names, shapes, apart)
    if uneven:
        raise d.wrong("outputs", "outputs of one batch", uneven, "every output of a head has as many rows as the batch")
    score = fields.get("score", 0.0)
    return Decoder(spec["kind"], classes, tuple(zip(names, shapes)), apart, finish, score)


def _uneven(names: Sequence[str], shapes: Sequence[Tuple[int, ...]], apart: int) -> str:
    """Which outputs have first axes of different lengths, in words; empty if none have."""
    shown = [f"{name} of {shape[0]}" for name, shape in zip(names, shapes)][apart:]
    lengths = {shape[0] for shape in shapes[apart:]}
    return ", ".join(shown) + " along their first axis" if len(lengths) > 1 else ""


def _head_of(spec: Mapping[str, Any]) -> Tuple[Any, Dict[str, d.Key]]:
    """The head that a spec names, and all keys it may have."""
    if not isinstance(spec, Mapping):
        raise BundleError(f"decoder: expected an object, found a {type(spec).__name__}")
    kind = d.Key(d.one_of(*HEADS), hint="boxes for detectors, mask for segmenters")
    keys = {"kind": kind, "head": d.Key(d.TEXT, hint="which decoding the model's outputs need")}
    faults = d.faults_of({key: spec[key] for key in keys if key in spec}, keys, "decoders")
    if faults:
        raise d.together(faults)
    heads = HEADS[spec["kind"]]
    if spec["head"] not in heads:
        raise d.wrong("head", "one of " + ", ".join(heads), spec["head"], f"those are the heads of kind {spec['kind']}")
    head = heads[spec["head"]]
    keys.update(head.keys, classes=d.CLASSES, outputs=d.OUTPUTS)
    if spec["kind"] == "boxes":
        keys.update(rule_keys(head.iou))
    return head, keys


def _boxes(head: Head, fields: Dict[str, Any], named: Named) -> Finish:
    rules = Rules(**{key: fields[key] for key in Rules._fields})
    rows = head.build(fields, named)

    def finish(arrays: List[np.ndarray], score: Optional[float]) -> List[Any]:
        used = rules if score is None else rules._replace(score=score)
        return [findings(scored, used) for scored in rows(arrays)]

    return finish


def _mask(head: Any, fields: Dict[str, Any], named: Named) -> Finish:
    if len(named.names) != 1:
        raise d.wrong("outputs", "one output", list(named.names), d.OUTPUTS.hint)
    masks = head.build(fields, named)
    return lambda arrays, score: masks(arrays[0])
