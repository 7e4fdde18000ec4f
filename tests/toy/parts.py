"""A corridor to walk along, a walker that learns nothing, and callbacks."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from rlhub_core import Actor, Callback, Collector, Progress, Scheduled, option, schedules
from rlhub_core.state import load, save


class Corridor(gymnasium.Env[Any, Any]):
    """Walk right to the end: -0.1 a step, 1 at the end."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 20}

    def __init__(self, length: int = 8, render_mode: str | None = None) -> None:
        self.length, self.render_mode = length, render_mode
        self.observation_space = spaces.Box(0, 1, (1,), np.float32)
        self.action_space = spaces.Discrete(2)
        self._cell = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._cell = int(self.np_random.integers(self.length // 2))
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._cell = max(0, self._cell + (1 if action == 1 else -1))
        there = self._cell >= self.length - 1
        return self._seen(), 1.0 if there else -0.1, there, False, {}

    def render(self) -> Any:
        frame = np.full((8, 8 * self.length, 3), 235, np.uint8)
        frame[:, -8:] = (0, 158, 115)
        left = 8 * min(self._cell, self.length - 1)
        frame[1:7, left + 1 : left + 7] = (213, 94, 0)
        return frame

    def _seen(self) -> Any:
        return np.array([self._cell / (self.length - 1)], np.float32)


class Dark(Corridor):
    """A corridor without a light."""

    metadata = {"render_modes": ["ansi"]}


class Scale(gymnasium.RewardWrapper[Any, Any]):
    """Multiplies rewards."""

    def __init__(self, env: Any, by: float = 10.0) -> None:
        super().__init__(env)
        self.by = by

    def reward(self, reward: Any) -> float:
        return float(reward) * self.by


class RandomWalk:
    """Walks at random and learns nothing, but keeps the contract."""

    @dataclass(frozen=True)
    class Config:
        """Its hyper-parameters."""

        right: Scheduled[float] = option(0.7, "probability of a step to the right", minimum=0, maximum=1)
        pause: float = option(0.0, "sleep at each step", unit="s", minimum=0)
        greeting: str = option("hello", "not used")

    def __init__(
        self, observation_space: Any, action_space: Any, config: Config, *, seed: int, total_steps: int, device: str
    ) -> None:
        self.config, self.steps = config, 0
        self._random = np.random.default_rng(seed)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        act = self.actor(explore=True)
        while self.steps < until:
            collector.step(act(collector.observations, collector.first))
            self.steps = collector.steps
            time.sleep(self.config.pause)
            yield Progress(self.steps, collector.episodes(), {"noise": float(self._random.random())})

    def actor(self, *, explore: bool = False) -> Actor:
        def act(observations: Any, first: Any) -> Any:
            if not explore:
                return np.ones(len(first), np.int64)
            right = schedules.value(self.config.right, self.steps)
            return (self._random.random(len(first)) < right).astype(np.int64)

        return act

    def save(self, folder: Path) -> None:
        save(folder, "walk", {"steps": self.steps, "random": self._random.bit_generator.state})

    def load(self, folder: Path) -> None:
        saved = load(folder, "walk")
        self.steps = saved["steps"]
        self._random.bit_generator.state = saved["random"]


class Die(Callback):
    """Ends the process at once, as a kill would."""

    def on_progress(self, run: Any, progress: Progress) -> None:
        os._exit(9)


@dataclass
class Count(Callback):
    """Counts episodes."""

    from_step: int = option(0, "first step that counts", unit="env steps", minimum=0)
    count: int = field(default=0, init=False)

    def on_progress(self, run: Any, progress: Progress) -> None:
        if progress.steps >= self.from_step:
            self.count += len(progress.episodes)


@dataclass
class Fail(Callback):
    """Raises an error."""

    def on_progress(self, run: Any, progress: Progress) -> None:
        raise RuntimeError("the disc is full")
