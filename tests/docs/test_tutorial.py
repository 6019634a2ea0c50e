"""The provider of docs/write-a-provider.md, as it stands there, keeps the contract."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.provider.test_conformance import OPTION_CHECK, failed_checks
from tools.packages.manifests import ROOT
from ziggie_image_mcp.provider.contract import ENTRY_POINT_GROUP

TEXT = (ROOT / "docs" / "write-a-provider.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


@pytest.fixture
def cumulus(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("cumulus")
    monkeypatch.setitem(sys.modules, "cumulus", module)
    exec(blocks("python")[0], vars(module))
    return module


def test_the_provider_of_the_page_passes_the_suite_of_the_page(cumulus: ModuleType) -> None:
    tests = ModuleType("test_cumulus")
    exec(blocks("python")[1], vars(tests))
    kind = type("Quick", (vars(cumulus)["Cumulus"],), {"first_pause": 0.01, "longest_pause": 0.01})

    failed = failed_checks(kind, vars(tests)["TestCumulus"])

    assert failed == {}


def test_the_suite_of_the_page_sees_an_option_that_is_not_sent(cumulus: ModuleType) -> None:
    tests = ModuleType("test_cumulus")
    exec(blocks("python")[1], vars(tests))
    whole: Any = vars(cumulus)["Cumulus"]

    def payload(self: Any, request: object, model: object) -> dict[str, Any]:
        body: dict[str, Any] = whole.payload(self, request, model)
        return {name: value for name, value in body.items() if name != "seed"}

    quick = {"first_pause": 0.01, "longest_pause": 0.01}
    forgetful = type("Forgetful", (whole,), quick | {"payload": payload})
    suite = type("Checks", (vars(tests)["TestCumulus"],), {"provider_type": forgetful})()

    with pytest.raises(AssertionError, match="seed: is declared, and does not go out"):
        getattr(suite, f"test_{OPTION_CHECK}")()


def test_the_page_says_how_many_checks_there_are(cumulus: ModuleType) -> None:
    tests = ModuleType("test_cumulus")
    exec(blocks("python")[1], vars(tests))

    checks = [name for name in dir(vars(tests)["TestCumulus"]) if name.startswith("test_")]

    assert f"`test_cumulus.py`: {len(checks)} checks" in TEXT


def test_the_package_of_the_page_can_be_built(tmp_path: Path) -> None:
    (project,), (module, tests) = blocks("toml"), blocks("python")
    files = {"pyproject.toml": project, "cumulus.py": module, "test_cumulus.py": tests}
    for name, text in files.items():
        (tmp_path / name).write_text(text, encoding="utf-8")

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", "dist"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("dist/*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (points,) = (archive.read(n).decode() for n in names if n.endswith("entry_points.txt"))
    assert [name for name in names if "dist-info" not in name] == ["cumulus.py"]
    assert f"[{ENTRY_POINT_GROUP}]\ncumulus = cumulus:Cumulus" in points


def test_the_package_of_the_page_registers_the_class(cumulus: ModuleType) -> None:
    (text,) = blocks("toml")
    (point,) = tomllib.loads(text)["project"]["entry-points"][ENTRY_POINT_GROUP].values()
    module, _, name = point.partition(":")

    assert module == "cumulus"
    assert name in vars(cumulus)
