"""ReNom RL's pole on a cart, which pays only at an episode's end, and DQN from today.

python examples/legacy/renom_cartpole.py [--steps 51000] [--until-ten] [--seed 0]
"""

from __future__ import annotations

import argparse

from rlhub_legacy.renom import CartPole00, CartPole01, epochs, fit

import rlhub_core as rlhub

CONFIG = {
    "learning_rate": 1e-3,
    "hidden_sizes": (128, 128),
    "train_every": 1,
    "target_update_every": 500,
    "buffer_size": 50_000,
    "n_step": 3,
    "double": True,
}


def main() -> None:
    """Train in ten epochs, and play a hundred episodes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=51_000)
    parser.add_argument("--until-ten", action="store_true", help="end training after ten successful episodes")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    random_step = min(1_000, arguments.steps // 3)
    run = fit(
        "deep/dqn",
        CartPole01 if arguments.until_ten else CartPole00,
        epoch=10,
        epoch_step=(arguments.steps - random_step) // 10,
        random_step=random_step,
        test_step=2_000,
        greedy_step=20_000,
        max_greedy=0.98,
        config=CONFIG,
        seed=arguments.seed,
    )
    for epoch in epochs(run):
        print(f"epoch {epoch.epoch}: test {epoch.test_reward}, ended by {epoch.ended_by}")
    lengths = rlhub.evaluate(run, episodes=100, seed=1_000).lengths
    print(f"{sum(length >= 195 for length in lengths)} of 100 episodes of at least 195 steps")


if __name__ == "__main__":
    main()
