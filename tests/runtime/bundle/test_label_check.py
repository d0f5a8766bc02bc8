"""Labels against the outputs of a model."""

import numpy as np
import pytest

from coachc.runtime.bundle.classes import classes_of
from coachc.runtime.bundle.label_check import check_labels
from coachc.runtime.errors import SourceError


@pytest.mark.parametrize(
    ("shape", "rows", "classes"),
    [
        ((1, 10), 1, 10),
        ((4, 10), 4, 10),
        ((1, 10, 1, 1), 1, 10),
        ((10,), 1, None),
        ((10, 4), 4, None),
        ((1, 0), 1, None),
        ((1, 1), 1, None),
        ((1, 1600, 1), 1, None),
        ((1, 2, 64, 64), 1, None),
        ((), 1, None),
    ],
)
def test_how_many_classes_an_output_tells_apart(shape, rows, classes):
    assert classes_of(shape, (rows, 3, 8, 8)) == classes


def test_the_first_label_outside_is_named():
    labels = np.array([0, 9, 10, 3, -1])
    with pytest.raises(SourceError, match="file 2 has label 10, and the model has 10 outputs") as caught:
        check_labels(labels, 10, "file {}".format)
    assert caught.value.context == ("expected  0 to 9", "found     10, and 1 more outside")
    with pytest.raises(SourceError, match="file 4 has label -1, and the model has 11 outputs"):
        check_labels(labels, 11, "file {}".format)


def test_where_there_is_nothing_to_say():
    check_labels(np.array([0, 9]), 10, "file {}".format)
    check_labels(np.array([99]), None, "file {}".format)
    check_labels(None, 10, "file {}".format)
