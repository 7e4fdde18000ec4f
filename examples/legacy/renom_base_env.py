"""An environment as the reference of ReNom RL's BaseEnv shows one, and DQN from today.

    python examples/legacy/renom_base_env.py [--steps 20000]

The reference's example has five actions and says nothing of what they do; it sets `action_shape` as a local variable,
draws from a function that numpy does not have, and returns a state from `sample`. Here it is repaired, with a cart to
be pushed to the middle of its rail, and with a hook and a stop rule.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from rlhub_legacy.renom import BaseEnv, epochs, fit


class Cart(BaseEnv):
    """A cart, pushed by one of five forces -2..2; the reward is what lacks to be in the middle, at rest."""

    def __init__(self) -> None:
        self.action_shape = (5,)
        self.state_shape = (2,)  # position, velocity
        self.state, self.time, self.streak = np.zeros(2), 0, 0
        super().__init__()

    def reset(self) -> Any:
        self.state, self.time = np.random.uniform(-2, 2, 2), 0
        return self.state

    def step(self, action: int) -> Any:
        velocity = self.state[1] + 0.25 * (action - 2)
        self.state = np.array([self.state[0] + 0.25 * velocity, velocity])
        self.time += 1
        is_off = abs(self.state[0]) > 4
        self.truncated = self.time == 50 and not is_off
        if is_off or self.truncated:
            self.streak = self.streak + 1 if np.abs(self.state).sum() < 0.5 else 0
        return self.state, -100.0 if is_off else -float(np.abs(self.state).sum()), is_off or self.truncated

    def sample(self) -> Any:
        return np.random.randint(5)

    def epoch(self) -> None:
        print("a new epoch")

    def terminate(self) -> bool:
        return self.streak == 50


def main() -> None:
    """Train it, and say how each epoch's test went."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=20_000)
    steps = parser.parse_args().steps
    run = fit(
        "deep/dqn",
        Cart(),
        epoch=5,
        epoch_step=steps // 5,
        random_step=steps // 10,
        test_step=1000,
        greedy_step=steps // 2,
        max_greedy=0.95,
        config={"learning_rate": 1e-3, "train_every": 2, "target_update_every": 200, "n_step": 3, "discount": 0.95},
    )
    for epoch in epochs(run):
        tested = "no test" if epoch.test_reward is None else f"{epoch.test_reward / 20:.1f} an episode in test"
        print(f"epoch {epoch.epoch}: {tested}, ended by {epoch.ended_by}")


if __name__ == "__main__":
    main()
