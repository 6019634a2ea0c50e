"""Find the text encoders and the VAE that a model alone needs, or say which are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from ziggie_image_providers.comfyui.kinds import File, Kind, data


def choose(
    kind: Kind,
    files: Mapping[str, Sequence[str]],
    own: Mapping[str, str],
    *,
    whole: bool,
    folder: str,
) -> tuple[dict[str, str], list[str]]:
    """Pick the files, and say what is to be put where for those that are missing.

    Args:
        kind: How the model is run.
        files: The names that the server lists, by folder.
        own: What the user set, by the names of families.json.
        whole: Whether the model's file holds them all.
        folder: Where the model lies: a checkpoint without text encoders has a VAE all the same.

    Returns:
        What goes into the loaders, as `clip_1` and `vae`, and a sentence for each missing one.
    """
    if whole or kind.parts is None:
        return {}, []
    chosen, missing = dict[str, str](), list[str]()
    wanted = [(f"clip_{i}", role) for i, role in enumerate(kind.parts.clip, 1)]
    if folder != "checkpoints":
        wanted.append(("vae", kind.parts.vae))
    for place, role in wanted:
        row = data().files[role]
        listed = [*files.get(row.folder, ())]
        if row.folder == "text_encoders":
            listed += [f for f in files.get("clip_gguf", ()) if f not in listed]
        found = _own(own.get(role, ""), listed) or _pick(row, listed)
        if found is None:
            missing.append(f"{row.get} into ComfyUI/models/{row.folder}")
        else:
            chosen[place] = found
    return chosen, missing


def _own(name: str, files: Sequence[str]) -> str | None:
    """The user's own choice, however its slashes stand."""
    plain = name.replace("\\", "/")
    return next((f for f in files if name and f.replace("\\", "/") == plain), None)


def _pick(row: File, files: Sequence[str]) -> str | None:
    base = {f: f.replace("\\", "/").rsplit("/", 1)[-1].lower() for f in files}
    fit = [f for f in files if not (row.without and row.without in base[f])]
    return next((f for p in row.match for f in fit if re.search(p, base[f])), None)
