"""List what one ComfyUI server can run, and what can be laid over it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from ziggie_image_mcp.provider import FREE, Defaults, Memory, Model, State
from ziggie_image_providers.comfyui import additions, capabilities, companions, memory, wire
from ziggie_image_providers.comfyui.additions import ControlNet
from ziggie_image_providers.comfyui.client import Client
from ziggie_image_providers.comfyui.headers import Tensors, find_file, read_tensors
from ziggie_image_providers.comfyui.kinds import Kind, kind
from ziggie_image_providers.comfyui.recognition import FileFacts, Folder, Verdict, recognise
from ziggie_image_providers.comfyui.settings import Settings
from ziggie_image_providers.comfyui.workflow import models as workflows
from ziggie_image_providers.comfyui.workflow.models import OwnWorkflow

_METADATA_SECONDS = 1.5
"""What reading the files' metadata may take in one listing; the rest is read in the next."""

_AT_ONCE = 3
"""Calls of a listing that are under way together."""

_UPSCALE_FACTORS = (2, 3, 4)
"""A model's own factor is not told: what it makes is scaled to the size that was asked."""

GGUF_LOADER = "UnetLoaderGGUF"
_GGUF_CLIPS = "CLIPLoaderGGUF"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model file, with what is needed to run it."""

    model: Model
    file: str
    folder: str
    kind: Kind | None = None
    """None where it is an upscaler, or cannot be used."""
    whole: bool = False
    gguf: bool = False
    parts: Mapping[str, str] = field(default_factory=dict[str, str])
    workflow: OwnWorkflow | None = None
    """Where it is a workflow of the user's."""


@dataclass(frozen=True, kw_only=True)
class Contents:
    """What a server has."""

    entries: Mapping[str, Entry] = field(default_factory=dict[str, Entry])
    additions: tuple[Model, ...] = ()
    nets: tuple[ControlNet, ...] = ()
    refiner: str = ""
    nodes: wire.NodeTable = field(default_factory=lambda: wire.NodeTable({}))


@dataclass
class _Files:
    """The names that a server lists, by folder."""

    names: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    sizes: dict[str, dict[str, int]] = field(default_factory=dict[str, dict[str, int]])
    embeddings: tuple[str, ...] = ()

    def size(self, folder: str, file: str) -> int | None:
        return self.sizes.get(folder, {}).get(file.replace("\\", "/"))


class Listing:
    """Asks a server for its models; remembers what their files said."""

    def __init__(self, name: str, client: Client, settings: Settings) -> None:
        self._name = name
        self._client = client
        self._settings = settings
        self._metadata: dict[tuple[str, str], Mapping[str, object]] = {}
        self.is_complete = False
        """Whether the metadata of all files were read."""
        self.last_names: tuple[tuple[str, ...], ...] = ()
        """What `names` would have said when all was listed last."""
        self._tensors: dict[tuple[str, str, int | None], Tensors | None] = {}

    async def names(self) -> tuple[tuple[str, ...], ...]:
        """The files of the folders in which people put most, quickly.

        Raises:
            ProviderUnavailable: The server cannot be asked.
        """
        return tuple([await self._client.files(folder) for folder in _WATCHED])

    async def contents(self) -> Contents:
        """List the files that are there, usable or not.

        Raises:
            ProviderUnavailable: The server cannot be asked.
        """
        files, nodes, stats = await self._ask()
        self.last_names = tuple(files.names[folder] for folder in _WATCHED)
        await self._read_metadata(files)
        await self._read_tensors(files)
        device = _device(stats)
        nets = tuple(_nets(files))
        models = [
            self._entry(folder, file, files, nodes, device, nets)
            for folder, file in _models(files, nodes)
        ]
        upscalers = [self._upscaler(f, nodes) for f in files.names["upscale_models"]]
        workflows = await anyio.to_thread.run_sync(partial(self._workflows, nodes))
        entries = _with_aliases([*workflows, *_apart(models), *upscalers])
        refiners = (e.file for e in models if e.model.family == "sdxl-refiner")
        refiner = next((f for f in refiners if f in files.names["checkpoints"]), "")
        return Contents(
            entries={e.model.id: e for e in entries},
            additions=tuple(self._additions(files, nets)),
            nets=nets,
            refiner=refiner,
            nodes=nodes,
        )

    async def _ask(self) -> tuple[_Files, wire.NodeTable, wire.SystemStats]:
        files, client = _Files(), self._client
        results: list[wire.SystemStats] = []
        nodes: list[wire.NodeTable] = []

        at_once = anyio.CapacityLimiter(_AT_ONCE)

        async def names(folder: str) -> None:
            async with at_once:
                files.names[folder] = await client.files(folder)

        async def sizes(folder: str) -> None:
            async with at_once:
                listed = await client.sizes(folder)
            files.sizes[folder] = {name.replace("\\", "/"): size for name, size in listed.items()}

        async def others() -> None:
            results.append(await client.system())
            files.embeddings = await client.embeddings()

        async def table() -> None:
            nodes.append(await client.nodes())

        try:
            async with anyio.create_task_group() as group:
                for folder in _FOLDERS:
                    group.start_soon(names, folder)
                for folder in _SIZED:
                    group.start_soon(sizes, folder)
                group.start_soon(others)
                group.start_soon(table)
        except* Exception as errors:
            raise _first(errors) from None
        for folder, loader, input in (
            ("unet_gguf", GGUF_LOADER, "unet_name"),
            ("clip_gguf", _GGUF_CLIPS, "clip_name"),
        ):
            there = loader in nodes[0]
            files.names[folder] = await client.choices(loader, input) if there else ()
        return files, nodes[0], results[0]

    async def _read_metadata(self, files: _Files) -> None:
        """What files say of themselves, as far as there is time; the rest next time."""
        self.is_complete = False
        with anyio.move_on_after(_METADATA_SECONDS):
            for folder in (*_MODEL_FOLDERS, "loras"):
                for file in files.names[folder]:
                    if (folder, file) not in self._metadata and file.endswith(".safetensors"):
                        found = await self._client.metadata(folder, file)
                        self._metadata[folder, file] = found
            self.is_complete = True

    async def _read_tensors(self, files: _Files) -> None:
        """The names of tensors, of a server whose folders are on this machine, or mounted here."""
        wanted = [
            (folder, file, files.size(folder, file))
            for folder in _MODEL_FOLDERS
            for file in files.names[folder]
        ]
        wanted = [one for one in wanted if one not in self._tensors]
        own = self._client.where == "this_machine" or self._settings.local
        if not own or not wanted:
            return
        folders = await self._client.folders()

        def work() -> dict[tuple[str, str, int | None], Tensors | None]:
            found: dict[tuple[str, str, int | None], Tensors | None] = {}
            for folder, file, size in wanted:
                path: Path | None = find_file(folders.get(folder, ()), file)
                if path and size is not None and path.stat().st_size != size:
                    path = None  # another file of this name, on another machine than the server's
                found[folder, file, size] = read_tensors(path) if path else None
            return found

        self._tensors |= await anyio.to_thread.run_sync(work)

    def _verdict(self, folder: Folder, file: str, size: int | None) -> Verdict:
        facts = FileFacts(
            file=file,
            folder=folder,
            size=size,
            metadata=self._metadata.get((folder, file), {}),
            tensors=self._tensors.get((folder, file, size)),
        )
        return recognise(facts, self._settings.families)

    def _entry(
        self,
        folder: Folder,
        file: str,
        files: _Files,
        nodes: wire.NodeTable,
        device: memory.Device,
        nets: Iterable[ControlNet],
    ) -> Entry:
        size = files.size(folder, file)
        verdict = self._verdict(folder, file, size)
        model = self._model(file, family=verdict.family or None)
        how = kind(verdict.family, verdict.variant, verdict.steps)
        whole = capabilities.is_whole(verdict, how, file, checkpoint=folder == "checkpoints")
        why = capabilities.why_not(verdict, how, file, folder, nodes, whole=whole)
        if why or how is None:
            model = replace(model, state="unusable", fix=f"{file} cannot be used: {why}")
            return Entry(model=model, file=file, folder=folder)
        chosen, missing = companions.choose(
            how, {**files.names}, self._settings.companions, whole=whole, folder=folder
        )
        beside = sum(
            files.size(f, n) or 0 for f in ("text_encoders", "vae") for n in chosen.values()
        )
        fit = memory.fit(device, verdict.family, size or 0, beside, whole=whole)
        state: State = "missing" if missing else "ready"
        fix = f"put {', '.join(missing)}" if missing else ""
        if not fit.fits:
            state, fix = "unusable", f"{file} cannot be used: {fit.note}; {fit.fix}"
        adapters = bool(files.names["ipadapter"] and files.names["clip_vision"])
        able = capabilities.of(how, verdict.family, nodes, nets, bool(files.embeddings), adapters)
        model = replace(
            model,
            tasks=able,
            state=state,
            fix=fix,
            defaults=Defaults(steps=how.steps, guidance_scale=how.guidance),
            distilled=how.distilled,
            device_memory=device.vram,
            memory=Memory(managed=True, vram_bytes=(size or 0) + beside or None),
            slowdown=fit.slowdown,
            note=fit.note,
        )
        return Entry(
            model=model,
            file=file,
            folder=folder,
            kind=how,
            whole=whole,
            gguf=verdict.format == "gguf",
            parts=chosen,
        )

    def _model(self, id: str, *, family: str | None) -> Model:
        return Model(
            id=id,
            provider=self._name,
            where=self._client.where,
            tasks={},
            prices=FREE,
            family=family,
            device=self._client.url,
            memory=Memory(managed=True),
        )

    def _upscaler(self, file: str, nodes: wire.NodeTable) -> Entry:
        model = self._model(file, family="upscaler")
        lacking = nodes.missing(("UpscaleModelLoader", "ImageUpscaleWithModel"))
        if lacking:
            model = replace(model, state="unusable", fix=f"this ComfyUI has no node {lacking[0]}")
        tasks = capabilities.upscaling(_UPSCALE_FACTORS)
        return Entry(model=replace(model, tasks=tasks), file=file, folder="upscale_models")

    def _workflows(self, nodes: wire.NodeTable) -> list[Entry]:
        entries: list[Entry] = []
        for id, settings in self._settings.workflows.items():
            own = partial(workflows.offer, id, settings, nodes, provider=self._name)
            model, workflow = own(device=self._client.url, where=self._client.where)
            entries.append(Entry(model=model, file=id, folder="workflows", workflow=workflow))
        return entries

    def _additions(self, files: _Files, nets: Iterable[ControlNet]) -> Iterable[Model]:
        for file in files.names["loras"]:
            family = additions.lora_family(file, self._metadata.get(("loras", file), {}))
            yield replace(self._model(file, family=family), role="lora")
        for net in nets:
            title = f"control: {', '.join(sorted(net.kinds))}"
            yield replace(self._model(net.file, family=net.family), role="control", title=title)
        for name in files.embeddings:
            yield replace(self._model(name, family=None), role="embedding")


_MODEL_FOLDERS: tuple[Folder, ...] = ("checkpoints", "diffusion_models")
_WATCHED = (*_MODEL_FOLDERS, "loras")
_SIZED = (*_MODEL_FOLDERS, "text_encoders", "vae")
_FOLDERS = (
    *_SIZED,
    "loras",
    "controlnet",
    "model_patches",
    "upscale_models",
    "ipadapter",
    "clip_vision",
)


def _first(errors: BaseExceptionGroup[Exception]) -> Exception:
    error: BaseException = errors
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, Exception)
    return error


def _device(stats: wire.SystemStats) -> memory.Device:
    first = stats.devices[0] if stats.devices else None
    on_gpu = first is not None and first.type != "cpu"
    return memory.Device(
        vram=first.vram_total if first is not None and on_gpu else None,
        ram=stats.system.ram_total,
    )


def _models(files: _Files, nodes: wire.NodeTable) -> Iterable[tuple[Folder, str]]:
    for folder in _MODEL_FOLDERS:
        for file in files.names[folder]:
            yield folder, file
    listed = set(files.names["diffusion_models"])
    for file in files.names["unet_gguf"]:
        if file not in listed:
            yield "diffusion_models", file


def _nets(files: _Files) -> Iterable[ControlNet]:
    for folder, patch in (("controlnet", False), ("model_patches", True)):
        for file in files.names[folder]:
            net = additions.control_net(file, patch=patch)
            if net is not None:
                yield net


def _apart(entries: list[Entry]) -> Iterable[Entry]:
    """Name the folder of those whose names two folders have."""
    often = Counter(e.file for e in entries)
    for entry in entries:
        if often[entry.file] > 1 and entry.folder != "checkpoints":
            id = f"{entry.folder}/{entry.file}"
            entry = replace(entry, model=replace(entry.model, id=id))
        yield entry


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
