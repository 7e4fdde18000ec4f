"""The neon post's environment and agent for Gym, learning Breakout: train, play ten games, film one.

    python examples/legacy/neon_gym_environment.py

The post (Nervana, 2016, on Simple-DQN) prints `GymEnvironment` and its agent without their indentation and with lines
lost: `restart` began no game, two assignments were one, `get_action` did not remember the screen. Here they are as
meant, around today's `gymnasium`. What took days on a GPU is not done in minutes: this is a beginning.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from rlhub_legacy.simple_dqn import GymAgent

import rlhub_core as rlhub


class GymEnvironment:
    """The environment of the post: it hides a Gym environment behind what Simple-DQN asks for."""

    def __init__(self, env_id: str) -> None:
        self.gym = rlhub.make(env_id)
        self.obs: Any = None
        self.terminal: bool | None = None

    def numActions(self) -> int:
        return int(self.gym.action_space.n)  # type: ignore[attr-defined]

    def restart(self) -> None:
        self.obs, _ = self.gym.reset()
        self.terminal = False

    def act(self, action: int) -> float:
        self.obs, reward, terminated, truncated, _ = self.gym.step(action)
        self.terminal = terminated or truncated
        return float(reward)

    def getScreen(self) -> np.ndarray:
        assert self.obs is not None
        return np.asarray(self.obs)  # the post made it grey and 84 x 84 here, with OpenCV; the adapter does both

    def isTerminal(self) -> bool:
        assert self.terminal is not None
        return self.terminal


# ---- the old class ends here; what follows is rlhub


def main() -> None:
    """Train, play as the post's agent does, and leave a GIF."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="legacy/BreakoutDeterministic-v4")
    parser.add_argument("--steps", type=int, default=50_000)
    parser.add_argument("--games", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, default=Path("runs/neon"))
    arguments = parser.parse_args()

    def environment() -> Any:
        return rlhub.adapt(GymEnvironment(arguments.game))

    settings = {
        "epsilon": f"linear(1.0, 0.05, {max(1, arguments.steps // 3)})",
        "learning_starts": min(4_000, arguments.steps // 2),
        "target_update_every": 1_000,
        "buffer_size": 50_000,
        "n_step": 3,
        "double": True,
    }
    run = rlhub.train(
        "deep/dqn",
        environment,
        steps=arguments.steps,
        num_envs=4,
        seed=arguments.seed,
        reward_clip=1.0,
        config=settings,
        folder=arguments.folder,
    )
    scores = [play(GymAgent(run, seed=game), GymEnvironment(arguments.game)) for game in range(arguments.games)]
    print(f"Scores of {arguments.games} games: {scores}, mean {np.mean(scores):.1f}")
    film = rlhub.record(run.actor(explore=True), arguments.folder / "play.gif", environment, max_steps=500)
    print(f"Another is filmed in {film}")


def play(agent: GymAgent, env: GymEnvironment) -> float:
    """Play one game of at most 10,000 steps, as the post's loop did, and return its score."""
    env.restart()
    score = 0.0
    for t in range(10_000):
        score += env.act(agent.get_action(t, env.getScreen()))
        if env.isTerminal():
            break
    return score


if __name__ == "__main__":
    main()
