"""Disks that are full or read-only, files that are deleted or damaged: told in a line, and mended.

A real server over stdio: what it writes to stderr is counted too.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.wire import Wire

ASK: dict[str, Any] = {"prompt": "a cat", "width": 64, "height": 64, "wait_seconds": 8}
PAID = ASK | {"provider": "paid", "allow_paid": True}
QUIET = 6000
"""Characters on stderr: some warnings, and no traceback."""

needs_posix = pytest.mark.skipif(os.name != "posix", reason="modes and limits are POSIX'")


def state(folder: Path) -> Path:
    return folder / "home" / "xdg_data_home" / "ziggie-image-mcp"


@contextmanager
def server(folder: Path, program: str = "tests.support.plain_server") -> Generator[Wire]:
    off = {"enabled": False}
    config = {
        "output": {"directory": str(folder / "pictures")},
        "providers": {"builtin": off, "comfyui": off, "diffusers": off},
        "budget": {"perDay": 0.10},
    }
    file = folder / "config.json"
    file.write_text(json.dumps(config), encoding="utf-8")
    with Wire([sys.executable, "-m", program, "--config", str(file)]) as wire:
        wire.hello()
        yield wire
        assert wire.end() == 0
    assert len(wire.stderr) < QUIET, wire.stderr.decode()
    assert b"Traceback" not in wire.stderr


def text(answer: dict[str, Any]) -> str:
    return str(answer["result"]["content"][0]["text"])


def assert_made(answer: dict[str, Any]) -> dict[str, Any]:
    assert not answer["result"].get("isError"), text(answer)
    data: dict[str, Any] = json.loads(text(answer))
    assert Path(data["images"][0]["path"]).is_file()
    return data


def assert_typed(answer: dict[str, Any], *parts: str) -> None:
    assert answer["result"]["isError"]
    assert text(answer).startswith("[STORAGE_FAILED] ")
    assert "\n" not in text(answer)
    for part in parts:
        assert part in text(answer)


def assert_looking_around_works(wire: Wire) -> None:
    for tool, ask in (
        ("list_models", {}),
        ("check_hardware", {}),
        ("generate_image", ASK | {"dry_run": True}),
    ):
        answer = wire.call(50, tool, ask)
        assert not answer["result"].get("isError"), text(answer)


@needs_posix
def test_a_disk_that_is_full_while_the_server_runs_is_told_and_recovered_from(
    tmp_path: Path,
) -> None:
    with server(tmp_path) as wire:
        first = assert_made(wire.call(1, "generate_image", ASK))
        limit(wire, 1)
        full = wire.call(2, "generate_image", ASK)
        again = wire.call(3, "generate_image", PAID)
        known = wire.call(4, "get_job", {"job_id": first["job_id"]})
        assert_looking_around_works(wire)
        limit(wire, resource.RLIM_INFINITY)
        assert_made(wire.call(5, "generate_image", ASK))
        assert_made(wire.call(6, "generate_image", PAID))

    assert_typed(full)
    assert_typed(again)
    assert_made(known)


@needs_posix
def test_a_job_whose_disk_fills_up_while_its_picture_is_made_ends_when_there_is_room(
    tmp_path: Path,
) -> None:
    with server(tmp_path) as wire:
        job_id = begun(wire, tmp_path)
        limit(wire, 1)
        (tmp_path / "go").touch()
        doing = ""
        while "File too large" not in doing:
            full = wire.call(2, "get_job", {"job_id": job_id, "wait_seconds": 0.2})
            doing = json.loads(text(full))["doing"]
        limit(wire, resource.RLIM_INFINITY)
        ended = wire.call(3, "get_job", {"job_id": job_id, "wait_seconds": 20})
        assert_made(wire.call(4, "generate_image", ASK))
        again = wire.call(5, "get_job", {"job_id": job_id})

    assert_typed(ended, "File too large")
    assert text(again) == text(ended)


def test_a_job_under_which_all_state_vanishes_leaves_a_server_that_works(tmp_path: Path) -> None:
    with server(tmp_path) as wire:
        job_id = begun(wire, tmp_path)
        shutil.rmtree(state(tmp_path))
        state(tmp_path).write_text("a file where the folder should be", encoding="utf-8")
        (tmp_path / "go").touch()
        lost = wire.call(2, "get_job", {"job_id": job_id, "wait_seconds": 1})
        assert_looking_around_works(wire)
        refused = wire.call(3, "generate_image", ASK)
        state(tmp_path).unlink()
        assert_made(wire.call(4, "generate_image", ASK))

    assert "Error executing tool" not in text(lost)
    assert_typed(refused, str(state(tmp_path)))


def test_a_job_whose_queue_is_deleted_begins_again_and_ends(tmp_path: Path) -> None:
    with server(tmp_path) as wire:
        job_id = begun(wire, tmp_path)
        for file in state(tmp_path).glob("lines.sqlite3*"):
            file.unlink()
        (tmp_path / "begun").unlink()
        while not (tmp_path / "begun").exists():
            wire.call(1, "get_job", {"job_id": job_id, "wait_seconds": 0.05})
        (tmp_path / "go").touch()
        assert_made(wire.call(2, "get_job", {"job_id": job_id, "wait_seconds": 20}))


def begun(wire: Wire, folder: Path) -> str:
    """A job whose picture is being made until `go` is there."""
    ask = ASK | {"prompt": "slow", "wait_seconds": 0}
    job_id = json.loads(text(wire.call(1, "generate_image", ask)))["job_id"]
    while not (folder / "begun").exists():
        wire.call(1, "get_job", {"job_id": job_id, "wait_seconds": 0.05})
    return str(job_id)


def limit(wire: Wire, size: int) -> None:
    """No file of the server may grow beyond this, as where its disk is full."""
    resource.prlimit(wire.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_state_that_cannot_be_made_is_told_and_looking_around_works(tmp_path: Path) -> None:
    state(tmp_path).parent.mkdir(parents=True)
    state(tmp_path).write_text("a file where the folder should be", encoding="utf-8")
    with server(tmp_path) as wire:
        assert_looking_around_works(wire)
        free = wire.call(1, "generate_image", ASK)
        paid = wire.call(2, "generate_image", PAID)
        state(tmp_path).unlink()
        assert_made(wire.call(3, "generate_image", PAID))

    assert_typed(free, str(state(tmp_path)))
    assert_typed(paid, str(state(tmp_path)))


def test_state_that_is_deleted_under_a_running_server_is_made_anew(tmp_path: Path) -> None:
    with server(tmp_path) as wire:
        assert_made(wire.call(1, "generate_image", ASK))
        shutil.rmtree(state(tmp_path))
        shutil.rmtree(tmp_path / "pictures")
        assert_looking_around_works(wire)
        second = assert_made(wire.call(2, "generate_image", ASK))
        found = assert_made(wire.call(3, "get_job", {"job_id": second["job_id"]}))
    with server(tmp_path) as wire:
        after = assert_made(wire.call(1, "get_job", {"job_id": second["job_id"]}))

    assert found["images"] == second["images"] == after["images"]


@pytest.mark.parametrize("runs", [True, False], ids=["while it runs", "before it starts"])
def test_an_emptied_ledger_is_no_fresh_cap(runs: bool, tmp_path: Path) -> None:
    with ExitStack() as stack:
        wire = stack.enter_context(server(tmp_path))
        assert_made(wire.call(1, "generate_image", PAID))
        if not runs:
            stack.close()
        delete_ledger(tmp_path)
        if not runs:
            wire = stack.enter_context(server(tmp_path))
        answer = wire.call(2, "generate_image", PAID | {"prompt": "a dog"})
        assert_made(wire.call(3, "generate_image", ASK))
    (witness,) = (tmp_path / "home" / "xdg_config_home").rglob("ledger-*.json")
    witness.unlink()
    with server(tmp_path) as wire:
        assert_made(wire.call(4, "generate_image", PAID | {"prompt": "a dog"}))

    assert_typed(answer, "was emptied or replaced", str(witness))


def test_a_server_ends_although_another_process_holds_its_jobs(tmp_path: Path) -> None:
    with server(tmp_path) as wire:
        assert_made(wire.call(1, "generate_image", ASK))
        other = sqlite3.connect(state(tmp_path) / "jobs.sqlite3", isolation_level=None)
        other.execute("BEGIN EXCLUSIVE")
        refused = wire.call(2, "generate_image", ASK | {"wait_seconds": 1})
        code = wire.end(timeout=20)  # a thread of DBOS waits for 30 seconds
    other.close()

    assert code == 0
    assert_typed(refused, "locked")


def delete_ledger(folder: Path) -> None:
    for file in state(folder).glob("ledger.sqlite3*"):
        file.unlink()


@needs_posix
@pytest.mark.parametrize(
    ("content", "mode", "fix"),
    [('{"OPENAI_API_KEY": "sk-planted"}', 0o644, "chmod 600"), ("no JSON", 0o600, "is no JSON")],
)
def test_a_key_file_that_cannot_be_used_is_one_rejection_with_its_fix(
    content: str, mode: int, fix: str, tmp_path: Path
) -> None:
    keys = state(tmp_path) / "keys" / "keys.json"
    keys.parent.mkdir(parents=True)
    keys.write_text(content, encoding="utf-8")
    keys.chmod(mode)
    with server(tmp_path, "ziggie_image_mcp") as wire:
        listed = json.loads(text(wire.call(1, "list_models", {})))
        hardware = wire.call(2, "check_hardware", {})
        refused = wire.call(3, "generate_image", ASK)
        spoken = "".join(wire.lines)
    doctor = findings(tmp_path)

    (rejection,) = [r for r in listed["unavailable"] if r["provider"] == "keys"]
    assert fix in rejection["why_not"][0]
    assert not hardware["result"].get("isError")
    assert fix in text(refused)
    assert any(fix in line for line in doctor)
    assert "sk-planted" not in spoken + "".join(doctor)


def test_the_doctor_reads_every_database_and_says_what_is_wrong(tmp_path: Path) -> None:
    with server(tmp_path) as wire:
        assert_made(wire.call(1, "generate_image", PAID))
    whole = findings(tmp_path)
    with (state(tmp_path) / "jobs.sqlite3").open("r+b") as jobs:
        jobs.seek(4096)
        jobs.write(b"x" * 40_000)
    (state(tmp_path) / "experience.sqlite3").write_text("no database", encoding="utf-8")
    delete_ledger(tmp_path)
    broken = findings(tmp_path)

    for name in ("ledger", "lines", "experience", "jobs"):
        assert any(w.startswith("OK") and f"{name}.sqlite3" in w for w in whole), name
    for name in ("ledger", "experience", "jobs"):
        assert any(w.startswith("FAIL") and f"{name}.sqlite3" in w for w in broken), name


def findings(folder: Path) -> list[str]:
    """What the doctor says."""
    config = ["--config", str(folder / "config.json"), "doctor", "--skip-picture"]
    found = subprocess.run(
        [sys.executable, "-m", "ziggie_image_mcp", *config],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.stderr == ""
    return found.stdout.splitlines()
