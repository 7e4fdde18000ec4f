"""Stable-Baselines3's own callbacks in an rlhub run.

    rlhub.train("sb3/ppo", "CartPole-v1", steps=50_000, callbacks=[EvalCallback(...), MyCallback()])

They are called as plain `learn` calls them, which matters because `learn` is left and entered again all the time. One
that returns False from `on_step` is not called again; the run ends after the update that follows, so that no
transition is lost.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EvalCallback

from rlhub_core import Callback, ConfigError, Progress, Run, StopTraining, state
from rlhub_sb3.saving import packed

LENT = ("model", "parent", "locals", "globals")  # attributes that SB3 gives a callback at each start


class Guests(CallbackList):
    """Callbacks that see one training, however often `learn` is left and entered again.

    Attributes:
        stopped_by: which of them have returned False, or "".
    """

    def __init__(self, callbacks: list[BaseCallback]) -> None:
        super().__init__(callbacks)
        self.begun = self.ended = False
        self.stopped_by = ""
        self._rolling = False  # the running rollout was announced

    def init_callback(self, model: BaseAlgorithm) -> None:
        """Hand over the model, once."""
        if not self.begun:
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "Training and eval env are not of the same type")  # nor need they be
                super().init_callback(model)

    def on_training_start(self, locals_: dict[str, Any], globals_: dict[str, Any]) -> None:
        """Announce the training, once; later, hand over the local variables of the new call of `learn`."""
        if self.begun:
            self.update_locals(locals_)
        else:
            self.begun = True
            super().on_training_start(locals_, globals_)

    def on_rollout_start(self) -> None:
        """Tell all, unless one has ended the training; once, also where a rollout is announced twice."""
        if not self.stopped_by and not self._rolling:
            self._rolling = True
            super().on_rollout_start()

    def on_step(self) -> bool:
        """Ask all, unless one has ended the training; return whether it goes on."""
        if not self.stopped_by:
            refusing = [type(callback).__name__ for callback in self.callbacks if not callback.on_step()]
            self.stopped_by = " and ".join(refusing)
        return not self.stopped_by

    def on_rollout_end(self) -> None:
        """Tell all, unless one has ended the training."""
        self._rolling = False
        if not self.stopped_by:
            super().on_rollout_end()

    def on_training_end(self) -> None:
        """Tell all, once, where there was a training."""
        if self.begun and not self.ended:
            self.ended = True
            super().on_training_end()


class SB3Callbacks(Callback):
    """Hands callbacks of Stable-Baselines3 to the model of a run; what they have counted is part of its checkpoints.

    Args:
        callbacks: objects of SB3's classes, or of any subclass of its `BaseCallback`.
    """

    def __init__(self, *callbacks: BaseCallback) -> None:
        for callback in callbacks:
            if not isinstance(callback, BaseCallback):
                raise ConfigError(
                    f"{callback!r} is no callback of Stable-Baselines3: pass an object of a BaseCallback."
                )
        self.callbacks = callbacks
        self._guests = Guests([])
        self._at_first = [copy.deepcopy(_plain(each)) for each in _all(callbacks)]

    def on_start(self, run: Run) -> None:
        """Have the model call them.

        Raises:
            ConfigError: where the algorithm has no Stable-Baselines3 model.
        """
        guests = getattr(run.algorithm, "guests", None)
        if guests is None:
            names = ", ".join(type(callback).__name__ for callback in self.callbacks)
            raise ConfigError(
                f"{names}: callbacks of Stable-Baselines3 are called by its models, and {run.experiment.algorithm} has "
                "none. Use an algorithm sb3/…, or write an rlhub_core.Callback."
            )
        evaluating = [each for each in _all(self.callbacks) if isinstance(each, EvalCallback)]
        if evaluating and run.normalization is not None and run.normalization.observation_moments:
            raise ConfigError(
                f"{type(evaluating[0]).__name__} shows the model raw observations, and it learns from normalised ones. "
                "Use core/evaluate, which normalises them."
            )
        guests.callbacks.extend(self.callbacks)
        self._guests = guests

    def on_progress(self, run: Run, progress: Progress) -> None:
        """End the run where one of them has returned False."""
        if self._guests.stopped_by:
            raise StopTraining(f"{self._guests.stopped_by} returned False")

    def on_end(self, run: Run) -> None:
        """Tell them that training has ended."""
        self._guests.on_training_end()
        run.algorithm.guests = Guests([])  # type: ignore[attr-defined] # it may be trained again

    def save(self, folder: Path) -> None:
        """Write those of their attributes that have changed and that are plain values or arrays."""
        changed = [
            {
                name: value
                for name, value in _plain(each).items()
                if name not in before or not _same(value, before[name])
            }
            for each, before in zip(_all(self.callbacks), self._at_first, strict=True)
        ]
        state.save(folder, "sb3_callbacks", changed)

    def load(self, folder: Path) -> None:
        """Let them go on from what they had counted."""
        saved = state.load(folder, "sb3_callbacks")
        for each, attributes in zip(_all(self.callbacks), saved, strict=True):
            for name, value in attributes.items():
                setattr(each, name, value)


def _all(callbacks: Iterable[Any]) -> Iterator[BaseCallback]:
    """Yield callbacks and those that they call."""
    for callback in callbacks:
        if isinstance(callback, BaseCallback):
            yield callback
            own = (value for name, value in vars(callback).items() if name not in LENT)
            yield from _all(child for value in own for child in (value if isinstance(value, list) else [value]))


def _plain(callback: BaseCallback) -> dict[str, Any]:
    """Return the attributes that can be saved without pickle."""
    own = {name: value for name, value in vars(callback).items() if name not in LENT}
    return {name: packed(value) for name, value in own.items() if _savable(value)}


def _savable(value: Any) -> bool:
    if isinstance(value, dict):
        return all(isinstance(key, str) and key[:1] != "$" and _savable(child) for key, child in value.items())
    if isinstance(value, (list, tuple)):
        return all(map(_savable, value))
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    return value is None or isinstance(value, (bool, int, float, str))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray) or isinstance(other, np.ndarray):
        return type(one) is type(other) and np.array_equal(one, other)
    if isinstance(one, (list, tuple)) and type(one) is type(other):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(value, other[key]) for key, value in one.items())
    return type(one) is type(other) and bool(one == other)
