"""Training in epochs, each with a test phase and a snapshot, as ReNom RL and Simple-DQN do it."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Actor, Callback, Collector, ConfigError, Episode, Run, option, state
from rlhub_core.envs import Vec
from rlhub_core.evaluation import LONGEST_EPISODE, Evaluation, play
from rlhub_core.protocol import Progress
from rlhub_core.seeding import stream


@dataclass
class Epochs(Callback):
    """Divides training into epochs of so many env steps; each ends with a test and a checkpoint that is kept.

    Attributes:
        number: epochs that have ended.
        last: the test of the newest one.
        test_seconds: wall seconds that it took.
    """

    evaluates = True
    steps: int = option(250_000, "training in an epoch", unit="env steps", minimum=1)
    episodes: int = option(10, "whole episodes of a test", unit="episodes", minimum=1)
    test_steps: int | None = option(None, "length of a test in place of whole episodes", unit="env steps", minimum=1)
    epsilon: float = option(0.0, "probability of a random action in a test; Simple-DQN's is 0.05", minimum=0, maximum=1)
    num_envs: int = option(8, "environments side by side in a test, at most one an episode", minimum=1)
    longest_episode: int = option(LONGEST_EPISODE, "steps after which an episode is cut off", unit="steps", minimum=1)
    snapshots: bool = option(True, "keep the checkpoint of each epoch: load(run, step=…)")
    number: int = field(default=0, init=False, repr=False)
    last: Evaluation | None = field(default=None, init=False, repr=False)
    test_seconds: float = field(default=0.0, init=False, repr=False)
    _env: Vec | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Begin the first epoch, but for a run that goes on.

        Raises:
            ConfigError: where training uses one live environment object; where there are two such callbacks; where
                there is an epsilon, but no Discrete actions.
        """
        run.separate_environment()
        epochs_of(run.callbacks, "callbacks/epochs")
        if self.epsilon:
            _discrete(run.action_space)
        if run.restored is None:
            self.number, self.last = 0, None

    def on_progress(self, run: Run, progress: Progress) -> None:
        """End an epoch where it is over; where a progress is longer than several, they end as one."""
        if progress.steps // self.steps <= self.number:
            return
        self.number = progress.steps // self.steps
        begun = time.monotonic()
        self.last = self._test(run, progress.steps)
        self.test_seconds = time.monotonic() - begun
        run.record_evaluation(self.last)
        if self.snapshots:
            run.keep_checkpoint()

    def on_end(self, run: Run) -> None:
        """Close the environments."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def save(self, folder: Path) -> None:
        """Write how many epochs there were."""
        state.save(folder, "epochs", {"number": self.number})

    def load(self, folder: Path) -> None:
        """Read how many epochs there were."""
        self.number = state.load(folder, "epochs")["number"]

    def _test(self, run: Run, step: int) -> Evaluation:
        if self._env is None:
            most = self.num_envs if self.test_steps else min(self.num_envs, self.episodes)
            self._env = run.separate_environment().make_vec(most)
        seed, actor = stream(run.experiment.seed, "epochs", step), run.actor()
        if self.epsilon:
            actor = Dithering(actor, self._env.single_action_space, self.epsilon, seed)
        if self.test_steps is not None:
            return play_steps(actor, self._env, self.test_steps, seed, step)
        return play(actor, self._env, self.episodes, seed, step=step, longest_episode=self.longest_episode)


def epochs_of(callbacks: Iterable[Callback], owner: str) -> Epochs:
    """Return the one `Epochs` among callbacks.

    Raises:
        ConfigError: where there is none, or more than one; it names the owner.
    """
    found = [callback for callback in callbacks if isinstance(callback, Epochs)]
    if len(found) != 1:
        raise ConfigError(f"{owner} needs callbacks/epochs once among the callbacks; there are {len(found)} of it.")
    return found[0]


def play_steps(actor: Actor, env: Vec, steps: int, seed: int, step: int = 0) -> Evaluation:
    """Play so many env steps, all environments together, and return the scores of the episodes that ended.

    Where none has ended, the running ones count with the return they have, as unfinished.
    """
    collector = Collector(env, seed)
    running, length = np.zeros(env.num_envs), np.zeros(env.num_envs, np.int64)  # [B] of the running episodes
    ended: list[Episode] = []
    while collector.steps < steps:
        running += collector.step(collector.act(actor)).reward
        length += 1
        ended += collector.episodes()
        running[collector.first], length[collector.first] = 0.0, 0
    if ended:
        return Evaluation(tuple(each.return_ for each in ended), tuple(each.length for each in ended), 0, step)
    return Evaluation(tuple(running.tolist()), tuple(length.tolist()), env.num_envs, step)


class Dithering:
    """An actor that acts at random now and then, as masks allow where there are any.

    Args:
        actor: who acts otherwise.
        space: of the actions of one environment.
        epsilon: probability of a random action.
        seed: of the draws.
    """

    def __init__(self, actor: Actor, space: Any, epsilon: float, seed: int) -> None:
        self.masked = getattr(actor, "masked", False)
        self._actor, self._epsilon = actor, epsilon
        self._rng, self._low = np.random.default_rng(seed), int(getattr(space, "start", 0))
        self._actions = int(_discrete(space).n)

    def __call__(self, observations: Any, first: NDArray[np.bool_], *masks: NDArray[Any]) -> NDArray[Any]:
        actions = np.array(self._actor(observations, first, *masks))
        for env in np.flatnonzero(self._rng.random(len(first)) < self._epsilon):
            possible = np.flatnonzero(masks[0][env]) if masks else np.arange(self._actions)
            actions[env] = self._low + self._rng.choice(possible)
        return actions


def _discrete(space: Any) -> Any:
    if not hasattr(space, "n") or space.shape != ():
        raise ConfigError(f"callbacks/epochs: epsilon needs Discrete actions, not {type(space).__name__}: leave it 0.")
    return space
