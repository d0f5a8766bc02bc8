"""How many assertions of the parser's code are rules, by generation, how many of them lowering mends, and how many are
left out: `python -m tests.helpers.assertion_counts`.
"""

from __future__ import annotations

import tomllib
from importlib import resources
from typing import Any

from coachc.passes.lower.mend_models import MODEL_MENDS
from coachc.passes.lower.table import MENDED
from coachc.targets.assertions_toml import LEFT_OUT, SEEN
from coachc.targets.generation_toml import generations


def main() -> None:
    folder = resources.files("coachc.targets") / "assertions"
    entries: list[dict[str, Any]] = []
    left_out: list[dict[str, Any]] = []
    for file in folder.iterdir():
        if file.name.endswith(".toml"):
            data = tomllib.loads(file.read_text("utf-8"))
            entries += data.get("assertions", [])
            left_out += data.get("left_out", []) if file.name == LEFT_OUT else []
    mended = {limit.split("/")[-1] for limit in (*MENDED, *MODEL_MENDS)}
    print("generation  rules  warnings  seen only  mended  left out")
    for name in generations():
        mine = [one for one in entries if name in one["at"]]
        counts = (
            len(mine),
            sum(one.get("severity") == "warning" for one in mine),
            sum(one["at"][name] == SEEN for one in mine),
            sum(one["id"] in mended for one in mine),
            sum(name in one["at"] for one in left_out),
        )
        print(f"{name:10}  {counts[0]:5}  {counts[1]:8}  {counts[2]:9}  {counts[3]:6}  {counts[4]:8}")


if __name__ == "__main__":
    main()
