"""The manifest: what a bundle says about itself, as values.

This file decides which fields exist (`README.md` beside it is the prose); which values they may have and how they are
written is decided in `manifest_json`, what they may say about each other in `manifest_checks`, files and hashes in
`store`.
"""

import re
from types import MappingProxyType
from typing import Any, Dict, Iterable, Mapping, NamedTuple, Optional, Tuple, Union

from ..errors import BundleError, UsageError

FORMAT_VERSION = 6

DTYPES = (
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
)
MODES = ("split", "device-only", "cloud-raw", "cloud-jpeg")
#: What a model's outputs are judged as: a row of classes in the first one; every output in its own scale; masks; boxes.
TASKS = ("classify", "outputs", "segment", "detect")
CODECS = ("packed", "raw", "jpeg")
FORMS = ("dense", "bytes")
CODINGS = ("none", "huffman", "rle", "filtered")
PARAMETERS = ("", "qdq", "arithmetic")
MIN_BITS, MAX_BITS = 2, 8
ROLES = ("device", "cloud", "model", "segment", "policy", "engine", "log", "half-precision")
#: Those of artefacts that are ONNX models.
MODEL_ROLES = ("device", "cloud", "model", "segment")
CALIBRATIONS = ("calibrated", "uncalibrated")
RESIZES = ("nearest", "bilinear", "bicubic", "lanczos", "area")
COLORS = ("rgb", "bgr", "gray")
LAYOUTS = ("nchw", "nhwc")
CROPS = ("none", "center", "center-square", "letterbox", "letterbox-corner")
ORIENTATIONS = ("stored", "exif")

#: Precision of a task: of all packed values, or one for each value of the cut; None for the chosen ones.
Bits = Union[None, int, Tuple[int, ...]]


def url_name(text: str) -> str:
    """A name as it stands in URLs: every run of other characters than `A-Za-z0-9_.-` is one `-`."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", text)


class TensorSpec(NamedTuple):
    """Name, numpy dtype name and shape of one model input or output."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


class Level(NamedTuple):
    """The quantizer of one boundary value at one precision.

    Attributes
    ----------
    bits : int
        2 to 8.
    scale : tuple of float
        Positive; one for the whole tensor, or one per channel (axis 1).
    zero_point : tuple of int
        Codes of the real number 0, as many as scales.
    """

    bits: int
    scale: Tuple[float, ...]
    zero_point: Tuple[int, ...]


class Layout(NamedTuple):
    """How the codes of a packed value become bytes.

    Attributes
    ----------
    form : {"dense", "bytes"}
        dense: codes without gaps. bytes: ``8 // bits`` whole codes in each byte.
    order : tuple of int
        Channels (axis 1) in the order they are packed; () for the natural one.
    coding : {"none", "huffman", "rle", "filtered"}
        none: as they are. Otherwise deflate, with zlib's strategy of that name.
    memory_level : int
        zlib's memLevel, 1 to 9: the smaller, the fewer codes share a Huffman table.
    """

    form: str = "dense"
    order: Tuple[int, ...] = ()
    coding: str = "none"
    memory_level: int = 9


class CutValue(NamedTuple):
    """One boundary value and how it travels.

    Attributes
    ----------
    name : str
        The value's name in the model.
    dtype, shape
        Its numpy dtype name and shape, batch included, before quantization.
    codec : {"packed", "raw", "jpeg"}
        packed: codes. raw: the bytes of `dtype`. jpeg: one JPEG file.
    bits : int
        The precision chosen: one of `levels` for packed, 8 for jpeg, the width of `dtype` for raw.
    levels : tuple of Level
        The precisions it can travel at, by ascending bits; none for raw and jpeg.
    codes : str
        Name of the tensor that leaves the device half and enters the cloud half; equal to `name` for jpeg, and
        for raw unless that is the name of a model input.
    layout : Layout
        Of the codes on the wire; the default for raw and jpeg.
    quality : int or None
        Of the JPEG file, 1 to 95; None for packed and raw.
    """

    name: str
    dtype: str
    shape: Tuple[int, ...]
    codec: str
    bits: int
    levels: Tuple[Level, ...]
    codes: str
    layout: Layout = Layout()
    quality: Optional[int] = None

    @property
    def packed(self) -> bool:
        """Whether it travels as codes."""
        return self.codec == "packed"

    @property
    def raw(self) -> bool:
        """Whether it travels as the bytes of its own dtype."""
        return self.codec == "raw"

    @property
    def jpeg(self) -> bool:
        """Whether it travels as a JPEG file."""
        return self.codec == "jpeg"

    def level(self, bits: Optional[int] = None) -> Level:
        """The quantizer at `bits`, or at the chosen precision.

        Raises
        ------
        BundleError
            If the value has none at that precision.
        """
        wanted = self.bits if bits is None else bits
        for level in self.levels:
            if level.bits == wanted:
                return level
        known = ", ".join(str(level.bits) for level in self.levels)
        raise BundleError(
            f"value '{self.name}' has no quantizer at {wanted} bits",
            hint=f"there is one at {known} bits" if known else f"it travels as codec {self.codec}",
        )


class Cut(NamedTuple):
    """One way to run the model.

    Attributes
    ----------
    name : str
        Unique in the bundle.
    mode : {"split", "device-only", "cloud-raw", "cloud-jpeg"}
    device, cloud : str or None
        Artefact paths of the halves, or of their edges where the cut shares segments of the model with others: the last
        that runs on the device, the first that runs on the cloud. None where a side computes nothing.
    values : tuple of CutValue
        What crosses, in the order it is sent.
    device_outputs, cloud_outputs : tuple of str
        Which side makes which model output.
    device_parameters, cloud_parameters : {"", "qdq", "arithmetic"}
        Whether that half's quantizers are constants of its graph (""), or inputs in one of two forms:
        `runtime.bundle.quantizer_inputs`.
    features : tuple of str
        Further outputs of the device half, which stay on the device.
    before : tuple of str
        Artefact paths of the segments that run on the device, in this order, before `device`.
    after : tuple of str
        Artefact paths of the segments that run on the cloud, in this order, after `cloud`.
    policy : str or None
        Artefact path of this cut's online policy.
    max_batch : int
        Most tasks that its artefacts take in one run, along the first axis of every input and output, where shapes are
        stated for one; 1: one task at a time.
    """

    name: str
    mode: str
    device: Optional[str]
    cloud: Optional[str]
    values: Tuple[CutValue, ...]
    device_outputs: Tuple[str, ...]
    cloud_outputs: Tuple[str, ...]
    device_parameters: str = ""
    cloud_parameters: str = ""
    features: Tuple[str, ...] = ()
    before: Tuple[str, ...] = ()
    after: Tuple[str, ...] = ()
    policy: Optional[str] = None
    max_batch: int = 1

    @property
    def on_device(self) -> Tuple[str, ...]:
        """Artefacts that run on the device, in order."""
        return self.before + ((self.device,) if self.device is not None else ())

    @property
    def on_cloud(self) -> Tuple[str, ...]:
        """Artefacts that run on the cloud, in order."""
        return ((self.cloud,) if self.cloud is not None else ()) + self.after

    def run_by(self, side: str) -> Tuple[str, ...]:
        """Artefacts that a side runs, "device" or "cloud", in order."""
        return self.on_device if side == "device" else self.on_cloud

    @property
    def packed_values(self) -> Tuple[CutValue, ...]:
        """What crosses as codes, in the order it is sent."""
        return tuple(value for value in self.values if value.packed)

    @property
    def quantizers(self) -> Tuple[str, ...]:
        """Artefacts that hold quantizers and nothing else of the model: engines compute them in float32."""
        if not self.packed_values:
            return ()
        device = self.device if self.before or self.mode == "cloud-raw" else None
        cloud = self.cloud if self.after else None
        return tuple(path for path in (device, cloud) if path is not None)

    def precisions(self, bits: Bits = None) -> Tuple[int, ...]:
        """The precision of each value of a task; values that are not packed have one only.

        Raises
        ------
        BundleError
            If there is not one number for each value.
        """
        if isinstance(bits, tuple) and len(bits) != len(self.values):
            raise BundleError(
                f"cut '{self.name}' sends {len(self.values)} values, and {len(bits)} precisions were given",
                hint="give one number of bits for all of them, or one for each",
            )
        wanted = bits if isinstance(bits, tuple) else (bits,) * len(self.values)
        return tuple(one if value.packed and one is not None else value.bits for value, one in zip(self.values, wanted))

    def accepted_bits(self, value: CutValue) -> Tuple[int, ...]:
        """Precisions at which the cloud half can take a packed value: the chosen one, where it has constants."""
        return tuple(level.bits for level in value.levels) if self.cloud_parameters else (value.bits,)


def most_tasks(cuts: Iterable[Cut], path: str) -> int:
    """How many tasks at most an artefact is run for at once, in any of the cuts."""
    return max((cut.max_batch for cut in cuts if path in cut.on_device + cut.on_cloud), default=1)


class Artefact(NamedTuple):
    """One file of the bundle: path with '/', role, sha256 in hex, size."""

    path: str
    role: str
    sha256: str
    size_bytes: int


class EngineFacts(NamedTuple):
    """An engine that was built ahead of time, and for what.

    Attributes
    ----------
    path, log : str
        Artefacts of role engine and log.
    model_sha256 : str
        Of the model artefact it was built from.
    builder : str
        Product and version, such as "TensorRT-RTX 1.7.1.116"; no other version loads it.
    compute_capability : str
        Of the GPUs it is for, such as "8.6".
    """

    path: str
    log: str
    model_sha256: str
    builder: str
    compute_capability: str


class HalfPrecision(NamedTuple):
    """A model in half precision, which strongly typed TensorRT builds in place of one in float32.

    Attributes
    ----------
    path : str
        Artefact of role half-precision.
    model_sha256 : str
        Of the model artefact that it computes.
    """

    path: str
    model_sha256: str


class Preprocess(NamedTuple):
    """From an image to the model's input: ``x = (pixel / pixel_scale - mean) / std``.

    Attributes
    ----------
    size : tuple of int
        (height, width) of the model's input.
    resize : {"nearest", "bilinear", "bicubic", "lanczos", "area"}
    color : {"rgb", "bgr", "gray"}
        Channel order of the model's input, and of `mean` and `std`.
    layout : {"nchw", "nhwc"}
    pixel_scale : float
        255 for models that take [0, 1].
    mean, std : tuple of float
        One per channel.
    crop : {"none", "center", "center-square", "letterbox", "letterbox-corner"}
        none: resize to `size`, whatever that does to the aspect ratio. center: resize to `resize_to`, then cut `size`
        out of the middle. center-square: cut the largest square out of the middle, then resize to `size`. letterbox:
        resize to the largest that fits into `size` and keeps the aspect ratio, in the middle of a canvas of colour
        `fill`; letterbox-corner: at its left upper corner.
    resize_to : tuple of int
        With crop "center" only: (length of the shorter side,), which keeps the aspect ratio, or (height, width).
    orientation : {"stored", "exif"}
        exif: pictures that a camera stored on their side are turned upright, as their EXIF data say, before anything
        else. stored: they stay as they lie in the file. Frames of videos are as OpenCV gives them, either way.
    fill : tuple of int
        With a letterbox only: what surrounds the picture, a pixel of 0 to 255 for each channel in the order of `color`.
    """

    size: Tuple[int, int]
    resize: str
    color: str
    layout: str
    pixel_scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]
    crop: str = "none"
    resize_to: Tuple[int, ...] = ()
    orientation: str = "stored"
    fill: Tuple[int, ...] = ()

    @property
    def letterboxed(self) -> bool:
        """Whether pictures keep their aspect ratio on a canvas."""
        return self.crop.startswith("letterbox")


class ModelInfo(NamedTuple):
    """The model that was compiled: name, sha256 of its file, opset, inputs and outputs."""

    name: str
    sha256: str
    opset: int
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]


class Manifest(NamedTuple):
    """All of `manifest.json`.

    `device`, `cloud`, `link` and `plan` are free-form JSON objects of the compiler's. `revision` counts the bundles
    that are installed one after the other: a lower one does not replace a higher one. `task`, one of `TASKS`, says what
    the outputs are judged as; `decode`, empty for classify and outputs, how they are read as boxes or masks
    (`runtime.decode.decoder`); `input_ranges` the least and largest value of each input in calibration, none where they
    are not known.
    """

    producer: str
    calibration: str
    model: ModelInfo
    device: Dict[str, Any]
    cloud: Dict[str, Any]
    link: Dict[str, Any]
    preprocess: Optional[Preprocess]
    classes: Tuple[str, ...]
    cuts: Tuple[Cut, ...]
    chosen: str
    plan: Dict[str, Any]
    artefacts: Tuple[Artefact, ...] = ()
    revision: int = 0
    engines: Tuple[EngineFacts, ...] = ()
    half_precision: Tuple[HalfPrecision, ...] = ()
    input_ranges: Tuple[Tuple[float, ...], ...] = ()
    task: str = "classify"
    decode: Mapping[str, Any] = MappingProxyType({})
    format_version: int = FORMAT_VERSION

    def run_by(self, side: str) -> Tuple[str, ...]:
        """Artefacts that a side runs in any cut, each once."""
        return tuple({path: None for cut in self.cuts for path in cut.run_by(side)})

    def in_half_precision(self, path: str) -> Optional[str]:
        """The artefact that is another one in half precision; None where there is none."""
        digests = {artefact.path: artefact.sha256 for artefact in self.artefacts}
        return next((half.path for half in self.half_precision if half.model_sha256 == digests.get(path)), None)

    def cut(self, name: Optional[str] = None) -> Cut:
        """The cut called `name`, or the chosen one.

        Raises
        ------
        UsageError
            If no cut has that name.
        """
        wanted = self.chosen if name is None else name
        for cut in self.cuts:
            if cut.name == wanted:
                return cut
        known = ", ".join(cut.name for cut in self.cuts)
        raise UsageError(f"the bundle has no cut '{wanted}'", hint=f"--cut takes one of {known}")
