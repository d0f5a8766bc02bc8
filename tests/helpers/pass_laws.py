"""What every pass keeps, asserted of passes that run in a row on one model."""

from __future__ import annotations

from coachc.frontend.pass_driver import held_after


def bytes_of(model):
    return model.SerializeToString(deterministic=True)


def assert_laws(passes, model, given):
    """Each leaves its input alone, says honestly whether it changed it, keeps its word, and does nothing twice.

    Returns the model in the end.
    """
    holding = list(given)
    for one in passes:
        before = bytes_of(model)
        found = one.run(model)
        assert bytes_of(model) == before, f"{one.name} writes into the model it is given"
        assert found.changed == (bytes_of(found.model) != before), f"{one.name} says changed={found.changed}"
        holding = held_after([one], holding)
        for condition in holding:
            assert condition.against(found.model) == "", f"{condition.name} after {one.name}"
        again = one.run(found.model)
        assert not again.changed, f"{one.name} changes its own result"
        assert bytes_of(again.model) == bytes_of(found.model)
        model = found.model
    return model
