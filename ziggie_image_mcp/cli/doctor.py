"""Examine the installation: what works, what does not, and the exact fix for each."""

from __future__ import annotations

import importlib.metadata
import os
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import anyio

from ziggie_image_mcp.app.service import Service
from ziggie_image_mcp.config import config, loader
from ziggie_image_mcp.errors import ImageError, ModelMissing, duration
from ziggie_image_mcp.inventory import recommend
from ziggie_image_mcp.inventory.detection import Detected, unused
from ziggie_image_mcp.inventory.engine_status import probe_all, status_sentence, urls_of
from ziggie_image_mcp.inventory.types import Hardware, Survey
from ziggie_image_mcp.jobs.leases import lease_folder
from ziggie_image_mcp.provider.installing import install_command, uninstall_command
from ziggie_image_mcp.provider.nouns import Balance, Probe, is_present
from ziggie_image_mcp.routing.request import ImageRequest
from ziggie_image_mcp.routing.request_checks import check_request
from ziggie_image_mcp.routing.rules import has_real_model

State = Literal["ok", "warn", "fail"]
CUDA_INSTALL = recommend.cuda_install(recommend.current_setup(vendors=False))
_NOT_PROBED: Mapping[str, tuple[Probe, Balance | None]] = {}
SELF_TEST = "a red circle on a white background"


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at."""

    state: State
    what: str
    fix: str = ""


async def examine(
    opener: Callable[[], Awaitable[Service]], config_file: Path | None, *, picture: bool
) -> list[Finding]:
    """Look at everything; with `picture`, make one with the tiny model as a self-test."""
    findings = [_python()]
    file = loader.find(config_file)
    try:
        service = await opener()
    except ImageError as e:
        return [*findings, Finding(state="fail", what=str(e), fix=f"correct {file}")]
    findings.append(
        Finding(state="ok", what=f"settings: {file if file.exists() else 'none, the defaults'}")
    )
    findings.append(await _folder(service))
    findings += await databases(service)
    findings.append(locks(lease_folder(config.data_dir(), service.config.database)))
    machine = await service.hardware()
    findings += packages(machine, _version)
    survey = await service.survey()
    statuses = await probe_all(service.registry.providers())
    known = engines(survey, statuses)
    findings += [*known, *other_engines(await service.detector.take(), statuses, known)]
    findings += await _real_model(service, machine)
    if picture:
        findings.append(await _self_test(service, survey))
    return findings


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    return Finding(state="ok", what=f"Python {version} at {sys.executable}")


async def _folder(service: Service) -> Finding:
    try:
        await anyio.to_thread.run_sync(service.artifacts.check_writable)
    except ImageError as e:
        return Finding(state="fail", what=str(e), fix="set output.directory to a folder of yours")
    return Finding(state="ok", what=f"pictures are kept in {service.artifacts.root}")


async def databases(service: Service) -> list[Finding]:
    """Read all that is kept, and compare the ledger with its witness."""
    from ziggie_image_mcp.storage import engine

    findings: list[Finding] = []
    for what, database in service.databases.items():
        try:
            state = await anyio.to_thread.run_sync(engine.examine, database, what)
            if what == "ledger":
                await service.billing.ledger.check()
        except ImageError as e:
            findings.append(Finding(state="fail", what=str(e)))
        else:
            findings.append(Finding(state="ok", what=state))
    return findings


def locks(folder: Path) -> Finding:
    """Look at the folder by which the processes of this machine know who lives."""
    try:
        if folder.exists() and not folder.is_dir():
            fix = f"delete {folder}; the next server makes the folder"
            return Finding(state="fail", what=f"{folder} is a file, and no folder", fix=fix)
        if folder.is_dir() and not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
            fix = f"make {folder} yours, with the rights to read and write"
            return Finding(state="fail", what=f"{folder} cannot be written", fix=fix)
    except OSError as e:
        what = f"{folder} cannot be looked at: {e.strerror or e}"
        return Finding(state="fail", what=what, fix=f"make {folder.parent} a folder of yours")
    return Finding(state="ok", what=f"locks of the running servers: {folder}")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def packages(machine: Hardware, version: Callable[[str], str | None]) -> list[Finding]:
    """Look at the packages of the local engine without importing them.

    Args:
        machine: What was found.
        version: Gives a package's version, None when it is not installed.
    """
    findings: list[Finding] = []
    missing = [p for p in ("torch", "diffusers", "transformers") if version(p) is None]
    if missing:
        findings.append(
            Finding(
                state="warn",
                what=f"local diffusers is off: {', '.join(missing)} not installed",
                fix=install_command("ziggie-image-mcp[local]"),
            )
        )
    torch = version("torch")
    nvidia = [g for g in machine.gpus if g.vendor == "nvidia"]
    if (
        torch
        and nvidia
        and (torch.endswith("+cpu") or (sys.platform == "win32" and "+" not in torch))
    ):
        findings.append(
            Finding(
                state="fail",
                what=f"torch {torch} is a CPU build, but there is a {nvidia[0].name}: "
                "local pictures would take minutes instead of seconds",
                fix=CUDA_INSTALL,
            )
        )
    elif torch:
        findings.append(Finding(state="ok", what=f"torch {torch}"))
    vision = version("torchvision")
    if torch and vision and "+cpu" in torch and "+cpu" not in vision:
        findings.append(
            Finding(
                state="fail",
                what=f"torchvision {vision} does not match torch {torch}: "
                "transformers and diffusers would fail to import",
                fix=uninstall_command("torchvision"),
            )
        )
    for gpu in machine.gpus:
        memory = f", {gpu.vram_total / 1e9:.0f} GB" if gpu.vram_total else ""
        findings.append(Finding(state="ok", what=f"GPU {gpu.name}{memory}"))
    if not machine.gpus:
        findings.append(
            Finding(
                state="warn",
                what="no GPU was found: real local models take minutes per picture",
                fix="run an engine on a machine with a GPU and set its baseUrl; "
                "if this machine has one, install its driver",
            )
        )
    findings += [Finding(state="warn", what=note) for note in machine.notes]
    return findings


def engines(
    survey: Survey, statuses: Mapping[str, tuple[Probe, Balance | None]] = _NOT_PROBED
) -> list[Finding]:
    """Look at the providers: who answered, with how many models, and in what state it is.

    Unlike `check_hardware`, which nobody asked to call a vendor, the doctor tries every key.
    """
    findings: list[Finding] = []
    for rejection in survey.rejected:
        for reason in rejection.reasons:
            harmless = reason.code in ("DISABLED", ModelMissing.code)
            needed = rejection.provider in survey.configured and not harmless
            findings.append(
                Finding(
                    state="fail" if needed else "warn",
                    what=f"{rejection.provider}: {reason.have}",
                    fix=reason.fix,
                )
            )
    for name in dict.fromkeys(m.provider for m in survey.models):
        own = [m for m in survey.models if m.provider == name]
        ready = [m for m in own if is_present(m)]
        what = f"{name}: {len(ready)} of {len(own)} models ready"
        if any(m.demo for m in ready):
            what += ", the demo among them"
        state: State = "ok" if ready else "warn"
        fix = "" if ready else own[0].fix
        if name in statuses:
            status = status_sentence(*statuses[name])
            what += f"; {status}" if status else ""
            state = state if statuses[name][0].state == "ready" else "warn"
        findings.append(Finding(state=state, what=what, fix=fix))
    return findings


def other_engines(
    detected: Sequence[Detected],
    statuses: Mapping[str, tuple[Probe, Balance | None]],
    known: Sequence[Finding],
) -> list[Finding]:
    """Look at the engines that answer and that no provider speaks with.

    Args:
        detected: What answers.
        statuses: How the providers are.
        known: What is said of these already.
    """
    others = unused(detected, urls_of(statuses), " ".join(finding.what for finding in known))
    return [Finding(state="warn", what=what, fix=fix) for what, fix in others]


async def _real_model(service: Service, machine: Hardware) -> list[Finding]:
    """Whether anything but the demo makes pictures here, and else how to get it."""
    context = await service.snapshot(ImageRequest(prompt=SELF_TEST))
    if has_real_model(context):
        return []
    return [
        Finding(
            state="warn",
            what="no real model is here: at most the demo makes pictures",
            fix="\n      ".join(recommend.advice_lines(machine, context.setup)),
        )
    ]


async def _self_test(service: Service, survey: Survey) -> Finding:
    demo = next((m for m in survey.models if m.demo), None)
    if demo is None or not is_present(demo):
        fix = demo.fix if demo else ""
        return Finding(state="warn", what="self-test skipped: no tiny model can run", fix=fix)
    request = ImageRequest(
        prompt=SELF_TEST, model=demo.id, provider=demo.provider, file_name="self-test"
    )
    check_request(request)
    try:
        result = await service.generate(request)
    except ImageError as e:
        return Finding(state="fail", what=f"self-test: [{e.code}] {e}")
    took = duration(result.seconds)
    return Finding(state="ok", what=f"self-test made {result.images[0].path} in {took}")
