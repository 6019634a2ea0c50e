"""Choose attention and compilation by what was measured, where the settings leave them open."""

from __future__ import annotations

from pathlib import Path

from ziggie_image_providers.diffusers import wire
from ziggie_image_providers.diffusers.measured import stamp
from ziggie_image_providers.diffusers.measured_speed import MeasuredSpeed, best
from ziggie_image_providers.diffusers.measuring import why_not_again
from ziggie_image_providers.diffusers.settings import Settings


class AutoAcceleration:
    """What `auto` chooses for requests, until a worker crashes by it.

    Args:
        settings: Of the provider.
        speed: What was measured.
    """

    def __init__(self, settings: Settings, speed: MeasuredSpeed) -> None:
        self._may = {
            "attention": settings.attention == "auto",
            "compile": settings.compile == "auto",
        }
        self._speed = speed
        self._crashes: dict[tuple[str, str], str] = {}
        """With which models a worker crashed: what is said of it."""

    def choose(self, message: wire.WorkerRequest, pictures: int) -> wire.WorkerRequest:
        """The same by the fastest way that was measured to pay, where the settings leave it.

        Args:
            message: For the worker.
            pictures: Of this model in this worker, with those that are asked for.
        """
        if not any(self._may.values()) or self.note(message):
            return message
        speeds = [
            one
            for one in self._speed.read(*_key(message))
            if not why_not_again(one, half=message.dtype != "float32")
        ]
        one = best(speeds, message.device, **self._may, pictures=pictures)
        if one is None:
            return message
        chosen = {"attention": one.attention, "compile": one.compile}
        chosen = {key: value for key, value in chosen.items() if value}
        return message.model_copy(update={**chosen, "by_auto": tuple(chosen)})

    def leave_out(self, message: wire.WorkerRequest, why: object) -> None:
        """Choose nothing more for a model whose request made a worker crash."""
        ways = " and ".join(map(wire.in_words, message.chosen_by_auto()))
        self._crashes[_key(message)] = (
            f"{ways}, which auto chose, was left out: a worker that used it crashed ({why})"
        )

    def note(self, message: wire.WorkerRequest) -> str:
        """What is said with each picture of such a model; empty for others."""
        return self._crashes.get(_key(message), "") if self._crashes else ""


def _key(message: wire.WorkerRequest) -> tuple[str, str]:
    return message.path, stamp(Path(message.path))
