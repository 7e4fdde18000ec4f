"""From a Markov chain to Q-learning, in five steps: a walk through the second half of a textbook's chapter.

    python examples/markov_to_q_learning.py [--folder lesson]

It follows chapter 18 of Aurélien Géron's "Hands-On Machine Learning", 2nd edition: the same chain, the same decision
process, and, because it draws from the same random numbers in the same order, the same results to all digits printed
there. Two pictures are left in the folder.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rlhub_tabular.board import Board
from rlhub_tabular.chains import MarkovChain
from rlhub_tabular.curves import q_value_curves
from rlhub_tabular.keeping import History
from rlhub_tabular.mdp import MDP
from rlhub_tabular.pictures import value_map

import rlhub_core as rlhub

CHAIN = [[0.7, 0.2, 0.0, 0.1], [0.0, 0.0, 0.9, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]  # [s, s']
PROCESS: dict[str, Any] = {
    "transition_probabilities": [  # [s, a, s'], an empty row where an action is impossible
        [[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.8, 0.2, 0.0]],
        [[0.0, 1.0, 0.0], [], [0.0, 0.0, 1.0]],
        [[], [0.8, 0.1, 0.1], []],
    ],
    "rewards": [  # [s, a, s']
        [[10, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, -50]],
        [[0, 0, 0], [40, 0, 0], [0, 0, 0]],
    ],
}
POSSIBLE = [[0, 1, 2], [0, 2], [1]]


class OneStream(MDP):
    """The decision process, drawing from the random numbers that its player draws from as well."""

    def __init__(self, stream: np.random.RandomState) -> None:
        super().__init__(**PROCESS)
        self.stream: Any = stream

    def reset(self, **how: Any) -> Any:
        """Begin, with no seed of its own."""
        begun = super().reset(**how)
        self.np_random = self.stream
        return begun


def main() -> None:
    """Ask where the pictures go, and walk."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("lesson"))
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as runs:
        walk(folder, Path(runs))


def walk(folder: Path, runs: Path) -> None:
    """Sample the chain, plan with two discounts, learn without a model, and compare; pictures go to `folder`."""
    print("1. A Markov chain goes from state to state; state 3 is never left.\n")
    stream = np.random.RandomState(42)
    for _ in range(10):
        states = MarkovChain(CHAIN).sample(stream, until=[3], max_steps=50)
        print("   States:", *states, "" if states[-1] == 3 else "...")

    print("\n2. A decision process adds actions and rewards. Its model is known, so its values can be computed:")
    planned = History(every=1)
    run = rlhub.train(
        "tabular/q_value_iteration",
        "tabular/MDP-v0",
        env_options=PROCESS,
        steps=50,
        config={"discount": 0.90, "threshold": None},
        callbacks=[planned],
        folder=runs / "planned",
    )
    show(run, "γ 0.90, 50 sweeps")

    print("\n3. Who looks further ahead goes through the fire in state 1, for what comes after it:")
    far = {"discount": 0.95, "threshold": None}
    show(
        rlhub.train(
            "tabular/q_value_iteration",
            "tabular/MDP-v0",
            env_options=PROCESS,
            steps=50,
            config=far,
            folder=runs / "far",
        ),
        "γ 0.95, 50 sweeps",
    )

    print("\n4. Q-learning finds the values without the model, from the steps of a player who acts at random:")
    stream, learnt = np.random.RandomState(42), History(every=1)
    learner = rlhub.train(
        "tabular/q_learning",
        OneStream(stream),
        steps=10_000,
        config={
            "discount": 0.90,
            "learning_rate": lambda step: 0.05 / (1 + 0.005 * step),
            "behaviour": lambda states, first: np.array([stream.choice(POSSIBLE[state]) for state in states]),
        },
        callbacks=[learnt],
        folder=runs / "learnt",
    )
    show(learner, "γ 0.90, 10,000 steps")

    print("\n5. Both on their way to Q(s0, a0), and the values on the board:")
    histories = {
        "Q-value iteration": (planned.steps, planned.tables),
        "Q-learning": (learnt.steps, learnt.tables),
    }
    figure = q_value_curves(histories, state=0, action=0, true_value=float(q_values(run)[0, 0]))
    figure.savefig(folder / "q_values.png", dpi=150)
    board = Board.of(rlhub.make("tabular/MDP-v0", **PROCESS))
    value_map(board, q_values(learner), title="Q-learning, 10,000 steps").save(folder / "values.png")
    print(f"   {folder / 'q_values.png'}\n   {folder / 'values.png'}")


def show(run: rlhub.Run, title: str) -> None:
    """Print the Q-values of a run and the best action of each state."""
    with np.printoptions(precision=8, suppress=True):
        print(f"\n   {title}: best actions {q_values(run).argmax(1)}")
        print("   " + str(q_values(run)).replace("\n", "\n   "))


def q_values(run: rlhub.Run) -> Any:
    """Return the table [S, A] that a run has come to."""
    algorithm: Any = run.algorithm
    return algorithm.q_values


if __name__ == "__main__":
    main()
