"""What looks wrong with the whole model's answers on labelled samples: a loss is measured against them."""

from __future__ import annotations

import numpy as np
from scipy.special import bdtrc

from coachc.calib.accuracy import Judge

#: Answers that guessing gives with less than this probability are better than guessing.
GUESSED = 1e-3
#: Right answers below this share are no error in themselves, and worth a word.
FEW_RIGHT = 0.5


def doubts_of_answers(judge: Judge) -> list[str]:
    """One sentence each; nothing for samples without labels, of which all answers are taken for right.

    Parameters
    ----------
    judge : Judge
        Of the samples as they are.
    """
    labels, answers = judge.labels, judge.answers
    if labels is None or judge.kind == "random":
        return []
    if answers is None:
        return ["labels are not used: the model's first output is not one row of classes for each sample"]
    found, samples = [], len(judge.float_right)
    known, counts = np.unique(labels, return_counts=True)
    if len(known) == 1:
        found.append(f"all {samples} samples have the label {known[0]}: what is lost on other classes is not seen")
    elif samples > 1 and len(np.unique(answers)) == 1:
        found.append(f"the whole model answers {answers[0]} for all {samples} samples: {_CAUSES}")
    right = int(judge.float_right.sum())
    # Whoever always says the most frequent label is right so often.
    chance = float(counts.max()) / len(labels)
    guessed = float(bdtrc(right - 1, samples, chance)) if right else 1.0
    if len(known) > 1 and guessed > GUESSED:
        found.append(f"the whole model is right for {right} of {samples} samples, no more than by guessing: {_CAUSES}")
    elif right < FEW_RIGHT * samples:
        found.append(
            f"the whole model is right for {right / samples:.1%} of the samples: if that is too few, {_CAUSES}"
        )
    return found


_CAUSES = "the labels are another model's, or the pictures are not preprocessed as in training (--mean, --std, --color)"
