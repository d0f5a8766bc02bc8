"""What a compilation says of the online policies: which tasks end on the device, and how sure that is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: What a score is made of, for who has not read about it; the words in brackets are the policy file's.
_SCORES = {
    "head": "a linear classifier on the features at the cut (head)",
    "margin": "how much nearer the features are to one class mean than to the next (margin)",
    "separability": "COACH's separability of the class means (separability)",
}


def online_lines(online: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """One line a cut, and one for each thing its policy may do besides.

    Shares and bounds are those of the hardest calibration samples.
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
            why = f"that needs {missing:,} more independent samples (pictures, or clips)"
            lines.append(f"{head}no early exits: none is proven within the budget ({why if missing else offers})")
        else:
            chosen = found["scores"][found["score"]]
            lines.append(
                f"{head}early exit: the device answers by itself where the score is above {chosen['threshold']:.3g}, "
                f"at least {chosen['share']:.1%} of the samples; accuracy lost at most {chosen['loss_bound']:.2%}, the "
                "link's part included"
            )
            lines.append(f"          score: {_SCORES[found['score']]}; exits by score: {offers}")
        bits = "/".join(map(str, found["bits"]))
        for lower in found["lower_precision"]:
            lines.append(
                f"          lower precision: {'/'.join(map(str, lower['bits']))} bits are sent instead of {bits} where "
                f"the score is above {lower['threshold']:.3g} ({lower['share']:.1%} of the samples)"
            )
        if found["memory"] is not None:
            memory = found["memory"]
            lines.append(
                "          repeated frames: a frame whose features have a cosine similarity above "
                f"{memory['cosine']:.3f} to those of one just answered gets its answer ({memory['share']:.1%} more "
                f"exits); accuracy lost at most {memory['bound']:.2%}"
            )
    return lines
