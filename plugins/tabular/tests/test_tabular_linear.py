"""Boxes: cut into bins, or covered by tiles whose weights are learnt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from gymnasium.utils.env_checker import check_env
from rlhub_tabular.bins import Bins
from rlhub_tabular.linear_q import LinearQ, Tiles, move_sums

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, SpaceError
from rlhub_core.testing import (
    ActionAndObservationMatter,
    DiscountedValue,
    Probe,
    check_exact_restore,
    check_exact_resume,
)

Maker = Callable[..., Any]


class Plane(gymnasium.Env[Any, Any]):
    """Stays where it is."""

    action_space = Discrete(2)

    observation_space: Box

    def __init__(self, low: Any = (0.0, -1.0), high: Any = (1.0, 3.0)) -> None:
        self.observation_space = Box(np.array(low, np.float32), np.array(high, np.float32))

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.low, {}

    def step(self, action: Any) -> Any:
        return self.observation_space.low, 0.0, False, False, {}


# bins


def test_bins_by_hand() -> None:
    env = Bins(Plane(), bins=(2, 4))
    assert env.observation_space == Discrete(8)
    # x in [0, 1] in halves, y in [-1, 3] in units: row by row
    for point, cell in [((0, -1), 0), ((0, 2.9), 3), ((0.49, 0.5), 1), ((0.5, 0), 5), ((1, 3), 7), ((9, -9), 4)]:
        number = env.observation(np.array(point))
        assert number == cell
        assert env.observation_space.contains(number)
    assert [*np.unravel_index(6, env.bins)] == [1, 2]


def test_every_bin_is_as_wide_as_another() -> None:
    env = Bins(Plane(), bins=5)
    points = np.random.default_rng(0).uniform([0, -1], [1, 3], (5_000, 2))
    counts = np.bincount([int(env.observation(point)) for point in points], minlength=25)
    assert counts.min() > 140
    assert counts.max() < 260


def test_unbounded_dimensions_are_bounded_by_hand() -> None:
    env = rlhub.make("CartPole-v1", wrappers=["tabular/bins:bins=10,low=-3,high=3"])
    assert env.observation_space == Discrete(10**4)
    for position, angle, speed in [(-4.8, 0.0, 99.0), (4.7, 0.1, -3.0)]:
        bins = np.unravel_index(env.observation(np.array([position, speed, angle, 0.0])), (10,) * 4)  # type: ignore[attr-defined]
        assert [*bins] == [0 if position < 0 else 9, 9 if speed > 0 else 0, 5 if angle == 0 else 6, 5]
    given = rlhub.make("CartPole-v1", wrappers=["tabular/bins:bins=[1,2,3,4],low=[-1,-2,-3,-4],high=[1,2,3,4]"])
    assert given.observation_space == Discrete(24)


@pytest.mark.parametrize(
    ("env", "options", "problem"),
    [
        (
            "CartPole-v1",
            {},
            r"tabular/bins: dimension 1 of Box\(.*\) is unbounded\. Give low and high: a number for all that are "
            r"unbounded, or one for each dimension\. What lies beyond counts as what lies there\.",
        ),
        ("FrozenLake-v1", {}, r"tabular/bins divides a Box; this is Discrete\(16\)\."),
        ("CartPole-v1", {"low": 3, "high": -3}, "in dimension 1 low must be below high; they are 3.0 and -3.0"),
        (
            "CartPole-v1",
            {"low": (1.0,), "high": 3},
            r"low must be one number, or one for each of 4 dimensions, not \(1",
        ),
        *(
            ("MountainCar-v0", {"bins": bins}, f"bins must be one positive whole number, or one for .*, not {bins}")
            for bins in (0, 2.5, 10.0, True, None, "many", np.float64(3.0))
        ),
        ("MountainCar-v0", {"bins": (3, 3, 3)}, "bins must be one positive whole number, or one for each of 2 dim"),
        ("MountainCar-v0", {"bins": 10**30}, r"tabular/bins: 1,0+,.* cells of Box\(.*\) would take .* Use fewer bins"),
        ("CartPole-v1", {"low": np.nan, "high": 3}, "in dimension 1 low must be below high; they are nan and 3.0"),
        ("CartPole-v1", {"low": "deep", "high": 3}, "low must be one number, or one for each of 4 dim.*, not deep"),
        (
            "CartPole-v1",
            {"low": -3, "high": [1, [2], 3, 4]},
            "high must be one number, or one for each of 4 dimensions",
        ),
    ],
)
def test_bins_that_cannot_be(env: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises((SpaceError, ConfigError), match=problem):
        Bins(gymnasium.make(env), **options)


def test_numpy_s_numbers_are_numbers() -> None:
    given: Any = [(np.int64(4), np.float32(-3)), (np.array([4] * 4), np.full(4, -3.0)), ([4] * 4, [-3] * 4)]
    three: Any = np.int64(3)
    for bins, low in given:
        env = Bins(gymnasium.make("CartPole-v1"), bins=bins, low=low, high=three)
        assert env.bins == (4, 4, 4, 4)
        assert env.observation_space == Discrete(256)


def test_observations_that_are_no_numbers_are_refused() -> None:
    bins = Bins(Plane())
    with pytest.raises(EnvironmentContractError) as error:
        bins.observation(np.array([0.5, np.nan]))
    assert str(error.value) == "tabular/bins: the environment observed [0.5, nan]; NaN lies nowhere."
    linear = LinearQ(Plane().observation_space, Discrete(2), LinearQ.Config(), seed=0, total_steps=1)
    with pytest.raises(EnvironmentContractError, match=r"tabular/linear_q: the environment observed \[nan, 1.0\]"):
        linear.values(np.array([[0.5, 1.0], [np.nan, 1.0]]))
    assert bins.observation(np.array([np.inf, -np.inf])) == 90


@pytest.mark.parametrize("tiles", [2.5, True, 10**30])
def test_tiles_that_cannot_be(tiles: Any) -> None:
    with pytest.raises((ConfigError, SpaceError), match=r"tabular/linear_q: (tiles must be|8,0+,.*Use fewer tiles)"):
        LinearQ(Plane().observation_space, Discrete(2), LinearQ.Config(tiles=tiles), seed=0, total_steps=1)


def test_bins_from_a_name_say_what_is_wrong() -> None:
    with pytest.raises(ConfigError, match="tabular/bins cannot wrap CartPole-v1: tabular/bins: dimension 1 of Box"):
        rlhub.make("CartPole-v1", wrappers=["tabular/bins:bins=10"])


@pytest.mark.filterwarnings("ignore:.*different from the unwrapped version.*")  # the wrapper is the point
def test_bins_keep_gymnasiums_contract() -> None:
    env = Bins(gymnasium.make("MountainCar-v0"), bins=(7, 9))
    check_env(env, skip_render_check=True)
    assert env.spec is not None
    assert gymnasium.make(env.spec).observation_space == Discrete(63)
    check_exact_restore(lambda: Bins(gymnasium.make("MountainCar-v0")))


# tiles


def test_tiles_by_hand() -> None:
    """Two grids over [0, 1] x [0, 2], the second displaced by 1/2 of a tile along x and 3/2, that is 1/2, along y."""
    tiles = Tiles(np.array([0.0, 0.0]), np.array([1.0, 2.0]), 2, (2, 1))
    assert tiles.count == 2 * 3 * 2
    # cells (x, y) of the first are 2 y-cells apart; those of the second begin at 6
    points = np.array([[0, 0], [0.6, 0.0], [0.3, 1.5], [1.0, 2.0], [-5.0, 9.0]])
    assert tiles(points).tolist() == [[0, 6], [2, 8], [0, 9], [5, 11], [1, 7]]


def test_grids_are_displaced_otherwise_in_each_dimension() -> None:
    """By (0, 0), (1, 3) / 4, (2, 6) / 4, (3, 9) / 4, of which whole tiles do not count."""
    tiles = Tiles(np.zeros(2), np.ones(2), 4, (1, 1))
    assert tiles(np.array([[0.3, 0.3]])).tolist() == [[0, 4 + 1, 8, 12 + 2]]


def test_each_tile_is_one_of_its_grid() -> None:
    rng = np.random.default_rng(0)
    tiles = Tiles(np.zeros(3), np.ones(3), 16, (3, 4, 5))
    numbers = tiles(rng.uniform(-0.2, 1.2, (500, 3)))
    assert (numbers // (4 * 5 * 6) == np.arange(16)).all()
    assert tiles.count == 16 * 4 * 5 * 6
    near = tiles(np.array([[0.5, 0.5, 0.5], [0.6, 0.5, 0.5], [0.95, 0.05, 0.05]]))
    assert 8 < (near[0] == near[1]).sum() < 16
    assert (near[0] == near[2]).sum() == 0


def test_sums_are_moved_as_one_after_another() -> None:
    weights = np.zeros(6)
    move_sums(weights, np.array([[1, 4]]), np.array([8.0]), 0.5)  # the sum 0 moves to 4, in two shares
    assert weights.tolist() == [0, 2, 0, 0, 2, 0]
    weights = np.zeros(6)
    move_sums(weights, np.array([[1, 4], [1, 4], [0, 5]]), np.array([8.0, 4.0, -2.0]), 0.5)
    assert weights.tolist() == [-0.5, 2.25, 0, 0, 2.25, -0.5]  # (1 - 1/4) of the mean error 6, in two shares


@pytest.mark.parametrize("ending", ["terminated", "truncated"])
def test_an_update_by_hand(learner: Maker, ending: str) -> None:
    """Two tiles a grid, one grid, α = γ = 1/2, weights of 8: as in the table of two states."""

    class Two(Probe):
        length = 2

        def step(self, action: Any) -> Any:
            observation, _, over, _, info = super().step(action)
            observation[:] = [0.0, 1.0, -1.0][self._time]
            return (
                observation,
                4.0 if over else 2.0,
                over and ending == "terminated",
                over and ending == "truncated",
                info,
            )

    config: dict[str, Any] = {"tilings": 1, "tiles": 2, "initial_value": 8.0, "learning_rate": 0.5, "discount": 0.5}
    one, collector = learner(LinearQ, Two, behaviour=lambda o, first: np.array([1]), **config)
    list(one.train(collector, 3))
    # q(0, 1) = 8 + (2 + 8/2 - 8)/2 = 7; q(1, 1) = 8 + (4 - 8)/2 = 6, or 8; q(0, 1) = 7 + (2 + 8/2 - 7)/2 = 6.5
    values = one.q_values(np.array([[0.0], [1.0], [-1.0]]))
    assert values.tolist() == [[8, 6.5], [8, 6 if ending == "terminated" else 8], [8, 8]]
    assert one.values(np.zeros((1, 1))).tolist() == [8]
    assert one.policy(np.zeros((1, 1))).tolist() == [0]


@pytest.mark.parametrize("num_envs", [1, 5])
def test_the_probes_are_learnt(learnt: Maker, num_envs: int) -> None:
    matters = learnt(LinearQ, ActionAndObservationMatter, 500, num_envs=num_envs, tiles=2, tilings=2)
    seen = np.array([[-1.0], [1.0]], np.float32)
    np.testing.assert_allclose(matters.q_values(seen), [[1, -1], [-1, 1]], atol=0.05)
    assert matters.actor()(seen, np.zeros(2, bool)).tolist() == [0, 1]
    later = learnt(LinearQ, DiscountedValue, 500, num_envs=num_envs, discount=0.5, tilings=4)
    np.testing.assert_allclose(later.values(np.array([[0.0], [1.0]])), [0.5, 1], atol=0.05)


@pytest.mark.parametrize("num_envs", [1, 3])
def test_a_resumed_run_is_the_run(num_envs: int) -> None:
    config = {"learning_rate": "linear(0.5, 0.1)", "epsilon": 0.2, "tilings": 4, "tiles": (5, 6)}
    check_exact_resume("tabular/linear_q", "MountainCar-v0", steps=503, num_envs=num_envs, config=config)


def test_unbounded_observations_and_too_many_tiles_are_refused() -> None:
    with pytest.raises(
        SpaceError, match=r"tabular/linear_q: dimension 1 of Box\(.*\) is unbounded\. Give low and high"
    ):
        rlhub.train("tabular/linear_q", "CartPole-v1", steps=10)
    many = Box(0.0, 1.0, (12,), np.float32)
    with pytest.raises(
        SpaceError, match=r"2,259,436,291,848 tiles over .* would take 36,151.0 GB; .*Use fewer tiles, or an algorithm"
    ):
        LinearQ(many, Discrete(2), LinearQ.Config(), seed=0, total_steps=1)


def test_the_car_reaches_the_hill(learner: Maker) -> None:
    settings = {"learning_rate": 0.5, "discount": 1.0, "epsilon": 0.0}
    one, collector = learner(LinearQ, "MountainCar-v0", 12_000, **settings)
    lengths = [episode.length for progress in one.train(collector, 12_000) for episode in progress.episodes]
    assert set(lengths[:5]) == {200}  # at the limit
    assert np.mean(lengths[-10:]) < 195


def test_the_preset_is_of_what_there_is() -> None:
    run = rlhub.train("tabular/linear_q", "MountainCar-v0", preset="tuned", steps=300, progress=False)
    algorithm: Any = run.algorithm
    assert (run.experiment.num_envs, algorithm.config.discount, algorithm.tiles.count) == (1, 0.999, 16 * 81)
