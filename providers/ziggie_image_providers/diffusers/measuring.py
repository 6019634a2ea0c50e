"""Run a model by each way that might be faster, and compare it with the usual one."""

from __future__ import annotations

import io
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Protocol

from ziggie_image_mcp.provider import (
    Generation,
    ImageError,
    Model,
    Progress,
    ProviderRequest,
    Run,
    SpeedMeasurement,
    Submission,
)
from ziggie_image_providers.diffusers import attention, compiling
from ziggie_image_providers.diffusers.measured_speed import Speed, pays, pays_from

USUAL = "as usual"

TRIED = (
    *("flash", "_flash_3", "sage", "xformers"),
    *("_native_cudnn", "_native_flash", "_native_efficient"),
)
"""The attention that may be faster than torch's own choice."""


class Way(NamedTuple):
    """How a model is run, as the settings say it."""

    name: str
    attention: str = attention.NATIVE
    compile: bool = False

    @property
    def settings(self) -> Mapping[str, str]:
        """What of a provider's section makes it so."""
        return {"attention": self.attention, "compile": "on" if self.compile else "off"}

    def why_not_used(self, notes: Sequence[str]) -> str:
        """What the engine says of it; empty where its pictures were made so."""
        for wanted, note in (
            (self.attention != attention.NATIVE, attention.note(self.attention)),
            (self.compile, compiling.NOTE),
        ):
            if wanted and note not in notes:
                return next((one for one in notes if " was not " in one), "it was not used")
        return ""


WAYS = (
    Way(USUAL),
    *(Way(f"attention by {name}", attention=name) for name in TRIED),
    Way("compiled", compile=True),
)


def lacking(way: Way, device: str) -> str:
    """What keeps a way from running on a device, found without trying; empty where nothing does."""
    if way.compile:
        return compiling.why_not_on(device)
    return _why_no_attention(way.attention, device, half=True)


def why_not_again(one: Speed, *, half: bool) -> str:
    """What keeps a way that was measured from running now; empty where nothing does.

    Args:
        one: What was measured.
        half: The model computes in half precision.
    """
    if one.compile and (why := compiling.why_not_on(one.device)):
        return why
    return _why_no_attention(one.attention, one.device, half) if one.attention else ""


def _why_no_attention(name: str, device: str, half: bool) -> str:
    return attention.why_not_on(name, device, half) or attention.why_not_installed(name)


class Engine(Protocol):
    """A provider with a worker of its own."""

    async def submit(self, request: ProviderRequest, model: Model, run: Run) -> Submission:
        """Make a picture."""
        ...

    def device_in_use(self) -> str:
        """Where the model in memory is, as torch names it; empty where none is."""
        ...

    async def aclose(self) -> None:
        """End the worker."""
        ...


class Timed(NamedTuple):
    """What one way came to, and its last picture."""

    speed: Speed
    picture: bytes


async def measure(
    build: Callable[[Mapping[str, str]], Engine],
    request: ProviderRequest,
    model: Model,
    *,
    pictures: int,
    progress: Progress,
    keep: Callable[[Sequence[Speed]], Awaitable[None]],
    clock: Callable[[], float] = time.perf_counter,
    look: Callable[[Way, str], str] = lacking,
) -> list[SpeedMeasurement]:
    """Make pictures by each way, in a worker of its own, one way after another.

    Args:
        build: Makes the engine with these settings in place of its own.
        request: For one picture.
        model: By what.
        pictures: How many are timed after the first, of which the median counts.
        progress: Is told which way runs, and how far its pictures are.
        keep: Keeps all that was measured so far, after each way: who stops loses only the last.
        clock: Seconds.
        look: Says what a way lacks on a device.

    Returns:
        A row for each way.

    Raises:
        ProviderError: The usual way failed.
    """
    usual: Timed | None = None
    rows, speeds = list[SpeedMeasurement](), list[Speed]()
    for at, way in enumerate(WAYS):
        await progress(at / len(WAYS), way.name)
        tell = _part(progress, at, len(WAYS), way.name)
        why_not = "" if usual is None else look(way, usual.speed.device)
        if why_not:
            rows.append(SpeedMeasurement(name=way.name, why_not=why_not))
            continue
        engine = build(way.settings)
        try:
            timed = await _timed(engine, request, model, Timing(way, pictures, tell, clock))
        except ImageError as e:
            if usual is None:
                raise
            rows.append(SpeedMeasurement(name=way.name, why_not=str(e)))
            continue
        finally:
            await engine.aclose()
        if isinstance(timed, str):
            rows.append(SpeedMeasurement(name=way.name, why_not=timed))
            continue
        usual = usual or timed
        speed = replace(timed.speed, difference=difference(usual.picture, timed.picture))
        speeds.append(speed)
        await keep(speeds)
        rows.append(
            SpeedMeasurement(
                name=way.name,
                seconds=speed.seconds,
                first_seconds=speed.first_seconds,
                difference=speed.difference,
                pays=pays(speed, usual.speed),
                pays_from=pays_from(speed, usual.speed),
            )
        )
    return rows


class Timing(NamedTuple):
    """How one way is timed."""

    way: Way
    pictures: int
    """After the first."""
    progress: Progress
    """Is told how far this way is."""
    clock: Callable[[], float]
    """Seconds."""


async def _timed(
    engine: Engine, request: ProviderRequest, model: Model, timing: Timing
) -> Timed | str:
    """The first picture and those after it; or why they were not made in this way."""
    way, clock, all_pictures = timing.way, timing.clock, 1 + timing.pictures
    seconds, picture = list[float](), b""
    for at in range(all_pictures):
        which = f"picture {at + 1} of {all_pictures}"
        run = Run(key="measure", progress=_part(timing.progress, at, all_pictures, which))
        began = clock()
        result = await engine.submit(request, model, run)
        assert isinstance(result, Generation)
        seconds.append(clock() - began - (result.load_seconds or 0.0))
        if why := way.why_not_used(result.notes):
            return why
        picture = result.images[0].data
    speed = Speed(
        device=engine.device_in_use(),
        attention="" if way.attention == attention.NATIVE else way.attention,
        compile=way.compile,
        seconds=statistics.median(seconds[1:]),
        first_seconds=seconds[0],
    )
    return Timed(speed, picture)


def difference(one: bytes, other: bytes) -> float:
    """How far two pictures are from one another: the mean over pixels and colours, of 255."""
    from PIL import Image, ImageChops, ImageStat  # imported at start, it would delay every server

    with Image.open(io.BytesIO(one)) as a, Image.open(io.BytesIO(other)) as b:
        apart = ImageChops.difference(a.convert("RGB"), b.convert("RGB"))
    return sum(ImageStat.Stat(apart).mean) / 3


def _part(progress: Progress, at: int, parts: int, name: str) -> Progress:
    """The progress of one of several parts, told as that of them all."""

    async def tell(share: float, text: str) -> None:
        await progress((at + share) / parts, f"{name}: {text}")

    return tell
