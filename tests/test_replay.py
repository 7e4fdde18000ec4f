"""The replay against plain lists of everything that happened."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text
from numpy.typing import NDArray

from rlhub_core import CheckpointError, ConfigError, Replay, SpaceError, Transition, memory, state
from rlhub_core.replay import bytes_needed, frame_stack

VECTOR = Box(-np.inf, np.inf, (3,), np.float32)
STACKED = Box(-np.inf, np.inf, (4, 5, 6), np.float32)
NESTED = Dict(
    {
        "camera": STACKED,
        "body": Dict({"speed": VECTOR, "depth": Box(-np.inf, np.inf, (2, 3, 3), np.float32)}),
        "gear": Discrete(10**6),
    }
)


def moved_on(space: Space[Any], before: Any, clock: int) -> Any:
    """Return the observation after another: stacks move on by one frame, everything shows the clock."""
    if isinstance(space, Dict):
        return {key: moved_on(inner, before and before[key], clock) for key, inner in space.items()}
    newest = np.asarray(np.full(space.shape or (), clock), space.dtype)
    if frame_stack(space, None) == 1:
        return newest
    return np.concatenate([before[1:] if before is not None else np.zeros_like(newest[1:]), newest[:1]])


def stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: stacked([each[key] for each in observations]) for key in observations[0]}
    return np.stack(observations)


def row(tree: Any, index: int) -> Any:
    return {key: row(value, index) for key, value in tree.items()} if isinstance(tree, dict) else tree[index]


def life(space: Space[Any], num_envs: int, steps: int, seed: int = 0) -> Iterator[tuple[Transition, NDArray[np.bool_]]]:
    """Yield (transition, first): episodes of 1 to 9 steps that terminate or are cut off; lives lost; time unseen."""
    rng, clock = np.random.default_rng(seed), iter(range(1, 10**9))
    observations = [moved_on(space, None, next(clock)) for _ in range(num_envs)]
    first, left = np.ones(num_envs, np.bool_), rng.integers(1, 10, num_envs)
    for _ in range(steps):
        unseen = rng.random(num_envs) < 0.1
        successors = [
            moved_on(space, moved_on(space, each, next(clock)) if skips else each, next(clock))
            for each, skips in zip(observations, unseen, strict=True)
        ]
        left -= 1
        over = left == 0
        truncated, lost = over & (rng.random(num_envs) < 0.5), rng.random(num_envs) < 0.05
        terminated = (over & ~truncated) | lost
        action, reward = rng.integers(0, 4, num_envs), rng.normal(size=num_envs)
        yield Transition(stacked(observations), action, reward, stacked(successors), terminated, truncated, {}), first
        observations = [moved_on(space, None, next(clock)) if o else s for o, s in zip(over, successors, strict=True)]
        left, first = np.where(over, rng.integers(1, 10, num_envs), left), over


class Step(NamedTuple):
    observation: Any
    action: int
    reward: float
    next_observation: Any
    terminated: bool
    over: bool  # does no further step of the episode follow?
    oldest: int  # frame of the observation, counted as the replay writes them


class Lists:
    """The replay's promise, kept with a list of steps for each environment; K is the largest stack."""

    def __init__(self, length: int, num_envs: int, stack: int) -> None:
        self.length, self.stack = length, stack
        self.steps: list[list[Step]] = [[] for _ in range(num_envs)]
        self.written = [0] * num_envs

    def add(self, transition: Transition, first: NDArray[np.bool_]) -> None:
        for env, steps in enumerate(self.steps):
            before, after = row(transition.observation, env), row(transition.next_observation, env)
            self.written[env] += self.stack * bool(first[env])
            oldest = self.written[env] - self.stack
            self.written[env] += 1 if continues(before, after) else self.stack
            terminated = bool(transition.terminated[env])
            over = terminated or bool(transition.truncated[env])
            reward = float(np.float32(transition.reward[env]))
            steps.append(Step(before, int(transition.action[env]), reward, after, terminated, over, oldest))

    def kept(self) -> dict[float, tuple[int, int]]:
        """Return (environment, step) of those whose frames are still there, by the clock they show."""
        return {
            shown(step.observation): (env, index)
            for env, steps in enumerate(self.steps)
            for index, step in enumerate(steps)
            if step.oldest >= self.written[env] - self.length
        }

    def ahead(self, env: int, index: int, n: int, discount: float) -> tuple[float, Any, float]:
        """Return the sum of rewards, the observation after up to n steps and what its value is worth."""
        steps, total = self.steps[env], 0.0
        for m in range(n):
            step = steps[index + m]
            total += discount**m * step.reward
            if step.over or m + 1 == n or index + m + 1 == len(steps):
                return total, step.next_observation, 0.0 if step.terminated else discount ** (m + 1)
        raise AssertionError


def continues(before: Any, after: Any) -> bool:
    if isinstance(before, dict):
        return all(continues(before[key], after[key]) for key in before)
    return before.ndim < 3 or bool((before[1:] == after[:-1]).all())


def shown(observation: Any) -> float:
    """Return the clock that an observation shows."""
    return float((observation["gear"] if isinstance(observation, dict) else observation[-1]).flat[-1])


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("space", [VECTOR, STACKED, NESTED], ids=["vector", "stack", "dict"])
@pytest.mark.parametrize("length", [26, 10_000])
@pytest.mark.parametrize("prioritized", [False, True])
def test_what_is_drawn_is_what_happened(
    space: Space[Any], num_envs: int, n: int, length: int, prioritized: bool
) -> None:
    replay = Replay(length * num_envs, num_envs, space, prioritized=prioritized)
    lists = Lists(length, num_envs, replay.stack)
    rng = np.random.default_rng(1)
    for time, (transition, first) in enumerate(life(space, num_envs, 170)):
        replay.add(transition, transition.action, first)
        lists.add(transition, first)
        if time % 50 not in (0, 1, 19):
            continue
        kept, drawn = lists.kept(), set()
        assert len(replay) == len(kept)
        batch = replay.sample(50 * len(kept) if length == 26 else 200, rng, n_step=n, discount=0.9)
        for index in np.unique(batch.index, return_index=True)[1]:
            env, step = kept[shown(row(batch.observation, index))]
            drawn.add((env, step))
            happened = lists.steps[env][step]
            reward, following, worth = lists.ahead(env, step, n, 0.9)
            np.testing.assert_equal(row(batch.observation, index), happened.observation)
            np.testing.assert_equal(row(batch.next_observation, index), following)
            assert batch.action[index] == happened.action
            assert batch.reward[index] == pytest.approx(reward, rel=1e-6, abs=1e-7)
            assert batch.discount[index] == pytest.approx(worth, rel=1e-6)
        assert drawn == set(kept.values()) or length > 26
        assert (batch.weight == 1).all()
    assert length > 26 or min(lists.written) > 5 * length


def test_a_batch_has_the_types_it_says() -> None:
    replay = filled_replay(Replay(100, 2, NESTED, action_space=Discrete(4)), NESTED, 20)
    batch = replay.sample(8, np.random.default_rng(0), n_step=2)
    assert [array.dtype for array in batch[1:3] + batch[4:]] == [np.int64, *[np.float32] * 2, np.int64, np.float32]
    assert batch.observation["camera"].shape == batch.next_observation["camera"].shape == (8, 4, 5, 6)
    assert batch.observation["body"]["speed"].dtype == np.float32
    assert batch.observation["gear"].dtype == np.int64


def filled_replay(replay: Replay, space: Space[Any], steps: int, seed: int = 0) -> Replay:
    for transition, first in life(space, replay.num_envs, steps, seed):
        replay.add(transition, transition.action, first)
    return replay


def test_it_may_begin_amid_an_episode() -> None:
    replay = Replay(50, 1, STACKED)
    for transition, _ in list(life(STACKED, 1, 20))[3:4]:
        replay.add(transition, transition.action, np.zeros(1, np.bool_))
    batch = replay.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(batch.observation[0], transition.observation[0])
    assert len(replay) == 1


def test_an_empty_replay_says_so() -> None:
    with pytest.raises(ValueError, match="The replay is empty: add a transition before sampling"):
        Replay(50, 1, VECTOR).sample(1, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("space", "actions", "stored"),
    [
        (None, [0, 10**12], np.int64),
        (Discrete(18), [0, 17], np.uint8),
        (Discrete(1_000), [0, 999], np.uint16),
        (Discrete(3, start=-1), [-1, 2], np.int8),
        (MultiDiscrete([3, 4]), [[0, 3], [2, 1]], np.int64),
        (MultiBinary(3), [[0, 1, 1], [1, 0, 0]], np.int8),
        (Box(-1, 1, (2,)), [[0.5, -0.5], [1, -1]], np.float32),
    ],
)
def test_actions_come_back_as_they_were(space: Space[Any] | None, actions: Any, stored: Any) -> None:
    replay, zero = Replay(50, 2, VECTOR, action_space=space), np.zeros(2)
    values = np.zeros((2, 3), np.float32)
    given = np.array(actions, None if space is None else space.dtype)
    replay.add(Transition(values, given, zero, values, zero > 0, zero > 0, {}), given, zero == 0)
    batch = replay.sample(20, np.random.default_rng(0))
    assert replay.actions.dtype == stored
    assert batch.action.dtype == (np.int64 if space is None or isinstance(space, Discrete) else space.dtype)
    np.testing.assert_array_equal(batch.action, given[batch.index // replay.length])


def test_priorities_decide_how_often_what_is_drawn() -> None:
    replay = filled_replay(Replay(60, 2, VECTOR, prioritized=True), VECTOR, 200)
    rng = np.random.default_rng(0)
    places = np.unique(replay.sample(2_000, rng).index)
    assert len(places) == len(replay)
    priorities = rng.integers(1, 100, len(places)).astype(np.float64)
    replay.prioritize(places, priorities)
    probability = priorities / priorities.sum()
    together = replay.sample(20_000, rng, beta=0.4)
    counts = np.bincount(together.index, minlength=120)[places]
    assert counts.sum() == 20_000
    assert np.abs(counts - 20_000 * probability).max() < 2  # one draw from each 20,000th of the mass
    alone = np.concatenate([replay.sample(1, rng).index for _ in range(20_000)])
    counts = np.bincount(alone, minlength=120)[places]
    assert (np.abs(counts - 20_000 * probability) < 4 * np.sqrt(20_000 * probability)).all()
    weights = (probability * len(replay)) ** -0.4
    drawn = weights[np.searchsorted(places, together.index)]
    np.testing.assert_array_equal(together.weight, (drawn / drawn.max()).astype(np.float32))


@pytest.mark.parametrize("num_envs", [1, 3])
@pytest.mark.parametrize("space", [VECTOR, STACKED], ids=["vector", "stack"])
def test_new_ones_have_the_highest_priority_and_overwritten_ones_none(space: Space[Any], num_envs: int) -> None:
    length, rng = 26, np.random.default_rng(0)
    replay = Replay(length * num_envs, num_envs, space, prioritized=True)
    lists, expected, highest = Lists(length, num_envs, replay.stack), dict[float, float](), 1.0
    reads = set(np.cumsum(rng.integers(1, 60, 40)).tolist())
    for time, (transition, first) in enumerate(life(space, num_envs, 600)):
        replay.add(transition, transition.action, first)
        lists.add(transition, first)
        expected |= {shown(row(transition.observation, env)): highest for env in range(num_envs)}
        if time not in reads:
            continue
        expected = {clock: expected[clock] for clock in lists.kept()}
        assert sorted(present(replay)) == sorted(expected.values())
        batch = replay.sample(16, rng)
        priorities = rng.integers(1, 50, 16) / 8
        replay.prioritize(batch.index, priorities)
        expected |= {shown(row(batch.observation, i)): float(priority) for i, priority in enumerate(priorities)}
        highest = max(highest, *priorities)
        assert sorted(present(replay)) == sorted(expected.values())


def present(replay: Replay) -> list[float]:
    priorities = replay.state()["priorities"]
    return [float(priority) for priority in priorities[priorities > 0]]


def test_a_transition_overwritten_since_it_was_drawn_gets_no_priority() -> None:
    replay = filled_replay(Replay(20, 1, VECTOR, prioritized=True), VECTOR, 15)
    batch = replay.sample(200, np.random.default_rng(0))
    filled_replay(replay, VECTOR, 3, seed=1)
    replay.prioritize(batch.index, np.full(200, 2.0))
    assert len(present(replay)) == len(replay)


@pytest.mark.parametrize("priority", [0.0, -1.0, np.nan, np.inf])
def test_what_is_no_priority_is_refused(priority: float) -> None:
    replay = filled_replay(Replay(20, 1, VECTOR, prioritized=True), VECTOR, 5)
    index = replay.sample(2, np.random.default_rng(0)).index
    with pytest.raises(ValueError, match=f"Priorities must be finite and above 0, not {priority}"):
        replay.prioritize(index, [1.0, priority])


def test_where_sampling_is_uniform_priorities_change_nothing() -> None:
    replay = filled_replay(Replay(50, 1, VECTOR), VECTOR, 30)
    replay.prioritize([3], [1e9])
    assert len(np.unique(replay.sample(500, np.random.default_rng(0)).index)) == len(replay)


@pytest.mark.parametrize("prioritized", [False, True])
@pytest.mark.parametrize("capacity", [80, 5_000])
@pytest.mark.parametrize("space", [VECTOR, NESTED], ids=["vector", "dict"])
def test_restored_it_draws_the_same(space: Space[Any], capacity: int, prioritized: bool, tmp_path: Path) -> None:
    history = list(life(space, 2, 181))
    assert not history[90][1].all()

    def use(replay: Replay, half: slice) -> list[Any]:
        rng, batches = np.random.default_rng(0), list[Any]()
        for time, (transition, first) in enumerate(history[half]):
            replay.add(transition, transition.action, first)
            if time % 7 == 3:
                batches.append(replay.sample(32, rng, n_step=3, beta=0.5))
                replay.prioritize(batches[-1].index, rng.random(32) * 3 + 1e-6)
        return batches

    replay = Replay(capacity, 2, space, prioritized=prioritized)
    use(replay, slice(0, 90))
    state.save(tmp_path, "replay", replay.state())
    new, used = (Replay(capacity, 2, space, prioritized=prioritized) for _ in range(2))
    filled_replay(used, space, 150)
    for restored in (new, used):
        restored.restore(state.load(tmp_path, "replay"))
        assert len(restored) == len(replay)
    for batches in zip(*(use(each, slice(90, None)) for each in (replay, new, used)), strict=True):
        np.testing.assert_equal(batches[0], batches[1])
        np.testing.assert_equal(batches[0], batches[2])
    np.testing.assert_equal(replay.state(), new.state())


def test_a_replay_of_another_size_is_not_restored() -> None:
    saved = filled_replay(Replay(50, 2, VECTOR), VECTOR, 5).state()
    with pytest.raises(CheckpointError, match="The replay was saved with 2 × 25 frames, not 2 × 30"):
        Replay(60, 2, VECTOR).restore(saved)


IMAGE = Box(0, 255, (4, 84, 84), np.uint8)


def test_a_million_frames_fit_in_seven_gigabytes() -> None:
    for prioritized in (False, True):
        assert bytes_needed(1_000_000, 1, IMAGE, action_space=Discrete(18), prioritized=prioritized) <= 7.1e9


@pytest.mark.parametrize("space", [VECTOR, IMAGE, NESTED])
@pytest.mark.parametrize("prioritized", [False, True])
def test_it_takes_the_bytes_that_were_computed(space: Space[Any], prioritized: bool) -> None:
    options: dict[str, Any] = {"action_space": Box(-1, 1, (6,)), "prioritized": prioritized}
    assert Replay(100, 3, space, **options).nbytes == bytes_needed(100, 3, space, **options)


def test_what_does_not_fit_in_memory_is_refused_before_it_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "available_memory", lambda: 21_300_000_000)
    text = r"buffer_size 200,000,000 needs 1,413 GB; 21\.3 GB is free\. At most buffer_size=3,010,000 fits\."
    with pytest.raises(ConfigError, match=text):
        Replay(200_000_000, 8, IMAGE, action_space=Discrete(4))
    monkeypatch.setattr(memory, "available_memory", lambda: bytes_needed(1_000, 1, IMAGE))
    assert Replay(1_000, 1, IMAGE).nbytes == bytes_needed(1_000, 1, IMAGE)
    with pytest.raises(ConfigError, match="At most buffer_size=1,000 fits"):
        Replay(1_001, 1, IMAGE)


def test_a_buffer_too_small_says_how_small_it_may_be() -> None:
    with pytest.raises(ConfigError, match="buffer_size 10 is too small for 8 environments: at least 72"):
        Replay(10, 8, IMAGE)


@pytest.mark.parametrize("space", [STACKED, NESTED], ids=["stack", "dict"])
def test_the_smallest_replay_holds_the_step_just_taken(space: Space[Any]) -> None:
    replay = Replay(18, 2, space)
    for transition, first in life(space, 2, 300):
        replay.add(transition, transition.action, first)
        batch = replay.sample(100, np.random.default_rng(0))
        seen = {shown(row(batch.observation, index)) for index in range(100)}
        assert {shown(row(transition.observation, env)) for env in range(2)} <= seen


def test_how_many_frames_a_stack_has() -> None:
    assert frame_stack(IMAGE, None) == 4
    assert frame_stack(Box(0, 255, (84, 84, 3), np.uint8), None) == 1
    assert frame_stack(Box(-1, 1, (8,)), None) == 1
    assert frame_stack(Box(0, 255, (3, 84, 84), np.uint8), 1) == 1
    with pytest.raises(ConfigError, match="no stack of 4"):
        frame_stack(Box(-1, 1, (8,)), 4)


def test_in_a_dict_the_stack_given_is_that_of_the_parts_that_have_it() -> None:
    space = Dict({"image": Box(0, 1, (4, 2)), "speed": Box(0, 1, (4,)), "other": Box(0, 1, (3, 8, 8))})
    assert Replay(100, 1, space, stack=4).stack == 4
    assert Replay(100, 1, space, stack=1).stack == 1
    assert Replay(100, 1, space).stack == 3
    assert Replay(100, 1, space, stack=4).nbytes == 100 * 4 * (2 + 4 + 3 * 64) + 100 * 15
    with pytest.raises(ConfigError, match="frame_stack: no part of the observations stacks 5 frames"):
        Replay(100, 1, space, stack=5)


def test_observations_without_a_fixed_shape_are_refused() -> None:
    with pytest.raises(SpaceError, match="A replay stores Box, Discrete, MultiDiscrete and MultiBinary observations"):
        Replay(100, 1, Dict({"text": Text(5)}))
