"""What `coachc check` found, as text: grouped for people, JSON for scripts, JUnit XML for CI; SARIF is in `sarif`."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Sequence

from coachc.checks.recompose import Finding
from coachc.checks.sarif import as_sarif
from coachc.checks.targets import TargetReport
from coachc.targets.violation import Violation

#: What XML 1.0 has no way to write; names of nodes may hold it.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
#: Nodes that a group of the text names; the others are counted.
SHOWN = 5


def as_text(findings: Sequence[Finding], reports: Sequence[TargetReport]) -> str:
    """One line a check that held; below a target, one group a rule with its nodes, reason and remedy."""
    width = max(14, *(len(finding.what) + 2 for finding in findings)) if findings else 14
    lines = [f"ok  {finding.what:<{width}}{finding.detail}" for finding in findings]
    for report in reports:
        state = "ok  " if report.ok else "no  "
        lines.append(f"{state}{report.finding.what:<{width}}{report.finding.detail}")
        for group in _groups(report).values():
            lines += [f"    {line}" for line in _group_text(group)]
    return "\n".join(lines)


def as_json(findings: Sequence[Finding], reports: Sequence[TargetReport]) -> str:
    """One object: ok, the findings, and for each target every violation."""
    lines = [*findings, *(report.finding for report in reports)]
    return json.dumps(
        {
            "ok": all(report.ok for report in reports),
            "findings": [{"what": finding.what, "detail": finding.detail} for finding in lines],
            "targets": [
                {
                    "where": report.where,
                    "side": report.side,
                    "target": report.target.name,
                    "generation": report.target.generation,
                    "ok": report.ok,
                    "violations": [
                        {name: getattr(violation, name) for name in Violation.__dataclass_fields__}
                        for violation in report.violations
                    ],
                }
                for report in reports
            ],
        }
    )


def as_junit(findings: Sequence[Finding], reports: Sequence[TargetReport]) -> str:
    """JUnit XML: a suite of the checks that held, and a suite a target with a case a broken rule."""
    root = ET.Element("testsuites", name="coachc check")
    _suite(root, "graph", [(finding.what, finding.detail, "") for finding in findings])
    for report in reports:
        cases = [("target rules", report.finding.detail, "")] if report.ok else []
        for rule, group in _groups(report).items():
            text = "\n".join(f"{one.label}: {one.reason}. {one.remedy}." if one.node else one.reason for one in group)
            failure = group[0].reason if any(one.severity == "error" for one in group) else ""
            cases.append((rule, text, failure))
        _suite(root, f"{report.where} on {report.target.name}", cases)
    for key in ("tests", "failures"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in root)))
    for element in root.iter():
        element.text = element.text and _NOT_XML.sub("\ufffd", element.text)
        element.attrib.update({key: _NOT_XML.sub("\ufffd", value) for key, value in element.attrib.items()})
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode")


#: By the value of --format.
FORMATS: dict[str, Callable[[Sequence[Finding], Sequence[TargetReport]], str]] = {
    "text": as_text,
    "json": as_json,
    "sarif": as_sarif,
    "junit": as_junit,
}


def _suite(root: ET.Element, name: str, cases: Sequence[tuple[str, str, str]]) -> None:
    failed = sum(bool(failure) for _, _, failure in cases)
    suite = ET.SubElement(root, "testsuite", name=name, tests=str(len(cases)), failures=str(failed), errors="0")
    for what, text, failure in cases:
        case = ET.SubElement(suite, "testcase", classname=name, name=what)
        if failure:
            ET.SubElement(case, "failure", message=failure, type="error").text = text
        else:
            ET.SubElement(case, "system-out").text = text


def _groups(report: TargetReport) -> dict[str, list[Violation]]:
    """Violations by rule, errors first."""
    groups: dict[str, list[Violation]] = {}
    for violation in sorted(report.violations, key=lambda one: one.severity):
        groups.setdefault(violation.rule, []).append(violation)
    return groups


def _group_text(group: Sequence[Violation]) -> list[str]:
    first = group[0]
    names = [one.label for one in group if one.node]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    lines = [f"{first.severity:<8}{first.rule}" + (f" ({len(group)} times)" if len(group) > 1 else "")]
    if names:
        lines.append(f"  at      {', '.join(names[:SHOWN])}{more}")
    return [*lines, f"  reason  {first.reason}", f"  remedy  {first.remedy}", f"  source  {first.source}"]
