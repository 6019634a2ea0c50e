"""Diffusers: run models on this machine, in a child process that alone imports torch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import ClassVar

from ziggie_image_mcp.provider import (
    MODELS_FOLDER,
    DependencyMissing,
    EngineCrashed,
    Generation,
    Held,
    Model,
    ModelMissing,
    ModelUnusable,
    Probe,
    Progress,
    ProviderContext,
    ProviderInfo,
    ProviderRequest,
    ProviderUnavailable,
    Run,
    SpeedMeasurement,
    Submission,
)
from ziggie_image_mcp.provider.delivery import InProcess
from ziggie_image_providers.diffusers import attention, cascade, wire
from ziggie_image_providers.diffusers import settings as section
from ziggie_image_providers.diffusers.additions import Addition, as_model, find_additions
from ziggie_image_providers.diffusers.auto_acceleration import AutoAcceleration
from ziggie_image_providers.diffusers.device import Device
from ziggie_image_providers.diffusers.ladder import notes
from ziggie_image_providers.diffusers.listing import (
    describe,
    describe_addition,
    is_called,
    missing_packages,
    packages_missing,
)
from ziggie_image_providers.diffusers.measured import (
    KnownMemory,
    MeasuredMemory,
    is_recent,
    measured_of,
    stamp,
)
from ziggie_image_providers.diffusers.measured_speed import MeasuredSpeed, Speed
from ziggie_image_providers.diffusers.measuring import measure
from ziggie_image_providers.diffusers.process import Ended
from ziggie_image_providers.diffusers.reference_limits import fit_pictures
from ziggie_image_providers.diffusers.refiner import find_refiner, refines
from ziggie_image_providers.diffusers.scan import DiskModel, default_hub_cache, find, locate, scan
from ziggie_image_providers.diffusers.worker_request import (
    device_wanted,
    differences,
    payload,
    refiner_notes,
    worker_request,
)

START_SECONDS = 6.0
"""From the worker's start until it has imported torch and diffusers: 6 to 25 s on two CPU cores."""

READ_BYTES_PER_SECOND = 500e6
"""A SATA SSD."""

AHEAD = ""
"""Stands for the device of a worker that was started before one was chosen."""


class Diffusers(InProcess):
    """Models of the diffusers library, on this machine's GPU or CPU."""

    contract: ClassVar[int] = 1
    info: ClassVar[ProviderInfo] = ProviderInfo(
        summary="diffusers models on this machine",
        automatic=True,
        home_page="https://huggingface.co/docs/diffusers",
        extra="local",
    )
    Settings: ClassVar[type[section.Settings]] = section.Settings
    folders_key: ClassVar[str] = "modelDirs"

    def __init__(self, name: str, settings: section.Settings, context: ProviderContext) -> None:
        self.name = name
        self._settings = settings
        self._context = context
        self._measured = MeasuredMemory(context.data_dir / name / "memory.sqlite3")
        self._speed = MeasuredSpeed(context.data_dir / name / "speed.sqlite3")
        self._last_model = ""
        self._auto = AutoAcceleration(settings, self._speed)
        self._devices: dict[str, Device] = {}
        """A worker for each device, by the name that was asked for."""

    async def probe(self) -> Probe:
        """Say what is in memory, and which packages are missing: always there all the same."""
        missing = missing_packages()
        return Probe(
            state="ready",
            message=packages_missing(missing) if missing else "",
            loaded_model=self._last_model if any(d.loaded for d in self._running()) else "",
        )

    async def list_models(self) -> Sequence[Model]:
        """List the models in `model_dirs`, and those in the Hub cache.

        Raises:
            DependencyMissing: There are none, nor the packages to run one.
            ModelMissing: There are none.
        """
        models = await asyncio.to_thread(find, *self._places())
        additions = await self._additions()
        if not models:
            missing = missing_packages()
            if missing:
                raise DependencyMissing(self.name, packages_missing(missing))
            raise ModelMissing(self.name, self._no_models())
        return await self._described(models.values(), additions)

    async def scan(self, folder: Path) -> Sequence[Model]:
        """List what lies in one folder; other places lend it what it lacks."""
        folders, cache, bases = self._places()
        models = await asyncio.to_thread(scan, folder, cache, bases, folders)
        additions = await asyncio.to_thread(find_additions, [folder], None)
        return await self._described(models.values(), additions)

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Make the pictures of one request. `model.id` may also be an absolute path."""
        missing = missing_packages()
        if missing:
            raise DependencyMissing(self.name, packages_missing(missing))
        on_disk = await asyncio.to_thread(locate, model.id, *self._places())
        if on_disk is None:
            raise ModelMissing(
                self.name,
                f"There is no model {model.id!r} in modelDirs or the Hub cache: "
                "list_models shows what is there.",
            )
        if on_disk.trouble is not None:
            kind = ModelMissing if on_disk.trouble.kind == "missing" else ModelUnusable
            raise kind(self.name, on_disk.trouble.text)
        if on_disk.role != "model":
            raise ModelUnusable(self.name, f"{on_disk.id} is laid over a model, and is none.")
        backend = self._settings.attention
        if backend != "auto" and (lacking := attention.why_not_installed(backend)):
            key = f"providers.{self.name}.attention"
            raise DependencyMissing(self.name, f"{key} is {backend!r}, and {lacking}; or set auto.")
        request, enlarged = await asyncio.to_thread(fit_pictures, request, model, on_disk.known)
        memory = (await asyncio.to_thread(self._known_memory, [on_disk]))[on_disk.path]
        additions = await self._additions()
        known = self._describe(on_disk, memory, additions)
        if known.state == "missing":
            raise DependencyMissing(self.name, known.fix)
        refiner = await self._refiner(request, on_disk)
        message = worker_request(
            request,
            replace(known, device=model.device, rung=model.rung) if model.rung else known,
            on_disk,
            settings=self._settings,
            context=self._context,
            additions=additions,
            with_refiner=refiner,
        )
        if not message.rung and any(m.rung == "" and is_recent(m, memory.now) for m in memory[0]):
            message = message.model_copy(update={"must_offload": True})
        made = max((one.made(message.path) for one in self._running()), default=0)
        pictures = made + message.num_images
        message = await asyncio.to_thread(self._auto.choose, message, pictures)
        self._last_model = on_disk.id
        generation = await self._run(message, run.progress, payload(request))
        said = await asyncio.to_thread(differences, request, message)
        said = [*enlarged, *said, *refiner_notes(refiner, on_disk, message)]
        said += cascade.notes(on_disk, message)
        said += filter(None, [self._auto.note(message)])
        return replace(generation, notes=(*said, *notes(message.rung), *generation.notes))

    async def _run(
        self, message: wire.WorkerRequest, progress: Progress, payload: bytes
    ) -> Generation:
        """Run a request, and where the worker crashes with what `auto` chose, anew without it."""
        device, began = self._device(message.device), time.monotonic()
        chosen = message.chosen_by_auto()
        try:
            return await device.run(message, progress, payload)
        except EngineCrashed as e:
            if not (chosen and isinstance(e.__cause__, Ended) and e.__cause__.is_crash):
                raise
            why = e
        lost = time.monotonic() - began
        generation = await device.run(message.without(chosen), progress, payload)
        self._auto.leave_out(message, why)
        return replace(generation, compile_seconds=generation.compile_seconds + lost)

    async def measure(
        self, request: ProviderRequest, model: Model, pictures: int, progress: Progress
    ) -> Sequence[SpeedMeasurement]:
        """Run a model as usual, by each attention that is installed, and compiled.

        Raises:
            ProviderError: The usual way failed, or what came of it cannot be kept.
        """
        on_disk = await asyncio.to_thread(locate, model.id, *self._places())
        if on_disk is None:
            raise ModelMissing(self.name, f"There is no model {model.id!r} any more.")

        def build(ways: Mapping[str, str]) -> Diffusers:
            more = {"step_cache": "off", "idle_seconds": 3600.0}
            return Diffusers(
                self.name, self._settings.model_copy(update={**more, **ways}), self._context
            )

        path = on_disk.path

        async def keep(speeds: Sequence[Speed]) -> None:
            try:
                await asyncio.to_thread(self._speed.keep, str(path), stamp(path), speeds)
            except OSError as e:
                text = f"What was measured cannot be kept: {e}"
                raise ProviderUnavailable(self.name, text) from e

        return await measure(build, request, model, pictures=pictures, progress=progress, keep=keep)

    def device_in_use(self) -> str:
        """Where the model in memory is, as torch names it; empty where none is."""
        places = [device.in_use.device for device in self._running() if device.in_use]
        return places[0] if places else ""

    async def start_ahead(self, model: str | None) -> None:
        """Start a worker for a model that is here, while it is decided which is taken."""
        if self._running() or missing_packages():
            return
        models = await asyncio.to_thread(find, *self._places())
        usable = [one for one in models.values() if one.trouble is None and one.role == "model"]
        if usable and (model is None or any(is_called(one, model) for one in usable)):
            await self._device(AHEAD).start_ahead()

    async def stand_down(self) -> None:
        """End a worker that was started so and is not used."""
        if (device := self._devices.get(AHEAD)) is not None:
            await device.stand_down()

    async def aclose(self) -> None:
        """End the workers. May be called twice."""
        await asyncio.gather(*(device.aclose() for device in self._devices.values()))

    def _device(self, wanted: str) -> Device:
        """The worker of a device: the one that has it already, or a new one."""
        ahead = None if wanted == AHEAD else self._devices.get(AHEAD)
        for name, device in self._devices.items():
            in_use = device.in_use
            if wanted == name or (in_use is not None and in_use.device == wanted):
                if ahead is None or not device.is_asleep:
                    return device
                break
        if ahead is not None:  # its worker has no device before it has a model
            self._devices[wanted] = self._devices.pop(AHEAD)
            return ahead
        self._devices[wanted] = Device(
            self.name,
            idle_seconds=self._settings.idle_seconds,
            load_seconds=self._settings.load_seconds,
            step_seconds=self._settings.step_seconds,
            total_seconds=self._settings.timeout or self._context.timeout,
            learn=self._learn,
        )
        return self._devices[wanted]

    def _running(self) -> list[Device]:
        return [device for device in self._devices.values() if device.is_running]

    async def _refiner(self, request: ProviderRequest, on_disk: DiskModel) -> DiskModel | None:
        """The refiner that is set, where it could go on with what is asked for."""
        name = self._settings.refiner
        if not name or not refines(on_disk, request.task):
            return None
        return await asyncio.to_thread(
            find_refiner, name, self.name, self._folders(), self._hub_cache()
        )

    async def _additions(self) -> tuple[Addition, ...]:
        return await asyncio.to_thread(find_additions, self._folders(), self._hub_cache())

    async def _described(
        self, models: Iterable[DiskModel], additions: Sequence[Addition]
    ) -> list[Model]:
        """The models, and by name what can be laid over them; what is of no use says why."""
        models, by_path = list(models), {one.path: one for one in additions}
        known = await asyncio.to_thread(self._known_memory, models)
        listed: list[Model] = []
        for one in models:
            addition = by_path.get(one.path)
            if addition is None and one.role == "model":
                listed.append(self._describe(one, known[one.path], additions))
            elif addition is None:
                listed.append(describe_addition(one, provider=self.name))
            elif addition.role != "ip_adapter":  # which references use without a name
                listed.append(as_model(addition, self.name))
        return listed

    async def _learn(
        self, request: wire.WorkerRequest, in_use: wire.InUse | None, room: int | None
    ) -> None:
        """Keep what a request took in memory, for the decisions to come."""
        measured = measured_of(request, in_use, room, time.time())
        if measured is not None:
            path, stages = Path(request.path), [Path(one.path) for one in request.stages]
            await asyncio.to_thread(
                lambda: self._measured.keep(request.path, stamp(path, *stages), measured)
            )

    def _known_memory(self, models: Iterable[DiskModel]) -> dict[Path, KnownMemory]:
        """What is known of each model by its path."""
        everything, now = self._measured.read_all(), time.time()
        return {
            one.path: KnownMemory(
                everything.get((str(one.path), stamp(*one.folders)), ()) if everything else (), now
            )
            for one in models
        }

    def _describe(
        self, on_disk: DiskModel, memory: KnownMemory, additions: Sequence[Addition]
    ) -> Model:
        path, running = str(on_disk.path), self._running()
        model = describe(
            on_disk,
            provider=self.name,
            missing=missing_packages(),
            frugal=self._context.vram_optimization,
            additions=additions,
            loaded=any(device.loaded == path for device in running),
            held=[
                Held(
                    device=in_use.device,
                    vram_bytes=in_use.vram_bytes,
                    ram_bytes=in_use.ram_bytes,
                    rung=device.rung if device.loaded == path else "",
                )
                for device in running
                if (in_use := device.in_use) is not None
            ],
            quantization=self._settings.quantization,
            known_memory=memory,
        )
        wanted = device_wanted(self._settings, self._context)
        start = 0.0 if running else START_SECONDS
        read = (model.memory.ram_bytes or 0) / READ_BYTES_PER_SECOND
        return replace(
            model,
            device="gpu" if wanted == "auto" else wanted,
            load_seconds=start + read,
        )

    def _no_models(self) -> str:
        places = [str(folder) for folder in self._settings.model_dirs]
        cache = self._hub_cache()
        places += [] if cache is None else [str(cache)]
        if not places:
            return f"No folder with models is named: set providers.{self.name}.modelDirs."
        return f"No models in {' or '.join(places)}: put one there, or name a folder in modelDirs."

    def _folders(self) -> tuple[Path, ...]:
        return (*self._settings.model_dirs, self._context.data_dir / MODELS_FOLDER)

    def _places(self) -> tuple[tuple[Path, ...], Path | None, dict[str, str]]:
        """Where models are looked for, and what lends to GGUF files."""
        return self._folders(), self._hub_cache(), self._settings.gguf_bases

    def _hub_cache(self) -> Path | None:
        return default_hub_cache() if self._settings.use_hub_cache else None
