"""What the tests of learners share: a world from a table of outcomes, and learners set upon it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Discrete

import rlhub_core as rlhub
from rlhub_core import Collector

Outcome = tuple[float, int, float, bool, bool]  # probability, next state, reward, terminated, truncated


class World(gymnasium.Env[Any, Any]):
    """Goes by a table: `outcomes[state][action]` are what may happen, none where the action is impossible."""

    def __init__(self, outcomes: Sequence[Sequence[Sequence[Outcome]]], start: int = 0) -> None:
        self.outcomes, self.start, self.state = outcomes, start, start
        self.observation_space, self.action_space = Discrete(len(outcomes)), Discrete(len(outcomes[0]))
        self.P = {
            state: {action: [outcome[:4] for outcome in row] for action, row in enumerate(rows)}
            for state, rows in enumerate(outcomes)
        }

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = self.start
        return self.state, {}

    def step(self, action: Any) -> Any:
        row = self.outcomes[self.state][int(action)]
        assert row, f"action {action} is impossible in state {self.state}"
        index = int(np.searchsorted(np.cumsum([outcome[0] for outcome in row])[:-1], self.np_random.random(), "right"))
        _, self.state, reward, terminated, truncated = row[index]
        return self.state, reward, terminated, truncated, {}


def _learner(kind: Any, env: Any, steps: int = 1000, seed: int = 0, num_envs: int = 1, **config: Any) -> Any:
    collector = Collector(rlhub.make_vec(env, num_envs), seed)
    spaces = collector.single_observation_space, collector.single_action_space
    return kind(*spaces, kind.Config(**config), seed=seed, total_steps=steps, device="cpu"), collector


def _learnt(kind: Any, env: Any, steps: int, **settings: Any) -> Any:
    learner, collector = _learner(kind, env, steps, **settings)
    for _ in learner.train(collector, steps):
        pass
    collector.close()
    return learner


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs written where nobody looks."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def world() -> type[World]:
    """Return the environment that goes by a table."""
    return World


@pytest.fixture
def learner() -> Callable[..., Any]:
    """`learner(kind, env, steps, seed=, num_envs=, **config)` returns a learner and its collector."""
    return _learner


@pytest.fixture
def learnt() -> Callable[..., Any]:
    """`learnt(kind, env, steps, seed=, num_envs=, **config)` returns a learner after so many steps."""
    return _learnt
