"""Find the models on this machine: in the user's folders, and in the Hub cache."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

from ziggie_image_providers.diffusers.families import PIPELINES, Family, makes_pictures_from_text
from ziggie_image_providers.diffusers.single_file import Checkpoint, inspect
from ziggie_image_providers.diffusers.weights import Damaged, Part, add_up, weight_files

DEPTH = 4
_WITHOUT_WEIGHTS = ("Tokenizer", "Scheduler", "Processor", "Extractor")


@dataclass(frozen=True, kw_only=True)
class Trouble:
    """Why a model cannot be used as it is, and what to do."""

    kind: Literal["missing", "unusable"]
    text: str


@dataclass(frozen=True, kw_only=True)
class DiskModel:
    """A model on disk."""

    id: str
    path: Path
    pipeline: str
    family: str | None
    parts: Mapping[str, Part] = field(default_factory=dict[str, Part])
    variant: str | None = None
    native: int | None = None
    distilled: bool = False
    """Told by its configuration."""
    single_file: bool = False
    config_folder: Path | None = None
    trouble: Trouble | None = None

    @property
    def known(self) -> Family | None:
        """The facts of its class."""
        return PIPELINES.get(self.pipeline)


def find(model_dirs: Sequence[Path], hub_cache: Path | None) -> dict[str, DiskModel]:
    """List all models by id. An id taken twice goes to the first; the second is its full path."""
    models: dict[str, DiskModel] = {}
    cached = list(hub_repos(hub_cache)) if hub_cache is not None else []
    local = [(base, path) for base in model_dirs for path in walk(base.expanduser())]
    for base, path in local:
        if path.is_dir():
            _add(models, folder(path, _name(path, base.expanduser())))
    for repo, snapshot in cached:
        model = folder(snapshot, repo)
        if model is not None and model.trouble is None:
            _add(models, model)
    donors = [path for _, path in local if path.is_dir()] + [path for _, path in cached]
    for base, path in local:
        if path.is_file():
            _add(models, single(path, _name(path, base.expanduser()), donors))
    return models


def locate(name: str, model_dirs: Sequence[Path], hub_cache: Path | None) -> DiskModel | None:
    """Find one model by its id, or by the absolute path of a folder or file."""
    path = Path(name).expanduser()
    if not path.is_absolute():
        return find(model_dirs, hub_cache).get(name)
    if path.is_dir():
        return folder(path, name, always=True)
    if path.is_file():
        donors = [one for base in model_dirs for one in walk(base.expanduser()) if one.is_dir()]
        donors += [one for _, one in hub_repos(hub_cache)] if hub_cache is not None else []
        return single(path, name, donors, always=True)
    return None


def walk(base: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield diffusers folders and .safetensors files, without looking into the former."""
    if (base / "model_index.json").is_file():
        yield base
        return
    if base.is_file():
        yield from [base] if base.suffix == ".safetensors" else []
        return
    try:
        entries = sorted(base.iterdir())
    except OSError:
        return  # a folder that is gone or closed to us holds no models
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir() and depth > 0:
            yield from walk(entry, depth - 1)
        elif entry.suffix == ".safetensors" and entry.is_file():
            yield entry


def default_hub_cache(environment: Mapping[str, str] = os.environ) -> Path:
    """Say where huggingface_hub keeps its downloads, by its own rules."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if environment.get(name):
            return Path(environment[name]).expanduser()
    if environment.get("HF_HOME"):
        return Path(environment["HF_HOME"]).expanduser() / "hub"
    cache = environment.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "huggingface" / "hub"


def hub_repos(cache: Path) -> Iterator[tuple[str, Path]]:
    """Yield the id and the snapshot folder of every cached repo that is a pipeline."""
    if not cache.is_dir():
        return
    for repo in sorted(cache.glob("models--*")):
        snapshot = _snapshot(repo)
        if snapshot is not None and (snapshot / "model_index.json").is_file():
            yield repo.name.removeprefix("models--").replace("--", "/"), snapshot


def _snapshot(repo: Path) -> Path | None:
    main = repo / "refs" / "main"
    if main.is_file():
        snapshot = repo / "snapshots" / main.read_text(encoding="utf-8").strip()
        if snapshot.is_dir():
            return snapshot
    snapshots = [path for path in (repo / "snapshots").glob("*") if path.is_dir()]
    return max(snapshots, key=lambda path: path.stat().st_mtime_ns, default=None)


def folder(path: Path, id: str, *, always: bool = False) -> DiskModel | None:
    """Look at one diffusers folder; None when it is none, or not for pictures from text.

    Args:
        path: The folder.
        id: What to call it.
        always: Describe it also then, with the trouble.
    """
    index = _json(path / "model_index.json")
    pipeline = str(index.get("_class_name", ""))
    if not makes_pictures_from_text(pipeline):
        text = f"{path} is no diffusers folder that makes pictures from text."
        return _useless(path, id, text) if always else None
    parts: dict[str, Part] = {}
    variant: str | None = None
    trouble: Trouble | None = None
    for name in components(index):
        files, its_variant = weight_files(path / name)
        variant = variant or its_variant
        try:
            parts[name] = add_up(files)
            if not files:
                text = f"{path.name} has no complete weights for {name}: download it again."
                trouble = trouble or Trouble(kind="missing", text=text)
        except (Damaged, OSError) as e:
            text = f"The weights of {name} cannot be read ({e}): download {path.name} again."
            trouble = trouble or Trouble(kind="unusable", text=text)
    known = PIPELINES.get(pipeline)
    return DiskModel(
        id=id,
        path=path,
        pipeline=pipeline,
        family=_family(path, known),
        parts=parts,
        variant=variant,
        native=_native(path, known),
        distilled=_distilled(path, index, pipeline),
        trouble=trouble,
    )


def components(index: Mapping[str, Any]) -> list[str]:
    """Name the components of a model_index.json that have weights."""
    names: list[str] = []
    for name, value in index.items():
        pair = cast("list[object]", value) if isinstance(value, list) else []
        kind = pair[1] if len(pair) == 2 else None
        if isinstance(kind, str) and not any(word in kind for word in _WITHOUT_WEIGHTS):
            names.append(name)
    return names


def single(
    path: Path, id: str, donors: Iterable[Path], *, always: bool = False
) -> DiskModel | None:
    """Look at one checkpoint file; None when it holds no model (a LoRA, a VAE).

    Args:
        path: The file.
        id: What to call it.
        donors: Diffusers folders that may lend settings, tokenizers and missing parts.
        always: Describe also a file that is damaged or not understood, with the trouble.
    """
    try:
        checkpoint = inspect(path)
        text = f"{path.name} holds no model that diffusers can load from a single file."
    except (Damaged, OSError) as e:
        checkpoint, text = None, f"The file cannot be read ({e}): download it again."
        always = True  # it may be the model that somebody asks for
    if checkpoint is None:
        return _useless(path, id, text) if always else None
    donor = next((one for one in donors if _lends(one, checkpoint)), None)
    return DiskModel(
        id=id,
        path=path,
        pipeline=checkpoint.pipeline,
        family=checkpoint.family,
        parts=checkpoint.parts,
        distilled=checkpoint.distilled,
        single_file=True,
        config_folder=donor,
        trouble=None if donor else Trouble(kind="missing", text=_what_to_fetch(checkpoint)),
    )


def _useless(path: Path, id: str, text: str) -> DiskModel:
    trouble = Trouble(kind="unusable", text=text)
    return DiskModel(id=id, path=path, pipeline="", family=None, trouble=trouble)


def _lends(donor: Path, checkpoint: Checkpoint) -> bool:
    index = _json(donor / "model_index.json")
    if index.get("_class_name") != checkpoint.pipeline:
        return False
    text_width = _json(donor / "unet" / "config.json").get("cross_attention_dim")
    if text_width != checkpoint.text_width:
        return False
    if _distilled(donor, index, checkpoint.pipeline) != checkpoint.distilled:
        return False
    if not all((donor / name).is_dir() for name in index if name.startswith("tokenizer")):
        return False
    return all(
        weight_files(donor / name)[0]
        for name in components(index)
        if name.startswith(checkpoint.missing_parts)
    )


def _what_to_fetch(checkpoint: Checkpoint) -> str:
    repo = PIPELINES[checkpoint.pipeline].config_repo
    if checkpoint.missing_parts:
        return (
            f"The file holds no {' and no '.join(checkpoint.missing_parts)}. Put a complete "
            f"{checkpoint.pipeline} folder into modelDirs, or run: hf download {repo}"
        )
    return (
        "A single file needs the settings and tokenizers of its family. Run once: "
        f'hf download {repo} --exclude "*.safetensors" --exclude "*.bin" --exclude "*.ckpt"'
    )


def _add(models: dict[str, DiskModel], model: DiskModel | None) -> None:
    if model is None or any(model.path == other.path for other in models.values()):
        return
    if model.id in models:
        model = replace(model, id=str(model.path))
    models[model.id] = model


def _name(path: Path, base: Path) -> str:
    return path.name if path == base else path.relative_to(base).as_posix()


def _family(path: Path, known: Family | None) -> str | None:
    if known is None:
        return None
    if (
        known.name == "sd1"
        and _json(path / "unet" / "config.json").get("cross_attention_dim") == 1024
    ):
        return "sd2"
    return known.name


def _native(path: Path, known: Family | None) -> int | None:
    """Compute the size that a UNet was made for; other denoisers do not say it plainly."""
    if known is None or known.name not in ("sd1", "sdxl"):
        return None
    latent: Any = _json(path / "unet" / "config.json").get("sample_size")
    channels: Any = _json(path / "vae" / "config.json").get("block_out_channels")
    if not isinstance(latent, int) or not isinstance(channels, list):
        return None
    return latent * int(2 ** (len(cast("list[object]", channels)) - 1))


def _distilled(path: Path, index: Mapping[str, Any], pipeline: str) -> bool:
    if pipeline == "FluxPipeline":
        return _json(path / "transformer" / "config.json").get("guidance_embeds") is False
    return index.get("is_distilled") is True


def _json(path: Path) -> Mapping[str, Any]:
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # as good as absent: what was to be read from it stays unknown
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}
