"""The manifest's public face: its types (`manifest_types`) and its JSON form (`manifest_json`)."""

from runtime.bundle.manifest_json import from_json_bytes, to_json_bytes
from runtime.bundle.manifest_types import (
    FORMAT_VERSION,
    Artefact,
    Cut,
    CutValue,
    Manifest,
    ModelInfo,
    Preprocess,
    TensorSpec,
)

__all__ = [
    "FORMAT_VERSION",
    "Artefact",
    "Cut",
    "CutValue",
    "Manifest",
    "ModelInfo",
    "Preprocess",
    "TensorSpec",
    "from_json_bytes",
    "to_json_bytes",
]
