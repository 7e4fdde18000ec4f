"""Spaces of old, told by their attributes."""

from __future__ import annotations

from types import SimpleNamespace as Like
from typing import Any

import numpy as np
import pytest
from gymnasium import spaces
from rlhub_legacy.spaces import Unfit, fitted, space_of

from rlhub_core import EnvironmentContractError


class MultiBinary:
    """As Gym's: the name tells it from a Discrete."""

    n, shape = 3, (3,)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (Like(n=4), spaces.Discrete(4)),
        (Like(n=np.int64(4), shape=()), spaces.Discrete(4)),
        (Like(n=2, start=5), spaces.Discrete(2, start=5)),
        (MultiBinary(), spaces.MultiBinary(3)),
        (Like(n=(2, 2)), spaces.MultiBinary((2, 2))),
        (Like(nvec=[2, 3]), spaces.MultiDiscrete([2, 3])),
        (Like(num_discrete_space=2, low=[0, 1], high=[2, 4]), spaces.MultiDiscrete([3, 4], start=[0, 1])),
        (Like(low=np.zeros(2), high=np.ones(2)), spaces.Box(0, 1, (2,), np.float32)),
        (Like(low=0, high=255, shape=(4, 4), dtype=np.uint8), spaces.Box(0, 255, (4, 4), np.uint8)),
        (Like(low=0, high=255, shape=(4, 4)), spaces.Box(0, 255, (4, 4), np.uint8)),  # before Box had a dtype
        (Like(low=0, high=254, shape=(4,)), spaces.Box(0, 254, (4,), np.float32)),
        (
            Like(low=-np.inf, high=np.array([np.inf, 5.0]), shape=(2,), dtype=np.int64),
            spaces.Box(np.iinfo(np.int64).min, np.array([np.iinfo(np.int64).max, 5]), (2,), np.int64),
        ),
        (Like(low=-1.0, high=1.0, shape=(2,), dtype="float64"), spaces.Box(-1, 1, (2,), np.float64)),
        (Like(spaces=(Like(n=2), Like(n=3))), spaces.Tuple([spaces.Discrete(2), spaces.Discrete(3)])),
        (
            Like(spaces={"a": Like(n=2), "b": Like(spaces=[Like(n=3)])}),
            spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.Discrete(3)])}),
        ),
    ],
)
def test_an_old_space_is_the_one_of_today(theirs: Any, ours: Any) -> None:
    assert space_of(theirs, "x") == ours
    assert space_of(ours, "x") is ours


def test_a_discrete_among_ours_may_be_nested_in_theirs() -> None:
    assert space_of(Like(spaces=[spaces.Discrete(2)]), "x") == spaces.Tuple([spaces.Discrete(2)])


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        (3, r"Game\.action_space is 3 \(int\); expected a space: something with `n`"),
        (Like(n=0), r"Game\.action_space is a space that cannot be"),
        (Like(low=[0, 0], high=[1, 1], shape=(3,)), r"Game\.action_space is a space that cannot be"),
        (Like(spaces=[Like(n=2), None]), r"Game\.action_space\[1\] is None; expected a space"),
    ],
)
def test_what_is_no_space_is_told(theirs: Any, text: str) -> None:
    with pytest.raises(EnvironmentContractError, match=text):
        space_of(theirs, "Game.action_space")


def test_values_have_the_declared_type_and_are_copies() -> None:
    given = np.array([1.0, 2.0])
    box = fitted(spaces.Box(-9, 9, (2,), np.float32), given)
    given[:] = 0
    assert (box.dtype, box.tolist()) == (np.float32, [1.0, 2.0])
    same = np.zeros(2, np.float32)
    assert not np.may_share_memory(fitted(spaces.Box(-9, 9, (2,), np.float32), same), same)
    assert fitted(spaces.Discrete(3), 2.0) == 2
    assert fitted(spaces.Box(-9, 9, (), np.float32), 1.5).shape == ()
    nested = spaces.Dict({"a": spaces.Discrete(2), "b": spaces.Tuple([spaces.MultiBinary(2)])})
    assert nested.contains(fitted(nested, {"b": [[True, False]], "a": 1}))


@pytest.mark.parametrize(
    ("space", "value", "text"),
    [
        (spaces.Discrete(3), 3, "a whole number from 0 to 2"),
        (spaces.Discrete(3), 0.5, "a whole number from 0 to 2"),
        (spaces.Discrete(3), "1", "a whole number from 0 to 2"),
        (spaces.Box(0, 255, (2,), np.uint8), [0, 300], "fit uint8"),
        (spaces.Box(0, 255, (2,), np.uint8), [0, np.nan], "fit uint8"),
        (spaces.Box(0, 1, (2,)), [[1], [1, 2]], r"shape \(2,\)"),
        (spaces.Tuple([spaces.Discrete(2)]), 1, "a tuple of 1"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"b": 1}, "a dict with 'a'"),
        (spaces.Dict({"a": spaces.Discrete(2)}), {"a": 2}, r"0 to 1 at \['a'\], which has 2 \(int\)"),
    ],
)
def test_what_does_not_fit_is_refused(space: Any, value: Any, text: str) -> None:
    with pytest.raises(Unfit, match=text):
        fitted(space, value)
