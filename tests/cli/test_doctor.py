"""What doctor says of machines that are not this one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.cli.test_main import run
from tests.support.factory import RTX, machine
from ziggie_image_mcp.cli import doctor
from ziggie_image_mcp.cli.doctor import CUDA_INSTALL, engines
from ziggie_image_mcp.config.config import data_dir
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.jobs.leases import lease_folder
from ziggie_image_mcp.provider import Balance, Probe
from ziggie_image_mcp.provider.testing import model

FULL = {"torch": "2.13.0+cu130", "diffusers": "0.42.1", "transformers": "5.23.0"}


def look(installed: Mapping[str, str], *, gpu: bool = True) -> list[doctor.Finding]:
    return doctor.packages(machine(RTX) if gpu else machine(), lambda name: installed.get(name))


def test_a_cpu_torch_beside_an_nvidia_card_is_a_failure_with_the_exact_fix() -> None:
    findings = look(FULL | {"torch": "2.13.0+cpu"})

    (failure,) = [f for f in findings if f.state == "fail"]
    assert "CPU build" in failure.what
    assert "RTX 4070" in failure.what
    assert failure.fix == CUDA_INSTALL


@pytest.mark.parametrize("torch", ["2.13.0+cu130", "2.13.0"])
def test_a_cuda_torch_beside_an_nvidia_card_is_fine(torch: str) -> None:
    assert [f for f in look(FULL | {"torch": torch}) if f.state == "fail"] == []


def test_a_cpu_torch_without_a_card_is_fine() -> None:
    findings = look(FULL | {"torch": "2.13.0+cpu"}, gpu=False)

    assert [f.state for f in findings] == ["ok", "warn"]


def test_missing_packages_are_named_with_the_extra() -> None:
    (warning,) = [f for f in look({}) if f.state == "warn"]

    assert "torch, diffusers, transformers" in warning.what
    assert "ziggie-image-mcp[local]" in warning.fix


def test_a_cuda_torchvision_beside_a_cpu_torch_is_a_failure() -> None:
    findings = look(FULL | {"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, gpu=False)

    assert "uninstall -y torchvision" in next(f.fix for f in findings if f.state == "fail")


def test_an_engine_is_shown_with_its_state_and_a_key_that_is_refused_is_a_warning() -> None:
    survey = Survey(models=(model("comfyui"), model("openai", where="vendor", price=5)))
    statuses: dict[str, tuple[Probe, Balance | None]] = {
        "comfyui": (Probe(state="ready", version="0.3.60", queue_length=2), None),
        "openai": (Probe(state="unauthorised", message="the key was refused"), None),
    }

    first, second = engines(survey, statuses)

    assert (first.state, first.what) == (
        "ok",
        "comfyui: 1 of 1 models ready; 0.3.60; 2 in its queue",
    )
    assert (second.state, second.what) == (
        "warn",
        "openai: 1 of 1 models ready; the key was refused",
    )


@pytest.mark.usefixtures("warm")
def test_a_file_where_the_locks_of_the_servers_belong_is_a_failure(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}", encoding="utf-8")
    folder = lease_folder(data_dir(), None)
    folder.parent.mkdir(parents=True)
    folder.write_text("", encoding="utf-8")

    report = run("doctor", "--skip-picture", "--json", "--config", str(tmp_path / "config.json"))

    failures = [f for f in json.loads(report.stdout)["findings"] if f["state"] == "fail"]
    assert report.returncode == 1
    assert [f["what"] for f in failures] == [f"{folder} is a file, and no folder"]
    assert str(folder) in failures[0]["fix"]
