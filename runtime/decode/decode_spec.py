"""What a decoder's specification may say: a JSON object that stands in a bundle, key by key.

Every head states its keys as a table of `Key`; `fields_of` reads an object by such a table and names every fault in
it, not only the first. What the values mean together (shapes against strides, say) is each head's matter.

========== ============================================ ========= ====================================================
key        of                                           default   meaning
========== ============================================ ========= ====================================================
kind       all                                          needed    "boxes" or "mask"
head       all                                          needed    boxes: yolov5, yolov8, yolox, ssd, fcos, nanodet or
                                                                  nms; mask: argmax, threshold or classes
classes    all                                          needed    names, or how many; without a background that is
                                                                  never found
outputs    all                                          needed    names of model outputs, in the order below
score      boxes                                        0.25      a box has to score more
iou        boxes                                        0.45;     a box goes that overlaps a better one by more; null:
                                                        nms null  none goes
most       boxes                                        300       boxes of one picture at most
candidates boxes                                        30000     so many best ones are compared with each other
by_class   boxes                                        true      whether only boxes of one class displace each other
labels     boxes                                        "best"    "best": one class a box; "all": every one that
                                                                  scores enough
strides    yolov5, yolov8, yolox, fcos, nanodet         see there pixels a cell, level by level
anchors    yolov5                                       for maps  by level a list of [width, height] in pixels
anchors    ssd                                          needed    [cx, cy, width, height] in shares of the input, or an
                                                                  object: see `prior_boxes`
axis       yolov8 decoded, argmax, threshold            by shape; axis of the channels: 1 or 2 (yolov8), 1 or 3 (masks)
                                                        1
bins       yolov8 maps, nanodet                         by shape  length of the distribution of one distance
boxes      yolov8 decoded                               "xywh"    xywh (centre and size) or xyxy (two corners)
boxes      nms                                          "xyxy"    xyxy, yxyx or xywh
sigmoid    yolov5 maps, yolov8 maps, fcos               true      whether what is scored are logits still
sigmoid    nanodet, threshold                           false     the same
decoded    yolox                                        false     whether boxes are in pixels already
activation ssd                                          "softmax" softmax, sigmoid or none: from numbers to scores
background ssd                                          0         index of the class that is none; null: there is none
background nms                                          null      the same
variances  ssd                                          0.1 0.1   four numbers, which the locations are multiplied by
                                                        0.2 0.2
clamp      ssd                                          null      largest logarithm of a size; null: any
distance   fcos                                         "none"    none, relu or exp: from numbers to distances
stretch    fcos                                         true      whether distances are in strides, not pixels
centreness fcos                                         "none"    none (two maps a level), product, or sqrt of it
offset     fcos, nanodet                                0.5; 0    where in its cell a point lies, in strides
form       nms                                          needed    rows, efficient_nms, torchvision, selected_indices
columns    nms rows                                     see there what stands in a row
normalised nms                                          false     whether boxes are in shares of the input
batch      nms rows                                     1         pictures that rows with a column "batch" speak of
channel    threshold                                    0         which one of the channels
threshold  threshold                                    0.5       a pixel has to have more
========== ============================================ ========= ====================================================

Order of the outputs, sources of the formulas (project, and the commit where they were read)
-------------------------------------------------------------------------------------------
yolov5     one (B, N, 5+C), or a map (B, A*(5+C), H, W) or (B, A, H, W, 5+C) a level.
           ultralytics/yolov5 5081342, models/yolo.py Detect
yolov8     one (B, 4+C, N) or (B, N, 4+C), or a map (B, 4*R+C, H, W) a level, or two a level: distances, then classes.
           ultralytics/ultralytics 001ce22, nn/modules/head.py Detect; 00779d6, nn/modules/block.py DFL; 002217d,
           utils/tal.py
yolox      one (B, N, 5+C). Megvii-BaseDetection/YOLOX 6ddff48, yolox/models/yolo_head.py, utils/demo_utils.py
ssd        locations (B, N, 4), scores (B, N, classes and background). pytorch/vision 6922d21,
           models/detection/anchor_utils.py; 0284543, models/detection/_utils.py BoxCoder
fcos       a level at a time: classes (B, C, H, W), distances (B, 4, H, W), centreness (B, 1, H, W) if there is one.
           tianzhi0549/FCOS a773f12, modeling/rpn/fcos/fcos.py and inference.py; pytorch/vision 07a929e,
           models/detection/fcos.py, which has offset 0
nanodet    one (B, N, C+4*R), or a map (B, C+4*R, H, W) a level. RangiLyu/nanodet be9b4a9,
           nanodet/model/head/nanodet_plus_head.py (offset 0) and gfl_head.py (offset 0.5)
nms        rows: one. efficient_nms: number, boxes, scores, classes (NVIDIA/TensorRT 2349256,
           plugin/efficientNMSPlugin). torchvision: boxes, labels, scores. selected_indices: those of ONNX's
           NonMaxSuppression, its boxes, its scores. Rows with a batch: WongKinYiu/yolov7 134a36f,
           models/experimental.py
masks      one: argmax (B, C, H, W) or (B, H, W, C); threshold the same, or (B, H, W); classes (B, H, W), (B, 1, H, W)
           or (B, H, W, 1) of whole numbers
"""

import json
import math
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Optional, Tuple

from ..errors import BundleError

NEEDED = object()

#: More names or boxes than any model has: a damaged file must not ask for all memory.
LARGEST_COUNT = 1 << 16


class Reader(NamedTuple):
    """What a value has to be, in words and as a test, and what becomes of it."""

    expected: str
    accepts: Callable[[Any], bool]
    convert: Callable[[Any], Any] = lambda value: value


class Key(NamedTuple):
    """One key: what it has to hold, what stands for it where it is absent, and what mends it."""

    reader: Reader
    default: Any = NEEDED
    hint: str = ""


def wrong(key: str, expected: str, found: Any, hint: str) -> BundleError:
    """One fault, found before anything is decoded."""
    shown = json.dumps(found, default=repr)
    return BundleError(f"decoder key '{key}': expected {expected}, found {shown[:120]}", hint=hint)


def unfit(name: str, expected: str, shape: Tuple[int, ...], hint: str) -> BundleError:
    """An output whose shape does not go with the keys."""
    return BundleError(f"decoder output '{name}': expected {expected}, found shape {list(shape)}", hint=hint)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < 1e30 and math.isfinite(value)


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


BOOL = Reader("true or false", lambda value: isinstance(value, bool))
NUMBER = Reader("a number", _is_number, float)
POSITIVE = Reader("a number above 0", lambda value: _is_number(value) and value > 0, float)
SHARE = Reader("a number from 0 to 1", lambda value: _is_number(value) and 0 <= value <= 1, float)
COUNT = Reader(
    f"a whole number from 1 to {LARGEST_COUNT}", lambda value: type(value) is int and 1 <= value <= LARGEST_COUNT
)
INDEX = Reader("a whole number from 0 on", lambda value: type(value) is int and 0 <= value < LARGEST_COUNT)
TEXT = Reader("a text", lambda value: isinstance(value, str) and bool(value))
OBJECT = Reader("an object", lambda value: isinstance(value, Mapping))


def one_of(*allowed: Any) -> Reader:
    names = ", ".join(json.dumps(one) for one in allowed)
    return Reader("one of " + names, lambda value: any(type(value) is type(one) and value == one for one in allowed))


def optional(reader: Reader) -> Reader:
    return Reader(
        reader.expected + ", or null",
        lambda value: value is None or reader.accepts(value),
        lambda value: None if value is None else reader.convert(value),
    )


def list_of(reader: Reader, count: Optional[int] = None) -> Reader:
    """A list, not empty, of one kind of value; of exactly `count` where that is given."""
    return Reader(
        "a list of {}, each {}".format(count or "one or more", reader.expected),
        lambda value: (
            _is_list(value) and len(value) == (count or max(len(value), 1)) and all(map(reader.accepts, value))
        ),
        lambda value: tuple(reader.convert(one) for one in value),
    )


def either(*readers: Reader) -> Reader:
    """The first reader that accepts the value."""
    return Reader(
        " or ".join(reader.expected for reader in readers),
        lambda value: any(reader.accepts(value) for reader in readers),
        lambda value: next(reader.convert(value) for reader in readers if reader.accepts(value)),
    )


CLASSES = Key(
    either(COUNT, list_of(TEXT)), hint="list the names of the classes in the model's order, or say how many there are"
)
OUTPUTS = Key(list_of(TEXT), hint="list names of the model's outputs, in the order of the head")
STRIDES = Key(list_of(COUNT), hint="strides are pixels a cell, finest level first as the outputs are: [8, 16, 32]")


def faults_of(spec: Mapping[str, Any], keys: Mapping[str, Key], what: str) -> List[BundleError]:
    """Every key that is unknown, missing or of the wrong type."""
    faults = []
    for name in sorted(set(spec) - set(keys), key=str):
        known = "the keys are " + ", ".join(sorted(keys))
        faults.append(BundleError(f"decoder key '{name}' is unknown to {what}", hint=known))
    for name in sorted(keys):
        key = keys[name]
        hint = key.hint or "see the table in runtime/decode/decode_spec.py"
        if name in spec and not key.reader.accepts(spec[name]):
            faults.append(wrong(name, key.reader.expected, spec[name], hint))
        elif name not in spec and key.default is NEEDED:
            faults.append(BundleError(f"decoder key '{name}' is missing: expected {key.reader.expected}", hint=hint))
    return faults


def fields_of(spec: Mapping[str, Any], keys: Mapping[str, Key]) -> Dict[str, Any]:
    """The value of every key, defaults filled in; `faults_of` has found none."""
    return {name: key.reader.convert(spec[name]) if name in spec else key.default for name, key in keys.items()}


def together(faults: List[BundleError]) -> BundleError:
    """One error of several: the first one's message and hint, the others as its context."""
    return BundleError(faults[0].message, [fault.message for fault in faults[1:]], faults[0].hint)


def refuse(fields: Mapping[str, Any], names: Tuple[str, ...], form: str) -> None:
    """Raise BundleError for a key that was set and has no meaning for the form of output at hand."""
    for name in names:
        if fields[name] is not None:
            raise wrong(name, f"no such key for {form}", fields[name], f"leave '{name}' out")
