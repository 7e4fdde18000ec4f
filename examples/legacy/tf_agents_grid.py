"""The 4 × 4 environment of a TF-Agents notebook, as it was written, learnt by a deep Q-network of today.

    python examples/legacy/tf_agents_grid.py

It comes from chapter 18 of Aurélien Géron's "Hands-On Machine Learning", 2nd edition, written anew in its manner. Two
of its habits matter: it knows no limit of steps, and after its last time step it goes on as if nothing had happened
(from above the board, "down" leads back onto it). So it is given a limit here; and a step after the end is refused.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import rlhub_legacy.tf_agents as tf_agents  # the only line that changed: it was `import tf_agents`

import rlhub_core as rlhub


class MyEnvironment(tf_agents.environments.py_environment.PyEnvironment):
    """A piece goes up, down, left or right (0 to 3): +10 in the far corner, -1 beyond the edge."""

    def __init__(self, discount: float = 1.0) -> None:
        super().__init__()
        self._action_spec = tf_agents.specs.BoundedArraySpec(
            shape=(), dtype=np.int32, name="action", minimum=0, maximum=3
        )
        self._observation_spec = tf_agents.specs.BoundedArraySpec(
            shape=(4, 4), dtype=np.int32, name="observation", minimum=0, maximum=1
        )
        self.discount = discount

    def action_spec(self) -> Any:
        """Return one of four."""
        return self._action_spec

    def observation_spec(self) -> Any:
        """Return the board."""
        return self._observation_spec

    def _reset(self) -> Any:
        self._place = np.zeros(2, np.int32)
        return tf_agents.trajectories.time_step.restart(self._board())

    def _step(self, action: Any) -> Any:
        self._place = self._place + [(-1, 0), (1, 0), (0, -1), (0, 1)][action]
        if self._place.min() < 0 or self._place.max() > 3:
            return tf_agents.trajectories.time_step.termination(np.zeros((4, 4), np.int32), reward=-1)
        if (self._place == 3).all():
            return tf_agents.trajectories.time_step.termination(self._board(), reward=10)
        return tf_agents.trajectories.time_step.transition(self._board(), reward=0, discount=self.discount)

    def _board(self) -> Any:
        board = np.zeros((4, 4), np.int32)
        board[tuple(self._place)] = 1
        return board


def train(steps: int = 6_000, seed: int = 0, **settings: Any) -> rlhub.Run:
    """Return a run that has learnt the way: 6 moves, a return of 10."""
    return rlhub.train(
        "deep/dqn",
        MyEnvironment,
        wrappers=["legacy/time_limit:max_episode_steps=50"],
        steps=steps,
        seed=seed,
        config={
            "discount": 0.9,
            "learning_rate": 1e-3,
            "learning_starts": 200,
            "buffer_size": 5_000,
            "target_update_every": 200,
            "epsilon": "linear(1.0, 0.05, 3000)",
            "hidden_sizes": [64],
        },
        **settings,
    )


def main() -> None:
    """Train and show the score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=6_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    run = train(arguments.steps, arguments.seed)
    score = rlhub.evaluate(run, episodes=5)
    print(f"Return {score.mean:.0f} in {np.mean(score.lengths):.0f} moves; the best there is is 10 in 6. {run.folder}")


if __name__ == "__main__":
    main()
