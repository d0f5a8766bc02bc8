"""Images and frames of videos to model inputs, the same way for calibration, on the device and on the server.

Needs Pillow, imported where it is used: devices that read arrays do without it.
"""

import io
from typing import Any, Tuple, Union

import numpy as np

from ..decode.detections import Placement
from .image_file import Path, import_pillow, mode_of, open_image
from .manifest_types import Preprocess

#: Inputs that take pictures: uint8 the pixels as they are, floats what the preprocessing makes of them.
IMAGE_DTYPES = ("uint8", "float16", "float32", "float64")

_FILTERS = {"nearest": "NEAREST", "bilinear": "BILINEAR", "bicubic": "BICUBIC", "lanczos": "LANCZOS", "area": "BOX"}


def load_image(image: Union[bytes, Path], preprocess: Preprocess) -> np.ndarray:
    """One image as the model takes it.

    Parameters
    ----------
    image : bytes or path
        An image file, or its contents.
    preprocess : Preprocess

    Returns
    -------
    ndarray of float32, shape (1, C, H, W), or (1, H, W, C) for layout nhwc

    Raises
    ------
    UnreadablePicture, SourceError
        If the file cannot be read as an image; if Pillow is missing.
    """
    return normalize(pixels(image, preprocess), preprocess)


def pixels(image: Union[bytes, Path, np.ndarray], preprocess: Preprocess) -> np.ndarray:
    """One image, decoded, resized and cropped to `preprocess.size`.

    Parameters
    ----------
    image : bytes, path or ndarray
        An image file, or its contents; or what is decoded already: uint8, shape (H, W, 3) in RGB order.
    preprocess : Preprocess

    Returns
    -------
    ndarray of uint8, shape (H, W, 3) in RGB order, or (H, W, 1) for color gray

    Raises
    ------
    UnreadablePicture, SourceError
        If the file cannot be read as an image; if Pillow is missing.
    """
    pillow = import_pillow()
    height, width = preprocess.size
    if isinstance(image, np.ndarray):
        picture = pillow.fromarray(image).convert(mode_of(preprocess.color))
    else:
        picture = open_image(image, preprocess.color, preprocess.orientation)
    if preprocess.crop == "center-square":
        side = min(picture.size)
        picture = _centre(picture, side, side)
    target = _resized(picture.size, preprocess)
    if picture.size != target:
        # Pillow moved its filters into an enum in 9.1.
        filters = getattr(pillow, "Resampling", pillow)
        picture = picture.resize(target, getattr(filters, _FILTERS[preprocess.resize]))
    if preprocess.letterboxed:
        return _on_canvas(np.array(picture, dtype=np.uint8), preprocess)
    return np.array(_centre(picture, width, height), dtype=np.uint8).reshape(height, width, -1)


def placement_of(preprocess: Preprocess, width: int, height: int) -> Placement:
    """Where a picture of that size, turned upright, lies in the model's input."""
    to_height, to_width = preprocess.size
    left = top = 0
    if preprocess.crop == "center-square":
        side = min(width, height)
        left, top = _corner(width, side), _corner(height, side)
        found = side, side
    else:
        found = width, height
    target = _resized(found, preprocess)
    scale_x, scale_y = target[0] / found[0], target[1] / found[1]
    if preprocess.letterboxed:
        at_x, at_y = _place(target, preprocess)
    else:
        at_x, at_y = -_corner(target[0], to_width), -_corner(target[1], to_height)
    return Placement(scale_x, scale_y, at_x - left * scale_x, at_y - top * scale_y, width, height)


def _resized(found: Tuple[int, int], preprocess: Preprocess) -> Tuple[int, int]:
    """(width, height) to resize to.

    Notes
    -----
    The longer side is rounded down and the crop's corner to the nearest even number, as torchvision's Resize and
    CenterCrop do: models are trained with them, and a pixel more or less costs accuracy. Letterboxes are rounded as
    Ultralytics' LetterBox (8.3) does, those at the corner as YOLOX's preproc (0.3).
    """
    if preprocess.letterboxed:
        whole = int if preprocess.crop == "letterbox-corner" else round
        share = min(want / have for want, have in zip(preprocess.size[::-1], found))
        return max(1, int(whole(found[0] * share))), max(1, int(whole(found[1] * share)))
    if preprocess.crop != "center":
        return preprocess.size[1], preprocess.size[0]
    if len(preprocess.resize_to) == 2:
        return preprocess.resize_to[1], preprocess.resize_to[0]
    side = preprocess.resize_to[0]
    width, height = found
    if width <= height:
        return side, int(side * height / width)
    return int(side * width / height), side


def _place(found: Tuple[int, int], preprocess: Preprocess) -> Tuple[int, int]:
    """(left, top) of a resized picture on its canvas."""
    if preprocess.crop == "letterbox-corner":
        return 0, 0
    left, top = (int(round((want - have) / 2.0 - 0.1)) for want, have in zip(preprocess.size[::-1], found))
    return left, top


def _on_canvas(picture: np.ndarray, preprocess: Preprocess) -> np.ndarray:
    height, width = picture.shape[:2]
    left, top = _place((width, height), preprocess)
    fill = preprocess.fill[::-1] if preprocess.color == "bgr" else preprocess.fill
    canvas = np.empty(preprocess.size + (len(fill),), dtype=np.uint8)
    canvas[...] = fill
    canvas[top : top + height, left : left + width] = picture.reshape(height, width, -1)
    return canvas


def _corner(have: int, want: int) -> int:
    return int(round((have - want) / 2.0))


def _centre(picture: Any, width: int, height: int) -> Any:
    left, top = (_corner(have, want) for have, want in zip(picture.size, (width, height)))
    return picture.crop((left, top, left + width, top + height))


def normalize(image: np.ndarray, preprocess: Preprocess, dtype: str = "float32") -> np.ndarray:
    """Pixels to the model's input: ``(pixel / pixel_scale - mean) / std`` in float32, then cast.

    Parameters
    ----------
    image : ndarray of uint8, shape (H, W, C)
        As `pixels` makes it: RGB or gray.
    preprocess : Preprocess
    dtype : str
        One of `IMAGE_DTYPES`; uint8 where `leaves_pixels` only.

    Returns
    -------
    ndarray of `dtype`, shape (1, C, H, W), or (1, H, W, C) for layout nhwc
    """
    # Of 256 pixel values, not of every pixel: the same numbers in a quarter of the time.
    levels = np.arange(256, dtype=np.float32)[:, np.newaxis] / np.float32(preprocess.pixel_scale)
    table = (levels - np.array(preprocess.mean, dtype=np.float32)) / np.array(preprocess.std, dtype=np.float32)
    table = table.astype(dtype)
    if preprocess.color == "bgr":
        image = image[:, :, ::-1]
    height, width, channels = image.shape
    first = preprocess.layout == "nchw"
    x = np.empty((1, channels, height, width) if first else (1, height, width, channels), dtype=dtype)
    for channel in range(channels):
        plane = x[0, channel] if first else x[0, :, :, channel]
        plane[...] = table[:, channel][image[:, :, channel]]
    return x


def leaves_pixels(preprocess: Preprocess) -> bool:
    """Whether the model gets pixels as they are, 0 to 255: all that an input of uint8 can take."""
    return preprocess.pixel_scale == 1 and set(preprocess.mean) == {0.0} and set(preprocess.std) == {1.0}


def encode_jpeg(image: np.ndarray, quality: int) -> bytes:
    """Pixels (H, W, 3) RGB or (H, W, 1) gray, uint8, as a JPEG file of that quality (1 to 95)."""
    pillow = import_pillow()
    stream = io.BytesIO()
    pillow.fromarray(image[:, :, 0] if image.shape[2] == 1 else image).save(stream, "JPEG", quality=quality)
    return stream.getvalue()


def decode_jpeg(data: bytes, preprocess: Preprocess) -> np.ndarray:
    """A JPEG file of exactly `preprocess.size` as pixels.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3) in RGB order, or (H, W, 1) for color gray

    Raises
    ------
    ValueError
        If it is no JPEG, or of another size: looked at before any pixel is decoded.
    SourceError
        If Pillow is missing.
    """
    pillow = import_pillow()
    height, width = preprocess.size
    try:
        with pillow.open(io.BytesIO(data)) as opened:
            found = (opened.format, opened.size)
            if found == ("JPEG", (width, height)):
                return np.array(opened.convert(mode_of(preprocess.color)), dtype=np.uint8).reshape(height, width, -1)
    except Exception as exc:
        raise ValueError(f"not a readable JPEG: {exc}") from exc
    raise ValueError(f"expected a JPEG of {width} x {height} pixels, found {found[0]} of {found[1][0]} x {found[1][1]}")
