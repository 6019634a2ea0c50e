"""The files that a forge reads keep its schemas, and say what was not run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tools.packages.manifests import ROOT

GITHUB = ROOT / ".github"


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("vendor.github-workflows", "workflows/*.yml"),
        ("vendor.github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
        ("vendor.github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_the_forges_schemas_take_its_files(schema: str, pattern: str) -> None:
    files = [str(path) for path in sorted(GITHUB.glob(pattern))]
    assert files, f"{GITHUB}/{pattern} is nothing"
    command = str(Path(sys.executable).with_name("check-jsonschema"))

    ended = subprocess.run(
        [command, "--builtin-schema", schema, *files], capture_output=True, text=True, check=False
    )

    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_workflow_that_nobody_ran_says_so_in_its_first_line() -> None:
    (workflow,) = (GITHUB / "workflows").glob("*.yml")

    assert workflow.read_text(encoding="utf-8").startswith("# NOT RUN YET")
