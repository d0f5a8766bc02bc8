"""The manifest: what a bundle says about itself, as values.

This file decides which fields exist (`README.md` beside it is the prose); which values they may have and how they are
written is decided in `manifest_json`, files and hashes in `store`.
"""

from typing import Any, Dict, NamedTuple, Optional, Tuple

from runtime.errors import BundleError

FORMAT_VERSION = 1

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
CODECS = ("packed", "raw", "jpeg")
ROLES = ("device", "cloud", "model")
CALIBRATIONS = ("calibrated", "uncalibrated")
RESIZES = ("nearest", "bilinear", "bicubic", "lanczos", "area")
COLORS = ("rgb", "bgr", "gray")
LAYOUTS = ("nchw", "nhwc")


class TensorSpec(NamedTuple):
    """Name, numpy dtype name and shape of one model input or output."""

    name: str
    dtype: str
    shape: Tuple[int, ...]


class CutValue(NamedTuple):
    """One boundary value and how it travels.

    Attributes
    ----------
    name : str
        The value's name in the model.
    dtype, shape
        Its numpy dtype name and shape, batch included, before quantization.
    codec : {"packed", "raw", "jpeg"}
        packed: codes of `bits` bits. raw: the bytes of `dtype`. jpeg: one JPEG file, quality in `scale`.
    bits : int
        1 to 8 for packed, 8 for jpeg, the width of `dtype` for raw.
    scale, zero_point
        The quantizer of packed; 1.0 and 0 for raw; the JPEG quality (1 to 95) and 0 for jpeg.
    codes : str
        Name of the tensor that leaves the device half and enters the cloud half; equal to `name` for raw and jpeg.
    """

    name: str
    dtype: str
    shape: Tuple[int, ...]
    codec: str
    bits: int
    scale: float
    zero_point: int
    codes: str


class Cut(NamedTuple):
    """One way to run the model.

    Attributes
    ----------
    name : str
        Unique in the bundle.
    mode : {"split", "device-only", "cloud-raw", "cloud-jpeg"}
    device, cloud : str or None
        Artefact paths of the halves; None where a side computes nothing.
    values : tuple of CutValue
        What crosses, in the order it is sent.
    device_outputs, cloud_outputs : tuple of str
        Which side makes which model output.
    """

    name: str
    mode: str
    device: Optional[str]
    cloud: Optional[str]
    values: Tuple[CutValue, ...]
    device_outputs: Tuple[str, ...]
    cloud_outputs: Tuple[str, ...]


class Artefact(NamedTuple):
    """One file of the bundle: path with '/', role, sha256 in hex, size."""

    path: str
    role: str
    sha256: str
    size_bytes: int


class Preprocess(NamedTuple):
    """From an image to the model's input: ``x = (pixel / pixel_scale - mean) / std``.

    Attributes
    ----------
    size : tuple of int
        (height, width) after `resize`; the aspect ratio is not kept.
    color : {"rgb", "bgr", "gray"}
        Channel order of the model's input, and of `mean` and `std`.
    layout : {"nchw", "nhwc"}
    pixel_scale : float
        255 for models that take [0, 1].
    mean, std : tuple of float
        One per channel.
    """

    size: Tuple[int, int]
    resize: str
    color: str
    layout: str
    pixel_scale: float
    mean: Tuple[float, ...]
    std: Tuple[float, ...]


class ModelInfo(NamedTuple):
    """The model that was compiled: name, sha256 of its file, opset, inputs and outputs."""

    name: str
    sha256: str
    opset: int
    inputs: Tuple[TensorSpec, ...]
    outputs: Tuple[TensorSpec, ...]


class Manifest(NamedTuple):
    """All of `manifest.json`. `device`, `cloud`, `link` and `plan` are free-form JSON objects of the compiler's."""

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
    format_version: int = FORMAT_VERSION

    def cut(self, name: Optional[str] = None) -> Cut:
        """The cut called `name`, or the chosen one.

        Raises
        ------
        BundleError
            If no cut has that name.
        """
        wanted = self.chosen if name is None else name
        for cut in self.cuts:
            if cut.name == wanted:
                return cut
        known = ", ".join(cut.name for cut in self.cuts)
        raise BundleError(f"the bundle has no cut '{wanted}'", hint=f"--cut takes one of {known}")
