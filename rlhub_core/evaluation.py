"""actor × environment -> Evaluation: whole episodes, raw rewards, a fixed seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box
from gymnasium.spaces.utils import is_space_dtype_shape_equiv

from rlhub_core.collector import Collector
from rlhub_core.envs import Env, EnvironmentSource, Vec, check_positive
from rlhub_core.errors import SpaceError, squeezed
from rlhub_core.protocol import Actor

LONGEST_EPISODE = 27_000  # steps; the Atari protocol's half hour of play. A greedy actor may walk in circles for ever.


@dataclass(frozen=True)
class Evaluation:
    """The scores of whole episodes.

    Attributes:
        returns: undiscounted sum of raw rewards of each episode.
        lengths: steps of each episode.
        unfinished: how many of them were cut off at the longest length allowed, with the return they had by then.
        step: env steps that the algorithm had seen.
    """

    returns: tuple[float, ...]
    lengths: tuple[int, ...]
    unfinished: int = 0
    step: int = 0

    @property
    def mean(self) -> float:
        """Mean return."""
        return float(np.mean(self.returns))

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of the mean return, by 10,000 bootstrap resamples with a fixed seed (Efron 1979)."""
        returns = np.array(self.returns)
        rng, rows = np.random.default_rng(0), max(1, 1_000_000 // len(returns))
        means = [
            returns[rng.integers(0, len(returns), (min(rows, 10_000 - done), len(returns)))].mean(axis=1)
            for done in range(0, 10_000, rows)
        ]
        low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
        return float(low), float(high)

    def beats(self, best: float | None, by: float = 0.0) -> bool:
        """Return whether the mean is above the best one before, None if there was none; NaN beats nothing."""
        return not np.isnan(self.mean) and (best is None or self.mean > best + by)

    def __str__(self) -> str:
        if len(self.returns) == 1:
            return f"{self.mean:.1f} (1 episode)"
        low, high = self.interval
        cut = f", {self.unfinished} cut off" if self.unfinished else ""
        return f"{self.mean:.1f} (95 % interval {low:.1f} to {high:.1f}, {len(self.returns)} episodes{cut})"


def play(
    actor: Actor,
    env: Vec,
    episodes: int,
    seed: int,
    *,
    step: int = 0,
    longest_episode: int = LONGEST_EPISODE,
) -> Evaluation:
    """Play whole episodes in a vector environment and return their scores.

    The episodes are shared out among the environments beforehand: taking the first that finish would favour short ones.
    An environment that has methods `begin_evaluation` and `end_evaluation` is told of both.

    Args:
        actor: called as `actor(observations, first)`.
        env: as for `Collector`.
        episodes: how many, all environments together.
        seed: of the environments.
        step: noted in the result.
        longest_episode: steps after which an episode is cut off.
    """
    check_positive("episodes", episodes)
    with told(getattr(env.unwrapped, "envs", ())):
        return _play(actor, Collector(env, seed), episodes, step, longest_episode)


@contextmanager
def told(envs: Sequence[Env]) -> Iterator[None]:
    """Tell single environments that have methods `begin_evaluation` and `end_evaluation` of both."""
    _tell(envs, "begin_evaluation")
    try:
        yield
    finally:
        _tell(envs, "end_evaluation")


def _tell(envs: Sequence[Env], word: str) -> None:
    for each in envs:
        if each.has_wrapper_attr(word):
            each.get_wrapper_attr(word)()


def _play(actor: Actor, collector: Collector, episodes: int, step: int, longest_episode: int) -> Evaluation:
    env = collector.env
    shares = np.full(env.num_envs, episodes // env.num_envs)
    shares[: episodes % env.num_envs] += 1
    scores: list[list[tuple[float, int]]] = [[] for _ in shares]
    unfinished = 0
    running = np.zeros(env.num_envs)  # return of the running episode
    length = np.zeros(env.num_envs, np.int64)
    while any(len(done) < share for done, share in zip(scores, shares, strict=True)):
        transition = collector.step(collector.act(actor))
        running += transition.reward
        length += 1
        for episode in collector.episodes():
            if len(scores[episode.env]) < shares[episode.env]:
                scores[episode.env].append((episode.return_, episode.length))
        running[collector.first] = 0.0
        length[collector.first] = 0
        endless = length >= longest_episode
        if endless.any():
            for index in np.flatnonzero(endless):
                if len(scores[index]) < shares[index]:
                    scores[index].append((float(running[index]), int(length[index])))
                    unfinished += 1
            collector.restart(endless)
            running[endless], length[endless] = 0.0, 0
    flat = [score for done in scores for score in done]
    return Evaluation(tuple(r for r, _ in flat), tuple(n for _, n in flat), unfinished, step)


def evaluate(
    subject: Any,
    env: Any = None,
    episodes: int = 10,
    seed: int = 0,
    *,
    num_envs: int | None = None,
    wrappers: Sequence[Any] = (),
    longest_episode: int = LONGEST_EPISODE,
    **options: Any,
) -> Evaluation:
    """Play whole greedy episodes and return their scores.

    Args:
        subject: a run, or an actor, which may be a plain function `(observations, first) -> actions`.
        env: a name, class, factory or environment; for a run the one it was trained on unless given.
        episodes: how many.
        seed: of the environments; the same seed gives the same episodes.
        num_envs: environments side by side (default: one an episode, at most 8).
        wrappers: of the environment.
        longest_episode: steps after which an episode is cut off.
        options: keyword arguments of the environment.

    Raises:
        TypeError: for an actor without an environment.
    """
    actor, source = subject_of(subject, env, wrappers, options)
    check_positive("episodes", episodes)
    vec = source.make_vec(num_envs or (1 if source.is_instance else min(episodes, 8)))
    try:
        check_same_spaces(subject, vec, source.name)
        step = getattr(subject, "steps", 0)
        return play(actor, vec, episodes, seed, step=step, longest_episode=longest_episode)
    finally:
        if not source.is_instance:
            vec.close()


def check_same_spaces(subject: Any, env: Any, name: str) -> None:
    """Raise SpaceError where a run's algorithm cannot act in another environment than that of its training.

    Args:
        subject: a run; for a bare actor nothing can be said.
        env: an environment or vector environment.
        name: of the environment.
    """
    for kind in ("observation", "action"):
        trained = getattr(subject, f"{kind}_space", None)
        there: Any = getattr(env, f"single_{kind}_space", None) or getattr(env, f"{kind}_space")
        if trained is not None and not _fits(trained, there):
            raise SpaceError(
                f"The run was trained with {kind} space {squeezed(trained)}; {name} has {squeezed(there)}. "
                "Choose an environment of the same spaces."
            )


def _fits(trained: Space[Any], there: Space[Any]) -> bool:
    """Return whether one may stand for the other; the bounds of a Box observation may differ."""
    return trained == there or (isinstance(trained, Box) and is_space_dtype_shape_equiv(trained, there))


def subject_of(
    subject: Any, env: Any, wrappers: Sequence[Any], options: dict[str, Any]
) -> tuple[Actor, EnvironmentSource]:
    """Return the actor of a run or an actor, and the environment it is to act in."""
    if isinstance(subject, (str, PathLike)):
        raise TypeError(f"{str(subject)!r} is a path: load the run first, rlhub_core.load({str(subject)!r}).")
    is_run = callable(getattr(subject, "actor", None))
    actor = subject.actor() if is_run else subject
    source = getattr(subject, "environment", None)
    if env is not None:
        return actor, EnvironmentSource.of(env, options, wrappers, source.hub if source is not None else None)
    if source is None:
        raise TypeError("An actor needs an environment to act in: pass env as well.")
    if wrappers:
        raise TypeError("A run brings its wrappers with its environment; name the environment to choose others.")
    if options:
        source = EnvironmentSource(source.origin, {**source.options, **options}, source.wrappers, source.hub)
    return actor, source
