"""The environment of ReNom RL's how-to, on Breakout, and DQN from today.

    python examples/legacy/renom_custom_env.py [--steps 500000]

The how-to's text lost lines on its way and does not parse; this is the class as its authors meant it, written anew.
Also repaired are: frames of a lost game are forgotten, a game that ends in the random steps of a reset is begun again,
the reward is a number, and the lives are where ale-py has them today.
"""

from __future__ import annotations

import argparse
from typing import Any

import ale_py
import gymnasium
import numpy as np
from PIL import Image
from rlhub_legacy.renom import BaseEnv, epochs, fit


class CustomEnv(BaseEnv):
    """Breakout in the dialect: the last four screens, 1 where bricks fell, and a lost life is terminal."""

    action_shape = 4
    state_shape = (4, 84, 84)

    def __init__(self, env: Any) -> None:
        self.env, self.lives, self.is_over = env, 0, True
        self.frames: list[Any] = []
        super().__init__()

    def sample(self) -> Any:
        return self.env.action_space.sample()

    def reset(self) -> Any:
        if self.is_over:
            self._look(self.env.reset()[0])
        for _ in range(np.random.randint(4, 33)):
            screen, _, terminated, truncated, info = self.env.step(self.sample())
            self._look(self.env.reset()[0] if terminated or truncated else screen)
            self.lives = info["lives"] or 5
        self.frames = self.frames[-1:] * 4
        self.is_over = False
        return np.stack(self.frames)

    def step(self, action: int) -> Any:
        total = 0.0
        for _ in range(4):
            screen, reward, terminated, truncated, info = self.env.step(action)
            total += reward
            self.is_over = terminated or truncated
            if self.is_over:
                break
        self._look(screen)
        is_lost, self.lives = info["lives"] < self.lives, info["lives"]
        return np.stack(self.frames), float(total > 0), is_lost or self.is_over

    def _look(self, screen: Any) -> None:
        grey = Image.fromarray(screen).resize((84, 110)).convert("L")
        self.frames = [*self.frames[-3:], np.asarray(grey, np.float32)[26:110] / 255]


def main() -> None:
    """Train it with the how-to's settings, or less of each where it trains for a shorter time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=500_000)
    steps = parser.parse_args().steps
    gymnasium.register_envs(ale_py)
    breakout = gymnasium.make("ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
    run = fit(
        "deep/dqn",
        CustomEnv(breakout),
        epoch=5,
        epoch_step=steps // 5,
        test_step=min(2_000, steps // 50),
        random_step=min(5_000, steps // 2),
        greedy_step=min(1_000_000, steps // 2),
        update_period=min(10_000, steps // 10),
        config={"buffer_size": max(1_000, min(steps // 2, 100_000))},
    )
    for epoch in epochs(run):
        print(f"epoch {epoch.epoch}: training {epoch.train_reward:.0f}, test {epoch.test_reward:.0f}")
    print(f"Everything is in {run.folder}")


if __name__ == "__main__":
    main()
