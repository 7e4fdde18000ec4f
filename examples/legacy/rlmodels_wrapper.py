"""The wrapper that rlmodels' page shows for environments of one's own, around a pendulum, learnt by `deep/td3`.

    python examples/legacy/rlmodels_wrapper.py

As printed its methods have no bodies, which Python refuses, and return names that nothing defines. Here they do what
the page says: hand on to the environment within, and turn what it gives into state, reward, terminated, info.
"""

from __future__ import annotations

import argparse
import tempfile
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box

import rlhub_core as rlhub


class MyEnvWrapper:
    """An environment in rlmodels' contract: no spaces, and a `seed` without argument."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def reset(self) -> np.ndarray:
        state, _ = self.env.reset()
        return np.asarray(state)

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, dict[str, Any]]:
        state, reward, terminated, truncated, info = self.env.step(action)
        info = {**info, "TimeLimit.truncated": truncated}  # or the pendulum would seem to end after 200 steps
        return state, float(reward), terminated or truncated, info

    def seed(self) -> None:
        self.env.reset(seed=1)

    def render(self) -> Any:
        return self.env.render()


# ---- the old class ends here; what follows is rlhub


def pendulum() -> Any:
    """Return the adapted wrapper; the actions are said here, for they cannot be told from outside."""
    theirs = MyEnvWrapper(gymnasium.make("Pendulum-v1", render_mode="rgb_array"))
    return rlhub.adapt(theirs, action_space=Box(-2.0, 2.0, (1,)), render_mode="rgb_array")


def main() -> None:
    """Train, and play twenty episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = {
        "learning_rate": 2e-3,
        "batch_size": 128,
        "buffer_size": 20_000,
        "learning_starts": 500,
        "tau": 0.01,
        "hidden_sizes": [64, 64],
    }
    with tempfile.TemporaryDirectory() as folder:
        run = rlhub.train(
            "deep/td3", pendulum, steps=arguments.steps, seed=arguments.seed, config=settings, folder=folder
        )
        print(f"Return, at best about -150: {rlhub.evaluate(run, episodes=20)}")


if __name__ == "__main__":
    main()
