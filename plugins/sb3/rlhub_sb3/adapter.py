"""A Stable-Baselines3 model as an rlhub algorithm.

SB3 keeps its own loop, `learn`. It is left where a rollout begins, by an exception that a callback raises there, and
entered again with the steps that remain: then everything a step needs is in attributes of the model, the schedules go
on where they were, and the weights are bit for bit those of one uninterrupted `learn`.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import random
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import Space
from numpy.typing import NDArray
from stable_baselines3 import DQN
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.utils import get_device

from rlhub_core import Actor, Collector, ConfigError, Progress, state
from rlhub_sb3 import saving
from rlhub_sb3.parameters import Schedules, arguments, config_of
from rlhub_sb3.spaces import check_spaces, policy_for
from rlhub_sb3.streams import Streams
from rlhub_sb3.vec_env import CollectorVecEnv

PAUSE_EVERY = 128  # env steps at least: a pause costs 0.2 ms, and a rollout may have only four steps
REFUSALS = (AssertionError, ValueError, TypeError, NotImplementedError, RuntimeError, MemoryError)  # raised by SB3


class SB3Algorithm:
    """What all Stable-Baselines3 algorithms have in common; a subclass names its model.

    Args:
        observation_space: of one environment.
        action_space: of one environment.
        config: an instance of `Config`: SB3's own arguments, where numbers may follow a schedule.
        seed: of the networks, of exploration and of the replay buffer's draws.
        total_steps: of the run; SB3's `exploration_fraction` is a share of it.
        device: "auto", "cpu", "cuda", …

    Raises:
        SpaceError: for spaces that SB3 cannot use.
        ConfigError: for arguments that SB3 refuses.
    """

    Config: ClassVar[type[Any]]
    _model_class: ClassVar[type[BaseAlgorithm]]

    def __init_subclass__(cls, model: type[BaseAlgorithm]) -> None:
        cls._model_class, cls.Config = model, config_of(model)

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Space[Any],
        config: Any,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        self._name = f"sb3/{type(self).__name__.lower()}"
        check_spaces(observation_space, action_space, self._name)
        self._spaces = observation_space, action_space
        self._config, self._seed, self._total_steps = config, seed, total_steps
        try:
            self._device = get_device(device)
        except RuntimeError as error:
            raise ConfigError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
        self._schedules = Schedules(config)
        self._streams = Streams(seed, self._device)
        self._replay_folder: Path | None = None  # where a replay buffer waits to be read
        self._provisional = True  # the model is built at once, so that what SB3 refuses is refused before a run begins,
        with warnings.catch_warnings(action="ignore"):  # and again when the number of environments is known
            self._model = self._build(num_envs=2)

    @property
    def steps(self) -> int:
        """Env steps so far, all environments together."""
        return self._model.num_timesteps

    @property
    def model(self) -> BaseAlgorithm:
        """The Stable-Baselines3 model itself."""
        return self._model

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Learn until `steps` >= `until`, yielding between rollouts, at least 128 env steps apart.

        Raises:
            ConfigError: where the collector has another number of environments than before.
        """
        if self.steps >= until:
            return
        self._attach(collector)
        pause = _Pause(self._schedules)
        while self.steps < until:
            self._learn(pause, until)
            metrics = {name: float(number) for name, number in self._model.logger.name_to_value.items()}
            self._model.logger.dump()  # it writes nothing and forgets everything
            yield Progress(self.steps, collector.episodes(), metrics)

    def actor(self, *, explore: bool = False) -> Actor:
        """Return a new actor; with `explore` it draws from generators of its own, as SB3 does in training."""
        if explore:
            return _Explorer(self, self._seed)

        def act(observations: Any, first: NDArray[np.bool_]) -> Any:
            return self._for_environment(self._model.policy.predict(observations, deterministic=True)[0])

        return act

    def save(self, folder: Path) -> None:
        """Write the model, its generators and its replay buffer."""
        self._read_replay()
        saved = {
            "num_envs": self._model.n_envs,
            "total_steps": self._total_steps,
            "provisional": self._provisional,
            "streams": self._streams.state(),
            **saving.model_state(self._model),
        }
        state.save(folder, "algorithm", saved)
        buffer = getattr(self._model, "replay_buffer", None)
        if buffer is not None and not self._provisional:
            state.save(folder, "replay", saving.replay_state(buffer))

    def load(self, folder: Path) -> None:
        """Become the algorithm that was saved; its replay buffer is read only when training goes on.

        Raises:
            CheckpointError: where a file is missing or damaged.
        """
        saved = state.load(folder, "algorithm")
        with warnings.catch_warnings(action="ignore"):
            self._model = self._build(saved["num_envs"])
        self._provisional, self._total_steps = saved["provisional"], saved["total_steps"]
        saving.restore_model(self._model, saved)
        self._streams.restore(saved["streams"])
        has_replay = getattr(self._model, "replay_buffer", None) is not None and not self._provisional
        self._replay_folder = folder if has_replay else None

    def _build(self, num_envs: int) -> BaseAlgorithm:
        observation_space, action_space = self._spaces
        env = CollectorVecEnv(num_envs, observation_space, copy.deepcopy(action_space))  # SB3 samples from it
        settings = arguments(self._config, self._name)
        if settings["policy"] == "auto":
            settings["policy"] = policy_for(observation_space)
        try:
            with self._streams:
                model = self._model_class(env=env, seed=self._seed, device=self._device, verbose=0, **settings)
        except REFUSALS as error:
            raise ConfigError(f"{self._name}: {error}") from error
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model

    def _attach(self, collector: Collector) -> None:
        """Let the model step this collector, from where it is."""
        if self._provisional:
            before = self._model.get_parameters()
            self._model = self._build(collector.num_envs)
            self._model.set_parameters(before, device=self._device)  # type: ignore[arg-type] # the user may have changed them
            self._provisional = False
        if self._model.n_envs != collector.num_envs:
            raise ConfigError(
                f"{self._name} has learned with {self._model.n_envs} environments; it cannot go on with "
                f"{collector.num_envs}, because its buffers are made for as many."
            )
        self._read_replay()
        model = self._model
        assert model.env is not None
        env = model.env.unwrapped
        assert isinstance(env, CollectorVecEnv)
        env.collector = collector
        model._last_obs = model.env.reset()  # type: ignore[assignment]
        starts = model._last_episode_starts  # a lost life may have started an episode in the learning view only
        model._last_episode_starts = collector.first.copy() if starts is None else starts | collector.first

    def _learn(self, pause: _Pause, until: int) -> None:
        model = self._model
        pause.at = min(until, self.steps + PAUSE_EVERY)
        if model.use_sde and self.steps > 0:
            drawn = saving.noise(model), self._streams.state()
            pause.undo = functools.partial(_undo_draws, model, self._streams, *drawn)
        with self._streams:
            self._schedules.apply(model, self.steps)
            with contextlib.suppress(_PausedError):
                # SB3 measures its progress by the total it is given: a run that is made longer keeps its first one,
                # and has its exploration at the end from there on
                over = self.steps >= self._total_steps
                if over and isinstance(model, DQN):
                    model.exploration_schedule = lambda left: model.exploration_final_eps
                remaining = (until if over else self._total_steps) - self.steps
                model.learn(remaining, callback=pause, log_interval=sys.maxsize, reset_num_timesteps=False)

    def _read_replay(self) -> None:
        if self._replay_folder is not None:
            saving.restore_replay(self._model.replay_buffer, state.load(self._replay_folder, "replay"))  # type: ignore[attr-defined]
            self._replay_folder = None

    def _for_environment(self, actions: NDArray[Any]) -> NDArray[Any]:
        return actions.astype(self._spaces[1].dtype, copy=False)


class _PausedError(Exception):
    """Leaves `learn` where a rollout begins."""


class _Pause(BaseCallback):
    """Leaves `learn` at the first rollout that begins at step `at` or later; puts schedules in force."""

    at = 0
    undo: Callable[[], None] | None = None  # called once, at the first rollout after coming back

    def __init__(self, schedules: Schedules) -> None:
        super().__init__()
        self._schedules = schedules

    def _on_rollout_start(self) -> None:
        if self.undo is not None:
            self.undo()
            self.undo = None
        if self.model.num_timesteps >= self.at:
            raise _PausedError

    def _on_step(self) -> bool:
        return True

    def _on_rollout_end(self) -> None:
        self._schedules.apply(self.model, self.model.num_timesteps)


def _undo_draws(
    model: BaseAlgorithm, streams: Streams, noise: dict[str, th.Tensor], generators: dict[str, Any]
) -> None:
    """Undo what coming back to `learn` drew: gSDE draws its noise before the rollout's start is announced."""
    saving.set_noise(model, noise)
    streams.restore(generators)


class _Explorer:
    """Acts as in training, with generators of its own."""

    def __init__(self, algorithm: SB3Algorithm, seed: int) -> None:
        own = random.Random(f"{seed}/explorer").getrandbits(31)
        self._algorithm = algorithm
        self._streams, self._samples = Streams(own, algorithm.model.device), np.random.default_rng(own)

    def __call__(self, observations: Any, first: NDArray[np.bool_]) -> Any:
        model = self._algorithm.model
        space = model.action_space
        trainings, space._np_random = space._np_random, self._samples
        try:
            with self._streams:
                return self._algorithm._for_environment(model.predict(observations, deterministic=False)[0])
        finally:
            space._np_random = trainings
