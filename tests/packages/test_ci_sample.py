"""What `.ci/run` leaves to `.ci/run full`: the same every time, and no more than it says."""

from __future__ import annotations

import math
from pathlib import Path

from tests.support.ci_sample import ONE_IN, left_to_full

LONG, SHORT = "tests/e2e/test_paid.py", "tests/e2e/test_short.py"


def test_of_a_long_module_one_in_so_many_runs_and_of_others_all() -> None:
    tests = [f"{LONG}::test_{i % 3}[{i}]" for i in range(40)]
    others = [f"{SHORT}::test_{i}" for i in range(40)]

    left = left_to_full(tests + others)

    ran = [one for one in tests if one not in left]
    assert len(ran) == math.ceil(40 / ONE_IN["test_paid"])
    assert len({one.partition("[")[0] for one in ran}) == 3
    assert not left & {*others}
    assert left == left_to_full(reversed(tests))


def test_each_long_module_runs_at_least_once_and_is_there() -> None:
    modules = {file.stem for file in Path(__file__).parents[1].rglob("test_*.py")}

    assert left_to_full([f"{LONG}::test_one"]) == set()
    assert {*ONE_IN} <= modules
