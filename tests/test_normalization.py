"""Normalisation: its statistics, what an algorithm sees, what stays raw, and that nobody can forget it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, Space
from gymnasium.vector import SyncVectorEnv
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import Actor, Collector, ConfigError, EnvironmentContractError, Normalize, Progress, SpaceError, state
from rlhub_core.callbacks import Checkpoint, Evaluate
from rlhub_core.cli import app
from rlhub_core.evaluation import Evaluation
from rlhub_core.normalization import FIRST_COUNT, Moments, Normalization, merged
from rlhub_core.testing import StopAt, check_exact_resume

EVERYTHING = Box(-np.inf, np.inf, (2,), np.float64)


class Tape(gymnasium.Env[Any, Any]):
    """Plays numbers: what is seen and rewarded is a function of how many steps there were, ever."""

    def __init__(self, length: int = 4, cut: bool = False, lives: bool = False, space: Space[Any] = EVERYTHING) -> None:
        self.observation_space, self.action_space = space, Discrete(2)
        self.length, self.cut, self.lives = length, cut, lives
        self.now, self.time = 0, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.now, self.time = 0 if seed is not None else self.now + 50, 0
        return self.see(), self.info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.now, self.time = self.now + 1, self.time + 1
        over = self.time == self.length
        return self.see(), self.rewarded(), over and not self.cut, over and self.cut, self.info()

    def see(self) -> Any:
        return np.array([self.now, 1000 + (7 * self.now) % 11], np.float64)

    def rewarded(self) -> float:
        return float(100 * self.time)

    def info(self) -> dict[str, Any]:
        return {"lives": 3 - self.time // 2} if self.lives else {}


class Parts(Tape):
    """Sees a Dict: two Boxes of floats, one of whole numbers, a picture, a number, a Dict."""

    def __init__(self) -> None:
        picture, inner = Box(0, 255, (2, 2, 1), np.uint8), Box(-1, 1, (1,), np.float32)
        parts: dict[str, Space[Any]] = {
            "place": Box(-1e3, 1e3, (2,)),
            "speed": Box(-9, 9, (), np.float64),
            "picture": picture,
        }
        parts |= {"count": Box(0, 99, (1,), np.int64), "kind": Discrete(3), "inner": Dict({"place": inner})}
        super().__init__(space=Dict(parts))

    def see(self) -> Any:
        return {
            "place": np.array([self.now, -self.now], np.float32),
            "speed": np.array(self.now % 7, np.float64),
            "picture": np.full((2, 2, 1), self.now % 256, np.uint8),
            "count": np.array([self.now % 99]),
            "kind": self.now % 3,
            "inner": {"place": np.zeros(1, np.float32)},
        }


def _itself(env: Any) -> Any:
    return env


def collector(*envs: Tape, normalize: Any = True, **settings: Any) -> Collector:
    """Return a collector over environments that normalises."""
    chosen = Normalize.of(normalize)
    made = Normalization(chosen, envs[0].observation_space, len(envs)) if chosen else None
    return Collector(SyncVectorEnv([partial(_itself, env) for env in envs]), 0, normalization=made, **settings)


def steps(collector: Collector, count: int) -> list[Any]:
    return [collector.step(np.zeros(collector.num_envs, np.int64)) for _ in range(count)]


def expected(values: Any) -> tuple[Any, Any]:
    """Return mean and variance of all values seen beside mean 0 and variance 1 of little weight, at once."""
    values = np.asarray(values, np.float64)
    total = len(values) + FIRST_COUNT
    mean = values.sum(0) / total
    return mean, (((values - mean) ** 2).sum(0) + FIRST_COUNT * (1 + mean**2)) / total


def scaled(values: Any, seen: Any, clip: float = 10.0) -> Any:
    """Return values normalised by the moments of what was seen."""
    mean, variance = expected(seen)
    return np.clip((values - mean) / np.sqrt(variance + 1e-8), -clip, clip)


# the statistics


def test_moments_merge_as_worked_by_hand() -> None:
    # 1 and 3: mean 2, squares 2. With 5 and 7: mean 4, squares 9 + 1 + 1 + 9
    count, mean, squares = merged(2.0, np.array([2.0]), np.array([2.0]), np.array([[5.0], [7.0]]))
    assert (count, mean.tolist(), squares.tolist()) == (4.0, [4.0], [20.0])


@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_moments_merged_in_parts_are_those_of_the_whole(shape: tuple[int, ...], offset: float) -> None:
    rng = np.random.default_rng(len(shape))
    for _ in range(20):
        values = offset + rng.normal(size=(60, *shape)) * rng.uniform(0.1, 10, shape)
        cuts = np.sort(rng.choice(np.arange(1, 60), 7, replace=False))
        now: Any = (0.0, np.zeros(shape), np.zeros(shape))
        for batch in np.split(values, cuts):
            now = merged(now[0], now[1], now[2], batch)
        assert now[0] == 60
        np.testing.assert_allclose(now[1], values.mean(0), rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(now[2] / 60, values.var(0), rtol=1e-7)


def test_moments_begin_with_mean_0_and_variance_1_of_little_weight() -> None:
    moments = Moments((2,))
    assert moments.mean.tolist() == [0, 0]
    np.testing.assert_allclose(moments.variance, [1, 1])
    values = np.random.default_rng(0).normal(5, 3, (9, 2))
    moments.update(values[:4])
    moments.update(values[4:])
    mean, variance = expected(values)
    np.testing.assert_allclose(moments.mean, mean)
    np.testing.assert_allclose(moments.variance, variance)


# what an algorithm sees


@pytest.mark.parametrize("cut", [False, True])
def test_observations_are_normalised_with_all_that_was_to_be_acted_on(cut: bool) -> None:
    raw = collector(Tape(4, cut), Tape(3, cut), normalize=None)
    ours = collector(Tape(4, cut), Tape(3, cut), normalize="observations,clip_observations=1.5")
    seen = [*raw.observations]
    np.testing.assert_allclose(ours.observations, scaled(raw.observations, seen, 1.5), rtol=1e-6, atol=1e-6)
    for _ in range(30):
        before = ours.observations
        (theirs,), (mine,) = steps(raw, 1), steps(ours, 1)
        seen += [*raw.observations]  # those that follow a reset, not those that an episode ended with
        assert mine.observation is before
        for part, whole in ((mine.next_observation, theirs.next_observation), (ours.observations, raw.observations)):
            assert part.dtype == np.float32
            np.testing.assert_allclose(part, scaled(whole, seen, 1.5), rtol=1e-5, atol=1e-5)
        np.testing.assert_array_equal(ours.raw_observations, raw.observations)
        for name in ("reward", "terminated", "truncated"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        assert ours.first.any() or mine.next_observation is ours.observations
    assert list(ours.episodes()) == list(raw.episodes()) != []


def test_rewards_are_scaled_by_how_much_discounted_returns_vary() -> None:
    ours = collector(Tape(4), Tape(3), normalize="rewards,discount=0.5,clip_rewards=1.2")
    returns: list[float] = []
    now = np.zeros(2)
    for time in range(12):
        (mine,) = steps(ours, 1)
        raw = np.array([100 * (time % 4 + 1), 100 * (time % 3 + 1)])
        now = now / 2 + raw
        returns += [*now]
        np.testing.assert_allclose(mine.reward, np.clip(raw / np.sqrt(expected(returns)[1] + 1e-8), -1.2, 1.2))
        now[[time % 4 == 3, time % 3 == 2]] = 0
        assert mine.next_observation.dtype == np.float64  # as they are
    assert [episode.return_ for episode in ours.episodes()][:2] == [600.0, 1000.0]


def test_it_is_the_last_of_the_learning_view() -> None:
    ours = collector(Tape(5, lives=True), normalize="rewards", reward_clip=150.0, terminal_on_life_loss=True)
    returns: list[float] = []
    now = 0.0
    for mine in steps(ours, 5):
        clipped = min(150.0, 100.0 * (len(returns) + 1))
        now = 0.99 * now + clipped
        returns.append(now)
        np.testing.assert_allclose(mine.reward, np.clip(clipped / np.sqrt(expected(returns)[1]), -10, 10))
        now *= not mine.terminated[0]  # a lost life ends what is learnt from
    assert [episode.return_ for episode in ours.episodes()] == [1500.0]


def test_the_statistics_are_learnt_once_a_step_and_nowhere_else() -> None:
    ours = collector(Tape(4), Tape(3))
    assert ours.normalization is not None
    moments, returns = ours.normalization.observation_moments[""], ours.normalization.return_moments
    assert returns is not None
    steps(ours, 5)
    assert moments.count == pytest.approx(2 * 6 + FIRST_COUNT, abs=1e-9)
    assert returns.count == pytest.approx(2 * 5 + FIRST_COUNT, abs=1e-9)
    before = ours.observations.copy()
    ours.restart(np.array([True, False]))
    np.testing.assert_array_equal(ours.observations[1], before[1])
    np.testing.assert_array_equal(
        ours.observations, ours.normalization.observations(ours.raw_observations), strict=True
    )
    act = ours.normalization.around(lambda observations, first: observations)
    act(1e3 * np.ones((7, 2)), np.ones(7, np.bool_))
    assert moments.count == pytest.approx(2 * 6 + FIRST_COUNT, abs=1e-9)


def test_an_episode_that_was_left_leaves_no_return() -> None:
    left, anew = (collector(Tape(99), normalize="rewards") for _ in range(2))
    steps(left, 3)
    left.restart(np.ones(1, np.bool_))
    assert left.normalization is not None
    assert anew.normalization is not None
    anew.normalization.return_moments = left.normalization.return_moments
    returns: Any = left.normalization.return_moments
    before = returns.state()
    (one,) = steps(left, 1)
    returns.restore(before)
    (other,) = steps(anew, 1)
    assert one.reward.tolist() == other.reward.tolist()


# kinds of observations


def test_of_a_dict_the_boxes_of_floats_are_normalised() -> None:
    ours = collector(Parts())
    assert ours.normalization is not None
    assert set(ours.normalization.observation_moments) == {"place", "speed"}
    space: Any = ours.single_observation_space
    assert space["place"] == Box(-10, 10, (2,), np.float32)
    assert space["speed"] == Box(-10, 10, (), np.float32)
    raw: Any = Parts().observation_space
    assert {key: space[key] for key in ("picture", "count", "kind", "inner")} == {
        key: raw[key] for key in ("picture", "count", "kind", "inner")
    }
    seen = [0]
    for _ in range(9):
        (mine,) = steps(ours, 1)
        seen.append(int(ours.raw_observations["place"][0, 0]))
        assert all(space[key].contains(mine.next_observation[key][0]) for key in ("place", "picture", "count", "kind"))
    np.testing.assert_allclose(ours.observations["speed"], scaled(seen[-1] % 7, np.array(seen) % 7), rtol=1e-5)
    np.testing.assert_array_equal(ours.observations["picture"], ours.raw_observations["picture"])


def test_keys_say_which_parts_also_of_whole_numbers() -> None:
    ours = collector(Parts(), normalize="observations,keys=[count,picture]")
    assert ours.normalization is not None
    assert set(ours.normalization.observation_moments) == {"count", "picture"}
    assert ours.single_observation_space["count"] == Box(-10, 10, (1,), np.float32)
    assert ours.observations["picture"].dtype == np.float32
    np.testing.assert_array_equal(ours.observations["place"], ours.raw_observations["place"])


@pytest.mark.parametrize(
    ("space", "normalize", "error", "text"),
    [
        (
            Discrete(4),
            True,
            SpaceError,
            r"nothing to normalise in observations of Discrete\(4\): it takes a Box of floa",
        ),
        (Box(0, 255, (8, 8), np.uint8), "observations", SpaceError, r"Leave observations out: normalize=rewards\."),
        (Dict(a=Discrete(2)), True, SpaceError, r"nothing to normalise in observations of Dict\('a': Discrete\(2\)\)"),
        (
            EVERYTHING,
            {"keys": ["a"]},
            ConfigError,
            r"keys are those of a Dict; observations are Box\(-inf, inf, \(2,\)",
        ),
        (
            Parts().observation_space,
            {"keys": ["plase"]},
            ConfigError,
            r"no 'plase'\. Did you mean 'place'\? They have: ",
        ),
        (
            Parts().observation_space,
            {"keys": ["kind"]},
            ConfigError,
            r"'kind' is Discrete\(3\), and only a Box can be no",
        ),
    ],
)
def test_what_cannot_be_normalised_says_so(space: Any, normalize: Any, error: type[Exception], text: str) -> None:
    settings = Normalize.of(normalize)
    assert settings is not None
    with pytest.raises(error, match=text):
        Normalization(settings, space, 1)


def test_rewards_are_normalised_whatever_is_observed() -> None:
    settings = Normalize.of("rewards")
    assert settings is not None
    assert Normalization(settings, Discrete(4), 1).observation_space == Discrete(4)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_is_refused_before_it_spoils_anything(bad: float) -> None:
    class Broken(Tape):
        def see(self) -> Any:
            return super().see() * (bad if self.now == late + 1 else 1)

        def rewarded(self) -> float:
            return bad if self.now == late else 1.0

    late = 200  # when the collector does not look at every step any more
    ours = collector(Tape(999), Broken(999))
    steps(ours, late - 1)
    assert ours.normalization is not None
    with pytest.raises(EnvironmentContractError, match=f"Environment 1 has given the reward {bad}. What is not finite"):
        steps(ours, 1)
    only = collector(Tape(999), Broken(999), normalize="observations")
    steps(only, late)
    assert only.normalization is not None
    before = only.normalization.observation_moments[""].state()
    with pytest.raises(
        EnvironmentContractError, match=rf"Environment 1 has given the observation \[{bad} {bad}\].* not normalise obs"
    ):
        steps(only, 1)
    np.testing.assert_equal(only.normalization.observation_moments[""].state(), before)


# saving, and processes


def test_a_restored_collector_goes_on_bit_for_bit(tmp_path: Path) -> None:
    def made() -> Collector:
        return collector(Tape(4), Tape(7), reseed_every=10)

    ours, restored = made(), made()
    steps(ours, 25)
    ours.save(tmp_path)
    assert restored.load(tmp_path)
    np.testing.assert_array_equal(restored.observations, ours.observations, strict=True)
    for one, other in zip(steps(ours, 25), steps(restored, 25), strict=True):
        for left, right in zip(one[:-1], other[:-1], strict=True):
            np.testing.assert_array_equal(left, right, strict=True)


def test_one_that_does_not_come_back_keeps_its_statistics_and_forgets_the_returns(tmp_path: Path) -> None:
    class Noisy(Tape):
        def see(self) -> Any:
            return super().see() + np.random.default_rng().random(2)

    ours, restored = collector(Noisy(50)), collector(Noisy(50))
    steps(ours, 10)
    ours.save(tmp_path)
    assert not restored.load(tmp_path)
    assert ours.normalization is not None
    assert restored.normalization is not None
    assert restored.normalization.observation_moments[""].mean.tolist() == (
        ours.normalization.observation_moments[""].mean.tolist()
    )
    restored.save(tmp_path)
    assert state.load(tmp_path, "normalization")["returns"].tolist() == [0.0]
    np.testing.assert_array_equal(
        restored.observations, restored.normalization.observations(restored.raw_observations), strict=True
    )


def test_environments_taken_apart_share_the_statistics() -> None:
    whole = collector(Tape(4), Tape(3))
    normalization = whole.normalization
    assert normalization is not None
    steps(whole, 5)
    count = normalization.observation_moments[""].count
    apart = [whole.apart(env, seed=env) for env in range(2)]
    assert normalization.observation_moments[""].count == count + 2
    for each in apart:
        steps(each, 5)
    assert normalization.observation_moments[""].count == count + 12
    assert normalization.return_moments is not None
    assert normalization.return_moments.count == pytest.approx(20 + FIRST_COUNT)
    np.testing.assert_array_equal(normalization.observations(apart[1].raw_observations), apart[1].observations)


# runs


class Recorder:
    """Learns nothing, and notes what its actor is shown."""

    @dataclass(frozen=True)
    class Config:
        """None."""

    shown: list[Any] = []

    def __init__(self, observation_space: Any, action_space: Any, config: Config, **making: Any) -> None:
        self.observation_space, self.steps = observation_space, 0

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        while self.steps < until:
            assert collector.single_observation_space == self.observation_space
            collector.step(np.ones(collector.num_envs, np.int64))
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes())

    def actor(self, *, explore: bool = False) -> Actor:
        def act(observations: Any, first: Any) -> Any:
            self.shown.append(observations)
            return np.ones(len(first), np.int64)

        return act

    def save(self, folder: Path) -> None:
        state.save(folder, "recorder", {"steps": self.steps})

    def load(self, folder: Path) -> None:
        self.steps = state.load(folder, "recorder")["steps"]


@pytest.fixture
def _in(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def recorded(**settings: Any) -> rlhub.Run:
    settings = {"steps": 60, "num_envs": 2, "folder": "run", "normalize": True, "progress": False, **settings}
    return rlhub.train(Recorder, Tape, **settings)


def shown_to(subject: Any, **options: Any) -> tuple[list[Any], Evaluation]:
    """Evaluate and return what the algorithm's actor was shown."""
    Recorder.shown.clear()
    evaluation = rlhub.evaluate(subject, episodes=1, seed=3, **options)
    return list(Recorder.shown), evaluation


@pytest.mark.usefixtures("_in")
def test_the_runs_actor_normalises_and_the_scores_are_raw() -> None:
    run = recorded()
    assert run.normalization is not None
    assert run.observation_space == EVERYTHING
    before = run.normalization.observation_moments[""].state()
    shown, evaluation = shown_to(run)
    raw = np.array([[[0.0, 1000.0]], [[1.0, 1007.0]], [[2.0, 1003.0]], [[3.0, 1010.0]]])
    np.testing.assert_array_equal(shown, [run.normalization.observations(each) for each in raw], strict=True)
    assert evaluation.returns == (1000.0,)
    assert {episode.return_ for episode in run.episodes} == {1000.0}
    np.testing.assert_equal(run.normalization.observation_moments[""].state(), before)
    loaded = rlhub.load("run", algorithm=Recorder, env=Tape)
    np.testing.assert_array_equal(shown_to(loaded)[0], shown, strict=True)
    np.testing.assert_array_equal(shown_to(loaded.actor(), env=Tape)[0], shown, strict=True)
    explored = loaded.actor(explore=True)
    Recorder.shown.clear()
    explored(raw[0], np.ones(1, np.bool_))
    np.testing.assert_array_equal(Recorder.shown, shown[:1], strict=True)


@pytest.mark.usefixtures("_in")
def test_each_checkpoint_has_the_statistics_of_its_time() -> None:
    evaluate = Evaluate(every=20, episodes=1, keep_best=True)
    recorded(callbacks=[evaluate, Checkpoint(every=20, keep=9)])
    counts = {}
    for step in (20, 40, 60):
        at = rlhub.load("run", step=step, algorithm=Recorder, env=Tape)
        assert at.normalization is not None
        counts[step] = round(at.normalization.observation_moments[""].count)
    assert counts == {20: 22, 40: 42, 60: 62}
    best = rlhub.load("run", step="best", algorithm=Recorder, env=Tape)
    assert best.normalization is not None
    assert round(best.normalization.observation_moments[""].count) == 22  # all are as good: the first


@pytest.mark.usefixtures("_in")
def test_evaluating_while_training_changes_nothing() -> None:
    recorded(folder="with", callbacks=[Evaluate(every=20, episodes=2)])
    recorded(folder="without")
    one, other = (
        state.load(Path(folder) / "checkpoints" / f"{60:012d}" / "collector", "normalization")
        for folder in ("with", "without")
    )
    np.testing.assert_equal(one, other)


@pytest.mark.usefixtures("_in")
def test_a_resumed_run_goes_on_exactly() -> None:
    check_exact_resume("toy/random", "toy/Corridor-v0", steps=600, num_envs=3, log_every=50, normalize=True)
    recorded(callbacks=[StopAt(30)])
    resumed = rlhub.resume("run", algorithm=Recorder, env=Tape, callbacks=[StopAt(0)], progress=False)
    whole = recorded(folder="whole")
    assert resumed.restored == "exact"
    assert resumed.normalization is not None
    assert whole.normalization is not None
    np.testing.assert_equal(
        resumed.normalization.observation_moments[""].state(), whole.normalization.observation_moments[""].state()
    )


# doors


def test_the_ways_to_say_it_are_the_same() -> None:
    wanted = Normalize(discount=0.9)
    same: list[Any] = [
        *("observations,rewards,discount=0.9", "discount=0.9", ["observations", "rewards", "discount=0.9"]),
        *({"discount": 0.9}, {"observations": True, "rewards": True, "discount": 0.9}, wanted),
    ]
    assert [Normalize.of(each) for each in same] == [wanted] * len(same)
    assert Normalize.of(True) == Normalize.of("true") == Normalize()
    assert [Normalize.of(each) for each in (None, False, "none")] == [None] * 3
    assert Normalize.of("rewards") == Normalize(observations=False)
    assert Normalize.of("observations") == Normalize(rewards=False)
    for keys in ("keys=[a,b]", "keys=(a, b)", 'keys=["a","b"]', "keys=['a', 'b']"):
        assert Normalize.of(f"{keys},discount=0.9") == Normalize(keys=("a", "b"), discount=0.9)
    assert Normalize.of("keys=a") == Normalize(keys=("a",))


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            "reward",
            r"'reward' cannot be normalised\. Did you mean 'rewards'\? Say observations, rewards or both, and se",
        ),
        ("observations,gamma=0.9", r"normalize has no setting 'gamma'\. It has: clip_observations, clip_rewards, disc"),
        ("discount=2", r"normalize: discount must be in \[0, 1\], not 2"),
        (Normalize(discount=2.0), r"normalize: discount must be in \[0, 1\], not 2"),
        ("clip_observations=0", r"normalize: clip_observations must be a positive number, not 0"),
        ({"observations": False, "rewards": False}, r"neither observations nor rewards; leave it out to normalise not"),
        (7, r"normalize takes observations, rewards or both, not 7"),
    ],
)
def test_bad_settings_say_what_there_is(given: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        Normalize.of(given)


@pytest.mark.usefixtures("_in")
def test_it_is_part_of_the_recipe_and_of_the_command_line(tmp_path: Path) -> None:
    def rlhub_(*arguments: object) -> Any:
        result = CliRunner().invoke(app, [str(argument) for argument in arguments])
        assert result.exit_code == 0, result.output
        return result.stdout

    common = ("toy/random", "toy/Corridor-v0", "--steps", 200, "-q")
    rlhub_("train", *common, "--normalize", "observations,discount=0.5", "--out", "a")
    recipe = tomllib.loads(Path("a/experiment.toml").read_text())["normalize"]
    assert recipe == {
        "observations": True,
        "rewards": False,
        "clip_observations": 10.0,
        "clip_rewards": 10.0,
        "discount": 0.5,
        "epsilon": 1e-8,
        "keys": "none",
    }
    assert rlhub.Experiment.read(Path("a")).normalize == Normalize(rewards=False, discount=0.5)
    rlhub_("train", "a/experiment.toml", "-q", "--out", "b")
    assert rlhub.Experiment.read(Path("b")) == rlhub.Experiment.read(Path("a"))
    for changed, read in (("rewards", Normalize(observations=False)), ("none", None)):
        rlhub_("train", "a/experiment.toml", "-q", "--normalize", changed, "--out", changed)
        assert rlhub.Experiment.read(Path(changed)).normalize == read
    short = Path("a/experiment.toml").read_text().split("[normalize]")[0]
    Path("short.toml").write_text('normalize = "rewards,discount=0.9"\n' + short)
    assert rlhub.Experiment.read(Path("short.toml")).normalize == Normalize(observations=False, discount=0.9)
    assert "mean return" in rlhub_("evaluate", "a", "--episodes", 2)
    assert Path(rlhub_("record", "a", "--out", tmp_path / "film.gif").strip()).stat().st_size > 0
    assert "clip_rewards\tfloat\t10.0\t≥ 0\tnormalised rewards are clipped to [-this, this]" in rlhub_(
        "info", "normalize"
    ).replace("\t\t", "\t")


@pytest.mark.usefixtures("_in")
def test_what_cannot_be_normalised_leaves_no_folder() -> None:
    with pytest.raises(SpaceError, match=r"nothing to normalise in observations of Discrete\(16\)"):
        rlhub.train(Recorder, "FrozenLake-v1", steps=10, folder="run", normalize="observations")
    assert not Path("run").exists()


@pytest.mark.usefixtures("_in")
def test_what_is_given_wins_over_a_presets() -> None:
    chosen = {"normalize": "observations", "steps": 10}
    for given, read in ((None, "observations"), (False, False), ("rewards", "rewards")):
        merged_ = rlhub.experiment.with_preset({"normalize": given}, "p", {"p": {"E": chosen}}, "a", "E")
        assert merged_["normalize"] == read


def test_an_actor_that_wants_masks_gets_them_beside_normalised_observations() -> None:
    class Masked:
        masked = True

        def __call__(self, observations: Any, first: Any, masks: Any = None) -> Any:
            return observations, masks

    normalization = Normalization(Normalize(), Box(-np.inf, np.inf, (1,)), 2)
    normalization.begin(np.array([[3.0], [5.0]]))
    act: Any = normalization.around(Masked())
    seen, masks = act(np.array([[4.0], [4.0]]), np.zeros(2, np.bool_), "masks")
    assert act.masked
    assert masks == "masks"
    np.testing.assert_allclose(seen, 0.0, atol=1e-3)
    assert not normalization.around(lambda observations, first: observations).masked  # type: ignore[attr-defined]
