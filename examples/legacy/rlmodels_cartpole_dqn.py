"""rlmodels' example `cartpole_dqn`: its environment contract and its settings, learnt by `deep/dqn`.

    python examples/legacy/rlmodels_cartpole_dqn.py

rlmodels (2019) wants `reset`, `step` with four values and `seed`, and no spaces. Its example makes episodes of 200
steps by writing over the time limit of Gym, which made a cut look like a fall; here the limit is a truncation.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import gymnasium
import numpy as np

import rlhub_core as rlhub


class CartPole:
    """What rlmodels asks of an environment, and no more."""

    n_actions = 2  # rlmodels knew it from the agent's network
    _max_episode_steps = 200

    def __init__(self) -> None:
        self.env = gymnasium.make("CartPole-v1", max_episode_steps=-1)

    def seed(self, seed: int) -> None:
        self.env.reset(seed=seed)

    def reset(self) -> np.ndarray:
        return np.asarray(self.env.reset()[0])

    def step(self, action: int) -> tuple[np.ndarray, float, bool, None]:
        state, reward, fell, _, _ = self.env.step(action)
        return state, float(reward), fell, None


# ---- the old class ends here; what follows is rlhub

SETTINGS: dict[str, Any] = {  # of the example: DQNScheduler, Agent and fit
    "double": True,
    "prioritized": True,
    "priority_alpha": 1.0,
    "priority_beta": 1.0,
    "learning_rate": "exponential(0.5, 0.8, 1000)",
    "batch_size": 200,
    "buffer_size": 2_000,
    "learning_starts": 2_000,
    "train_every": 1,
    "target_update_every": 100,
    "epsilon": "piecewise((2500, 5000, 7500, 10000), (0.05, 0.04, 0.03, 0.02, 0.01))",
    "loss": "mse",
    "optimizer": "sgd",
    "max_grad_norm": "none",
    "hidden_sizes": [60],
}
TODAY: dict[str, Any] = {  # what makes it steady
    "learning_rate": 2.3e-3,
    "batch_size": 64,
    "buffer_size": 20_000,
    "learning_starts": 1_000,
    "train_every": 4,
    "gradient_steps": 2,
    "target_update_every": 128,
    "n_step": 3,
    "double": True,
    "hidden_sizes": [128, 128],
    "epsilon": "linear(1.0, 0.04, 8000)",
}
UNTIL_GOOD = [  # the policy of a deep Q-network gets worse again if it goes on
    "core/evaluate:every=1000,episodes=30,num_envs=30",
    "core/stop_on_return:value=195,of=evaluation",
]


def main() -> None:
    """Train with rlmodels' settings or today's, and play a hundred episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--settings", choices=("rlmodels", "today"), default="today")
    parser.add_argument("--steps", type=int, default=34_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = rlhub.train(
            "deep/dqn",
            CartPole,
            steps=arguments.steps,
            seed=arguments.seed,
            config=SETTINGS if arguments.settings == "rlmodels" else TODAY,
            callbacks=["core/stop_after:episodes=170"] if arguments.settings == "rlmodels" else UNTIL_GOOD,
            folder=folder,
        )
        last = [episode.return_ for episode in run.episodes[-20:]]
        print(f"{len(run.episodes)} episodes; mean return of the last {len(last)}: {np.mean(last or [0]):.1f}")
        print(f"Steps balanced of 200: {rlhub.evaluate(run, episodes=100)}")


if __name__ == "__main__":
    main()
