"""Image files to pictures of 8 bits a channel, the right way up: what each kind of pixel becomes.

Pillow decodes them; what it would do otherwise is said where it is undone. Of a file with several pictures the first
one is taken. Alpha is left out and the colours below it stay, as training on `convert("RGB")` and OpenCV's imread have
it. Of 16 bits the upper 8 are taken, as Pillow and OpenCV do where there is colour.
"""

import io
import os
from typing import Any, Tuple, Union

import numpy as np

from ..errors import SourceError, UnreadablePicture
from .skipped import printable

Path = Union[str, "os.PathLike[str]"]

_ORIENTATION, _BITS, _PHOTOMETRIC = 274, 258, 262  # tags of TIFF, the first one of EXIF too
_WHITE_IS_ZERO = 0
# What turns a picture of each orientation upright (EXIF 2.3, 4.6.4 A), by the name of Pillow's transposition.
_UPRIGHT = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
_BACK = {**_UPRIGHT, 6: "ROTATE_90", 8: "ROTATE_270"}
#: Transpositions that swap width and height.
_ON_THEIR_SIDE = ("TRANSPOSE", "ROTATE_270", "TRANSVERSE", "ROTATE_90")
_UNKNOWN_RANGE = {"F": "floating-point", "I": "32-bit integer or signed"}


def open_image(image: Union[bytes, Path], color: str, orientation: str) -> Any:
    """A decoded picture.

    Parameters
    ----------
    image : bytes or path
        An image file, or its contents.
    color : {"rgb", "bgr", "gray"}
    orientation : {"exif", "stored"}
        See `manifest_types.Preprocess`.

    Returns
    -------
    PIL.Image.Image
        Of mode L for gray, else RGB.

    Raises
    ------
    UnreadablePicture
        If the file cannot be read as an image, or nothing says which of its pixels are black and white.
    SourceError
        If Pillow is missing.
    """
    pillow = import_pillow()
    try:
        with _stream(image) as stream, pillow.open(stream) as opened:
            turned = _orientation(opened)
            picture = _eight_bits(opened, pillow)
            # Else Pillow warns that convert leaves transparency out, which is what is wanted.
            picture.info.pop("transparency", None)
            picture = picture.convert(mode_of(color))
            turn = _turn(opened.format, turned, orientation)
            return picture.transpose(getattr(_transpositions(pillow), turn)) if turn else picture
    except Exception as exc:  # Pillow's decoders raise OSError, ValueError, SyntaxError and struct.error
        shown = "the image" if isinstance(image, bytes) else printable(os.fspath(image))
        # Pillow's own sentence of this names the file once more.
        unknown = type(exc).__name__ == "UnidentifiedImageError"
        raise UnreadablePicture(shown, "no image of a known kind" if unknown else printable(str(exc))) from exc


def picture_size(path: Path, orientation: str) -> Tuple[int, int]:
    """(width, height) of a picture as `open_image` gives it; only the head of the file is read, unless it is a TIFF.

    Raises
    ------
    UnreadablePicture, SourceError
        As `open_image`.
    """
    pillow = import_pillow()
    try:
        with _stream(path) as stream, pillow.open(stream) as opened:
            width, height = opened.size
            kind = opened.format
            turned = _turn(kind, _orientation(opened), orientation)
    except Exception as exc:  # as in `open_image`
        raise UnreadablePicture(printable(os.fspath(path)), printable(str(exc))) from exc
    if kind == "TIFF":  # versions of Pillow turn it at different times
        found: Tuple[int, int] = open_image(path, "rgb", orientation).size
        return found
    return (height, width) if turned in _ON_THEIR_SIDE else (width, height)


def _stream(image: Union[bytes, Path]) -> Any:
    """A file of Pillow's that has no name: it maps named ones of raw TIFF into memory, and does not turn those."""
    return io.BytesIO(image) if isinstance(image, bytes) else open(os.fspath(image), "rb")


def mode_of(color: str) -> str:
    """Pillow's name for the pixels of a model's colour."""
    return "L" if color == "gray" else "RGB"


def import_pillow() -> Any:
    """The module PIL.Image; SourceError where it is missing."""
    try:
        from PIL import Image
    except ImportError as exc:
        raise SourceError("Pillow is not installed, and images need it", hint="pip install 'coachc[images]'") from exc
    return Image


def _eight_bits(opened: Any, pillow: Any) -> Any:
    """Pixels wider than 8 bits, which Pillow's convert clips to white."""
    # Older versions (8.4 does) open PNG files of 16 bits as integers of 32 bits.
    sixteen = opened.mode.startswith("I;16") or (opened.mode == "I" and opened.format == "PNG")
    if not sixteen:
        if opened.mode in _UNKNOWN_RANGE:
            kind = _UNKNOWN_RANGE[opened.mode]
            raise ValueError(f"{kind} pixels (mode {opened.mode}), whose black and white are not known")
        return opened
    tags = getattr(opened, "tag_v2", {})
    (bits,) = tags.get(_BITS, (16,))  # 12 too: not scaled by Pillow
    levels = np.asarray(opened).astype(np.uint16) >> (bits - 8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # which Pillow turns around at 8 bits only
        levels = 255 - levels
    return pillow.fromarray(levels.astype(np.uint8))


def _orientation(opened: Any) -> Any:
    """Tag 274 of a picture that is not decoded yet; None where EXIF is damaged, which leaves a good picture good."""
    try:
        return opened.getexif().get(_ORIENTATION)
    except Exception:
        return None


def _turn(kind: str, turned: Any, orientation: str) -> Any:
    """Name of the transposition that is left to do, or None: Pillow has turned TIFF upright while it decoded it."""
    if kind == "TIFF":
        return _BACK.get(turned) if orientation == "stored" else None
    return _UPRIGHT.get(turned) if orientation == "exif" else None


def _transpositions(pillow: Any) -> Any:
    # Moved into an enum in 9.1.
    return getattr(pillow, "Transpose", pillow)
