"""A game of catch, written for dm_env, learnt by a deep Q-network.

    python examples/legacy/dm_env_catch.py

A ball falls down a board of 10 × 5; the paddle below goes left, stays or goes right. It is the game that DeepMind's
bsuite begins with, written anew in the manner of dm_env.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import rlhub_legacy.dm_env as dm_env  # the only line that changed: it was `import dm_env`

import rlhub_core as rlhub


class Catch(dm_env.Environment):
    """A reward of 1 for a ball that is caught, of -1 for one that is not."""

    def __init__(self, rows: int = 10, columns: int = 5, seed: int | None = None) -> None:
        self._random = np.random.RandomState(seed)
        self._board = np.zeros((rows, columns), np.float32)

    def reset(self) -> Any:
        """Drop a ball."""
        columns = self._board.shape[1]
        self._ball, self._paddle = [0, int(self._random.randint(columns))], columns // 2
        return dm_env.restart(self._observation())

    def step(self, action: Any) -> Any:
        """Move the paddle and let the ball fall by one row."""
        rows, columns = self._board.shape
        self._paddle = int(np.clip(self._paddle + (-1, 0, 1)[action], 0, columns - 1))
        self._ball[0] += 1
        if self._ball[0] == rows - 1:
            return dm_env.termination(1.0 if self._paddle == self._ball[1] else -1.0, self._observation())
        return dm_env.transition(reward=0.0, observation=self._observation())

    def observation_spec(self) -> Any:
        """Return the board."""
        return dm_env.specs.BoundedArray(self._board.shape, self._board.dtype, 0, 1, name="board")

    def action_spec(self) -> Any:
        """Return left, stay or right."""
        return dm_env.specs.DiscreteArray(3, dtype=int, name="action")

    def _observation(self) -> Any:
        self._board.fill(0.0)
        self._board[tuple(self._ball)] = 1.0
        self._board[-1, self._paddle] = 1.0
        return self._board  # the same array each time, as bsuite does: the adapter hands out copies


def train(steps: int = 10_000, seed: int = 0, **settings: Any) -> rlhub.Run:
    """Return a run that has learnt to catch every ball."""
    return rlhub.train(
        "deep/dqn",
        Catch,
        steps=steps,
        seed=seed,
        config={
            "learning_rate": 1e-3,
            "learning_starts": 500,
            "buffer_size": 10_000,
            "target_update_every": 200,
            "epsilon": "linear(1.0, 0.05, 5000)",
            "hidden_sizes": [64, 64],
        },
        **settings,
    )


def main() -> None:
    """Train and show the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = train(arguments.steps, arguments.seed)
    score = rlhub.evaluate(run, episodes=100)
    print(f"Return {score}; every ball caught is 1.0. {run.folder}")


if __name__ == "__main__":
    main()
