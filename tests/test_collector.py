"""The collector: true successors, episode accounting, the learning view, stretches, exact restore."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, cast

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AutoresetMode, SyncVectorEnv

from rlhub_core import Collector, EnvironmentContractError, Episode, evaluate, make_vec
from rlhub_core.testing import check_exact_restore


class Tape(gymnasium.Env[Any, Any]):
    """Counts its steps: observation = 100 × episode + time; reward = time; ends or is cut off at given lengths."""

    def __init__(self, lengths: tuple[int, ...] = (3, 2), cut: bool = False, lives: bool = False) -> None:
        self.observation_space, self.action_space = Box(0, 10_000, (1,), np.float32), Discrete(2)
        self.lengths, self.cut, self.with_lives = lengths, cut, lives
        self.episode, self.time = -1, 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode = 0 if seed is not None else self.episode + 1
        self.time = 0
        return self._observation(), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        over = self.time == self.lengths[self.episode % len(self.lengths)]
        return self._observation(), float(self.time), over and not self.cut, over and self.cut, self._info()

    def _observation(self) -> Any:
        return np.array([100 * self.episode + self.time], np.float32)

    def _info(self) -> dict[str, Any]:
        return {"lives": 3 - self.time // 2} if self.with_lives else {}


def _itself(env: Tape) -> Tape:
    return env


def tapes(*envs: Tape, **settings: Any) -> Collector:
    return Collector(SyncVectorEnv([partial(_itself, env) for env in envs]), 0, **settings)


def steps(collector: Collector, count: int) -> list[Any]:
    return [collector.step(np.zeros(collector.num_envs, np.int64)) for _ in range(count)]


def test_successors_are_true_and_the_next_episode_begins_at_once() -> None:
    collector = tapes(Tape((3, 2)))
    transitions = steps(collector, 5)
    assert [float(t.observation[0, 0]) for t in transitions] == [0, 1, 2, 100, 101]
    assert [float(t.next_observation[0, 0]) for t in transitions] == [1, 2, 3, 101, 102]
    assert [bool(t.terminated[0]) for t in transitions] == [False, False, True, False, True]
    assert collector.first.tolist() == [True]
    assert collector.steps == 5


def test_truncation_is_never_mistaken_for_termination() -> None:
    transition = steps(tapes(Tape((1,), cut=True)), 1)[0]
    assert transition.truncated.tolist() == [True]
    assert transition.terminated.tolist() == [False]


def test_episodes_are_counted_for_each_environment_and_handed_out_once() -> None:
    collector = tapes(Tape((3,)), Tape((2,)))
    steps(collector, 3)
    assert list(collector.episodes()) == [Episode(4, 3.0, 2, 1), Episode(6, 6.0, 3, 0)]
    assert list(collector.episodes()) == []


def test_the_learning_view_changes_transitions_and_never_episodes() -> None:
    collector = tapes(Tape((5,), lives=True), reward_clip=1.0, terminal_on_life_loss=True)
    transitions = steps(collector, 5)
    assert [float(t.reward[0]) for t in transitions] == [1.0] * 5
    assert [bool(t.terminated[0]) for t in transitions] == [False, True, False, True, True]
    assert [float(t.next_observation[0, 0]) for t in transitions] == [1, 2, 3, 4, 5]  # a lost life resets nothing
    assert list(collector.episodes()) == [Episode(5, 15.0, 5, 0)]


def test_a_reset_after_the_last_life_is_no_lost_life() -> None:
    collector = tapes(Tape((4,), lives=True), terminal_on_life_loss=True)
    transitions = steps(collector, 5)
    assert [bool(t.terminated[0]) for t in transitions] == [False, True, False, True, False]


def test_observations_handed_out_are_never_overwritten() -> None:
    env = SyncVectorEnv([lambda: Tape((3, 4))], copy=False)
    transitions = steps(Collector(env, 0), 6)
    assert [float(t.observation[0, 0]) for t in transitions] == [0, 1, 2, 100, 101, 102]
    assert [float(t.next_observation[0, 0]) for t in transitions] == [1, 2, 3, 101, 102, 103]


def test_a_stretch_ends_with_the_first_episode_after_reseed_every_steps() -> None:
    seeds: list[int] = []

    class Seeded(Tape):
        def reset(
            self, *, seed: int | None = None, options: dict[str, Any] | None = None
        ) -> tuple[Any, dict[str, Any]]:
            if seed is not None:
                seeds.append(seed)
            return super().reset(seed=seed, options=options)

    steps(tapes(Seeded((3,)), reseed_every=5), 12)
    assert len(seeds) == len(set(seeds)) == 3  # at the start, after 6 steps, after 12


def test_the_same_seed_gives_the_same_stretches_and_another_seed_others() -> None:
    def first(seed: int) -> Any:
        return Collector(make_vec("CartPole-v1", 2), seed).observations

    np.testing.assert_array_equal(first(1), first(1))
    assert not np.array_equal(first(1), first(2))
    assert not np.array_equal(first(1)[0], first(1)[1])


@pytest.mark.parametrize("env", ["CartPole-v1", "FrozenLake-v1", "Pendulum-v1", "MountainCar-v0", "Blackjack-v1"])
@pytest.mark.parametrize("num_envs", [1, 3])
def test_restore_is_exact_over_several_stretches(env: str, num_envs: int) -> None:
    check_exact_restore(env, num_envs=num_envs)


def test_restore_is_exact_in_worker_processes(tmp_path: Path) -> None:
    env = make_vec("CartPole-v1", 2, vectorization_mode="async")
    collector = Collector(env, 7, reseed_every=20)
    steps(collector, 60)
    collector.save(tmp_path)
    collector.close()
    restored = Collector(make_vec("CartPole-v1", 2), 7, reseed_every=20)  # and into another kind of vector environment
    assert restored.load(tmp_path)
    restored.close()


def test_restore_at_the_moment_a_stretch_begins(tmp_path: Path) -> None:
    collector = tapes(Tape((3,)), Tape((2,)), reseed_every=6)
    steps(collector, 6)  # both environments have just begun a new stretch
    collector.save(tmp_path)
    restored = tapes(Tape((3,)), Tape((2,)), reseed_every=6)
    assert restored.load(tmp_path)
    assert restored.first.tolist() == [True, True]


def test_dict_observations_and_box_actions_are_restored(tmp_path: Path) -> None:
    class Doubled(Tape):
        def __init__(self) -> None:
            super().__init__((3, 5))
            self.observation_space = Dict(a=self.observation_space, b=Discrete(2))
            self.action_space = Box(-1, 1, (2,))

        def _observation(self) -> Any:
            return {"a": super()._observation(), "b": self.time % 2}

    def made() -> Collector:
        return Collector(SyncVectorEnv([Doubled, Doubled]), 0, reseed_every=4)

    collector = made()
    for _ in range(7):
        collector.step(np.zeros((2, 2), np.float32))
    collector.save(tmp_path)
    restored = made()
    assert restored.load(tmp_path)
    np.testing.assert_equal(restored.observations, collector.observations)


def test_an_environment_that_is_not_deterministic_is_found_out_and_goes_on(tmp_path: Path) -> None:
    class Noisy(Tape):
        def _observation(self) -> Any:
            return super()._observation() + np.random.default_rng().random(1, np.float32)

    collector = tapes(Noisy((50,)))
    steps(collector, 3)
    collector.save(tmp_path)
    restored = tapes(Noisy((50,)))
    assert not restored.load(tmp_path)
    assert restored.steps == 3
    assert restored.first.tolist() == [True]
    steps(restored, 3)
    assert restored.steps == 6


def test_same_step_autoreset_is_refused() -> None:
    env = SyncVectorEnv([lambda: Tape()], autoreset_mode=AutoresetMode.SAME_STEP)
    with pytest.raises(EnvironmentContractError, match="Make it with NEXT_STEP or DISABLED"):
        Collector(env, 0)


def test_a_vector_environment_that_ignores_the_reset_mask_is_refused() -> None:
    env = gymnasium.make_vec("CartPole-v1", 4, vectorization_mode="vector_entry_point")
    with pytest.raises(EnvironmentContractError, match=r'vectorization_mode="sync"'):
        steps(Collector(env, 0), 200)


def test_one_environment_is_taken_over() -> None:
    whole = Collector(make_vec("CartPole-v1", 3), 0, reseed_every=7, reward_clip=0.5)
    whole.step(np.array([0, 1, 0]))
    apart = whole.apart(1, seed=5)
    alone = Collector(make_vec("CartPole-v1", 1), 5, reseed_every=7, reward_clip=0.5)
    assert apart.first.tolist() == [True]
    for time in range(60):
        one, other = (each.step(np.array([time % 2])) for each in (apart, alone))
        for ours, theirs in zip(one[:-1], other[:-1], strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert apart.episodes() == alone.episodes()
    assert one.reward.tolist() == [0.5]


def test_environments_that_cannot_be_taken_apart_say_so() -> None:
    env = make_vec("CartPole-v1", 2, vectorization_mode="async")
    collector = Collector(env, 0)
    with pytest.raises(
        EnvironmentContractError, match=r'cannot be taken apart\. Make it with vectorization_mode="sync"'
    ):
        collector.apart(0, seed=0)
    collector.close()


class Masked(gymnasium.Env[Any, Any]):
    """Tells which of three actions are possible: by `info` at the steps named, or by a method."""

    observation_space, action_space = Box(0, 100, (1,), np.float32), Discrete(3)

    def __init__(self, told: tuple[int, ...] = tuple(range(10)), by_method: bool = False) -> None:
        self.told, self.by_method, self.time, self.games = told, by_method, 0, 0

    def __getattribute__(self, name: str) -> Any:
        if name == "action_masks" and not self.by_method:
            raise AttributeError(name)
        return super().__getattribute__(name)

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        self.games = 1 if seed is not None else self.games + 1
        self.time = 0
        return np.zeros(1, np.float32), self.info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.time += 1
        return np.full(1, self.time, np.float32), 0.0, self.time == 2 + self.games, False, self.info()

    def info(self) -> dict[str, Any]:
        return {} if self.by_method or self.time not in self.told else {"action_mask": self.action_mask()}

    def action_mask(self) -> Any:
        return np.array([1, self.games % 2, self.time % 2], np.int8)

    def action_masks(self) -> Any:
        return self.action_mask()


@pytest.mark.parametrize("by_method", [False, True])
def test_possible_actions_are_those_of_what_is_acted_on_next(by_method: bool, tmp_path: Path) -> None:
    def made() -> Collector:
        return Collector(make_vec(lambda: Masked(by_method=by_method), 2), seed=1, reseed_every=20)

    collector = made()
    for _ in range(30):
        envs = cast(Any, collector.env).envs
        np.testing.assert_array_equal(collector.action_masks, [env.action_mask() for env in envs])
        collector.step(np.zeros(2, np.int64))
        collector.restart(np.array([collector.steps == 24, False])) if collector.steps == 24 else None
    for step in range(4):
        (tmp_path / str(step)).mkdir()
        collector.save(tmp_path / str(step))
        restored = made()
        assert restored.load(tmp_path / str(step))
        np.testing.assert_array_equal(restored.action_masks, collector.action_masks)
        collector.step(np.zeros(2, np.int64))


def test_possible_actions_are_none_where_nobody_tells() -> None:
    assert Collector(make_vec("CartPole-v1", 2), seed=1).action_masks is None


def test_environment_that_tells_now_and_then_is_refused_only_where_it_is_asked() -> None:
    collector = Collector(make_vec(lambda: Masked(told=(0, 2)), 2), seed=1)
    assert collector.action_masks is not None
    collector.step(np.zeros(2, np.int64))
    with pytest.raises(EnvironmentContractError, match="told possible actions once, but not now"):
        _ = collector.action_masks


def test_actors_that_want_them_get_the_possible_actions() -> None:
    class Choosing:
        masked = True

        def __call__(self, observations: Any, first: Any, action_masks: Any = None) -> Any:
            return np.zeros(2, np.int64) if action_masks is None else action_masks.argmax(1)

    collector = Collector(make_vec(Masked, 2), seed=1)
    assert collector.act(Choosing()).tolist() == [0, 0]
    assert collector.act(lambda observations, first: first).tolist() == [True, True]
    assert Collector(make_vec("CartPole-v1", 2), seed=1).act(Choosing()).tolist() == [0, 0]


def test_a_cut_ends_every_running_episode_as_truncated_and_begins_new_stretches() -> None:
    collector = tapes(Tape((3, 2)), Tape((10,)))
    told: list[Any] = []

    def cut(reward: Any, ended: Any) -> bool:
        told.append((reward.tolist(), ended.tolist()))
        return collector.steps == 6

    collector.cut = cut
    first, second, third, fourth = steps(collector, 4)
    assert told[:3] == [([1, 1], [False, False]), ([2, 2], [False, False]), ([3, 3], [True, False])]
    assert not any(transition.truncated.any() for transition in (first, second, fourth))
    assert third.terminated.tolist() == [True, False]
    assert third.truncated.tolist() == [False, True]
    assert third.next_observation[:, 0].tolist() == [3, 3]
    assert fourth.observation[:, 0].tolist() == [0, 0], "a seeded reset begins with game 0"
    assert [(e.length, e.env) for e in collector.episodes()] == [(3, 0), (3, 1)]


def test_restore_is_exact_across_a_cut(tmp_path: Path) -> None:
    def collectors() -> Collector:
        return Collector(make_vec("CartPole-v1", 2), 3)

    collector = collectors()
    collector.cut = lambda reward, ended: collector.steps % 14 == 0
    steps(collector, 17)
    collector.save(tmp_path)
    restored = collectors()
    assert restored.load(tmp_path)
    np.testing.assert_equal(restored.observations, collector.observations)
    for one, other in zip(steps(collector, 3), steps(restored, 3), strict=True):
        np.testing.assert_equal(one.next_observation, other.next_observation)


class Rememberer(Tape):
    """Its games get longer with each stretch, which no seed says."""

    again: Any = None
    stretches = 0

    @property
    def carried(self) -> Any:
        return self.mine

    @carried.setter
    def carried(self, carried: Any) -> None:
        self.again = carried

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if seed is not None:
            before = self.again[1] if self.again and self.again[0] == seed else self.stretches
            self.mine, self.stretches, self.lengths = (seed, before), before + 1, (2 + before,)
        return super().reset(seed=seed)


def test_what_is_carried_into_a_stretch_is_restored_before_its_actions_are_replayed(tmp_path: Path) -> None:
    def collectors() -> Collector:
        return tapes(Rememberer(), Rememberer((3,)), reseed_every=10)

    collector = collectors()
    steps(collector, 50)
    collector.save(tmp_path)
    restored = collectors()
    assert restored.load(tmp_path)
    lengths = collector.env.get_attr("lengths")  # type: ignore[attr-defined]
    assert min(lengths)[0] > 4
    assert restored.env.get_attr("lengths") == lengths  # type: ignore[attr-defined]
    for one, other in zip(steps(collector, 30), steps(restored, 30), strict=True):
        np.testing.assert_equal(one.terminated, other.terminated)


def test_environments_are_told_of_an_evaluation() -> None:
    class Told(Tape):
        words: list[str] = []  # of all objects

        def begin_evaluation(self) -> None:
            self.words.append("begin")

        def end_evaluation(self) -> None:
            self.words.append("end")

        def reset(self, **how: Any) -> Any:
            self.words.append("reset")
            return super().reset(**how)

    evaluate(lambda observations, first: np.zeros(len(first), np.int64), Told, episodes=1)
    assert Told.words == ["begin", "reset", "reset", "end"]
