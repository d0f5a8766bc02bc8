"""What a compilation says of the online policies: which score exits, at which threshold, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def online_lines(online: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a cut, and one for each thing its policy may do besides.

    Shares and bounds are those of the hardest calibration trial.
    """
    lines = []
    for name, found in online.items():
        head = f"online    {name}: " if len(online) > 1 else "online    "
        if "reason" in found:
            lines.append(f"{head}no early exits: {found['reason']}")
            continue
        offers = ", ".join(
            f"{kind} {entry['share']:.1%}" if entry["threshold"] is not None else f"{kind} none"
            for kind, entry in found["scores"].items()
        )
        if found["score"] is None:
            missing = max(entry["samples_missing"] for entry in found["scores"].values())
            why = f"{missing:,} more independent samples (pictures, or clips) would be needed to certify any"
            lines.append(f"{head}no early exits within the budget at this cut ({why if missing else offers})")
        else:
            chosen = found["scores"][found["score"]]
            lines.append(
                f"{head}tasks exit by {found['score']} above {chosen['threshold']:.3g}: at least {chosen['share']:.1%} "
                f"of the hardest calibration samples ({offers}); loss at most {chosen['loss_bound']:.2%}, the link's "
                "own included"
            )
        bits = "/".join(map(str, found["bits"]))
        for lower in found["lower_precision"]:
            lines.append(
                f"          {'/'.join(map(str, lower['bits']))} instead of {bits} bits will do above a score of "
                f"{lower['threshold']:.3g} ({lower['share']:.1%})"
            )
        if found["memory"] is not None:
            memory = found["memory"]
            lines.append(
                f"          frames like one just answered exit above a cosine of {memory['cosine']:.3f} "
                f"({memory['share']:.1%} more); loss at most {memory['bound']:.2%}"
            )
    return lines
