"""Remove a model: from the Hub's cache or from our own folder, and from nowhere else."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from ziggie_image_mcp.errors import ImageError, InvalidRequest, suggestion
from ziggie_image_mcp.inventory.pull_errors import ModelInUse, RemovalRefused
from ziggie_image_mcp.inventory.recommend import repository_of
from ziggie_image_mcp.inventory.types import Survey
from ziggie_image_mcp.provider.contract import MODELS_FOLDER
from ziggie_image_mcp.provider.nouns import Model

PROVIDERS, WORKER = "ziggie_image_providers.", ".worker"
"""Beginning and end of the module that a provider's child processes run."""


WEIGHTS = (".safetensors", ".gguf", ".ckpt", ".bin", ".pt", ".pth", ".onnx")
"""Endings of what is large, and of use to some program."""


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What would be deleted."""

    name: str
    path: Path
    """A file, or a folder."""
    freed_bytes: int
    strategy: Any = None
    """The Hub's client's own, where it knows the repository."""


def prepare(name: str, cache: Path, data_dir: Path) -> Removal | None:
    """Find what a name stands for in our own folder or the Hub's cache; None where neither has it.

    Args:
        name: As `models` lists it, or of the catalogue.
        cache: The Hub's.
        data_dir: The server's own folder.

    Raises:
        RemovalRefused: More would go with it than was named.
    """
    own = data_dir / MODELS_FOLDER
    file = own / name
    if _is_there(file) and file.resolve().is_relative_to(own.resolve()):
        return Removal(name=name, path=file, freed_bytes=file.stat().st_size)
    try:
        repo = repository_of(name)
    except InvalidRequest:
        return None
    owner, _, rest = repo.partition("/")
    repo_name, _, path = rest.partition("/")
    folder = cache / f"models--{owner}--{repo_name}"
    if ".." in (owner, repo_name) or not _is_there(folder):
        return None
    if path and not _is_alone(folder, f"{owner}/{repo_name}", path):
        return None
    return _of_cache(folder, f"{owner}/{repo_name}", cache)


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # no file system has so long a name
        return False


def check_unused(removal: Removal) -> None:
    """Refuse to delete what a running worker has in memory, as far as the system tells.

    Raises:
        ModelInUse: One has.
    """
    folder = removal.path.resolve()
    for process in _workers():
        if any(Path(used).is_relative_to(folder) for used in _files_of(process)):
            raise ModelInUse(
                f"{removal.name} is in the memory of a worker (process {process.pid}): wait until "
                "its job is done and its memory is freed, or stop the server"
            )


def execute(removal: Removal) -> None:
    """Delete it.

    Raises:
        RemovalRefused: The system does not let it be deleted.
    """
    try:
        if removal.strategy is not None:
            removal.strategy.execute()
        if removal.path.is_dir():  # what the client knows nothing of: a download that broke off
            shutil.rmtree(removal.path)
        else:
            removal.path.unlink(missing_ok=True)
    except OSError as e:
        raise RemovalRefused(f"{removal.path} cannot be deleted: {e.strerror or e}") from e


def refusal(name: str, survey: Survey) -> ImageError:
    """Why what neither our own folder nor the Hub's cache has is not removed."""
    listed = (*survey.models, *survey.additions)
    model = next((m for m in listed if name in (m.id, m.title, *m.aliases)), None)
    if model is None:
        near = suggestion(name, [m.id for m in listed])
        return InvalidRequest("name", name, f"nothing of this name is here.{near}")
    if model.where == "vendor":
        return RemovalRefused(f"{name} runs at {model.provider}, and nothing of it lies here")
    place = next((path for path in _paths(model)), f"the folders of {model.provider}")
    return RemovalRefused(
        f"{name} lies in {place}: that is yours, and nothing is deleted there. Delete it yourself"
    )


def _paths(model: Model) -> Iterator[str]:
    return (alias for alias in model.aliases if Path(alias).is_absolute())


def _of_cache(folder: Path, name: str, cache: Path) -> Removal:
    try:
        scan = import_module("huggingface_hub").scan_cache_dir(cache)
    except ImportError as e:
        fix = "install huggingface_hub, whose cache it is"
        raise RemovalRefused(f"Which files of {name} others share is not known: {fix}") from e
    repo = next((one for one in scan.repos if Path(one.repo_path) == folder), None)
    strategy = None
    if repo is not None and repo.revisions:
        # Of this repository alone: copies that the Hub makes of it have the same commits.
        scan = replace(scan, repos=frozenset({repo}))
        strategy = scan.delete_revisions(*(one.commit_hash for one in repo.revisions))
    blobs = [blob for blob in (folder / "blobs").glob("*") if not blob.is_symlink()]
    whole = sum(blob.stat().st_size for blob in blobs)
    freed = max(whole, strategy.expected_freed_size if strategy else 0)
    return Removal(name=name, path=folder, freed_bytes=freed, strategy=strategy)


def _is_alone(folder: Path, repo: str, path: str) -> bool:
    """Whether a file is in a cached repository; it must be the only one with weights.

    Raises:
        RemovalRefused: There are others.
    """
    files = [p for p in folder.glob("snapshots/*/**/*") if p.suffix in WEIGHTS]
    names = {"/".join(p.relative_to(folder).parts[2:]) for p in files}
    if path not in names:
        return False
    others = sorted(names - {path})
    if others:
        raise RemovalRefused(
            f"{repo} holds {', '.join(others)} too, and goes as a whole: "
            f"ziggie-image-mcp models remove {repo}"
        )
    return True


def _workers() -> Iterator[Any]:
    psutil: Any = import_module("psutil")
    for process in psutil.process_iter(["cmdline"]):
        words: list[str] = process.info["cmdline"] or []
        if any(word.startswith(PROVIDERS) and word.endswith(WORKER) for word in words):
            yield process


def _files_of(process: Any) -> Iterator[str]:
    """What a process has open or mapped; nothing where the system does not tell."""
    psutil: Any = import_module("psutil")
    for ask in ("memory_maps", "open_files"):
        try:
            yield from (one.path for one in getattr(process, ask)())
        except (AttributeError, NotImplementedError, OSError, psutil.Error):
            continue
