"""What has classes: told by shapes, and by what a bundle says of its outputs. Without NumPy, as `doctor` is."""

from typing import Optional, Sequence

from .manifest_types import Manifest


def classes_of(output: Sequence[int], first_input: Sequence[int]) -> Optional[int]:
    """Number of classes that a model's first output of this shape tells apart, given its first input's shape.

    None unless it is (rows, classes) or (rows, classes, 1, 1), with two classes or more: maps, boxes and points have
    no class.
    """
    rows = first_input[0] if len(first_input) else 1
    known = len(output) == 2 or (len(output) == 4 and tuple(output[2:]) == (1, 1))
    return output[1] if known and output[0] == rows and output[1] > 1 else None


def classes_in(manifest: Manifest) -> Optional[int]:
    """Number of classes that a bundle's model tells apart; None where its outputs are no classes."""
    if manifest.task != "classify":
        return None
    return classes_of(manifest.model.outputs[0].shape, manifest.model.inputs[0].shape)
