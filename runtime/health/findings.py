"""What a probe says, as a value, as JSON and as text."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Sequence, Tuple

from ..errors import FINDING
from ..paragraphs import hanging

OK, MISSING, WRONG = "ok", "missing", "wrong"
STATES = (OK, MISSING, WRONG)
SIDES = ("device", "cloud")


class Finding(NamedTuple):
    """One thing that was looked at.

    Attributes
    ----------
    name : str
        What: "TensorRT".
    status : {"ok", "missing", "wrong"}
    found : str
        What there is.
    expected : str
        What there should be; empty where it is ok.
    mend : str
        The command or flag that mends it; empty where nothing has to be or can be.
    needed : bool
        Without it this side does not do its work; otherwise it is slower, or lacks something it may not need.
    """

    name: str
    status: str
    found: str
    expected: str = ""
    mend: str = ""
    needed: bool = True

    @property
    def failed(self) -> bool:
        """Whether the check as a whole fails for it."""
        return self.needed and self.status != OK

    def to_json(self) -> Dict[str, Any]:
        """A JSON object."""
        return dict(self._asdict())


class Checkup(NamedTuple):
    """All findings about one machine as one side.

    Attributes
    ----------
    side : {"device", "cloud"}
    machine : str
        One line about it.
    facts : dict
        Versions by themselves, for scripts; None where there is none.
    findings : tuple of Finding
    bundle : str or None
        The bundle it was held against.
    """

    side: str
    machine: str
    facts: Dict[str, Any]
    findings: Tuple[Finding, ...]
    bundle: Optional[str] = None

    @property
    def failed(self) -> Tuple[Finding, ...]:
        """What keeps it from doing its work."""
        return tuple(finding for finding in self.findings if finding.failed)

    @property
    def exit_code(self) -> int:
        """0, or FINDING where something that is needed is missing or wrong."""
        return FINDING if self.failed else 0

    def to_json(self) -> Dict[str, Any]:
        """A JSON object."""
        return {
            "side": self.side,
            "machine": self.machine,
            "bundle": self.bundle,
            "ok": not self.failed,
            "facts": self.facts,
            "findings": [finding.to_json() for finding in self.findings],
        }

    def text(self, columns: Optional[int] = None) -> str:
        """A line for each finding, with what mends it below, and a last line that sums up; wrapped at `columns`."""
        lines = ["{}, as the {}{}".format(self.machine, self.side, " of " + self.bundle if self.bundle else "")]
        width = max([len(finding.name) for finding in self.findings] or [0])
        for finding in self.findings:
            mark = finding.status if finding.needed or finding.status == OK else "({})".format(finding.status)
            lines.append("{:<10}{:<{width}}  {}".format(mark, finding.name, finding.found, width=width).rstrip())
            indent = " " * (12 + width)
            if finding.status != OK and finding.expected:
                lines.append(indent + "expected: " + finding.expected)
            if finding.status != OK and finding.mend:
                lines.append(indent + "mend: " + finding.mend)
        return "\n".join(hanging(line, columns, 12 + width) for line in lines + [self._sum()])

    def _sum(self) -> str:
        lesser = [finding for finding in self.findings if finding.status != OK and not finding.needed]
        more = "; {} in brackets {} not needed for it".format(len(lesser), _are(lesser)) if lesser else ""
        if not self.failed:
            return "ready" + more
        names = ", ".join(finding.name for finding in self.failed)
        return "not ready: {} {} mending{}".format(names, "needs" if len(self.failed) == 1 else "need", more)


def _are(items: Sequence[Any]) -> str:
    return "is" if len(items) == 1 else "are"


def gather(probes: Sequence[Tuple[str, Callable[[], Sequence[Finding]]]]) -> List[Finding]:
    """What named probes say. One that fails is a finding itself: what is odd about a machine must not hide the rest."""
    found = []  # type: List[Finding]
    for name, probe in probes:
        try:
            found += probe()
        except Exception as exc:  # whatever it was
            what = "could not be looked at: {}: {}".format(type(exc).__name__, exc)
            found.append(Finding(name, WRONG, what, "an answer", "report this line", needed=False))
    return found
