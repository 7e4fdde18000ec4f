"""TF-Agents' environments as Gymnasium environments, and its names to write them with."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import rlhub_legacy.tf_agents as tf_agents
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import rlhub_core as rlhub
from rlhub_core.testing import check_exact_restore, check_exact_resume

ts = tf_agents.trajectories.time_step


class Grid(tf_agents.environments.py_environment.PyEnvironment):
    """The notebook's 4 × 4, with its habit to go on after the end."""

    def __init__(self, discount: float = 1.0) -> None:
        super().__init__()
        self.discount = discount
        self.steps = 0

    def action_spec(self) -> Any:
        return tf_agents.specs.BoundedArraySpec(shape=(), dtype=np.int32, name="action", minimum=0, maximum=3)

    def observation_spec(self) -> Any:
        return tf_agents.specs.BoundedArraySpec(shape=(4, 4), dtype=np.int32, minimum=0, maximum=1)

    def _reset(self) -> Any:
        self.place = np.zeros(2, np.int32)
        return ts.restart(self._seen())

    def _step(self, action: Any) -> Any:
        self.steps += 1
        self.place = self.place + [(-1, 0), (1, 0), (0, -1), (0, 1)][action]
        if self.place.min() < 0 or self.place.max() > 3:
            return ts.termination(self._seen(), reward=-1)
        if (self.place == 3).all():
            return ts.termination(self._seen(), reward=10)
        return ts.transition(self._seen(), reward=0, discount=self.discount)

    def _seen(self) -> Any:
        board = np.zeros((4, 4), np.int32)
        if self.place.min() >= 0 and self.place.max() <= 3:
            board[tuple(self.place)] = 1
        return board


def test_it_is_a_gymnasium_environment() -> None:
    env = rlhub.adapt(Grid())
    with warnings.catch_warnings(action="error"):
        check_env(env, skip_render_check=True)
    assert env.observation_space == spaces.Box(0, 1, (4, 4), np.int32)
    assert env.action_space == spaces.Discrete(4)
    assert env.render_mode is None, "the base class's render only raises"


def test_a_walk_to_the_goal_and_one_over_the_edge() -> None:
    env = rlhub.adapt(Grid(discount=0.5))
    observation, _ = env.reset()
    assert observation[0, 0] == 1
    walk = [env.step(action) for action in (1, 1, 1, 3, 3, 3)]
    assert [step[1] for step in walk] == [0, 0, 0, 0, 0, 10]
    assert [step[2] for step in walk] == [False] * 5 + [True]
    assert walk[0][4] == {"discount": 0.5}
    assert walk[-1][0][3, 3] == 1
    env.reset()
    observation, reward, terminated, truncated, info = env.step(0)
    assert (reward, terminated, truncated, info) == (-1.0, True, False, {})
    assert observation.sum() == 0


def test_a_step_after_the_end_is_refused_and_never_reaches_it() -> None:
    theirs = Grid()
    assert theirs.step(0).is_first(), "TF-Agents begins where none has begun"
    theirs.step(0)
    assert theirs.step(1).observation[0, 0] == 1, "the defect: down leads back onto the board"
    theirs = Grid()
    env = rlhub.adapt(theirs)
    with pytest.raises(ResetNeeded):
        env.step(0)
    env.reset()
    env.step(0)
    with pytest.raises(ResetNeeded):
        env.step(1)
    assert theirs.steps == 1


def test_a_base_that_resets_by_itself_is_not_asked_to() -> None:
    class Resetting(Grid):
        def __init__(self) -> None:
            super().__init__()
            self._handle_auto_reset = True

    theirs = Resetting()
    theirs.reset()
    theirs.step(0)
    assert theirs.current_time_step().is_last()
    assert theirs.step(0).is_first()
    env = rlhub.adapt(Resetting())
    env.reset()
    assert env.step(0)[2]
    with pytest.raises(ResetNeeded):
        env.step(0)


def test_the_time_limit_of_theirs_is_a_truncation() -> None:
    class Limited(Grid):
        def _step(self, action: Any) -> Any:
            time_step = super()._step(action)
            return ts.truncation(time_step.observation, time_step.reward) if time_step.is_mid() else time_step

    env = rlhub.adapt(Limited())
    env.reset()
    assert env.step(1)[2:] == (False, True, {})


def test_time_steps_and_specifications_are_theirs() -> None:
    first = ts.restart(np.zeros(2))
    assert first.is_first()
    assert (first.reward, first.discount) == (0.0, 1.0)
    assert first.reward.dtype == np.float32
    assert ts.termination(np.zeros(2), 1).discount == 0.0
    assert ts.transition(np.zeros(2), 1, discount=0.5).is_mid()
    assert ts.truncation(np.zeros(2), 1, discount=0.5).is_last()
    batch = ts.transition(np.zeros((3, 2)), [1, 2, 3], outer_dims=(3,))
    assert batch.discount.shape == batch.step_type.shape == batch.reward.shape == (3,)
    assert ts.restart(np.zeros((3, 2)), batch_size=3).reward.shape == (3,)
    spec = tf_agents.specs.BoundedArraySpec((2,), np.uint8, name="frame")
    assert (spec.minimum, spec.maximum) == (0, 255)
    env = Grid()
    assert env.time_step_spec().observation.shape == (4, 4)
    with pytest.raises(ValueError, match="There is no current time step before the first reset"):
        env.current_time_step()
    for method in (env.get_info, env.get_state, env.render, lambda: env.seed(1), lambda: env.set_state(1)):
        with pytest.raises(NotImplementedError):
            method()
    with Grid() as entered:
        assert entered.reset().is_first()
    with pytest.raises(ValueError, match="has a minimum above its maximum"):
        tf_agents.specs.BoundedArraySpec((), float, 1, 0)


class Batch(Grid):
    """One environment or several that come as a batch."""

    size = 1

    @property
    def batched(self) -> bool:
        return True

    @property
    def batch_size(self) -> int:
        return self.size

    def _reset(self) -> Any:
        return ts.restart(super()._reset().observation[None], batch_size=1)

    def _step(self, action: Any) -> Any:
        assert action.shape == (1,)
        assert action.dtype == np.int32
        self.place = self.place + [(-1, 0), (1, 0), (0, -1), (0, 1)][action[0]]
        over = self.place.min() < 0
        how = ts.termination if over else ts.transition
        return how(self._seen()[None], [-1.0 if over else 0.0], outer_dims=(1,))


def test_a_batch_of_one_is_one() -> None:
    env = rlhub.adapt(Batch())
    assert env.reset()[0].shape == (4, 4)
    assert env.step(1)[1:4] == (0.0, False, False)
    env.step(0)
    assert env.step(0)[1:4] == (-1.0, True, False)
    check_env(env, skip_render_check=True)


def test_a_class_is_no_object() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r"Grid is a class: adapt an object, Grid\(…\)"):
        rlhub.adapt(Grid)


def test_a_batch_of_several_is_refused() -> None:
    theirs = Batch()
    theirs.size = 5
    with pytest.raises(
        rlhub.EnvironmentContractError,
        match=r"Batch is a batch of 5 environments\. Adapt a single one; num_envs=5 makes as many of it",
    ):
        rlhub.adapt(theirs)


def test_info_seed_and_pictures_are_theirs() -> None:
    class Telling(Grid):
        seeds: list[int] = []
        closed = False

        def seed(self, seed: int) -> None:
            self.seeds.append(seed)

        def get_info(self) -> Any:
            return {"place": tuple(self.place)}

        def render(self, mode: str = "rgb_array") -> Any:
            return np.full((4, 4, 3), 255 * (mode == "rgb_array"), np.uint8)

        def close(self) -> None:
            self.closed = True

    theirs = Telling()
    env = rlhub.adapt(theirs)
    assert env.reset(seed=2**33 + 3)[1] == {"place": (0, 0)}
    assert theirs.seeds == [3]
    env.reset()
    assert theirs.seeds == [3]
    assert env.step(1)[4] == {"place": (1, 0)}
    assert env.render_mode == "rgb_array"
    assert env.render().mean() == 255  # type: ignore[union-attr]
    env.close()
    assert theirs.closed


def test_it_is_resumed_exactly() -> None:
    check_exact_restore(Grid)
    check_exact_resume(
        "deep/dqn",
        Grid,
        steps=400,
        config={"learning_starts": 50, "hidden_sizes": [8], "buffer_size": 300},
        wrappers=["legacy/time_limit:max_episode_steps=20"],
    )


def test_a_class_that_forgot_its_base_is_still_one() -> None:
    class Forgetful(Grid):
        def __init__(self) -> None:
            self.discount, self.steps = 1.0, 0

    env = rlhub.adapt(Forgetful())
    env.reset()
    assert env.step(1)[1] == 0.0
    assert Forgetful().step(1).is_first()


def test_names_are_in_the_modules_they_are_in_there() -> None:
    from rlhub_legacy.tf_agents.environments import py_environment
    from rlhub_legacy.tf_agents.environments.py_environment import PyEnvironment
    from rlhub_legacy.tf_agents.specs import array_spec
    from rlhub_legacy.tf_agents.specs.array_spec import BoundedArraySpec
    from rlhub_legacy.tf_agents.trajectories import time_step
    from rlhub_legacy.tf_agents.trajectories.time_step import StepType

    assert py_environment.PyEnvironment is PyEnvironment is tf_agents.py_environment.PyEnvironment
    assert array_spec.BoundedArraySpec is BoundedArraySpec is tf_agents.array_spec.BoundedArraySpec
    assert time_step is ts is tf_agents.time_step
    assert time_step.transition([0.0], 1, outer_dims=None).step_type == StepType.MID


def test_a_batch_of_one_may_be_lists() -> None:
    class Lists(tf_agents.environments.py_environment.PyEnvironment):
        batched, batch_size = True, 1  # type: ignore[assignment]

        def action_spec(self) -> Any:
            return tf_agents.specs.BoundedArraySpec((), np.int32, 0, 1)

        def observation_spec(self) -> Any:
            return {"one": tf_agents.specs.ArraySpec((1,), np.float32)}

        def _reset(self) -> Any:
            return ts.restart({"one": [[0.0]]}, batch_size=1)

        def _step(self, action: Any) -> Any:
            return ts.termination({"one": [[float(action[0])]]}, [2.0], outer_dims=[1])

    env = rlhub.adapt(Lists())
    assert env.reset()[0]["one"] == [0.0]
    observation, reward, terminated, truncated, _ = env.step(1)
    assert (observation["one"], reward, terminated, truncated) == ([1.0], 2.0, True, False)
