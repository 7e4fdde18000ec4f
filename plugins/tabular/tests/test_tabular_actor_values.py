"""What greedy actors tell of values, for pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core.actors import values_of


@pytest.mark.parametrize("algorithm", ["tabular/q_learning", "tabular/sarsa", "tabular/value_iteration"])
def test_values_are_the_rows_of_the_table(algorithm: str, tmp_path: Path) -> None:
    run = rlhub.train(algorithm, "FrozenLake-v1", steps=500, folder=tmp_path / "run", progress=False)
    states = np.array([0, 5, 14])
    learner: Any = run.algorithm
    np.testing.assert_array_equal(values_of(run.actor(), states)["action_values"], learner.q_values[states])


def test_tiles_tell_theirs(tmp_path: Path) -> None:
    run = rlhub.train("tabular/linear_q", "MountainCar-v0", steps=500, folder=tmp_path / "run", progress=False)
    seen = np.array([[-0.5, 0.0], [0.1, 0.02]], np.float32)
    learner: Any = run.algorithm
    np.testing.assert_array_equal(values_of(run.actor(), seen)["action_values"], learner.q_values(seen))
