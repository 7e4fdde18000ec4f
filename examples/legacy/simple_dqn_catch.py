"""A game written for Simple-DQN, unchanged, learnt by `deep/dqn`: a ball falls, and a paddle is to be below it.

    python examples/legacy/simple_dqn_catch.py

In train mode a missed ball is terminal, and `restart` then goes on with the game; in test mode whole games count.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from typing import Any

import numpy as np

import rlhub_core as rlhub


class Catch:
    """Ten balls a game, three may be missed. Actions: 0 nothing, 1 left, 2 right. Reward: 1 for a ball caught."""

    def __init__(self) -> None:
        self.mode, self.lives, self.balls, self.missed = "train", 0, 0, False

    def setMode(self, mode: str) -> None:
        self.mode = mode

    def numActions(self) -> int:
        return 3

    def restart(self) -> None:
        if self.mode == "test" or not self.missed or self.over():
            self.lives, self.balls, self.paddle = 3, 10, 6
            self.drop()
        self.missed = False

    def drop(self) -> None:
        self.ball = [0, random.randrange(12)]  # row, column

    def act(self, action: int) -> float:
        self.paddle = min(max(self.paddle + (0, -1, 1)[action], 1), 10)
        self.ball[0] += 1
        self.missed = False
        if self.ball[0] < 11:
            return 0.0
        caught = abs(self.ball[1] - self.paddle) <= 1
        self.balls, self.lives, self.missed = self.balls - 1, self.lives - (not caught), not caught
        self.drop()
        return float(caught)

    def over(self) -> bool:
        return self.lives == 0 or self.balls == 0

    def isTerminal(self) -> bool:
        return self.over() or (self.missed and self.mode == "train")

    def getScreen(self) -> np.ndarray:
        board = np.zeros((12, 12), np.uint8)
        board[11, self.paddle - 1 : self.paddle + 2] = 128
        board[self.ball[0], self.ball[1]] = 255
        return board.repeat(7, axis=0).repeat(7, axis=1)  # 84 x 84


# ---- the old class ends here; what follows is rlhub


def game(mode: str) -> Any:
    """Return a factory of adapted games."""
    return lambda: rlhub.adapt(Catch(), mode=mode, random_starts=8)


def main() -> None:
    """Train, and play whole games."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=12_000)
    parser.add_argument("--games", type=int, default=20, help="to measure it by")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    settings = {
        "epsilon": f"linear(1.0, 0.05, {max(1, arguments.steps // 3)})",
        "learning_rate": 5e-4,
        "learning_starts": min(1_000, arguments.steps // 2),
        "target_update_every": 500,
        "buffer_size": 20_000,
        "n_step": 3,
        "double": True,
        "hidden_sizes": [128],
    }
    with tempfile.TemporaryDirectory() as folder:
        run = rlhub.train(
            "deep/dqn",
            game("train"),
            steps=arguments.steps,
            num_envs=4,
            seed=arguments.seed,
            config=settings,
            folder=folder,
        )
        trained = rlhub.evaluate(run, game("test"), episodes=arguments.games)
        drawn = rlhub.evaluate(
            lambda seen, _: np.random.randint(3, size=len(seen)), game("test"), episodes=arguments.games
        )
        print(f"Balls caught of 10, trained: {trained}; random: {drawn}")


if __name__ == "__main__":
    main()
