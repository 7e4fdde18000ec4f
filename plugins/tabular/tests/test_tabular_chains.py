"""Markov chains draw, and settle, as they should."""

from __future__ import annotations

import random

import numpy as np
import pytest
from rlhub_tabular.chains import MarkovChain

from rlhub_core import ConfigError

PROBABILITIES = [[0.7, 0.2, 0.0, 0.1], [0.0, 0.0, 0.9, 0.1], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0]]


def going_round(times: int, *end: int) -> list[int]:
    return [0, *[1, 2] * times, *end]


def test_the_notebook_s_ten_sequences() -> None:
    """Géron, "Hands-On Machine Learning", notebook of chapter 18, seed 42."""
    chain, rng = MarkovChain(PROBABILITIES), np.random.RandomState(42)
    assert [chain.sample(rng, start=0, until=(3,), max_steps=50) for _ in range(10)] == [
        [0, 0, 3],
        going_round(4, 1, 3),
        going_round(10, 1, 3),
        [0, 3],
        going_round(7, 1, 3),
        [0, 1, 3],
        going_round(24, 1),  # fifty states without an end
        [0, 0, 3],
        [0, 0, *going_round(2, 1, 3)],
        going_round(10, 1, 3),
    ]


def test_sequences_end_in_absorbing_states_unless_told_otherwise() -> None:
    chain = MarkovChain(PROBABILITIES)
    assert chain.absorbing == (3,)
    assert chain.sample(np.random.RandomState(42)) == [0, 0, 3]
    assert chain.sample(np.random.default_rng(0), start=3) == [3]
    assert chain.sample(np.random.default_rng(0), start=3, until=(), max_steps=4) == [3, 3, 3, 3]
    assert chain.sample(random.Random(1), start=2, until=(1,)) == [2, 1]


def test_states_follow_with_their_probabilities() -> None:
    chain, rng = MarkovChain([[0.1, 0.6, 0.3], [0.5, 0.0, 0.5], [1.0, 0.0, 0.0]]), np.random.default_rng(1)
    states = np.array(chain.sample(rng, max_steps=30_000))
    pairs = np.bincount(states[:-1] * 3 + states[1:], minlength=9).reshape(3, 3)
    np.testing.assert_allclose(pairs / pairs.sum(1, keepdims=True), chain.probabilities, atol=0.015)
    np.testing.assert_allclose(np.bincount(states) / len(states), chain.stationary_distribution(), atol=0.015)


def test_the_long_run_by_hand() -> None:
    np.testing.assert_allclose(MarkovChain([[0.9, 0.1], [0.5, 0.5]]).stationary_distribution(), [5 / 6, 1 / 6])
    np.testing.assert_allclose(MarkovChain([[0, 1], [1, 0]]).stationary_distribution(), [0.5, 0.5])
    np.testing.assert_allclose(MarkovChain(PROBABILITIES).stationary_distribution(), [0, 0, 0, 1], atol=1e-12)
    with pytest.raises(ConfigError, match="several parts that are never left: its long run depends on the start"):
        MarkovChain([[1, 0], [0, 1]]).stationary_distribution()


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([[0.5, 0.4], [0, 1]], "transition_probabilities[0] sums to 0.9; probabilities sum to 1."),
        ([[1, 0], [-0.5, 1.5]], "transition_probabilities[1] holds -0.5; a probability is at least 0."),
        ([[1, 0], [np.nan, 1]], "transition_probabilities[1] holds nan; a probability is at least 0."),
        ([[1, 0], [1]], "transition_probabilities[1] must be a row of 2 numbers, one a state; it has 1 numbers."),
        ([[1, 0], ["x", 1]], "transition_probabilities[1] must be a row of 2 numbers, not ['x', 1]."),
    ],
)
def test_no_chain(rows: object, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        MarkovChain(rows)
    assert str(error.value) == said


def test_every_random_number_draws_a_state() -> None:
    class Last:
        def random(self) -> float:
            return float(np.nextafter(1, 0))

    assert MarkovChain([[0.5, 0.5 - 5e-9], [0, 1]]).sample(Last(), max_steps=2) == [0, 1]


@pytest.mark.parametrize("start", [-1, 4])
def test_a_start_that_is_no_state(start: int) -> None:
    with pytest.raises(ConfigError, match=f"start must be a state, 0 to 3, not {start}"):
        MarkovChain(PROBABILITIES).sample(np.random.default_rng(0), start=start)
