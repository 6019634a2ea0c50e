"""Look into the cache of the Hugging Face Hub's client, without the client."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

COMPONENTS = ("unet", "transformer", "vae", "text_encoder", "text_encoder_2", "scheduler")
"""Folders by which a repository is known as a pipeline whose model_index.json is not here yet."""

REVISION = re.compile(r"[\w.-]*\w")
"""A commit, as the name of a folder."""

PULLING = ".ziggie.incomplete"
"""The ending of what `models pull` is downloading, or was."""


@dataclass(frozen=True, kw_only=True)
class CachedRepo:
    """A repository in the cache."""

    name: str
    """owner/name."""
    folder: Path
    snapshot: Path | None
    """The folder of its files at its main revision, or the newest; None where none is shown yet."""

    @property
    def is_pipeline(self) -> bool:
        """Whether it is a diffusers pipeline."""
        return self.snapshot is not None and (self.snapshot / "model_index.json").is_file()

    @property
    def is_half(self) -> bool:
        """Whether its download broke off, or goes on, and it is of a kind that this engine runs."""
        if any(self._blobs(f"*{PULLING}")):
            return True
        if self.snapshot is None or not any(self._blobs("*.incomplete")):
            return False
        return self.is_pipeline or any((self.snapshot / name).is_dir() for name in COMPONENTS)

    def _blobs(self, pattern: str) -> Iterator[Path]:
        return (self.folder / "blobs").glob(pattern)


def default_hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Say where huggingface_hub keeps its downloads, by its own rules."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def hub_repos(cache: Path) -> Iterator[CachedRepo]:
    """Yield every model repository of the cache."""
    if not cache.is_dir():
        return
    for folder in sorted(cache.glob("models--*")):
        name = folder.name.removeprefix("models--").replace("--", "/")
        yield CachedRepo(name=name, folder=folder, snapshot=_snapshot(folder))


def _snapshot(repo: Path) -> Path | None:
    main = repo / "refs" / "main"
    if main.is_file():
        revision = main.read_text(encoding="utf-8", errors="replace").strip()
        snapshot = repo / "snapshots" / revision
        if REVISION.fullmatch(revision) and snapshot.is_dir():
            return snapshot
    snapshots = [path for path in (repo / "snapshots").glob("*") if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)
