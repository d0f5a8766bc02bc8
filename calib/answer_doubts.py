"""What looks wrong with the whole model's answers on labelled samples: a loss is measured against them."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtrc

from coachc.calib.judges import ClassJudge, Judge

#: Answers that guessing gives with less than this probability are better than guessing.
GUESSED = 1e-3
#: Right answers below this share are no error in themselves, and worth a word.
FEW_RIGHT = 0.5
#: Right answers above this share, of many samples, are rare but on those a model was trained on: a CIFAR ResNet56 with
#: all of them right loses 0.2 points at 2 bits on them, and 2.8 on others.
LEARNT_BY_HEART, MANY = 0.99, 200


def doubts_of_answers(judge: Judge, labels: np.ndarray | None) -> list[str]:
    """One sentence each; nothing for samples without labels, of which all answers are taken for right.

    Parameters
    ----------
    judge : Judge
    labels : ndarray of int or None
        The samples', whether or not they are what is judged.
    """
    if labels is None or judge.kind == "random":
        return []
    if not isinstance(judge, ClassJudge):
        return ["labels are not used: outputs are judged, not classes"]
    answers, right_ones = judge.answers, judge.right
    found, samples = [], len(right_ones)
    known, counts = np.unique(labels, return_counts=True)
    if len(known) == 1:
        found.append(f"all {samples} samples have the label {known[0]}: what is lost on other classes is not seen")
    elif samples > 1 and len(np.unique(answers)) == 1:
        found.append(f"the whole model answers {answers[0]} for all {samples} samples: {_CAUSES}")
    right = int(right_ones.sum())
    # Whoever always says the most frequent label is right so often.
    chance = float(counts.max()) / len(labels)
    guessed = float(bdtrc(right - 1, samples, chance)) if right else 1.0
    if len(known) > 1 and guessed > GUESSED:
        found.append(f"the whole model is right for {right} of {samples} samples, no more than by guessing: {_CAUSES}")
    elif samples >= MANY and right > LEARNT_BY_HEART * samples:
        found.append(
            f"the whole model is right for {right / samples:.2%} of the samples: if it was trained on them, it loses "
            "more on others than on these; give samples it has not seen"
        )
    elif right < FEW_RIGHT * samples:
        found.append(
            f"the whole model is right for {right / samples:.1%} of the samples: if that is too few, {_CAUSES}"
        )
    return found


_CAUSES = "the labels are another model's, or the pictures are not preprocessed as in training (--mean, --std, --color)"
