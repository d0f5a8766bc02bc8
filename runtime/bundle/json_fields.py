"""Readers of one JSON value each: ``(value, where) -> checked value``.

Built from small functions so that `manifest_json` can state the layout as a table. Every refusal names the field, what
was expected there and what was found.
"""

import json
import math
import re
from typing import Any, Callable, Dict, Tuple

from ..errors import BundleError
from .manifest_types import FORMAT_VERSION

Reader = Callable[[Any, str], Any]


def wrong(where: str, expected: str, found: Any) -> BundleError:
    shown = json.dumps(found) if not isinstance(found, (dict, list)) else "a JSON " + type(found).__name__
    return BundleError(f"manifest field '{where}': expected {expected}, found {shown[:80]}")


def text(value: Any, where: str) -> str:
    if not isinstance(value, str) or not value:
        raise wrong(where, "a non-empty string", value)
    return value


def number(value: Any, where: str) -> float:
    try:
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    except OverflowError:  # a whole number that no float can hold
        pass
    raise wrong(where, "a finite number", value)


def whole(value: Any, where: str) -> int:
    if type(value) is not int or not 0 <= value < 1 << 53:
        raise wrong(where, "a whole number >= 0", value)
    return value


def sha256(value: Any, where: str) -> str:
    if not isinstance(value, str) or not re.match(r"[0-9a-f]{64}\Z", value):
        raise wrong(where, "64 hexadecimal digits", value)
    return value


def json_object(value: Any, where: str) -> Dict[str, Any]:
    if not isinstance(value, dict):
        raise wrong(where, "an object", value)
    return value


def path(value: Any, where: str) -> str:
    """A relative path with '/', none of whose parts is empty, '.' or '..'."""
    parts = text(value, where).split("/")
    if any(part in ("", ".", "..") for part in parts) or re.search(r"[\\:\x00-\x1f\ud800-\udfff]", value):
        raise wrong(where, "a path inside the bundle", value)
    if value in ("manifest.json", "manifest.sha256", "manifest.sig"):
        raise wrong(where, "a path other than the manifest's own", value)
    return value


def one_of(allowed: Tuple[str, ...]) -> Reader:
    def read(value: Any, where: str) -> str:
        if value not in allowed:
            raise wrong(where, "one of " + ", ".join(name or '""' for name in allowed), value)
        return value

    return read


def optional(reader: Reader) -> Reader:
    return lambda value, where: None if value is None else reader(value, where)


def list_of(reader: Reader) -> Reader:
    def read(value: Any, where: str) -> Tuple[Any, ...]:
        if not isinstance(value, list):
            raise wrong(where, "a list", value)
        return tuple(reader(item, f"{where}[{index}]") for index, item in enumerate(value))

    return read


def record(cls: Any, **readers: Reader) -> Reader:
    def read(value: Any, where: str) -> Any:
        prefix = where + "." if where else ""
        fields = json_object(value, where or "manifest")
        for name in sorted(set(readers) - set(fields)):
            raise BundleError(f"manifest field '{prefix}{name}' is missing")
        for name in sorted(set(fields) - set(readers)):
            raise BundleError(f"manifest field '{prefix}{name}' is unknown to format {FORMAT_VERSION}")
        return cls(**{name: readers[name](fields[name], prefix + name) for name in sorted(readers)})

    return read
