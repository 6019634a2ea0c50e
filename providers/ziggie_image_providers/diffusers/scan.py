"""Find what lies on this machine: in the user's folders, and in the Hub cache."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from ziggie_image_providers.diffusers import cascade
from ziggie_image_providers.diffusers.checkpoint_tensors import lacking
from ziggie_image_providers.diffusers.disk_model import DiskModel, Trouble, useless
from ziggie_image_providers.diffusers.families import (
    CONFIG_REPOS,
    FIRST_STAGE,
    LATER_STAGES,
    PIPELINES,
    VELOCITY_NATIVE,
    VELOCITY_REPOS,
)
from ziggie_image_providers.diffusers.file_content import Content
from ziggie_image_providers.diffusers.folder_settings import is_file
from ziggie_image_providers.diffusers.gguf_model import gguf_model
from ziggie_image_providers.diffusers.hub_cache import CachedRepo, default_hub_cache, hub_repos
from ziggie_image_providers.diffusers.lent_scheduler import (
    VELOCITY,
    assumed,
    can_lend,
    prediction_of,
    scheduler_changes,
)
from ziggie_image_providers.diffusers.model_folder import (
    CONFIG,
    INDEX,
    component,
    folder,
    is_distilled,
    is_folder,
    read_json,
    weighted_components,
)
from ziggie_image_providers.diffusers.single_file import Checkpoint, inspect
from ziggie_image_providers.diffusers.weights import Damaged, weight_files

__all__ = ["DiskModel", "Trouble", "default_hub_cache", "find", "folder", "locate", "scan"]

DEPTH = 4
WEIGHTS = ".safetensors"
GGUF = ".gguf"
FILES = (WEIGHTS, ".ckpt", GGUF)
"""Endings of the files that are looked at."""

Found = dict[str, DiskModel]
Donors = Mapping[Path, str]
"""Diffusers folders that may lend a single file what it lacks, with their ids."""

NO_BASES: Mapping[str, str] = {}

STAGES = (FIRST_STAGE, *LATER_STAGES)


def find(
    model_dirs: Sequence[Path], hub_cache: Path | None, bases: Mapping[str, str] = NO_BASES
) -> Found:
    """List by id what lies there: models, what is laid over them, and what cannot be used, told.

    What lies there under two paths is listed once, by the first. An id taken twice goes to the
    first too; the second is its full path.

    Args:
        model_dirs: Folders to look in.
        hub_cache: The Hub's cache; None where it is not looked at.
        bases: By the id of a GGUF file the id of the folder that lends it what it lacks, where
            several could.
    """
    return cascade.join(_find(model_dirs, hub_cache, bases))


def _find(
    model_dirs: Sequence[Path], hub_cache: Path | None, bases: Mapping[str, str] = NO_BASES
) -> Found:
    """The same, with each stage of a cascade by itself."""
    models: Found = {}
    seen: set[Hashable] = set()
    repos = list(hub_repos(hub_cache)) if hub_cache is not None else []
    local = [(base, path) for base in model_dirs for path in walk(base.expanduser())]
    for base, path in local:
        if path.is_dir():
            id = _name(path, base.expanduser())
            _add(models, seen, _looked_at(path, id, partial(_from_folder, path, id)))
    for repo in repos:
        _add(models, seen, _looked_at(repo.folder, repo.name, partial(_from_repo, repo)))
    donors = {**_local_donors(local), **_donors(repos)}
    for base, path in local:
        if path.is_file():
            _add(models, seen, single(path, _name(path, base.expanduser()), donors, bases))
    for repo in repos:
        for path in _files(repo):
            model = single(path, _name_in_repo(repo, path), donors, bases)
            if model.trouble is None or model.trouble.kind == "missing":
                _add(models, seen, model)  # what else the cache holds is other programs' business
    return models


def scan(
    base: Path,
    hub_cache: Path | None,
    bases: Mapping[str, str] = NO_BASES,
    model_dirs: Sequence[Path] = (),
) -> Found:
    """List what lies in one folder.

    What lies elsewhere lends to single files, and has the other stages of a cascade; it is not
    listed.
    """
    base = base.expanduser()
    repos = list(hub_repos(hub_cache)) if hub_cache is not None else []
    models = _find([base], None)
    donors = {**_local_donors([(base, path) for path in walk(base)]), **_donors(repos)}
    cascades = any(model.pipeline in STAGES for model in models.values())
    everywhere = _find([base, *model_dirs], hub_cache) if cascades else models
    return {
        id: single(model.path, id, donors, bases)
        if model.single_file
        else cascade.joined(model, everywhere.values())
        for id, model in models.items()
    }


def locate(
    name: str,
    model_dirs: Sequence[Path],
    hub_cache: Path | None,
    bases: Mapping[str, str] = NO_BASES,
) -> DiskModel | None:
    """Find one model by its id, or by the absolute path of a folder or file."""
    path = Path(name).expanduser()
    if not path.is_absolute():
        model = _by_place(name, model_dirs)
        if model is None or model.pipeline in STAGES:
            return find(model_dirs, hub_cache, bases).get(name)
        return model
    if path.is_dir():
        model = component(path, name) or folder(path, name, always=True)
        if model is None or model.pipeline not in STAGES:
            return model
        return cascade.joined(model, _find(model_dirs, hub_cache).values())
    if path.is_file():
        local = [(base, one) for base in model_dirs for one in walk(base.expanduser())]
        repos = hub_repos(hub_cache) if hub_cache is not None else ()
        return single(path, name, {**_local_donors(local), **_donors(repos)}, bases)
    return None


def _looked_at(path: Path, id: str, look: Callable[[], DiskModel | None]) -> DiskModel | None:
    """What lies there. Whatever a damaged or hostile file raises, it takes no other model away."""
    try:
        return look()
    except Exception as e:
        return _not_understood(path, id, e)


def _not_understood(path: Path, id: str, error: Exception) -> DiskModel:
    what = f"{type(error).__name__}: {str(error)[:100]}"
    return useless(path, id, f"{path.name} cannot be understood ({what}): download it again.")


def _by_place(name: str, model_dirs: Sequence[Path]) -> DiskModel | None:
    """The folder of this id where it lies as the id says, without a look at all others."""
    parts = name.split("/")
    if len(parts) > DEPTH or any(not p or p[0] == "." or {*p} & {"\\", ":"} for p in parts):
        return None
    for base in model_dirs:
        path = base.expanduser().joinpath(*parts)
        above = list(path.parents)[: len(parts)]
        if is_file(path / INDEX) and not any(is_file(one / INDEX) for one in above):
            return _looked_at(path, name, partial(folder, path, name, always=True))
    return None


def walk(base: Path, depth: int = DEPTH) -> Iterator[Path]:
    """Yield diffusers folders and files with weights, without looking into the former.

    A folder is looked into once, whatever links lead to it, unless a shorter way to it is met.
    """
    yield from _walk(base, depth, {})


def _walk(base: Path, depth: int, seen: dict[Hashable, int]) -> Iterator[Path]:
    if is_file(base / INDEX) or component(base, "") is not None:
        yield base
        return
    if is_file(base):
        yield from [base] if base.suffix in FILES else []
        return
    try:
        place, entries = _place(base), sorted(base.iterdir())
    except OSError:
        return  # a folder that is gone or closed to us holds no models
    if seen.get(place, -1) >= depth:
        return
    seen[place] = depth
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if is_folder(entry) and depth > 0:
            yield from _walk(entry, depth - 1, seen)
        elif entry.suffix in FILES and is_file(entry):
            yield entry


def single(path: Path, id: str, donors: Donors, bases: Mapping[str, str] = NO_BASES) -> DiskModel:
    """Look at one file with weights.

    Args:
        path: The file.
        id: What to call it.
        donors: Diffusers folders that may lend settings, tokenizers and missing parts.
        bases: As for `find`; a path's file name will do.
    """
    if path.suffix == ".ckpt":
        text = (
            f"{path.name} is a pickle, which may run code when it is loaded: take the .safetensors "
            "file of this model."
        )
        return useless(path, id, text)
    try:
        if path.suffix == GGUF:
            return gguf_model(path, id, donors, bases.get(id) or bases.get(path.name, ""))
        checkpoint = inspect(path)
    except (Damaged, OSError) as e:
        return useless(path, id, f"The file cannot be read ({e}): download it again.")
    except Exception as e:
        return _not_understood(path, id, e)
    if checkpoint is None:
        return useless(path, id, f"{path.name} holds no model that this engine knows.")
    if isinstance(checkpoint, Content):
        return _beside(path, id, checkpoint)
    donor = next((one for one in donors if _lends(one, checkpoint)), None)
    kind = prediction_of(checkpoint, donor)
    model = DiskModel(
        id=id,
        path=path,
        pipeline=checkpoint.pipeline,
        family=checkpoint.family,
        parts=checkpoint.parts,
        distilled=checkpoint.distilled,
        native=VELOCITY_NATIVE.get(checkpoint.family) if kind == VELOCITY else None,
        single_file=True,
        config_folder=donor,
        scheduler_changes=scheduler_changes(checkpoint, donor),
        assumed="" if donor is None else assumed(checkpoint, donors[donor]),
    )
    if donor is not None:
        return model
    problem = lacking(checkpoint.family, checkpoint.tensors, {})
    if problem:
        text = f"{path.name} is no whole {checkpoint.family} model ({problem}): download it again."
        return replace(model, trouble=Trouble(kind="unusable", text=text))
    return replace(model, trouble=Trouble(kind="missing", text=_what_to_fetch(checkpoint)))


def _beside(path: Path, id: str, content: Content) -> DiskModel:
    """What a file holds that is laid over a model, or of no use to this engine."""
    if not content.usable:
        text = f"{path.name} is {content.what}. {content.advice}"
        return useless(path, id, text, family=content.family)
    return DiskModel(
        id=id,
        path=path,
        pipeline="",
        family=content.family,
        role=content.role,
        single_file=True,
    )


def _from_folder(path: Path, id: str) -> DiskModel | None:
    if (path / INDEX).is_file():
        return folder(path, id, always=True)
    return component(path, id)


def _from_repo(repo: CachedRepo) -> DiskModel | None:
    """What a cached repository is: a pipeline, a control model, or a download that broke off."""
    model: DiskModel | None = None
    if repo.snapshot is not None and repo.is_pipeline:
        model = folder(repo.snapshot, repo.name, always=True, repo=repo.name)
    elif repo.snapshot is not None:
        model = component(repo.snapshot, repo.name)
        model = model if model is not None and model.role == "control" else None
    if repo.is_half and (model is None or model.trouble is not None):
        text = (
            f"{repo.name} is half downloaded, or is being downloaded now: "
            f"ziggie-image-mcp models pull {repo.name} goes on where that ended."
        )
        return useless(repo.snapshot or repo.folder, repo.name, text, kind="missing")
    return model


def _local_donors(local: Iterable[tuple[Path, Path]]) -> Donors:
    """The folders among what lies in the user's folders."""
    return {path: _name(path, base.expanduser()) for base, path in local if path.is_dir()}


def _donors(repos: Iterable[CachedRepo]) -> Donors:
    return {r.snapshot: r.name for r in repos if r.snapshot is not None and r.is_pipeline}


def _files(repo: CachedRepo) -> list[Path]:
    """The single files of a cached repository that is nothing else."""
    snapshot = repo.snapshot
    if snapshot is None or repo.is_half or repo.is_pipeline or (snapshot / CONFIG).is_file():
        return []
    endings = (WEIGHTS, GGUF)
    files = [path for end in endings for way in ("*", "*/*") for path in snapshot.glob(way + end)]
    return [path for path in sorted(files) if path.is_file()]


def _name_in_repo(repo: CachedRepo, path: Path) -> str:
    return f"{repo.name}/{path.relative_to(repo.snapshot or repo.folder).as_posix()}"


def _lends(donor: Path, checkpoint: Checkpoint) -> bool:
    index = read_json(donor / INDEX)
    if index.get("_class_name") not in checkpoint.lenders:
        return False
    if not can_lend(donor, checkpoint):
        return False
    layout = read_json(donor / checkpoint.denoiser / CONFIG)
    text_width = read_json(donor / "unet" / CONFIG).get("cross_attention_dim")
    if text_width != checkpoint.text_width:
        return False
    if is_distilled(donor, index, checkpoint.pipeline) != checkpoint.distilled:
        return False
    if lacking(checkpoint.family, checkpoint.tensors, layout):
        return False
    if not all((donor / name).is_dir() for name in index if name.startswith("tokenizer")):
        return False
    return all(
        weight_files(donor / name)[0]
        for name in weighted_components(index)
        if name.startswith(checkpoint.missing_parts)
    )


def _what_to_fetch(checkpoint: Checkpoint) -> str:
    own = (PIPELINES[name].config_repo for name in checkpoint.lenders)
    repo = CONFIG_REPOS.get(checkpoint.family) or next(filter(None, own))
    if prediction_of(checkpoint, None) == VELOCITY:
        repo = VELOCITY_REPOS.get(checkpoint.family, repo)
    if checkpoint.missing_parts:
        return (
            f"The file holds no {' and no '.join(checkpoint.missing_parts)}, which a complete "
            f"{checkpoint.pipeline} folder lends: ziggie-image-mcp models pull {repo}"
        )
    return (
        "A single file needs the settings and tokenizers of its family, a few MB: "
        f"ziggie-image-mcp models pull {repo} --settings-only"
    )


def _add(models: Found, seen: set[Hashable], model: DiskModel | None) -> None:
    if model is None:
        return
    same = _identity(model)
    if same in seen:
        return
    seen.add(same)
    if model.id in models:
        model = replace(model, id=str(model.path))
    models[model.id] = model


def _identity(model: DiskModel) -> Hashable:
    """What stays the same under another path: of a file itself, of a folder its weights."""
    path = model.path
    if not path.is_dir():
        return _place(path)
    files = [file for name in model.parts for file in weight_files(path / name)[0]]
    if not files:
        return _place(path)
    return frozenset(_place(file) for file in [path / INDEX, *files] if file.exists())


def _place(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_dev, stat.st_ino


def _name(path: Path, base: Path) -> str:
    return path.name if path == base else path.relative_to(base).as_posix()
