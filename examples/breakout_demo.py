"""Train on Breakout from pixels for a few minutes, then show the agent: `make demo`.

`deep/dqn` learns from eight native environments and clipped rewards, with a lost life as the end of what it learns
from; its scores are those of whole games, unclipped.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

import rlhub_core as rlhub

GAME = "atari/Breakout-v0"
SOONER = {  # than the preset explores less: what is learnt in minutes is to be seen in minutes
    "epsilon": "linear(1.0, 0.02, 40000)",
    "learning_starts": 5_000,
    "target_update_every": 2_000,
}


class TimeLimit(rlhub.Callback):
    """Ends the run after so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        """Stop when the time is up."""
        if run.seconds >= self.seconds:
            raise rlhub.StopTraining(f"{self.seconds:.0f} seconds are up")


def random_actor(seed: int) -> rlhub.Actor:
    """Return an actor that presses any of the four buttons."""
    rng = np.random.default_rng(seed)
    return lambda observations, first: rng.integers(4, size=len(first))


def free_folder(name: str) -> Path:
    """Return runs/name-1, or the first after it that is not taken."""
    numbers = (number for number in range(1, 10_000) if not Path(f"runs/{name}-{number}").exists())
    return Path(f"runs/{name}-{next(numbers)}")


def main() -> None:
    """Train, evaluate, draw, and say where everything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=200_000, help="env steps, all environments together")
    parser.add_argument("--seconds", type=float, default=320.0, help="of training, at most")
    parser.add_argument("--games", type=int, default=20, help="games to measure it by")
    arguments = parser.parse_args()
    begun = time.monotonic()

    print(f"Learning {GAME} from pixels with deep/dqn, for {arguments.seconds:.0f} seconds at most …")
    run = rlhub.train(
        "deep/dqn",
        GAME,
        preset="tuned",
        steps=arguments.steps,
        config=SOONER,
        callbacks=["core/checkpoint:every=100000,keep=1", TimeLimit(arguments.seconds)],
        folder=free_folder("breakout-demo"),
        progress=True,
    )
    print(f"Measuring it over {arguments.games} games …")
    player = run.actor(explore=True)  # with the last of its exploration: the greedy one can get stuck
    trained = rlhub.evaluate(player, GAME, episodes=arguments.games, seed=1)
    random = rlhub.evaluate(random_actor(0), GAME, episodes=arguments.games, seed=1)
    curve = run.folder / "plots" / "learning-curve.png"
    rlhub.plot(run.folder, curve)
    gif = rlhub.record(player, run.folder / "videos" / "breakout.gif", GAME, max_steps=900)

    print(f"""
Return over {arguments.games} whole games after {run.steps:,} steps, with 95 % intervals:
  trained  {trained}
  random   {random}
It took {time.monotonic() - begun:.0f} seconds.

The run     {run.folder}
The curve   {curve}
The GIF     {gif}

Try next:
  rlhub evaluate {run.folder} --episodes 50
  rlhub train deep/dqn atari/Breakout-v0 --preset tuned
  rlhub train deep/dqn CartPole-v1 --preset tuned
  rlhub list algorithms
""")


if __name__ == "__main__":
    main()
