"""Runs of the device program with the outcome of every task, which a report does not hold."""

from coachc.runtime.device.outcome import Done
from coachc.runtime.device.run_bundle import run_bundle


class Run:
    """A report, and beside it what became of each task.

    Attributes
    ----------
    outcomes : list of Done or Failed
        In the order they came.
    """

    def __init__(self, report, outcomes):
        self.report = report
        self.outcomes = outcomes

    def __getattr__(self, name):
        return getattr(self.report, name)

    @property
    def in_order(self):
        return sorted(self.outcomes, key=lambda outcome: outcome.task)

    @property
    def predictions(self):
        """Of answered tasks, in their order."""
        done = [outcome for outcome in self.in_order if isinstance(outcome, Done)]
        return tuple(label for outcome in done for label in outcome.predictions)

    @property
    def failed(self):
        return [outcome for outcome in self.in_order if not isinstance(outcome, Done)]


def run_all(*arguments, **options):
    """`run_bundle`, whose every task is looked at: each has one outcome."""
    outcomes = []
    report = run_bundle(*arguments, ended=outcomes.append, **options)
    run = Run(report, outcomes)
    assert len({outcome.task for outcome in outcomes}) == len(outcomes) == report.submitted
    assert report.submitted == report.tasks + sum(report.errors.values())
    assert len(run.failed) == sum(report.errors.values())
    return run
