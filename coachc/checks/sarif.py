"""What `coachc check` found as a SARIF 2.1.0 log that GitHub's code scanning takes.

The standard asks for little; the upload asks for more, and drops or refuses what lacks it: descriptions of every rule,
paths relative to the checkout, a region although a model has no lines, a fingerprint of every result, at most 25,000
results in a run, and a category that tells one set of targets from another.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from coachc import __version__
from coachc.checks.recompose import Finding
from coachc.checks.targets import TargetReport
from coachc.targets.violation import Violation

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
#: Of one run; GitHub refuses a file with more.
MOST_RESULTS = 25_000
#: Where GitHub checks a repository out; relative paths start there.
ROOT = "%SRCROOT%"
#: A model is no text. GitHub shows no result without a line, so all of them are at the beginning.
REGION = {"startLine": 1, "startColumn": 1, "endLine": 1, "endColumn": 2}

#: What rules are about, by the second part of their id; `{}` is the rest of it.
_ABOUT = {
    "op": "the parser has no operator {}",
    "domain": "operators of the domain {} are not known",
    "opset": "the model's opset is out of range",
    "ir": "the model's IR version is newer than the parser's",
    "functions": "local functions are not taken",
    "type": "there are no tensors of type {}",
    "types": "{} is not documented for the type it computes on",
    "io-only": "{} is for inputs and outputs of the network only",
    "capability": "the GPU does not compute in {}",
    "rank": "a tensor has too many axes",
    "narrowed": "a type becomes a narrower one: {}",
    "quantize": "a QuantizeLinear or DequantizeLinear is not taken ({})",
    "limit": "a node is beyond a limit of its operator: {}",
}


def as_sarif(findings: Sequence[Finding], reports: Sequence[TargetReport], *, most: int = MOST_RESULTS) -> str:
    """A log with one result a violation, errors first, and one rule a rule id. What held is not in it.

    Parameters
    ----------
    findings : sequence of Finding
        Ignored: they all held.
    reports : sequence of TargetReport
    most : int
        Results that are written; a notification counts the others.
    """
    found = [(report, violation) for report in reports for violation in report.violations]
    found.sort(key=lambda pair: pair[1].severity)
    rules: dict[str, dict[str, Any]] = {}
    for report, violation in found[:most]:
        rules.setdefault(violation.rule, _rule(report, violation))
    targets = dict.fromkeys(report.target.name for report in reports)
    places = {rule: index for index, rule in enumerate(rules)}
    seen: Counter[str] = Counter()
    results = [_result(report, violation, places, seen) for report, violation in found[:most]]
    run = {
        "tool": {"driver": {"name": "coachc", "version": __version__, "rules": list(rules.values())}},
        "automationDetails": {"id": "/".join(["coachc", *(["+".join(targets)] if targets else []), ""])},
        "originalUriBaseIds": {ROOT: {"description": {"text": "The folder that coachc was run in."}}},
        "invocations": [_invocation(len(found) - len(results))],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1)


def _rule(report: TargetReport, violation: Violation) -> dict[str, Any]:
    _, kind, *rest = violation.rule.split("/", 2)
    rules = report.target.rules
    title = "ONNX Runtime" if rules is None else rules.title
    about = f"{title}: {_ABOUT.get(kind, kind).format('/'.join(rest))}"
    return {
        "id": violation.rule,
        "shortDescription": {"text": f"{about}."},
        "fullDescription": {"text": f"{about}. For example: {violation.reason}."},
        "help": {"text": f"{violation.remedy}. Source: {violation.source}."},
        "defaultConfiguration": {"level": violation.severity},
    }


def _result(
    report: TargetReport, violation: Violation, places: Mapping[str, int], seen: Counter[str]
) -> dict[str, Any]:
    about = f"{violation.label}: " if violation.node else ""
    location: dict[str, Any] = {"physicalLocation": {"artifactLocation": _artifact(report.file), "region": REGION}}
    if violation.node:
        location["logicalLocations"] = [{"name": violation.node, "kind": "element"}]
    same = "\0".join((violation.rule, report.where, report.target.name, violation.node))
    mark = hashlib.sha256(same.encode()).hexdigest()[:16]
    seen[mark] += 1
    return {
        "ruleId": violation.rule,
        "ruleIndex": places[violation.rule],
        "level": violation.severity,
        "message": {"text": f"{about}{violation.reason} (on {report.target.title}). {violation.remedy}."},
        "locations": [location],
        # GitHub reads this key alone. What follows the colon tells results apart that would be the same otherwise.
        "partialFingerprints": {"primaryLocationLineHash": f"{mark}:{seen[mark]}"},
    }


def _artifact(file: str) -> dict[str, str]:
    """Relative to the folder that coachc runs in; a file elsewhere by its whole path."""
    path = Path(os.path.abspath(file))
    try:
        return {"uri": quote(path.relative_to(Path.cwd()).as_posix()), "uriBaseId": ROOT}
    except ValueError:
        return {"uri": path.as_uri()}


def _invocation(left_out: int) -> dict[str, Any]:
    made: dict[str, Any] = {"executionSuccessful": True}
    if left_out:
        text = f"{left_out} more results are left out; --format json has them all."
        made["toolExecutionNotifications"] = [{"level": "warning", "message": {"text": text}}]
    return made
