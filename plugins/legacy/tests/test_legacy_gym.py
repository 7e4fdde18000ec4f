"""Environments of OpenAI Gym before 0.26 and of rlmodels, adapted."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env

import rlhub_core as rlhub
from rlhub_core.testing import StopAt, check_exact_restore

UNTESTED = "Not able to test alternative render modes"  # check_env asks for a spec, which an object has not


class Old:
    """The old contract as it was meant: everything there, noise from its own generator."""

    metadata = {"render.modes": ["human", "rgb_array"], "video.frames_per_second": 12}
    limit = 7

    def __init__(self) -> None:
        high = np.array([1.0, 2.0])
        self.observation_space = SimpleNamespace(low=-high, high=high, shape=(2,), dtype=np.dtype(np.float32))
        self.action_space = SimpleNamespace(n=3)
        self.closed, self.calls = 0, []
        self.seed()

    def seed(self, seed: int | None = None) -> list[int | None]:
        self.np_random = np.random.RandomState(seed)
        return [seed]

    def reset(self) -> np.ndarray:
        self.calls.append("reset")
        self.steps, self.state = 0, self.np_random.uniform(-1, 1, 2)
        return self.state

    def step(self, action: int) -> Any:
        self.calls.append(action)
        self.steps += 1
        self.state[:] = self.np_random.uniform(-1, 1, 2)
        late = self.steps == self.limit
        return self.state, np.float64(action), late, {"TimeLimit.truncated": True} if late else {}

    def render(self, mode: str = "human") -> Any:
        return np.full((4, 5, 3), self.steps, np.uint8) if mode == "rgb_array" else None

    def close(self) -> None:
        self.closed += 1


def returning(step: Any = None, reset: Any = None, **attributes: Any) -> Any:
    """Return an old environment whose methods return what is given."""
    env = Old()
    if step is not None:
        env.step = lambda action: step  # type: ignore[method-assign]
    if reset is not None:
        env.reset = lambda: reset  # type: ignore[method-assign]
    for name, value in attributes.items():
        setattr(env, name, value)
    return env


def begun(env: Any, **options: Any) -> Any:
    adapted = rlhub.adapt(env, **options)
    adapted.reset(seed=1)
    return adapted


def test_it_is_what_gymnasium_wants() -> None:
    theirs = Old()
    env = rlhub.adapt(theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", f".*{UNTESTED}")
        check_env(env)
    assert env.unwrapped is env
    assert env.theirs is theirs  # type: ignore[attr-defined]
    assert env.action_space == spaces.Discrete(3)
    assert env.observation_space == spaces.Box(np.array([-1, -2]), np.array([1, 2]), dtype=np.float32)
    assert env.metadata == {"render_modes": ["human", "rgb_array"], "render_fps": 12}
    env.close()
    assert theirs.closed == 1


def test_it_comes_back_exactly() -> None:
    check_exact_restore(Old)


def test_a_run_is_stopped_and_resumed_as_if_nothing_had_happened(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"steps": 1_200, "config": {"learning_starts": 100, "buffer_size": 2_000}, "num_envs": 2}
    whole = rlhub.train("deep/dqn", Old, folder=tmp_path / "whole", callbacks=[StopAt(9_999)], **settings)
    rlhub.train("deep/dqn", Old, folder=tmp_path / "parted", callbacks=[StopAt(500)], **settings)
    parted = rlhub.resume(tmp_path / "parted", env=Old, callbacks=[StopAt(0)])
    assert parted.restored == "exact"
    assert parted.episodes == whole.episodes


def test_a_plain_gymnasium_environment_is_returned_untouched() -> None:
    env = gymnasium.make("CartPole-v1")
    assert rlhub.adapt(env) is env


def test_the_order_and_number_of_calls_is_theirs() -> None:
    theirs = Old()
    env = begun(theirs)
    env.step(np.int64(2))
    env.step(1)
    env.reset()
    assert theirs.calls == ["reset", 2, 1, "reset"]
    assert [type(call) for call in theirs.calls[1:3]] == [int, int]


def test_observations_are_copies_and_rewards_are_floats() -> None:
    env = begun(Old())
    first, reward, *_ = env.step(2)
    kept = first.copy()
    env.step(0)
    assert first.dtype == np.float32
    np.testing.assert_array_equal(first, kept)
    assert type(reward) is float
    assert reward == 2.0


def test_the_same_seed_is_the_same_episode_and_theirs_has_the_last_word() -> None:
    one, other = Old(), Old()
    other.seed(42)
    np.testing.assert_array_equal(rlhub.adapt(one).reset(seed=42)[0], other.reset().astype(np.float32))


def test_a_class_that_draws_only_once_it_is_seeded_needs_no_seed() -> None:
    class Late(Old):
        def __init__(self) -> None:
            super().__init__()
            del self.np_random

    assert rlhub.adapt(Late()).reset()[0].shape == (2,)


def test_a_seed_without_argument_is_called_too() -> None:
    calls = []
    env = rlhub.adapt(returning(seed=lambda: calls.append("seed")))
    env.reset(seed=1)
    env.reset()
    assert calls == ["seed"]


def test_actions_are_theirs_to_change_and_pictures_ours() -> None:
    screen = np.zeros((2, 2, 3), np.uint8)

    def step(action: Any) -> Any:
        action[:] = 9
        return [0.0, 0.0], 0.0, False, {}

    env = begun(returning(step=None, render=lambda mode: screen, action_space=SimpleNamespace(low=[-1.0], high=[1.0])))
    env.theirs.step = step
    action = np.zeros(1, np.float32)
    env.step(action)
    assert action == 0
    assert not np.may_share_memory(env.render(), screen)


@pytest.mark.parametrize(
    ("done", "info", "terminated", "truncated"),
    [
        (False, {}, False, False),
        (True, {}, True, False),
        (True, None, True, False),
        (True, {"TimeLimit.truncated": True}, False, True),
        (True, {"TimeLimit.truncated": False}, True, False),
        (np.bool_(True), {"TimeLimit.truncated": np.bool_(True)}, False, True),
        (1, {}, True, False),
    ],
)
def test_a_cut_is_told_from_an_end(done: Any, info: Any, terminated: bool, truncated: bool) -> None:
    stepped = begun(returning(step=([0.0, 0.0], 1, done, info))).step(0)
    assert stepped[2:4] == (terminated, truncated)
    assert stepped[4] == (info or {})


def test_five_values_are_those_of_today() -> None:
    stepped = begun(returning(step=([0.0, 0.0], 1, False, True, {"a": 1}))).step(0)
    assert stepped[1:] == (1.0, False, True, {"a": 1})


def lasting(limit: int, ends_at: int | None = None, told: bool | None = None, wrapper: bool = False) -> list[Any]:
    """Return (terminated, truncated) of the steps of an episode with a limit, until it ends."""
    theirs = Old()
    count = iter(range(1, 99))

    def step(action: int) -> Any:
        done = next(count) == ends_at
        return [0.0, 0.0], 0.0, done, {"TimeLimit.truncated": told} if done and told is not None else {}

    theirs.step = step  # type: ignore[method-assign]
    theirs._max_episode_steps = limit  # type: ignore[attr-defined]
    if wrapper:
        theirs._elapsed_steps, theirs.env = 0, object()  # type: ignore[attr-defined]
    env, flags = begun(theirs), []
    while not flags or not any(flags[-1]):
        flags.append(env.step(0)[2:4])
    return flags


def test_the_limit_that_scripts_write_over_cuts_where_the_game_goes_on() -> None:
    assert lasting(3) == [(False, False), (False, False), (False, True)]
    assert lasting(3, ends_at=2)[-1] == (True, False)
    assert lasting(3, ends_at=3)[-1] == (True, False)  # it ended there by itself
    assert lasting(3, ends_at=3, told=True)[-1] == (False, True)
    assert lasting(3, ends_at=3, told=False, wrapper=True)[-1] == (True, False)


def test_a_wrapper_that_does_not_tell_its_cut_made_it() -> None:
    assert lasting(3, ends_at=3, wrapper=True)[-1] == (False, True)
    assert lasting(3, ends_at=2, wrapper=True)[-1] == (True, False)


class Limit:
    """Gym's time limit until 0.12: it ends an episode and does not say that it did."""

    def __init__(self, env: Any, limit: int) -> None:
        self.env, self._max_episode_steps, self._elapsed_steps = env, limit, 0

    def reset(self) -> Any:
        self._elapsed_steps = 0
        return self.env.reset()

    def step(self, action: int) -> Any:
        observation, reward, done, _ = self.env.step(action)
        self._elapsed_steps += 1
        return observation, reward, done or self._elapsed_steps >= self._max_episode_steps, {}


class Twice:
    """Takes each action twice, hands on nothing but what it must."""

    def __init__(self, env: Any) -> None:
        self.env = env

    def reset(self) -> Any:
        return self.env.reset()

    def step(self, action: int) -> Any:
        self.env.step(action)
        return self.env.step(action)


def test_a_cut_by_a_limit_deep_within_is_told_from_an_end() -> None:
    for limit, flags in ((4, (False, True)), (90, (True, False))):
        theirs = Twice(Limit(returning(step=([0.0, 0.0], 1.0, limit == 90, {})), limit))
        env = begun(theirs, observation_space=Old().observation_space, action_space=Old().action_space)
        if limit == 4:
            assert env.step(0)[2:4] == (False, False)
        assert env.step(0)[2:4] == flags


def test_a_cut_by_gymnasiums_limit_within_is_not_lost() -> None:
    inner = gymnasium.make("Pendulum-v1", max_episode_steps=2)

    def step(action: Any) -> Any:
        state, reward, terminated, truncated, info = inner.step(action)
        return state, reward, terminated or truncated, info

    theirs = SimpleNamespace(env=inner, reset=lambda: inner.reset()[0], step=step)
    env = begun(theirs, observation_space=inner.observation_space, action_space=inner.action_space)
    assert [env.step([0.0])[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_who_ignores_the_limit_within_is_not_cut_by_it() -> None:
    inner = gymnasium.make("CartPole-v1", max_episode_steps=2)
    theirs = SimpleNamespace(env=inner, reset=lambda: inner.reset()[0])
    theirs.step = lambda action: (lambda seen: (seen[0], seen[1], seen[2], {}))(inner.step(action))
    env, flags = begun(theirs, observation_space=inner.observation_space, action_space=inner.action_space), []
    while not flags or not any(flags[-1]):
        flags.append(env.step(1)[2:4])
    assert len(flags) > 5
    assert flags[-1] == (True, False)


def test_a_limit_may_be_a_float() -> None:
    env = begun(returning(_max_episode_steps=2.0))
    assert [env.step(0)[3] for _ in range(2)] == [False, True]
    for none in (0, -1, np.inf, np.nan, None, "9", True):
        assert not any(begun(returning(_max_episode_steps=none)).step(0)[2:4])


class Underscored:
    """As classes were written for Gym before 0.9.6, whose own methods called these."""

    metadata = {"render.modes": ["rgb_array"]}
    observation_space, action_space = spaces.Box(-1.0, 1.0, (2,)), spaces.Discrete(2)

    def _seed(self, seed: int | None = None) -> None:
        self.np_random = np.random.RandomState(seed)

    def _reset(self) -> Any:
        return self.np_random.uniform(-1, 1, 2)

    def _step(self, action: int) -> Any:
        return self.np_random.uniform(-1, 1, 2), 1.0, self.np_random.rand() < 0.2, {}

    def _render(self, mode: str = "human", close: bool = False) -> Any:
        return np.full((2, 2, 3), mode == "rgb_array", np.uint8)

    def _close(self) -> None:
        self.closed = True


def test_methods_with_an_underscore_are_those_of_the_first_years() -> None:
    check_exact_restore(Underscored)
    env = begun(Underscored())
    assert env.render().min() == 1
    env.close()
    assert env.theirs.closed


def test_what_is_drawn_from_spaces_comes_back_exactly_and_is_not_ours() -> None:
    class Sampling(Old):
        def __init__(self) -> None:
            super().__init__()
            self.observation_space = spaces.Box(-1.0, 1.0, (2,))

        def reset(self) -> Any:
            return self.observation_space.sample()

        def step(self, action: int) -> Any:
            return self.observation_space.sample(), 1.0, False, {}

    check_exact_restore(Sampling)
    env, other = begun(Sampling()), begun(Sampling())
    env.observation_space.sample()
    np.testing.assert_array_equal(env.step(0)[0], other.step(0)[0])


def test_a_property_that_raises_is_no_sign_of_another_dialect() -> None:
    class Raising(Old):
        @property
        def action_shape(self) -> Any:
            raise RuntimeError("not built yet")

    assert rlhub.adapt(Raising()).reset(seed=0)[0].shape == (2,)


def test_the_limit_is_read_anew() -> None:
    theirs = Old()
    env = begun(theirs)
    theirs._max_episode_steps = 2  # type: ignore[attr-defined]
    assert [env.step(0)[3] for _ in range(2)] == [False, True]


def test_a_reset_may_give_an_info() -> None:
    observation, info = rlhub.adapt(returning(reset=([0.5, 0.5], {"a": 1}))).reset(seed=0)
    assert (observation.tolist(), info) == ([0.5, 0.5], {"a": 1})


def test_a_pair_may_be_what_is_observed() -> None:
    pair = SimpleNamespace(spaces=[SimpleNamespace(n=3), SimpleNamespace(spaces={"a": SimpleNamespace(n=2)})])
    env = rlhub.adapt(returning(reset=(2, {"a": 1}), observation_space=pair))
    assert env.reset(seed=0) == ((2, {"a": 1}), {})


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (
            lambda: returning(step=([0, 0], 1.0)),
            r"Old\.step\(1\) returned a tuple of 2; expected a tuple \(observation, reward, done, info\)\.",
        ),
        (
            lambda: returning(step=([0, 0], 1.0, True)),
            r"Old\.step\(1\) returned a tuple of 3; expected a tuple",
        ),
        (
            lambda: returning(step=([0, 0], "1", False, {})),
            r"step\(1\) returned '1' \(str\); expected a number as the re",
        ),
        (
            lambda: returning(step=([0, 0], np.nan, False, {})),
            r"step\(1\) returned nan .*; expected a number as the rew",
        ),
        (lambda: returning(step=([0, 0], [1, 2], False, {})), r"step\(1\) returned a list of 2; expected a number"),
        (lambda: returning(step=([0, 0], 1.0, "no", {})), r"step\(1\) returned 'no' \(str\); expected True or False"),
        (
            lambda: returning(step=([0, 0], 1.0, np.zeros(2), {})),
            r"an array of shape \(2,\) .*; expected True or False",
        ),
        (
            lambda: returning(step=([0, 0], 1.0, False, [])),
            r"returned a list of 0; expected a dict or None as the info",
        ),
        (
            lambda: returning(step=([0, 0, 0], 1.0, False, {})),
            r"Old\.step\(1\) returned a list of 3; expected numbers of shape \(2,\) that fit float32, as its obs",
        ),
        (lambda: returning(step=(None, 1.0, False, {})), r"step\(1\) returned None; expected numbers of shape \(2,\)"),
    ],
)
def test_what_a_step_returns_wrongly_is_told_at_the_first(make: Callable[[], Any], text: str) -> None:
    env = begun(make())
    with pytest.raises(rlhub.EnvironmentContractError, match=text):
        env.step(1)


def test_a_reset_of_another_shape_is_told_at_once() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r"Old\.reset\(\) returned a list of 1; expected numbers"):
        rlhub.adapt(returning(reset=[1.0])).reset()


def test_floats_where_bytes_were_declared_are_not_made_zeros() -> None:
    declared = SimpleNamespace(low=0, high=255, shape=(2,), dtype=np.uint8)
    env = rlhub.adapt(returning(reset=np.array([0.5, 0.1]), observation_space=declared))
    with pytest.raises(rlhub.EnvironmentContractError, match=r"expected numbers of shape \(2,\) that fit uint8"):
        env.reset()


def test_bounds_that_are_too_narrow_are_told_and_nothing_else() -> None:
    with pytest.warns(UserWarning, match=r"Old\.reset\(\) returned a list of 2 outside of the bounds"):
        assert rlhub.adapt(returning(reset=[9.0, 0.0])).reset(seed=0)[0].tolist() == [9.0, 0.0]


def test_there_is_no_step_before_a_reset() -> None:
    with pytest.raises(ResetNeeded, match="call reset"):
        rlhub.adapt(Old()).step(0)


def test_it_renders_where_the_old_one_does() -> None:
    env = begun(Old())
    env.step(0)
    assert env.render_mode == "rgb_array"
    np.testing.assert_array_equal(env.render(), np.ones((4, 5, 3), np.uint8))
    assert begun(Old(), render_mode="human").render() is None


def test_a_mode_that_is_taken_by_name_only_is_given_by_name() -> None:
    def render(*, mode: str = "human") -> Any:
        return np.zeros((2, 2, 3), np.uint8) if mode == "rgb_array" else None

    assert begun(returning(render=render)).render().shape == (2, 2, 3)


@pytest.mark.parametrize(
    ("metadata", "modes"), [({"render.modes": None}, []), ({"render_modes": "ansi"}, ["ansi"]), (None, [])]
)
def test_metadata_of_any_kind_are_read(metadata: Any, modes: list[str]) -> None:
    assert rlhub.adapt(returning(metadata=metadata)).metadata["render_modes"] == modes


def test_a_class_is_made_and_not_adapted() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r" is a class: adapt an object, "):
        rlhub.adapt(Old)
    assert isinstance(rlhub.make(Old).theirs, Old)  # type: ignore[attr-defined]


def test_a_seed_that_nobody_wrote_is_no_obstacle() -> None:
    def seed(seed: int) -> None:
        raise NotImplementedError

    assert rlhub.adapt(returning(seed=seed)).reset(seed=1)[0].shape == (2,)


def test_a_render_without_mode_is_called_so() -> None:
    theirs = returning(render=lambda: np.zeros((2, 2, 3), np.uint8), metadata={})
    assert begun(theirs, render_mode="rgb_array").render().shape == (2, 2, 3)


def test_what_cannot_be_rendered_is_told() -> None:
    with pytest.raises(rlhub.ConfigError, match=r"Old has no render mode 'ansi'\. It has: \['human', 'rgb_array'\]"):
        rlhub.adapt(Old(), render_mode="ansi")
    with pytest.raises(rlhub.EnvironmentContractError, match=r"render\('rgb_array'\) returned None; expected an array"):
        begun(returning(render=lambda mode: None)).render()


class Bare:
    """rlmodels' contract and no more; `seed` takes nothing, noise is global."""

    def seed(self) -> None:
        np.random.seed()

    def reset(self) -> Any:
        return np.random.rand(3)

    def step(self, action: Any) -> Any:
        return np.random.rand(3), 1.0, np.random.rand() < 0.1, None


def test_spaces_that_are_missing_are_given_or_told_with_a_warning() -> None:
    with pytest.warns(
        UserWarning, match=r"Bare has no observation_space; .* Box\(-inf, inf, \(3,\), float32\)\. To say"
    ):
        env = rlhub.adapt(Bare(), action_space=SimpleNamespace(n=4))
    assert (env.action_space, env.observation_space.shape) == (spaces.Discrete(4), (3,))


def test_actions_are_not_guessed() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r"Bare has no action_space, .* adapt\(env, action_space="):
        rlhub.adapt(Bare())


def test_a_count_of_actions_is_taken_with_a_warning() -> None:
    theirs = Bare()
    theirs.n_actions = 5  # type: ignore[attr-defined]
    with pytest.warns(UserWarning, match=r"from its n_actions it is taken to be Discrete\(5\)"):
        env = rlhub.adapt(theirs, observation_space=spaces.Box(0.0, 1.0, (3,)))
    assert env.action_space == spaces.Discrete(5)


@pytest.mark.parametrize("first", [3, "north", {"a": 1}, [[1], [1, 2]]])
def test_an_observation_that_tells_no_space_is_asked_for(first: Any) -> None:
    theirs = Bare()
    theirs.reset = lambda: first  # type: ignore[method-assign]
    with pytest.raises(
        rlhub.EnvironmentContractError, match=r"none can be told\. Say it: adapt\(env, observation_space"
    ):
        rlhub.adapt(theirs, action_space=spaces.Discrete(2))


def test_first_observations_that_contradict_each_other_are_told() -> None:
    theirs = Bare()
    theirs.step = lambda action: (np.zeros(2), 1.0, False, {})  # type: ignore[method-assign]
    with pytest.raises(
        rlhub.EnvironmentContractError, match=r"Bare\.step\(\d\) returned a tuple of 4; expected numbers"
    ):
        rlhub.adapt(theirs, action_space=spaces.Discrete(2))


def test_a_screen_without_space_is_of_bytes() -> None:
    theirs = Bare()
    theirs.reset = lambda: np.zeros((4, 4), np.uint8)  # type: ignore[method-assign]
    theirs.step = lambda action: (np.zeros((4, 4), np.uint8), 1.0, False, {})  # type: ignore[method-assign]
    with pytest.warns(UserWarning, match="taken to be"):
        env = rlhub.adapt(theirs, action_space=spaces.Discrete(2))
    assert env.observation_space == spaces.Box(0, 255, (4, 4), np.uint8)


def test_global_noise_and_a_seed_without_argument_come_back_exactly() -> None:
    known = {"observation_space": spaces.Box(0.0, 1.0, (3,)), "action_space": spaces.Discrete(2)}
    check_exact_restore(lambda: rlhub.adapt(Bare(), **known))


class Around:
    """The old contract around an environment of today, two deep, and no `seed` at all."""

    def __init__(self) -> None:
        self.env = SimpleNamespace(step=None, env=gymnasium.make("CartPole-v1", max_episode_steps=9))
        self.action_space = self.env.env.action_space
        self.observation_space = self.env.env.observation_space

    def reset(self) -> Any:
        return self.env.env.reset()[0]

    def step(self, action: int) -> Any:
        state, reward, terminated, truncated, info = self.env.env.step(action)
        return state, reward, terminated or truncated, {**info, "TimeLimit.truncated": truncated}


def test_what_wraps_gymnasium_is_seeded_as_gymnasium_wants_it() -> None:
    check_exact_restore(Around)


@pytest.mark.parametrize(
    "methods",
    [
        ("reset", "step", "action_spec"),
        ("reset", "step", "action_shape", "state_shape", "sample"),
        ("reset", "step", "single_action_space"),
        ("reset", "step", "step_async"),
        ("reset", "step", "possible_agents"),
        ("reset",),
    ],
)
def test_other_dialects_are_left_to_others(methods: tuple[str, ...]) -> None:
    spec = rlhub.adapters()["legacy/gym"]
    assert not spec.matches(SimpleNamespace(**dict.fromkeys(methods, len)))


def test_an_attribute_of_a_name_that_others_use_is_no_obstacle() -> None:
    assert rlhub.adapters()["legacy/gym"].matches(SimpleNamespace(reset=len, step=len, action_shape=(2,)))
