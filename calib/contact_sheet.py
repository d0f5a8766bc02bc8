"""One picture of the first samples, as the model gets them: wrong colours and crops are seen, not measured."""

from __future__ import annotations

import io
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np

from coachc.errors import ToolchainError
from coachc.runtime.bundle.manifest_types import Preprocess

COLUMNS = 4
MARGIN = 6
CAPTION_HEIGHT = 14
#: Smaller pictures are enlarged to about this side.
LEAST_SIDE = 112
#: Width of a letter of Pillow's built-in font.
LETTER_WIDTH = 6


def need_pillow() -> None:
    """Raise ToolchainError if pictures cannot be drawn here."""
    if find_spec("PIL") is None:
        raise ToolchainError(
            "Pillow is not installed, and the preview is drawn with it", hint="pip install 'coachc[images]'"
        )


def contact_sheet(pictures: Sequence[np.ndarray], captions: Sequence[str], preprocess: Preprocess | None) -> bytes:
    """Preprocessed pictures as one PNG file, each with a caption below.

    Parameters
    ----------
    pictures : sequence of ndarray of float32, shape (H, W, C)
        At least one; all of the same shape.
    captions : sequence of str
        One per picture.
    preprocess : Preprocess or None
        Undone, to get pixels back; without it each channel is stretched to 0..255 over all pictures.
    """
    from PIL import Image, ImageDraw

    tiles = to_pixels(np.stack(pictures), preprocess)
    enlarged = max(1, LEAST_SIDE // max(tiles.shape[1:3]))
    tiles = tiles.repeat(enlarged, axis=1).repeat(enlarged, axis=2)
    count, height, width, _ = tiles.shape
    columns = min(COLUMNS, count)
    step_x, step_y = width + MARGIN, height + CAPTION_HEIGHT + MARGIN
    sheet = Image.new("RGB", (MARGIN + columns * step_x, MARGIN + -(-count // columns) * step_y), "white")
    pen = ImageDraw.Draw(sheet)
    for index, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
        corner = MARGIN + index % columns * step_x, MARGIN + index // columns * step_y
        sheet.paste(Image.fromarray(tile), corner)
        # The built-in font may know ASCII only.
        text = caption.encode("ascii", "replace").decode()[: width // LETTER_WIDTH]
        pen.text((corner[0], corner[1] + height), text, fill="black")
    stream = io.BytesIO()
    sheet.save(stream, "PNG")
    return stream.getvalue()


def to_pixels(inputs: np.ndarray, preprocess: Preprocess | None) -> np.ndarray:
    """Model inputs, (N, H, W, C), as RGB pixels of uint8, (N, H, W, 3)."""
    if preprocess is None:
        low, high = inputs.min(axis=(0, 1, 2)), inputs.max(axis=(0, 1, 2))
        pixels = (inputs - low) / np.maximum(high - low, 1e-12) * 255
    else:
        pixels = (inputs * np.array(preprocess.std) + np.array(preprocess.mean)) * preprocess.pixel_scale
        if preprocess.color == "bgr":
            pixels = pixels[..., ::-1]
    rounded = np.rint(np.clip(np.nan_to_num(pixels), 0, 255)).astype(np.uint8)
    return np.broadcast_to(rounded, (*rounded.shape[:3], 3))
