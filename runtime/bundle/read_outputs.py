"""What a bundle says of reading its outputs as boxes or masks, applied to its model."""

from typing import Optional, Tuple

from ..decode.decoder import Decoder, decoder_of
from .manifest_types import Manifest


def decoder_in(manifest: Manifest) -> Optional[Decoder]:
    """The decoder of a bundle; None where its outputs are read as classes, or as they are.

    Raises
    ------
    BundleError
        What the bundle says does not go with the model's outputs.
    """
    if not manifest.decode:
        return None
    outputs = {spec.name: spec.shape for spec in manifest.model.outputs}
    return decoder_of(manifest.decode, outputs, input_size(manifest))


def input_size(manifest: Manifest) -> Tuple[int, int]:
    """Height and width of the model's first input."""
    if manifest.preprocess is not None:
        return manifest.preprocess.size
    return size_of(manifest.model.inputs[0].shape)


def size_of(shape: Tuple[int, ...]) -> Tuple[int, int]:
    """Height and width of a picture of that shape, channels first or last; of anything else its last two lengths."""
    if len(shape) == 4 and shape[3] in (1, 3) and shape[1] not in (1, 3):
        return shape[1], shape[2]
    return (1, 1) if len(shape) < 2 else (shape[-2], shape[-1])
