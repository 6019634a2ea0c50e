"""Where the engines that read single files look for them, and which files a model is for them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from ziggie_image_mcp.errors import InvalidRequest
from ziggie_image_mcp.inventory.model_facts import data_beside, plain

Engine = Literal["comfyui", "a1111"]

Kind = Literal[
    "checkpoint",
    "diffusion_model",
    "text_encoder",
    "vae",
    "lora",
    "controlnet",
    "upscaler",
    "embedding",
]
"""What a single file is; a checkpoint holds all parts of a model."""

OWN_FOLDERS: dict[Kind, str] = {"checkpoint": "checkpoints", "lora": "loras"}
"""Below our own folder of models: what the engine diffusers takes as single files."""


@dataclass(frozen=True, kw_only=True)
class EngineFile:
    """A file on the Hub, and what it is."""

    repo: str
    path: str
    kind: Kind


def files_of(name: str) -> tuple[EngineFile, ...]:
    """The single files that a model of the catalogue is; none where it names none.

    Args:
        name: As `models pull` takes it.
    """
    rows: dict[str, Any] = _data()["models"]
    row = next((files for id, files in rows.items() if plain(id) == plain(name)), ())
    return tuple(EngineFile(**file) for file in row)


def engine_folder(engine: Engine, installed_in: Path, kind: Kind) -> Path:
    """Where an engine looks for a file of a kind.

    Args:
        engine: Its name.
        installed_in: The folder in which it is installed, or its folder `models` itself.
        kind: What the file is.

    Raises:
        InvalidRequest: That is not the engine's folder.
    """
    installed_in = installed_in.expanduser().absolute()
    if installed_in.name == "models" and not (installed_in / "models").is_dir():
        installed_in = installed_in.parent
    if not (installed_in / "models").is_dir():
        title = _data()["engines"][engine]["title"]
        fix = f"give the folder of {title} that holds its folder `models`"
        raise InvalidRequest("folder", str(installed_in), fix)
    return installed_in / str(_data()["engines"][engine]["folders"][kind])


def kind_named(name: str) -> Kind:
    """A kind by its name.

    Raises:
        InvalidRequest: There is none of this name.
    """
    kind: Kind | None = next((k for k in get_args(Kind) if k == name.replace("-", "_")), None)
    if kind is None:
        raise InvalidRequest("kind", name, f"give one of {', '.join(get_args(Kind))}")
    return kind


def engine_named(name: str) -> Engine:
    """An engine by its name.

    Raises:
        InvalidRequest: There is none of this name.
    """
    engine: Engine | None = next((e for e in get_args(Engine) if e == name), None)
    if engine is None:
        raise InvalidRequest("to", name, f"give one of {', '.join(get_args(Engine))}")
    return engine


def _data() -> dict[str, Any]:
    return data_beside("engine_files.json")
