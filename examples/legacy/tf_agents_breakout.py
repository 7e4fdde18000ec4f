"""Breakout as a TF-Agents notebook prepared it, learnt by today's deep Q-network.

    python examples/legacy/tf_agents_breakout.py                # 50,000 steps; sooner than the notebook, see SOONER
    python examples/legacy/tf_agents_breakout.py --as-printed   # its settings, 200,000 steps

It comes from chapter 18 of Aurélien Géron's "Hands-On Machine Learning", 2nd edition, written anew: grey frames of
84 × 84, each the maximum of two, four steps of the emulator an action, four frames an observation, no idle steps at the
start, and FIRE pressed for the player. 200,000 steps are the notebook's 50,000 iterations, after which it had come to a
return of about 8 (of the last ten games, while exploring). The replay buffer takes 0.7 GB then.
"""

from __future__ import annotations

import argparse
from typing import Any

import gymnasium

import rlhub_core as rlhub

FIRE = 1
SOONER = {  # exploration, waiting and replay cut to a quarter: what a quarter of the steps leaves room for
    "epsilon": "linear(1.0, 0.02, 40000)",
    "learning_starts": 5_000,
    "buffer_size": 50_000,
    "target_update_every": 2_000,
}


class AtariPreprocessingWithAutoFire(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Presses FIRE after a reset and after a lost life.

    The notebook's returned the observation before FIRE, and lost its reward and the end of a game that it might bring.
    This one does not, as `legacy/auto_fire` does not, which is the same by name. Lives are told in `info` today.
    """

    def reset(self, **how: Any) -> tuple[Any, dict[str, Any]]:
        """Reset and serve."""
        _, info = super().reset(**how)
        observation, _, _, _, info = super().step(FIRE)
        self.lives = info["lives"]
        return observation, info

    def step(self, action: Any) -> tuple[Any, Any, bool, bool, dict[str, Any]]:
        """Step; serve again where that lost a life."""
        observation, reward, terminated, truncated, info = super().step(action)
        if info["lives"] < self.lives and not (terminated or truncated):
            observation, more, terminated, truncated, info = super().step(FIRE)
            reward = float(reward) + float(more)
        self.lives = info["lives"]
        return observation, reward, terminated, truncated, info


def main() -> None:
    """Train, then measure the best greedy player over whole games."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, help="default: 50,000, or 200,000 as printed")
    parser.add_argument("--as-printed", action="store_true", help="explore and wait as long as the notebook does")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--games", type=int, default=10)
    arguments = parser.parse_args()
    steps = arguments.steps or (200_000 if arguments.as_printed else 50_000)
    run = rlhub.train(
        "deep/dqn",
        "atari/Breakout-v0",
        preset="hands-on-ml",  # centred RMSProp at 2.5e-4, ε from 1 to 0.01 over 250,000 steps, Huber loss, γ 0.99
        env_options={"fire": False},  # the wrapper below presses it
        wrappers=[AtariPreprocessingWithAutoFire],  # "legacy/auto_fire" can be resumed from the command line as well
        steps=steps,
        config={} if arguments.as_printed else SOONER,
        seed=arguments.seed,
        callbacks=[f"core/evaluate:every={max(200, steps // 10)},episodes=5,keep_best=true"],
    )
    # a young Q-network's greedy play swings from one evaluation to the next, down to 0: the best of ten is kept
    best = rlhub.load(run.folder, step="best", wrappers=[AtariPreprocessingWithAutoFire])
    # without idle steps at the start every greedy game would be the same one
    score = rlhub.evaluate(best, episodes=arguments.games, seed=1, noop_max=30)
    print(f"Greedy, after {best.steps:,} of {run.steps:,} steps: return {score}. {run.folder}")


if __name__ == "__main__":
    main()
