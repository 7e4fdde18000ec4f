"""Tables whose numbers leave all bounds: the run stops before a checkpoint holds them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

import rlhub_core as rlhub
from rlhub_core import NonFiniteError, checkpoint, finite

LEARNERS = ("q_learning", "double_q_learning", "sarsa", "expected_sarsa", "monte_carlo", "td_lambda")


class Payday(gymnasium.Env[Any, Any]):
    """Pays once an episode what it takes in the next: their difference is not finite."""

    action_space = Discrete(2)

    def __init__(self, pays: float = 1.7e308, box: bool = False) -> None:
        self.observation_space: Any = Box(0.0, 1.0, (1,)) if box else Discrete(2)
        self.pays, self._time, self._box = pays, 0, box

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._time, self.pays = 0, -self.pays
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        return self._seen(), self.pays * (self._time == 1), self._time == 8, False, {}

    def _seen(self) -> Any:
        return np.full(1, self._time % 2, np.float32) if self._box else self._time % 2


@pytest.mark.filterwarnings("ignore:.*encountered in.*:RuntimeWarning")
@pytest.mark.parametrize("pays", [1.7e308, -1.7e308])
@pytest.mark.parametrize("name", [*LEARNERS, "linear_q"])
def test_a_table_that_diverges(name: str, pays: float, tmp_path: Path) -> None:
    options = {"learning_rate": 1.0, "discount": 1.0}
    with pytest.raises(NonFiniteError) as caught:
        rlhub.train(
            f"tabular/{name}",
            lambda: Payday(pays, box=name == "linear_q"),
            steps=2_000,
            config=options,
            callbacks=["core/checkpoint:every=1,keep=99"],
            folder=tmp_path / "run",
        )
    assert str(caught.value).startswith(f"tabular/{name} at step ")
    parent = tmp_path / "run" / "checkpoints"
    kept = [parent / f"{step:012d}" / "algorithm" for step in checkpoint.steps(parent)]
    assert kept
    assert all(np.isfinite(array).all() for folder in kept for _, array in finite.arrays(folder))
    found = rlhub.replay_update(tmp_path / "run")
    assert found.reproduced is None
    assert abs(found.transitions[0]["reward"]) == abs(pays)


def test_impossible_actions_are_worth_minus_infinity_and_saved(tmp_path: Path) -> None:
    class Half(Payday):
        def action_masks(self) -> Any:
            return np.array([True, False])

    run = rlhub.train("tabular/q_learning", lambda: Half(1.0), steps=50, folder=tmp_path / "run")
    assert run.steps == 50
