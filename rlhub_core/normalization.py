"""Normalisation: observations shifted and scaled to mean 0 and variance 1, rewards scaled by how much returns vary.

It is part of the *learning view*: what an algorithm acts on and learns from. Episodes, scores and evaluations hold the
game's own numbers. The statistics belong to the run: they are learnt while it trains, saved with every checkpoint, and
applied, but not changed, by its actor. The numbers are those of Stable-Baselines3's `VecNormalize`.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import mmap
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Space
from numpy.typing import NDArray

from rlhub_core import config, state
from rlhub_core.actors import with_values
from rlhub_core.config import option
from rlhub_core.errors import (
    CheckpointError,
    ConfigError,
    EnvironmentContractError,
    SpaceError,
    did_you_mean,
    listed,
    squeezed,
)
from rlhub_core.protocol import Actor, ObsType

Floats = NDArray[np.float64]

WHOLE = ""  # the key of an observation that is no Dict
SUBJECTS = ("observations", "rewards")
FIRST_COUNT = 1e-4  # weight of the mean 0 and variance 1 that all begins with, as in VecNormalize


@dataclass(frozen=True)
class Normalize:
    """What is normalised, and how."""

    observations: bool = option(True, "shift and scale observations to mean 0 and variance 1")
    rewards: bool = option(True, "divide rewards by the standard deviation of the discounted return")
    clip_observations: float = option(10.0, "normalised observations are clipped to [-this, this]", minimum=0)
    clip_rewards: float = option(10.0, "normalised rewards are clipped to [-this, this]", minimum=0)
    discount: float = option(0.99, "γ of that return; the algorithm's own is best", minimum=0, maximum=1)
    epsilon: float = option(1e-8, "added to variances before the root is taken", minimum=0)
    keys: tuple[str, ...] | None = option(None, "parts of a Dict observation; none: every Box of floats in it")

    def __post_init__(self) -> None:
        if not (self.observations or self.rewards):
            raise ConfigError("normalize: neither observations nor rewards; leave it out to normalise nothing.")
        for name in ("clip_observations", "clip_rewards", "epsilon"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"normalize: {name} must be a positive number, not {getattr(self, name)!r}.")

    @classmethod
    def of(cls, given: Any) -> Normalize | None:
        """Return what a user or a recipe says.

        Args:
            given: "observations", "rewards", "observations,rewards,discount=0.995", the same in a list, a mapping of
                settings, True for both with their defaults; None, False or "none" for nothing.

        Raises:
            ConfigError: for a name or number that cannot be.
        """
        if isinstance(given, (list, tuple)) and all(isinstance(part, str) for part in given):
            given = ",".join(given)
        if isinstance(given, str):
            given = _settings(given)
        if given is None or given is False:
            return None
        given = dataclasses.asdict(given) if isinstance(given, cls) else {} if given is True else given
        if not isinstance(given, Mapping):
            raise ConfigError(f"normalize takes observations, rewards or both, not {given!r}.")
        if isinstance(given.get("keys"), str) and given["keys"] != "none":
            given = {**given, "keys": tuple(key.strip(" \"'") for key in given["keys"].strip("[]()").split(","))}
        return cls(**config.bind(cls, given, "normalize", kind="setting"))


def _settings(text: str) -> Any:
    """Return the settings, or the truth value or None, that a text stands for."""
    whole = config.parse_value(text)
    if whole is None or isinstance(whole, bool):
        return whole
    named, settings = [], {}
    for part in re.split(r",(?![^(\[]*[)\]])", text):
        name, equals, value = part.strip().partition("=")
        if equals:
            settings[name] = config.parse_value(value)
        elif name in SUBJECTS:
            named.append(name)
        else:
            hint = did_you_mean(name, SUBJECTS)
            raise ConfigError(
                f"normalize: {name!r} cannot be normalised.{hint} Say observations, rewards or both, and settings as "
                "key=value: observations,rewards,discount=0.995."
            )
    return {subject: subject in named for subject in SUBJECTS if named} | settings


def merged(count: float, mean: Any, squares: Any, batch: NDArray[Any]) -> tuple[float, Any, Any]:
    """Return count, mean and sum of squared deviations of what was seen before and a batch together.

    Chan, Golub and LeVeque, "Algorithms for computing the sample variance", The American Statistician 1983, eq. 2.1:
    M = M_a + M_b + δ² n_a n_b / n, with δ = x̄_b - x̄_a.

    Args:
        count: n_a, of what was seen before.
        mean: [...] x̄_a.
        squares: [...] M_a, the variance is M / n.
        batch: [n_b, ...].
    """
    size = len(batch)
    total = count + size
    batch_mean = np.add.reduce(batch, 0, dtype=np.float64) / size  # [...]
    deviations = batch - batch_mean  # [n_b, ...]
    apart = batch_mean - mean  # [...] δ
    batch_squares = np.add.reduce(deviations * deviations, 0)  # [...] M_b
    return total, mean + apart * (size / total), squares + batch_squares + apart * apart * (count * size / total)


class Moments:
    """The running mean and variance of values of one shape, in one block of memory that processes can share."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._shape = shape
        self._live_in(np.zeros(1 + 2 * math.prod(shape)))
        self._numbers[0] = self._squares[...] = FIRST_COUNT

    @property
    def count(self) -> float:
        """Values seen, the little weight of the beginning included."""
        return float(self._numbers[0])

    @property
    def variance(self) -> Floats:
        """[...] of all values seen."""
        return np.asarray(self._squares / self._numbers[0])

    def update(self, batch: NDArray[Any]) -> None:
        """Take values [B, ...] in."""
        self._numbers[0], self.mean[...], self._squares[...] = merged(*self._all(), batch)

    def deviation(self, epsilon: float) -> Any:
        """Return the standard deviation [...], of a variance to which `epsilon` is added."""
        count, _, squares = self._all()
        return (squares / count + epsilon) ** 0.5

    def share(self) -> None:
        """Live from here on in memory that processes forked later read and write as well."""
        if self._numbers.base is None:
            shared = np.frombuffer(mmap.mmap(-1, self._numbers.nbytes))
            shared[:] = self._numbers
            self._live_in(shared)

    def state(self) -> dict[str, Any]:
        """Return everything, as arrays and numbers."""
        return {"count": self.count, "mean": self.mean.copy(), "squares": self._squares.copy()}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Become what `state` returned.

        Raises:
            CheckpointError: for what cannot be a count, a mean and squares.
        """
        for name, like in (("mean", self.mean), ("squares", self._squares)):
            fits = np.isfinite(state.same_kind(saved[name], like, f"The normalisation's {name}")).all()
            if not fits or (name == "squares" and (saved[name] < 0).any()):
                raise CheckpointError(f"The normalisation's {name} cannot be: {saved[name]}.")
        if not 0 <= saved["count"] < math.inf:
            raise CheckpointError(f"The normalisation's count cannot be: {saved['count']!r}.")
        self._numbers[0], self.mean[...], self._squares[...] = saved["count"], saved["mean"], saved["squares"]

    def _all(self) -> tuple[float, Any, Any]:
        """Return count, mean and squares; Python's floats where that is all, because numpy is slow with single ones."""
        if self._shape:
            return self.count, self.mean, self._squares
        count, mean, squares = self._numbers.tolist()
        return count, mean, squares

    def _live_in(self, numbers: Floats) -> None:
        size = math.prod(self._shape)
        self._numbers = numbers  # [1 + 2 size] count, mean, squares
        self.mean: Floats = numbers[1 : 1 + size].reshape(self._shape)
        self._squares: Floats = numbers[1 + size :].reshape(self._shape)


class Normalization:
    """Normalises what B environments give, with statistics of its own.

    Args:
        settings: what, and how.
        observation_space: of one environment.
        num_envs: B.

    Attributes:
        observation_space: of what is normalised: Boxes of float32 within the clip.
        observation_moments: by key of a Dict, "" for an observation that is none; empty where they are left alone.
        return_moments: of the discounted returns; None where rewards are left alone.

    Raises:
        SpaceError: where observations shall be normalised and there is nothing to normalise in them.
        ConfigError: for keys that the observations do not have.
    """

    def __init__(self, settings: Normalize, observation_space: Space[Any], num_envs: int) -> None:
        self.settings = settings
        boxes = _boxes(observation_space, settings.keys) if settings.observations else {}
        self.observation_space = _seen_space(observation_space, boxes, settings.clip_observations)
        self.observation_moments = {key: Moments(box.shape) for key, box in boxes.items()}
        self.return_moments = Moments(()) if settings.rewards else None
        self._returns = np.zeros(num_envs)  # [B] discounted, of the running episodes up to now

    def observations(self, raw: ObsType) -> ObsType:
        """Return observations [B, ...] normalised; the statistics stay as they are."""
        moments = self.observation_moments
        if not moments:
            return raw
        if WHOLE in moments:
            return self._scaled(raw, moments[WHOLE])
        return {key: self._scaled(part, moments[key]) if key in moments else part for key, part in raw.items()}

    def begin(self, observations: ObsType) -> None:
        """Take observations [B, ...] into the statistics."""
        for key, moments in self.observation_moments.items():
            part = observations[key] if key != WHOLE else observations
            if not math.isfinite(np.vdot(part, part)):  # the fastest look at all of them
                _refuse(part, f"observation{key and f' ({key!r})'}", "observations")
            moments.update(part)

    def step(self, observations: ObsType, rewards: NDArray[Any], ended: NDArray[np.bool_]) -> NDArray[Any]:
        """Take a step into the statistics and return its rewards [B] normalised.

        Args:
            observations: [B, ...] what is to be acted on next.
            rewards: [B]
            ended: [B] where an episode ended with this step.
        """
        self.begin(observations)
        if self.return_moments is None:
            return rewards
        if not math.isfinite(np.vdot(rewards, rewards)):
            _refuse(rewards, "reward", "rewards")
        self._returns = self._returns * self.settings.discount + rewards
        self.return_moments.update(self._returns)
        self._returns[ended] = 0.0
        clip = self.settings.clip_rewards
        return _clipped(rewards / self.return_moments.deviation(self.settings.epsilon), clip)

    def forget(self, which: NDArray[np.bool_]) -> None:
        """Forget the returns of the running episodes of some environments [B]."""
        self._returns[which] = 0.0

    def around(self, actor: Actor) -> Actor:
        """Return an actor that takes raw observations, and masks where the other does, and acts on normalised ones."""

        def act(observations: ObsType, first: NDArray[np.bool_], *masks: Any) -> Any:
            return actor(self.observations(observations), first, *masks)

        act.masked = getattr(actor, "masked", False)  # type: ignore[attr-defined] # as the word Actor says
        values = getattr(actor, "values", None)
        return act if values is None else with_values(act, lambda seen: values(self.observations(seen)))

    def apart(self) -> Normalization:
        """Return one for a single environment that shares the statistics, also with processes forked from here on.

        They are written without locks, as the weights are by those who learn that way.
        """
        for moments in [*self.observation_moments.values(), *([self.return_moments] if self.return_moments else [])]:
            moments.share()
        alone = copy.copy(self)
        alone._returns = np.zeros(1)
        return alone

    def save(self, folder: Path) -> None:
        """Write the statistics and the returns of the running episodes."""
        saved = {
            "observations": [moments.state() for moments in self.observation_moments.values()],  # keys may be any text
            "rewards": self.return_moments.state() if self.return_moments else None,
            "returns": self._returns,
        }
        state.save(folder, "normalization", saved)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote.

        Raises:
            CheckpointError: where it is missing or damaged.
        """
        saved = state.load(folder, "normalization")
        for moments, state_of in zip(self.observation_moments.values(), saved["observations"], strict=True):
            moments.restore(state_of)
        if self.return_moments:
            self.return_moments.restore(saved["rewards"])
        self._returns = state.same_kind(saved["returns"], self._returns, "The normalisation's returns")

    def _scaled(self, values: NDArray[Any], moments: Moments) -> NDArray[np.float32]:
        scaled = (values - moments.mean) / moments.deviation(self.settings.epsilon)  # [B, ...]
        return _clipped(scaled, self.settings.clip_observations).astype(np.float32)


def _clipped(values: Floats, limit: float) -> Floats:
    """Clip to [-limit, limit], in place; `np.clip` takes three times as long where there are few."""
    np.minimum(values, limit, out=values)
    np.maximum(values, -limit, out=values)
    return values


def _boxes(space: Space[Any], keys: tuple[str, ...] | None) -> dict[str, Box]:
    """Return the parts of an observation space to normalise, by key."""
    if not isinstance(space, Dict):
        if keys is not None:
            raise ConfigError(f"normalize: keys are those of a Dict; observations are {squeezed(space)}. Leave it out.")
        parts = {WHOLE: space}
    else:
        for key in keys or ():
            if key not in space.spaces:
                hint = did_you_mean(key, space.spaces)
                raise ConfigError(f"normalize: the observations have no {key!r}.{hint} They have: {listed(space)}.")
            if not isinstance(space[key], Box):
                raise ConfigError(f"normalize: {key!r} is {squeezed(space[key])}, and only a Box can be normalised.")
        parts = dict(space.spaces)
    boxes = {
        key: part
        for key, part in parts.items()
        if isinstance(part, Box) and (part.dtype.kind == "f" if keys is None else key in keys)
    }
    if not boxes:
        raise SpaceError(
            f"There is nothing to normalise in observations of {squeezed(space)}: it takes a Box of floats, or a Dict "
            "with one. Leave observations out: normalize=rewards."
        )
    return boxes


def _seen_space(space: Space[Any], boxes: Mapping[str, Box], clip: float) -> Space[Any]:
    """Return the space of normalised observations."""
    seen = {key: Box(-clip, clip, box.shape, np.float32) for key, box in boxes.items()}
    if not isinstance(space, Dict) or not seen:
        return seen.get(WHOLE, space)
    return Dict({key: seen.get(key, part) for key, part in space.spaces.items()})


def _refuse(values: NDArray[Any], what: str, subject: str) -> None:
    """Raise EnvironmentContractError where values [B, ...] are not finite, naming the first environment."""
    for env, row in enumerate(values):
        if not np.isfinite(row).all():
            raise EnvironmentContractError(
                f"Environment {env} has given the {what} {' '.join(str(row).split())}. What is not finite would spoil "
                f"the statistics for good: mend it in the environment or a wrapper, or do not normalise {subject}."
            )
