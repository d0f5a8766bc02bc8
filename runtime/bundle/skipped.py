"""Input files that are left out: which, why, and how they are told."""

from typing import Any, Dict, List, NamedTuple, Sequence

#: Files that are named one by one.
NAMED = 3
#: Files that are named in JSON.
LISTED = 100


class Skipped(NamedTuple):
    """A file or folder that is left out.

    Attributes
    ----------
    path : str
        Relative to the source, printable.
    reason : str
    """

    path: str
    reason: str


def printable(name: str) -> str:
    """A file's name for people: bytes that are no UTF-8, which Python hides as surrogates, are written out."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def skipped_text(skipped: Sequence[Skipped]) -> str:
    """Count, and by reason the first few names: "3: a/x.heic (...), a/y.jpg, a/z.jpg (...)"."""
    by_reason: Dict[str, List[str]] = {}
    for one in skipped:
        by_reason.setdefault(one.reason, []).append(one.path)
    parts = []
    for reason, paths in by_reason.items():
        more = f" and {len(paths) - NAMED} more" if len(paths) > NAMED else ""
        parts.append("{}{} ({})".format(", ".join(paths[:NAMED]), more, reason))
    return "{}: {}".format(len(skipped), "; ".join(parts))


def skipped_json(skipped: Sequence[Skipped]) -> Dict[str, Any]:
    """A JSON object: their number, and the first of them with the reason of each."""
    return {
        "count": len(skipped),
        "files": [{"file": one.path, "reason": one.reason} for one in skipped[:LISTED]],
    }
