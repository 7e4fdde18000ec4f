"""How `learn` is left where a rollout begins, and what entering it again must undo."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from rlhub_sb3 import saving
from rlhub_sb3.callbacks import Guests
from rlhub_sb3.noise import noise_state, restore_noise
from rlhub_sb3.parameters import Schedules
from rlhub_sb3.streams import Streams


class PausedError(Exception):
    """Leaves `learn` where a rollout begins."""


class Pause(BaseCallback):
    """Leaves `learn` at the first rollout that begins at step `at` or later; puts schedules in force."""

    at = 0

    def __init__(self, schedules: Schedules, guests: Guests, lap: Callable[[str], object]) -> None:
        super().__init__()
        self._schedules, self._guests, self._lap = schedules, guests, lap
        self._calls = bool(guests.callbacks)
        self._before: tuple[Any, ...] | None = None  # to be put back at the first rollout after coming back

    def remember(self, model: BaseAlgorithm, streams: Streams) -> None:
        """Note what coming back to `learn` will change: action noise begins anew, and gSDE draws too early."""
        if model.use_sde or model.action_noise is not None:
            self._before = saving.noise(model), noise_state(model.action_noise), streams, streams.state()

    def _init_callback(self) -> None:
        self._guests.init_callback(self.model)

    def _on_training_start(self) -> None:
        self._guests.on_training_start(self.locals, self.globals)

    def _on_rollout_start(self) -> None:
        self._lap("learning")
        if self._before is not None:
            matrices, remembered, streams, generators = self._before
            saving.set_noise(self.model, matrices)
            restore_noise(self.model.action_noise, remembered)
            streams.restore(generators)
            self._before = None
        if self.model.num_timesteps >= self.at or self._guests.stopped_by:
            raise PausedError
        self._guests.on_rollout_start()

    def _on_step(self) -> bool:
        if self._calls:
            self._guests.on_step()  # False ends the run when this rollout is whole; `learn` would leave it
        return True

    def update_child_locals(self, locals_: dict[str, Any]) -> None:
        if self._calls:
            self._guests.update_locals(locals_)

    def _on_rollout_end(self) -> None:
        self._lap("acting")
        self._guests.on_rollout_end()
        self._schedules.apply(self.model, self.model.num_timesteps)
