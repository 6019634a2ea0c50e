"""Hear of each step of a pipeline that runs. Only the worker process uses this."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any

OnStep = Callable[[int, int], None]
"""Called after every step with its number and the number of steps; raises to end it."""


@contextmanager
def watched(
    pipe: Any, parameters: Mapping[str, inspect.Parameter], steps: int | None, on_step: OnStep
) -> Generator[dict[str, Any]]:
    """Hear of every step: by the pipeline's callback, else by its scheduler."""
    if "callback_on_step_end" in parameters:

        def callback(pipe: Any, at: int, _: Any, values: dict[str, Any]) -> dict[str, Any]:
            on_step(at + 1, int(getattr(pipe, "_num_timesteps", None) or steps or at + 1))
            return values

        yield {"callback_on_step_end": callback}
        return
    step, done = pipe.scheduler.step, 0

    @wraps(step)  # pipelines look whether it takes a generator, and else draw noise of no seed
    def counted(*values: Any, **named: Any) -> Any:
        nonlocal done
        result = step(*values, **named)
        done += 1
        on_step(done, max(done, steps or 0))
        return result

    pipe.scheduler.step = counted
    try:
        yield {}
    finally:
        del pipe.scheduler.step
