"""Get a model from the Hub into its cache: only what is loaded, and nothing half."""

from __future__ import annotations

import shutil
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ziggie_image_mcp.inventory import hub_download
from ziggie_image_mcp.inventory.file_download import Told
from ziggie_image_mcp.inventory.hardware_sources import existing
from ziggie_image_mcp.inventory.hub import Hub, Repository, is_commit, settings
from ziggie_image_mcp.inventory.pipeline_files import (
    CONFIG,
    INDEX,
    RepoFile,
    Selection,
    component,
    select,
    settings_of,
    without_weights,
)
from ziggie_image_mcp.inventory.pull_errors import DiskFull, NotAPipeline, PullFailed
from ziggie_image_mcp.provider.shell import shell_command

SPARE_BYTES = 200_000_000
"""What a disk keeps free."""

WEIGHTS = ".safetensors"
ALONE = (WEIGHTS, ".gguf")
"""Endings of single files that are no pickles."""

_SHOWN = 4
"""Names of files in a message."""


@dataclass(frozen=True, kw_only=True)
class Pull:
    """What would be downloaded."""

    repository: Repository
    selection: Selection
    bytes_here: int
    """Of those that are selected."""
    disk_free: int
    """Bytes on the disk of the Hub's cache."""

    @property
    def missing(self) -> int:
        """Bytes that are downloaded."""
        return self.selection.size - self.bytes_here


def prepare(
    hub: Hub,
    repository: Repository,
    *,
    path: str = "",
    settings_only: bool = False,
    without: str = "",
) -> Pull:
    """Choose the files; only a small file of settings is downloaded.

    Args:
        hub: The Hub.
        repository: A pipeline, a ControlNet, or one with a single file of weights.
        path: The one file that is wanted of it; empty for what it is as a whole.
        settings_only: Of a pipeline without its weights, what a single file of its family lacks.
        without: A component of a pipeline whose weights are left out; empty for none.

    Raises:
        NotAPipeline: There is nothing of these, or not in safetensors.
        AccessDenied: Its terms must be accepted first.
        PullFailed: It cannot be downloaded; see its other children.
    """
    listed = {file.path: file for file in repository.files}
    if path:
        selection = _one_file(repository, listed.get(path), path)
    elif INDEX in listed:
        selection = _pipeline(hub, repository, listed[INDEX])
        selection = settings_of(selection) if settings_only else selection
        selection = _without(repository, selection, without) if without else selection
    elif settings_only or without:
        raise NotAPipeline(f"{repository.name} holds no {INDEX}, and so no pipeline's settings")
    elif CONFIG in listed and "ControlNet" in _class_of(hub, repository, listed[CONFIG]):
        selection = component(repository.files)
    else:
        selection = _only_weights(repository)
    here = sum(hub_download.bytes_here(hub, repository, file) for file in selection.files)
    return Pull(
        repository=repository,
        selection=selection,
        bytes_here=here,
        disk_free=shutil.disk_usage(existing(hub.cache)).free,
    )


def _pipeline(hub: Hub, repository: Repository, index: RepoFile) -> Selection:
    selection = select(_read(hub, repository, index), repository.files)
    if selection.incomplete:
        names = " and ".join(selection.incomplete)
        raise NotAPipeline(
            f"{repository.name} has no whole safetensors weights for {names}, and pickles (.bin, "
            f".ckpt) may run code: look for another repository of the model, {repository.page}"
        )
    return selection


def _without(repository: Repository, selection: Selection, component: str) -> Selection:
    left = without_weights(selection, component)
    if left == selection:
        text = f"{repository.name} has no component {component!r} with weights to leave out"
        raise NotAPipeline(text)
    return left


def _read(hub: Hub, repository: Repository, file: RepoFile) -> dict[str, Any]:
    """The content of a small file of settings."""
    with _alone(hub, repository):
        hub_download.download(hub, repository, file, _tell_nobody)
    return settings(hub_download.shown(hub, repository, file).read_bytes(), file.path)


def _class_of(hub: Hub, repository: Repository, config: RepoFile) -> str:
    return str(_read(hub, repository, config).get("_class_name", ""))


def one_file(repository: Repository, path: str) -> RepoFile:
    """One file of weights of a repository.

    Args:
        repository: Where it is.
        path: Which one; empty for the only one.

    Raises:
        NotAPipeline: There is none, or there are several, or it is a pickle.
    """
    file = next((file for file in repository.files if file.path == path), None)
    chosen = _one_file(repository, file, path) if path else _only_weights(repository)
    return chosen.files[0]


def _one_file(repository: Repository, file: RepoFile | None, path: str) -> Selection:
    if file is None:
        raise NotAPipeline(f"{repository.name} has no file {path}.{_weights_in(repository)}")
    if not path.endswith(ALONE):
        raise NotAPipeline(
            f"{path} is no {' or '.join(ALONE)} file: pickles (.bin, .ckpt, .pt, .pth) may run "
            f"code when they are loaded, and no engine here loads other formats."
            f"{_weights_in(repository)}"
        )
    return Selection(files=(file,), variant=None)


def _only_weights(repository: Repository) -> Selection:
    """The one file of weights of a repository, as those of LoRAs have it."""
    weights = [file for file in repository.files if file.path.endswith(WEIGHTS)]
    if len(weights) != 1:
        raise NotAPipeline(_no_pipeline(repository))
    return Selection(files=(weights[0],), variant=None)


def check_disk(pull: Pull, hub: Hub) -> None:
    """Refuse a download that the disk has no room for.

    Raises:
        DiskFull: It has not.
    """
    if pull.missing and pull.missing + SPARE_BYTES > pull.disk_free:
        raise DiskFull(
            f"{pull.repository.name} needs {gigabytes(pull.missing)} more, and "
            f"{gigabytes(pull.disk_free)} are free in {hub.cache}: make room, or set HF_HUB_CACHE "
            "to a larger disk"
        )


def execute(hub: Hub, pull: Pull, told: Told) -> Path:
    """Download what is missing. The folder in which the whole pipeline then lies.

    Its files show under their names when all of them are here and checked, model_index.json last:
    what was broken off is no model to anybody. A single file's folder is its own.

    Raises:
        WrongChecksum: A file is not what the Hub says. It was removed.
        DiskFull: The disk ran full. What is here stays, for the next try.
        PullFailed: It cannot be downloaded; see its other children.
    """
    repository, files = pull.repository, pull.selection.files
    with _alone(hub, repository):
        for file in files:
            hub_download.download(hub, repository, file, told)
        last = next((file for file in files if file.path == INDEX), files[-1])
        for file in files:
            if file is not last:
                hub_download.link(hub, repository, file)
        folder = hub_download.link(hub, repository, last).parent
        if not is_commit(repository.revision):
            _name_commit(hub, repository)
    return folder


def gigabytes(count: int) -> str:
    """Bytes as people read them: 2.75 GB, 43 MB."""
    return f"{count / 1e9:.3g} GB" if count >= 1e9 else f"{count / 1e6:.3g} MB"


def _name_commit(hub: Hub, repository: Repository) -> None:
    """Write down which commit the branch or tag is at, as the Hub's client does."""
    reference = hub.folder(repository) / "refs" / repository.revision
    reference.parent.mkdir(parents=True, exist_ok=True)
    written = reference.with_name(f"{reference.name}.ziggie")
    written.write_text(repository.commit, encoding="utf-8")
    written.replace(reference)


@contextmanager
def _alone(hub: Hub, repository: Repository) -> Generator[None]:
    """One download of a repository at a time: two would write to one file."""
    folder = hub.folder(repository)
    lock = hub.cache / ".locks" / folder.name / "ziggie.lock"
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(lock, timeout=0):
            yield
    except Timeout as e:
        message = f"{repository.name} is being downloaded by another process: wait for it"
        raise PullFailed(message) from e
    except OSError as e:
        raise PullFailed(f"The Hub's cache {hub.cache} cannot be written to: {e}") from e


def _no_pipeline(repository: Repository) -> str:
    what = _weights_in(repository) or f" It has no {WEIGHTS} file either: {repository.page}"
    return (
        f"{repository.name} holds no {INDEX}, so it is no diffusers pipeline, and no ControlNet "
        f"with its {CONFIG}.{what}"
    )


def _weights_in(repository: Repository) -> str:
    """Which single files there are, and how one is asked for."""
    weights = [file.path for file in repository.files if file.path.endswith(ALONE)]
    if not weights:
        return ""
    more = f" and {len(weights) - _SHOWN} more" if len(weights) > _SHOWN else ""
    how = shell_command("ziggie-image-mcp", "models", "pull", f"{repository.name}/{weights[0]}")
    return f" It has {', '.join(weights[:_SHOWN])}{more}. One of them: {how}"


def _tell_nobody(path: str, size: int) -> None:
    del path, size
