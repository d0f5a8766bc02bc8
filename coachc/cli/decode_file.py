"""`--decode FILE`: how outputs are read as boxes or masks; its keys are those of `runtime.decode.decode_spec`."""

from __future__ import annotations

import json
import tomllib
from typing import TYPE_CHECKING, Any

from coachc.errors import FileError, UsageError

if TYPE_CHECKING:
    from coachc.calib.find_task import Reading

_HINT = 'kind = "boxes" or "mask", head, classes, outputs; docs of all keys: runtime/decode/decode_spec.py'


def reading_of(path: str) -> Reading:
    """What a file says.

    Raises
    ------
    FileError, UsageError
        It cannot be read; it is neither TOML nor JSON, or says nothing of boxes or masks. Whether the rest goes with
        the model is found with the model.
    """
    from coachc.calib.find_task import Reading
    from coachc.runtime.bundle.manifest_checks import DECODED

    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except (OSError, UnicodeDecodeError) as exc:
        said = exc.strerror if isinstance(exc, OSError) else "it is no text"
        raise FileError(f"cannot read --decode {path}: {said}") from exc
    spec = _parsed(path, text)
    if not isinstance(spec, dict) or spec.get("kind") not in DECODED.values():
        found = repr(spec.get("kind")) if isinstance(spec, dict) else f"a {type(spec).__name__}"
        raise UsageError(
            f"--decode {path} does not say what outputs are read as", context=[f"found  {found} as kind"], hint=_HINT
        )
    return Reading(spec, f"--decode {path} says so")


def _parsed(path: str, text: str) -> Any:
    try:
        return json.loads(text) if path.endswith(".json") else tomllib.loads(text)
    except (ValueError, RecursionError) as exc:
        kind = "JSON" if path.endswith(".json") else "TOML"
        raise UsageError(f"--decode {path} is not {kind}: {exc}", hint=_HINT) from exc
