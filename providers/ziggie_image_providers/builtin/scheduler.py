"""DDIM without randomness (Song et al., https://arxiv.org/abs/2010.02502), in numpy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]


class Scheduler:
    """The noise that a model was trained with, and the steps out of it.

    Equal to diffusers' DDIMScheduler for v-prediction with zero terminal signal-to-noise ratio and
    trailing time steps (Lin et al., https://arxiv.org/abs/2305.08891).

    Args:
        folder: The `scheduler` folder of the model.
    """

    def __init__(self, folder: Path) -> None:
        config: dict[str, Any] = json.loads((folder / "scheduler_config.json").read_text("utf-8"))
        self.train_steps: int = config["num_train_timesteps"]
        first, last = config["beta_start"] ** 0.5, config["beta_end"] ** 0.5
        roots = np.linspace(first, last, self.train_steps, dtype=np.float32)
        signal = np.sqrt(np.cumprod(1 - roots**2))
        signal = (signal - signal[-1]) * signal[0] / (signal[0] - signal[-1])
        self._alphas: Array = (signal**2).astype(np.float32)
        """The signal's share of the variance at each time step; 0 at the last."""

    def timesteps(self, steps: int, strength: float = 1.0) -> list[int]:
        """The time steps of a picture, from noise to none.

        Args:
            steps: Of a picture made from noise alone.
            strength: The share of them that is run, where a picture is changed.
        """
        spaced = np.round(np.arange(self.train_steps, 0, -self.train_steps / steps)) - 1
        return [int(t) for t in spaced[steps - min(int(steps * strength), steps) :]]

    def step(self, prediction: Array, timestep: int, steps: int, latents: Array) -> Array:
        """Go from one time step to the next, of so many steps in all."""
        before = timestep - self.train_steps // steps
        alpha, beta = self._variances(timestep)
        next_alpha, next_beta = self._variances(before) if before >= 0 else (1.0, 0.0)
        clean = alpha**0.5 * latents - beta**0.5 * prediction
        noise = alpha**0.5 * prediction + beta**0.5 * latents
        return np.asarray(next_alpha**0.5 * clean + next_beta**0.5 * noise, np.float32)

    def add_noise(self, clean: Array, noise: Array, timestep: int) -> Array:
        """Give latents the noise of a time step."""
        alpha, beta = self._variances(timestep)
        return np.asarray(alpha**0.5 * clean + beta**0.5 * noise, np.float32)

    def _variances(self, timestep: int) -> tuple[float, float]:
        alpha = float(self._alphas[timestep])
        return alpha, 1 - alpha
