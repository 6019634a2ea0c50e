"""Every test has its own folders and no settings of the person who runs it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncGenerator, Generator
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.support import ci_sample, factory, fork_server, migrated
from tests.support.specs import NO_SPECS, has_specs

TOGETHER = {
    "test_blobs",
    "test_device_queue",
    "test_diffusers",
    "test_diffusers_editing",
    "test_ledger",
    "test_packaging",
    "test_plugins",
    "test_ziggie_clients",
}
"""Modules that one worker of xdist runs as a whole: what their fixtures make is dear."""

LONG = {
    "test_batch",
    "test_cluster",
    "test_jobs",
    "test_kills",
    "test_paid_kills",
    "test_plan_agrees",
    "test_soak_cluster",
    "test_tiny_model",
    "test_vendor_faults",
}


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as below a shell's `&`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if not hasattr(config, "workerinput"):  # a worker of xdist has its controller's
        stack = ExitStack()
        stack.enter_context(fork_server.opened())
        config.add_cleanup(stack.close)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give out tests one by one, and some modules as a whole.

    Not by `xdist_group`: xdist 3.8 does not find these marks under pytest 9.2.
    """
    by_scope: Any = import_module("xdist.scheduler").LoadScopeScheduling

    def scope(_: object, nodeid: str) -> str:
        module = nodeid.partition("::")[0]
        return module if Path(module).stem in TOGETHER else nodeid

    return type("Sharing", (by_scope,), {"_split_scope": scope})(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end no worker of xdist waits for another."""
    if os.environ.get(ci_sample.VARIABLE):
        left = ci_sample.left_to_full(item.nodeid for item in items)
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid in left])
        items[:] = [item for item in items if item.nodeid not in left]
    items.sort(key=lambda item: item.path.stem not in LONG)
    if not has_specs():
        for item in items:
            if item.get_closest_marker("spec"):
                item.add_marker(pytest.mark.skip(reason=NO_SPECS))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what was sampled, and how many tests held words to vendors' published specs."""
    if os.environ.get(ci_sample.VARIABLE):
        modules = len(ci_sample.ONE_IN)
        terminalreporter.write_line(f"of {modules} long modules a sample ran; all: .ci/run full")
    reports = [
        (result, report)
        for result in ("passed", "failed", "skipped")
        for report in terminalreporter.getreports(result)
        if "spec" in report.keywords
    ]
    if reports:
        skipped = sum(result == "skipped" for result, _ in reports)
        terminalreporter.write_line(
            f"spec checks: {len(reports) - skipped} ran, {skipped} were skipped"
        )


@pytest.fixture
def warm(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line is forked where it is started: see `tests/support/fork_server.py`."""
    monkeypatch.setenv("ZIGGIE_TEST_FORKED", f"{fork_server.WORKER} {fork_server.SERVER}")


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch) -> None:
    """Programs are started, and none is forked: for tests that are about the start."""
    monkeypatch.delenv("PYTHONPATH", raising=False)


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("ZIGGIE_IMAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # the cores are taken by other tests
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_PICTURES_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name.lower()))


@pytest.fixture(scope="session", autouse=True)
def migrated_jobs(tmp_path_factory: pytest.TempPathFactory) -> Generator[None]:
    with migrated.copied(tmp_path_factory.mktemp("migrated")):
        yield


@pytest.fixture(autouse=True)
async def closed_services() -> AsyncGenerator[None]:
    yield
    await factory.close_services()
