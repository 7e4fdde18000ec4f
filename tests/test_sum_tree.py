"""The sum tree: proportions, changes, and what rounding must not do."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from rlhub_core.sum_tree import SumTree


def filled(priorities: list[float]) -> SumTree:
    tree = SumTree(len(priorities))
    tree[np.arange(len(priorities))] = priorities
    return tree


def test_a_mass_falls_into_the_place_whose_share_of_the_running_sum_covers_it() -> None:
    tree = filled([1.0, 0.0, 2.0, 0.5, 0.0])
    assert tree.total == 3.5
    assert tree.find(np.array([0.0, 0.99, 1.0, 2.99, 3.0, 3.49])).tolist() == [0, 0, 2, 2, 3, 3]


def test_where_a_place_is_named_twice_its_last_priority_counts() -> None:
    tree = filled([1.0] * 6)
    tree[np.array([2, 5, 2])] = [7.0, 3.0, 4.0]
    assert tree[np.array([2, 5, 0])].tolist() == [4.0, 3.0, 1.0]
    assert tree.total == 11.0


@pytest.mark.parametrize("size", [1, 2, 3, 64, 1_000])
def test_drawn_once_from_each_equal_part(size: int) -> None:
    drawn = filled([0.1] * size).draw(size, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=size).max() <= 2  # a part may begin amid a place, by rounding alone
    tree = SumTree(size)
    tree[size - 1] = 3.0
    assert (tree.draw(20, np.random.default_rng(0)) == size - 1).all()


def test_draws_are_in_proportion() -> None:
    rng = np.random.default_rng(0)
    priorities = rng.random(37) ** 3
    priorities[::5] = 0.0
    expected = 20_000 * priorities / priorities.sum()
    tree = filled(priorities.tolist())
    together = np.bincount(tree.draw(20_000, rng), minlength=37)
    assert np.abs(together - expected).max() < 2  # not the √20,000·P(1-P) of independent draws
    alone = np.bincount(np.concatenate([tree.draw(1, rng) for _ in range(20_000)]), minlength=37)
    assert (np.abs(alone - expected) <= 4 * np.sqrt(expected)).all()
    assert not alone[::5].any()


def test_a_tree_does_not_depend_on_its_history() -> None:
    rng = np.random.default_rng(0)
    changed, made_at_once = SumTree(1_000), SumTree(1_000)
    for _ in range(200):
        changed[rng.integers(1_000, size=50)] = rng.random(50) * 10.0 ** rng.integers(-8, 8)
    made_at_once.fill(np.array(changed[:]))
    assert changed.total == made_at_once.total
    masses = rng.random(100_000) * changed.total
    np.testing.assert_array_equal(changed.find(masses), made_at_once.find(masses))


def test_a_copy_is_a_tree_of_its_own() -> None:
    tree = filled([1.0, 2.0])
    other = copy.deepcopy(tree)
    other[np.array([0])] = 5.0
    assert (other[0], other.total) == (5.0, 7.0)
    assert (tree[0], tree.total) == (1.0, 3.0)


def test_a_place_without_priority_is_never_found() -> None:
    rng = np.random.default_rng(0)
    for _ in range(300):
        size = int(rng.integers(1, 70))
        priorities = 10.0 ** rng.integers(-300, 300, size) * (rng.random(size) < 0.3)
        priorities[rng.integers(size)] = 0.1
        tree = filled(priorities.tolist())
        edges = np.concatenate([np.cumsum(priorities), np.cumsum(priorities[::-1])])
        masses = np.concatenate(
            [edges, np.nextafter(edges, 0), np.nextafter(edges, np.inf), tree.total * rng.random(99)]
        )
        assert (tree[tree.find(masses)] > 0).all()
        assert (tree[tree.draw(50, rng)] > 0).all()


@pytest.mark.parametrize("size", [1, 2, 5, 64, 1_000])
def test_bytes_are_known_beforehand(size: int) -> None:
    assert SumTree(size).nbytes == SumTree.bytes_needed(size)
