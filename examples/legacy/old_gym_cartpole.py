"""An environment class written for OpenAI Gym before 0.26, unchanged, learnt by `deep/ppo`.

    python examples/legacy/old_gym_cartpole.py

Four values from `step`, none but the observation from `reset`, a `seed` method, and a time limit told in `info`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from typing import Any

import numpy as np

import rlhub_core as rlhub


class Discrete:
    """Stands for `gym.spaces.Discrete`: an old class imports its own."""

    def __init__(self, n: int) -> None:
        self.n = n


class Box:
    """Stands for `gym.spaces.Box`."""

    def __init__(self, low: np.ndarray, high: np.ndarray) -> None:
        self.low, self.high, self.shape, self.dtype = low, high, low.shape, np.dtype(np.float32)


class CartPole:
    """A pole on a cart (Barto, Sutton & Anderson, 1983), 200 steps at most."""

    metadata = {"render.modes": ["human", "rgb_array"], "video.frames_per_second": 50}

    def __init__(self) -> None:
        high = np.array([4.8, np.inf, 0.42, np.inf], np.float32)
        self.observation_space, self.action_space = Box(-high, high), Discrete(2)
        self.seed()

    def seed(self, seed: int | None = None) -> list[int | None]:
        self.np_random = np.random.RandomState(seed)
        return [seed]

    def reset(self) -> np.ndarray:
        self.state, self.steps = self.np_random.uniform(-0.05, 0.05, 4), 0
        return self.state

    def step(self, action: int) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        x, v, angle, turn = self.state
        push = (10.0 if action == 1 else -10.0) + 0.05 * turn**2 * math.sin(angle)
        bend = (9.8 * math.sin(angle) - math.cos(angle) * push / 1.1) / (
            0.5 * (4 / 3 - 0.1 * math.cos(angle) ** 2 / 1.1)
        )
        speed_up = push / 1.1 - 0.05 * bend * math.cos(angle) / 1.1
        self.state = np.array([x + 0.02 * v, v + 0.02 * speed_up, angle + 0.02 * turn, turn + 0.02 * bend])
        self.steps += 1
        fell = bool(abs(self.state[0]) > 2.4 or abs(self.state[2]) > math.radians(12))
        late = self.steps >= 200
        return self.state, 1.0, fell or late, {"TimeLimit.truncated": not fell} if late else {}

    def render(self, mode: str = "human") -> np.ndarray:
        picture = np.full((80, 120, 3), 255, np.uint8)
        for along in np.linspace(0, 40, 80):
            column, row = 60 + self.state[0] * 12 + math.sin(self.state[2]) * along, 70 - along
            picture[int(row), int(np.clip(column, 0, 118)) : int(np.clip(column, 0, 118)) + 2] = (200, 100, 60)
        return picture


# ---- the old classes end here; what follows is rlhub


def main() -> None:
    """Train, and play a hundred episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = {
        "learning_rate": "linear(3e-3, 0)",
        "rollout_length": 32,
        "minibatches": 1,
        "epochs": 8,
        "gae_lambda": 0.95,
        "discount": 0.99,
    }
    with tempfile.TemporaryDirectory() as folder:
        run = rlhub.train(
            "deep/ppo",
            CartPole,
            steps=arguments.steps,
            num_envs=8,
            seed=arguments.seed,
            config=settings,
            folder=folder,
        )
        print(f"Steps balanced of 200: {rlhub.evaluate(run, episodes=100)}")


if __name__ == "__main__":
    main()
