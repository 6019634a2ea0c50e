"""List what one ComfyUI server can run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import anyio

from ziggie_image_mcp.provider import FREE, Defaults, Memory, Model
from ziggie_image_providers.comfyui import families
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.families import Companions, Folder, Verdict
from ziggie_image_providers.comfyui.settings import Family

_FOLDERS: tuple[Folder, ...] = ("checkpoints", "diffusion_models")
_METADATA_SECONDS = 1.5
"""What reading the files' metadata may take in one listing; the rest is read in the next."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model file, with what is needed to run it."""

    model: Model
    file: str
    folder: Folder
    verdict: Verdict
    companions: Companions | None = None


class Listing:
    """Asks a server for its models; remembers what their metadata said."""

    def __init__(self, name: str, client: Client, overrides: Mapping[str, Family]) -> None:
        self._name = name
        self._client = client
        self._overrides = overrides
        self._architectures: dict[tuple[Folder, str], str] = {}

    async def entries(self) -> tuple[Entry, ...]:
        """List the files that are there, usable or not.

        Raises:
            ProviderUnavailable: The server cannot be asked.
        """
        files: list[tuple[Folder, str]] = [
            (folder, f) for folder in _FOLDERS for f in await self._client.files(folder)
        ]
        await self._read_metadata(files)
        sizes: dict[str, int] = {}
        if any(not self._verdict(*one).family for one in files if one[0] == "checkpoints"):
            sizes = await self._client.sizes("checkpoints")
        chosen, missing = None, tuple[str, ...]()
        if any(folder == "diffusion_models" for folder, _ in files):
            encoders, vaes = (
                await self._client.files("text_encoders"),
                await self._client.files("vae"),
            )
            chosen, missing = families.companions(encoders, vaes)
        twice = Counter(file for _, file in files)
        entries = [
            self._entry(
                file,
                folder,
                self._verdict(folder, file, sizes.get(file)),
                id=f"{folder}/{file}" if folder != "checkpoints" and twice[file] > 1 else file,
                companions=chosen,
                missing=missing,
            )
            for folder, file in files
        ]
        return tuple(_with_aliases(entries))

    async def _read_metadata(self, files: Iterable[tuple[Folder, str]]) -> None:
        with anyio.move_on_after(_METADATA_SECONDS):
            for one in files:
                if one not in self._architectures and one[1].endswith(".safetensors"):
                    self._architectures[one] = await self._client.architecture(*one)

    def _verdict(self, folder: Folder, file: str, size: int | None = None) -> Verdict:
        architecture = self._architectures.get((folder, file), "")
        return families.judge(file, folder, self._overrides, architecture, size)

    def _entry(
        self,
        file: str,
        folder: Folder,
        verdict: Verdict,
        *,
        id: str,
        companions: Companions | None,
        missing: tuple[str, ...],
    ) -> Entry:
        kind, lacking = verdict.kind, missing if folder == "diffusion_models" else ()
        model = Model(
            id=id,
            provider=self._name,
            where=self._client.where,
            tasks={},
            prices=FREE,
            family=verdict.family,
            device=self._client.url,
            memory=Memory(managed=True),
        )
        if kind is None:
            fix = f"{id} cannot be used: {verdict.why_not}"
            model = replace(model, state="unusable", fix=fix)
            return Entry(model=model, file=file, folder=folder, verdict=verdict)
        model = replace(
            model,
            tasks=families.tasks(kind),
            state="missing" if lacking else "ready",
            fix=f"put {', '.join(lacking)}" if lacking else "",
            defaults=Defaults(steps=kind.steps, guidance_scale=kind.guidance),
            distilled=kind.distilled,
        )
        return Entry(
            model=model,
            file=file,
            folder=folder,
            verdict=verdict,
            companions=companions if folder == "diffusion_models" else None,
        )


def _with_aliases(entries: list[Entry]) -> list[Entry]:
    """Let each model be asked for by its bare file name too, where only one has it."""
    stems = [e.file.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0] for e in entries]
    often = Counter(stems)
    return [
        replace(e, model=replace(e.model, aliases=(stem,)))
        if often[stem] == 1 and stem != e.model.id
        else e
        for e, stem in zip(entries, stems, strict=True)
    ]
