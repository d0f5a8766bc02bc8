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

    Shares are those of the samples kept back to prove them.
    """
    lines = []
    for name, found in online.items():
        head = f"online    {name}: " if len(online) > 1 else "online    "
        if "reason" in found:
            lines.append(f"{head}no early exits: {found['reason']}")
            continue
        offers = ", ".join(f"{kind} {entry['share']:.1%}" for kind, entry in found["scores"].items())
        if found["score"] is None:
            missing = found["samples_missing"]
            why = f"that needs {missing:,} more independent samples (pictures, or clips)"
            tried = f"by score, of the samples it was chosen on: {offers}"
            lines.append(f"{head}no early exits: none is proven within the budget ({why if missing else tried})")
        else:
            lines.append(
                f"{head}early exit: the device answers by itself where the score is above {found['threshold']:.3g}, "
                f"{found['share']:.1%} of the samples; what that loses is part of the accuracy above"
            )
            lines.append(f"          score: {_SCORES[found['score']]}; exits of the samples it was chosen on: {offers}")
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
                "exits)"
            )
    return lines
