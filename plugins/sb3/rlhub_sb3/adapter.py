"""A Stable-Baselines3 model as an rlhub algorithm.

SB3 keeps its own loop, `learn`. It is left where a rollout begins, by an exception that a callback raises there, and
entered again with the steps that remain: then everything a step needs is in attributes of the model, the schedules go
on where they were, and the weights are bit for bit those of one uninterrupted `learn`.
"""

from __future__ import annotations

import contextlib
import copy
import math
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch as th
from gymnasium import Space
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.save_util import recursive_setattr
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import FloatSchedule, LinearSchedule, get_device

from rlhub_core import Actor, Collector, ConfigError, NonFiniteError, Progress, state
from rlhub_core.memory import Held
from rlhub_sb3 import hindsight, saving
from rlhub_sb3.actors import Explorer, Greedy
from rlhub_sb3.callbacks import Guests
from rlhub_sb3.export import plain_model, without_env
from rlhub_sb3.metrics import renamed
from rlhub_sb3.noise import action_noise, vectorized
from rlhub_sb3.parameters import Schedules, arguments, config_of
from rlhub_sb3.pause import Pause, PausedError
from rlhub_sb3.saved_replay import SavedReplay
from rlhub_sb3.sizes import of_a_place
from rlhub_sb3.spaces import check_spaces, policy_for
from rlhub_sb3.streams import Streams
from rlhub_sb3.vec_env import CollectorVecEnv

PAUSE_EVERY = 256  # env steps at least: a pause costs 0.2 ms, and a rollout may have only four steps
REFUSED_DRAW = "but found invalid values"  # what torch says of a distribution of NaN
REFUSALS = (AssertionError, ValueError, TypeError, LookupError, RuntimeError, MemoryError)  # raised by SB3


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

    _policy: ClassVar[str]  # the policy that "auto" means, where {} stands for "Cnn", "MultiInput" or "Mlp"
    _masked: ClassVar[bool]  # whether it is told which actions are possible
    _short_name: ClassVar[str]

    def __init_subclass__(
        cls, model: type[BaseAlgorithm], name: str = "", policy: str = "{}Policy", masked: bool = False
    ) -> None:
        cls._model_class, cls.Config = model, config_of(model)
        cls._short_name, cls._policy, cls._masked = name or cls.__name__.lower(), policy, masked

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
        self._name = f"sb3/{self._short_name}"
        check_spaces(observation_space, action_space, self._name)
        self._spaces = observation_space, action_space
        self._config, self._seed, self._total_steps = config, seed, total_steps
        self._check()
        try:
            self._device = get_device(device)
        except RuntimeError as error:
            raise ConfigError(f"device {device!r} cannot be used here: {str(error).splitlines()[0]}") from error
        self._schedules = Schedules(config)
        self._streams = Streams(seed, self._device)
        self.guests = Guests([])  # callbacks of SB3's own kind
        self._saved_replay = SavedReplay()
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
        """Learn until `steps` >= `until`, yielding between rollouts, at least 256 env steps apart.

        Raises:
            ConfigError: where the collector has another number of environments than before.
        """
        if self.steps >= until:
            return
        self._attach(collector)
        pause = Pause(self._schedules, self.guests, collector.lap)
        while self.steps < until and not self.guests.stopped_by:
            self._learn_explained(pause, until)
            metrics = renamed(self._model.logger.name_to_value)
            self._model.logger.dump()  # it writes nothing and forgets everything
            self._check_losses(metrics)
            yield Progress(self.steps, collector.episodes(), metrics)

    def actor(self, *, explore: bool = False) -> Actor:
        """Return a new actor; with `explore` it draws from generators of its own, as SB3 does in training."""
        return Explorer(self, self._seed) if explore else Greedy(self)

    def to_sb3(self, env: Any = None) -> BaseAlgorithm:
        """Return a copy as a model of plain Stable-Baselines3: `predict`, `learn` and `save` are SB3's own.

        Scheduled numbers have the value that is in force now.

        Args:
            env: a Gymnasium environment or an SB3 `VecEnv`; without one, `model.set_env` gives it one.
        """
        self._read_replay()
        known = 1 if self._provisional else self._model.n_envs
        num_envs = known if env is None else getattr(env, "num_envs", 1)
        settings = self._settings(num_envs) | self._schedules.at(self.steps)
        if "buffer_size" in settings:  # also before the first step
            settings["buffer_size"] = self._config.buffer_size
        if env is not None:
            return plain_model(self._model, settings, env)
        spaces = self._spaces[0], copy.deepcopy(self._spaces[1])
        return without_env(plain_model(self._model, settings, CollectorVecEnv(num_envs, *spaces)))

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold, as large as SB3's own buffers say that they are."""
        buffer = getattr(self._model, "replay_buffer", None)
        if buffer is not None:
            places = max(1, self._config.buffer_size // num_envs) * num_envs
            yield Held("replay", int(places * of_a_place(buffer)), "buffer_size")
        rollout = getattr(self._model, "rollout_buffer", None)
        if rollout is not None:
            yield Held("rollout", int(num_envs * rollout.buffer_size * of_a_place(rollout)), "n_steps or num_envs")
        weights = sum(each.numel() * each.element_size() for each in self._model.policy.parameters())
        yield Held("optimiser", 3 * weights, "policy_kwargs")  # gradients and two moments

    def save(self, folder: Path) -> None:
        """Write the model, its generators and its replay buffer."""
        self._read_replay()
        saved = {
            "num_envs": self._model.n_envs,
            "total_steps": self._total_steps,
            "provisional": self._provisional,
            "streams": self._streams.state(),
            "memory": saving.packed(self._memory()),
            **saving.model_state(self._model),
        }
        state.save(folder, "algorithm", saved)
        buffer = getattr(self._model, "replay_buffer", None)
        if buffer is not None and not self._provisional:
            self._saved_replay.save(folder, buffer, self.steps)

    def load(self, folder: Path) -> None:
        """Become the algorithm that was saved; its replay buffer is read only when training goes on.

        Raises:
            CheckpointError: where a file is missing or damaged.
        """
        saved = state.load(folder, "algorithm")
        self._provisional, self._total_steps = saved["provisional"], saved["total_steps"]
        with warnings.catch_warnings(action="ignore"):
            self._model = self._build(saved["num_envs"])
        saving.restore_model(self._model, saved)
        self._streams.restore(saved["streams"])
        self._remember(saving.unpacked(saved["memory"], self._device))
        has_replay = getattr(self._model, "replay_buffer", None) is not None and not self._provisional
        self._replay_folder = folder if has_replay else None

    def adopt(
        self, num_envs: int, parameters: Any, tensors: Mapping[str, th.Tensor], counters: Mapping[str, float]
    ) -> None:
        """Go on from a model of Stable-Baselines3 that learned elsewhere.

        Args:
            num_envs: environments from now on.
            parameters: the state of each network and optimiser, as `model.get_parameters` gives them.
            tensors: others, by name.
            counters: attributes of the model, by name.

        Raises what SB3 and torch raise where something does not fit.
        """
        self._provisional, self._model = False, self._build(num_envs)
        saving.set_parameters(self._model, parameters)
        for name, tensor in tensors.items():
            if tensor is not None:
                recursive_setattr(self._model, f"{name}.data", tensor.to(self._device))
        for name, number in counters.items():
            setattr(self._model, name, number)

    # what a subclass may need differently

    def _check(self) -> None:
        """Refuse hyper-parameters that SB3 would stumble over in the midst of a run."""

    def _attached(self, env: CollectorVecEnv, collector: Collector) -> None:
        """Make ready for a collector, or refuse it."""

    def _memory(self) -> Any:
        """Return what a recurrent policy remembers of the running episodes, as tuples of tensors."""
        return ()

    def _remember(self, memory: Any) -> None:
        """Go on from what `_memory` returned."""

    # what they all have in common

    def _build(self, num_envs: int) -> BaseAlgorithm:
        observation_space, action_space = self._spaces
        env = CollectorVecEnv(num_envs, observation_space, copy.deepcopy(action_space))  # SB3 samples from it
        settings = self._settings(num_envs)
        try:
            with self._streams:
                model = self._model_class(env=env, seed=self._seed, device=self._device, verbose=0, **settings)
        except REFUSALS as error:
            raise ConfigError(f"{self._name}: {error}") from error
        model.set_logger(Logger(folder=None, output_formats=[]))
        return model

    def _settings(self, num_envs: int) -> dict[str, Any]:
        """Return the model's constructor arguments."""
        observation_space, action_space = self._spaces
        settings = arguments(self._config, self._name)
        if settings["policy"] == "auto":
            settings["policy"] = self._policy.format(policy_for(observation_space).removesuffix("Policy"))
            if settings["policy"] not in self._model_class.policy_aliases:  # CrossQ has no convolutions
                settings["policy"] = self._policy.format("Mlp")
        if settings.get("action_noise") is not None:
            noise = action_noise(settings["action_noise"], action_space, self._name)
            settings["action_noise"] = vectorized(noise, num_envs)
        if settings.pop("her", False):
            if settings["replay_buffer_class"] is not None:
                raise ConfigError(f"{self._name}: her brings its own replay buffer; leave replay_buffer_class out.")
            settings["replay_buffer_class"] = HerReplayBuffer
            if self._provisional:  # it makes an object a place, which takes seconds
                settings["buffer_size"] = min(100, settings["buffer_size"])
        if settings.get("replay_buffer_class") is HerReplayBuffer:
            hindsight.check_goals(observation_space, self._name)
        return settings

    def _attach(self, collector: Collector) -> None:
        """Let the model step this collector, from where it is."""
        if self._provisional:
            before, self._provisional = self._model.get_parameters(), False
            self._model = self._build(collector.num_envs)
            self._model.set_parameters(before, device=self._device)  # type: ignore[arg-type] # the user may have changed them
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
        self._attached(env, collector)
        frequency = getattr(model, "train_freq", None)
        if isinstance(frequency, TrainFreq) and frequency.unit is TrainFrequencyUnit.EPISODE and collector.num_envs > 1:
            raise ConfigError(
                f"{self._name}: train_freq in episodes needs one environment; here are {collector.num_envs}."
            )
        buffer = getattr(model, "replay_buffer", None)
        if isinstance(buffer, HerReplayBuffer):
            hindsight.attach(buffer, env, collector, self._name)
        model._last_obs = model.env.reset()  # type: ignore[assignment]
        starts = model._last_episode_starts  # a lost life may have started an episode in the learning view only
        model._last_episode_starts = collector.first.copy() if starts is None else starts | collector.first

    def _learn(self, pause: Pause, until: int) -> None:
        model = self._model
        pause.at = min(until, self.steps + PAUSE_EVERY)
        if self.steps > 0:
            pause.remember(model, self._streams)
        with self._streams:
            self._schedules.apply(model, self.steps)
            with contextlib.suppress(PausedError), hindsight.explained(self._name):
                # SB3 measures its progress by the total it is given: a run that is made longer keeps its first one,
                # and has its exploration at the end from there on
                over = self.steps >= self._total_steps
                if over and isinstance(getattr(model, "exploration_schedule", None), LinearSchedule):
                    model.exploration_schedule = FloatSchedule(model.exploration_final_eps)  # type: ignore[attr-defined]
                remaining = (until if over else self._total_steps) - self.steps
                model.learn(remaining, callback=pause, log_interval=sys.maxsize, reset_num_timesteps=False)

    def _learn_explained(self, pause: Pause, until: int) -> None:
        try:
            self._learn(pause, until)
        except ValueError as error:  # torch refuses to draw from a distribution of NaN
            networks = self._model.policy.named_parameters()
            bad = [name for name, weights in networks if not bool(th.isfinite(weights).all())]
            if not bad and REFUSED_DRAW not in str(error):
                raise
            what = f"the weights {bad[0]} are not finite" if bad else "what its policy's network gives is not finite"
            raise NonFiniteError(what, found=_metrics_of(self._model)) from error

    def _check_losses(self, metrics: Mapping[str, float]) -> None:
        """Raise NonFiniteError where SB3 has logged a loss that is no finite number; other means may be of nothing."""
        for name, number in metrics.items():
            if name.endswith("loss") and not math.isfinite(number):
                raise NonFiniteError(f"{name} is {number:g}", found=metrics)

    def _read_replay(self) -> None:
        if self._replay_folder is not None:
            self._saved_replay.load(self._replay_folder, self._model.replay_buffer, self.steps)  # type: ignore[attr-defined]
            self._replay_folder = None


def _metrics_of(model: BaseAlgorithm) -> dict[str, float]:
    return renamed(model.logger.name_to_value)
