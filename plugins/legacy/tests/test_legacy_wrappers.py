"""TF-Agents' wrappers by name: their numbers, what they refuse, and that they are resumed."""

from __future__ import annotations

import cProfile
import re
import warnings
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from gymnasium.utils.env_checker import check_env
from rlhub_legacy.wrappers.actions import ActionDiscretize
from rlhub_legacy.wrappers.goals import GoalReplay
from rlhub_legacy.wrappers.observations import ObservationFilter
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core.cli import app
from rlhub_core.testing import check_exact_restore

Info = dict[str, Any]


class Script(gymnasium.Env[Any, Any]):
    """Observes how many steps it has taken; keeps its actions; ends, or loses a life, at the steps it is told."""

    def __init__(
        self,
        action_space: Any = None,
        observation_space: Any = None,
        length: int = 1000,
        lives: tuple[int, ...] = (),
        meanings: tuple[str, ...] = (),
        truncates: bool = False,
        reward: float = 1.0,
        start: int = 0,
    ) -> None:
        self.action_space = action_space or spaces.Discrete(4)
        self.observation_space = observation_space or spaces.Box(-1000, 1000, (1,), np.float32)
        self.length, self.losses, self.meanings, self.truncates = length, lives, meanings, truncates
        self.reward, self.start = reward, start
        self.actions: list[Any] = []
        if meanings:
            self.get_action_meanings = lambda: list(meanings)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        super().reset(seed=seed)
        self.now, self.left = self.start, 3
        self.observation_space.seed(seed)
        return self._seen(), self._told()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        self.actions.append(action)
        self.now += 1
        self.left -= self.now in self.losses
        over = self.now >= self.length
        return self._seen(), self.reward, over and not self.truncates, over and self.truncates, self._told()

    def _seen(self) -> Any:
        if isinstance(self.observation_space, spaces.Box) and self.observation_space.shape == (1,):
            return np.array([self.now], self.observation_space.dtype)
        return self.observation_space.sample()

    def _told(self) -> Info:
        return {"lives": self.left} if self.meanings else {}


def wrapped(wrapper: str, *arguments: Any, **options: Any) -> tuple[Any, Script]:
    script = Script(*arguments, **options)
    return rlhub.make(lambda: script, wrappers=[f"legacy/{wrapper}"]), script


def refusal(wrapper: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(rlhub.ConfigError) as caught:
        wrapped(wrapper, *arguments, **options)
    return re.sub(r"\s+", " ", str(caught.value))


TORQUE = spaces.Box(-2, 2, (1,), np.float32)
ARMS = spaces.Box(np.array([[-1, 0], [0, -4]], np.float32), np.array([[1, 2], [1, 4]], np.float32))
PLANE = spaces.Box(-10, 10, (3,), np.float32)
PARTS = spaces.Dict({"a": spaces.Box(0, 1, (2, 2)), "b": spaces.Box(-1, 1, (1,)), "c": spaces.Dict({"d": PLANE})})


# every one: a Gymnasium environment that is resumed, from the command line's text


class Walk(gymnasium.Env[Any, Any]):
    """A random walk, of arrays and choices as it is told; it has lives and buttons."""

    def __init__(self, observation_space: Any = PLANE, action_space: Any = None) -> None:
        self.observation_space, self.action_space = observation_space, action_space or spaces.Discrete(4)

    def get_action_meanings(self) -> list[str]:
        return ["NOOP", "FIRE", "RIGHT", "LEFT"]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        super().reset(seed=seed)
        self.lives, self.sum = 3, 0.0
        return self._seen(), {"lives": 3}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        self.sum += float(np.sum(action))
        self.lives -= int(self.np_random.random() < 0.2)
        over = self.lives == 0
        return self._seen(), self.sum, over, bool(not over and self.np_random.random() < 0.05), {"lives": self.lives}

    def _seen(self) -> Any:
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        return self.observation_space.sample()


@pytest.mark.parametrize(
    ("wrapper", "env"),
    [
        ("action_clip", lambda: Walk(action_space=TORQUE)),
        ("action_discretize:num_actions=5", lambda: Walk(action_space=TORQUE)),
        ("action_discretize:num_actions=[2,3,4,5]", lambda: Walk(action_space=ARMS)),
        ("action_offset", lambda: Walk(action_space=spaces.Discrete(3, start=-1))),
        ("action_repeat:times=4", Walk),
        ("one_hot_action", Walk),
        ("one_hot_action:dtype=float32", Walk),
        ("flatten_observations", lambda: Walk(PARTS)),
        ("flatten_observations:observations_allowlist=[a,b]", lambda: Walk(PARTS)),
        ("goal_replay:achieved=[0,1],goal=[3,4],tolerance=2", Walk),
        ("goal_replay:achieved=[0],desired=[2]", Walk),
        ("history", Walk),
        ("history:history_length=4,include_actions=true,tile_first_step_obs=true", Walk),
        ("observation_filter:idx=[2,0]", Walk),
        ("performance_profiler:process_steps=100000", Walk),
        ("run_stats", Walk),
        ("time_limit:max_episode_steps=5", Walk),
        ("fixed_length:fix_length=7", Walk),
        ("extra_disabled_actions:num_extra_actions=3", Walk),
        ("fire_on_reset", Walk),
        ("auto_fire", Walk),
    ],
)
def test_each_is_an_environment_and_resumes(wrapper: str, env: Any) -> None:
    def maker() -> Any:
        return rlhub.make(env, wrappers=[f"legacy/{wrapper}"])

    if "disabled" not in wrapper:  # the checks take actions at random
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            warnings.filterwarnings("ignore", message=".*(different from the unwrapped version|symmetric)")
            check_env(maker(), skip_render_check=True)
        check_exact_restore(maker, num_envs=2, steps=60, reseed_every=20)
    assert isinstance(maker(), gymnasium.Env)


def test_a_forbidden_action_is_never_taken_by_what_honours_masks() -> None:
    settings = {"learning_starts": 50, "hidden_sizes": [8], "buffer_size": 300}
    wrappers = ["legacy/extra_disabled_actions:num_extra_actions=30"]
    env, script = wrapped("extra_disabled_actions:num_extra_actions=2")
    assert env.action_space == spaces.Discrete(6)
    assert env.reset()[1]["action_mask"].tolist() == [1, 1, 1, 1, 0, 0]
    assert env.step(3)[4]["action_mask"].tolist() == [1, 1, 1, 1, 0, 0]
    with pytest.raises(InvalidAction, match=r"4 is disabled: only Discrete\(4\) is possible"):
        env.step(4)
    assert script.actions == [3]
    with pytest.raises(rlhub.EnvironmentFault, match=r"InvalidAction: .* is disabled"):  # deep/dqn knows no masks
        rlhub.train("deep/dqn", Walk, steps=200, config=settings, wrappers=wrappers)
    config = {"n_steps": 16, "batch_size": 16}
    run = rlhub.train("sb3/maskable_ppo", Walk, steps=64, config=config, wrappers=wrappers)
    assert run.steps == 64, "this one honours them"


# actions


def test_clipped_actions() -> None:
    env, script = wrapped("action_clip", TORQUE)
    env.reset()
    env.step(np.array([5.0], np.float32))
    env.step(np.array([-0.5], np.float32))
    assert [action.item() for action in script.actions] == [2.0, -0.5]
    assert script.actions[0].dtype == np.float32
    assert env.action_space == TORQUE, "where Gymnasium's becomes unbounded"
    assert refusal("action_clip").endswith("it needs continuous actions, a Box of floats, not Discrete(4)")


def test_pendulum_in_five() -> None:
    env = rlhub.make("Pendulum-v1", wrappers=["legacy/action_discretize:num_actions=5"])
    assert env.action_space == spaces.Discrete(5)
    got = [env.action(np.int64(choice)).tolist() for choice in range(5)]  # type: ignore[attr-defined]
    assert got == [[-2.0], [-1.0], [0.0], [1.0], [2.0]]
    script = wrapped("action_discretize:num_actions=5", TORQUE)
    script[0].reset()
    script[0].step(3)
    assert script[1].actions[0].dtype == np.float32
    assert script[1].actions[0].shape == (1,)


def test_the_shape_of_discretized_actions_is_kept() -> None:
    env, script = wrapped("action_discretize:num_actions=[2,3,4,5]", ARMS)
    assert env.action_space.nvec.tolist() == [[2, 3], [4, 5]]
    env.reset()
    env.step(np.array([[1, 1], [3, 0]]))
    np.testing.assert_array_equal(script.actions[0], np.float32([[1, 1], [1, -4]]))
    with pytest.raises(InvalidAction, match="is no action of MultiDiscrete"):
        env.step(np.array([[2, 0], [0, 0]]))
    assert wrapped("action_discretize:num_actions=3", ARMS)[0].action_space.nvec.tolist() == [[3, 3], [3, 3]]


@pytest.mark.parametrize(
    ("arguments", "space", "said"),
    [
        ("num_actions=1", TORQUE, "num_actions must be a whole number from 2, not 1"),
        (
            "num_actions=[2,3]",
            TORQUE,
            "num_actions must be one number, or 1 for Box(-2.0, 2.0, (1,), float32), not [2, 3]",
        ),
        ("num_actions=5", spaces.Discrete(3), "it needs continuous actions, a Box of floats, not Discrete(3)"),
        (
            "num_actions=5",
            spaces.Box(-np.inf, 1, (1,)),
            "it needs actions with finite bounds, not Box(-inf, 1.0, (1,), f",
        ),
        ("num_actions=many", TORQUE, "num_actions must be int or list[int], not 'many'"),
    ],
)
def test_what_cannot_be_discretized(arguments: str, space: Any, said: str) -> None:
    assert said in refusal(f"action_discretize:{arguments}", space)


def test_offset_actions() -> None:
    for space, count, given, taken in (
        (spaces.Discrete(3, start=-1), spaces.Discrete(3), 0, -1),
        (spaces.MultiDiscrete([3, 2], start=[5, -2]), spaces.MultiDiscrete([3, 2]), np.array([2, 1]), [7, -1]),
        (spaces.Box(-10, 10, (2,), np.int32), spaces.MultiDiscrete([21, 21]), np.array([0, 20]), [-10, 10]),
    ):
        env, script = wrapped("action_offset", space)
        assert env.action_space == count
        env.reset()
        env.step(given)
        assert np.array_equal(script.actions[0], taken)
        assert space.contains(np.asarray(script.actions[0], space.dtype)[()])
    assert "it needs actions that are bounded whole numbers, not Box" in refusal("action_offset", TORQUE)


def test_repeated_actions() -> None:
    env, script = wrapped("action_repeat:times=4", length=10, reward=0.5)
    env.reset()
    assert env.step(1)[:2] == (4.0, 2.0)
    env.step(2)
    observation, reward, terminated, *_ = env.step(3)
    assert (observation, reward, terminated) == (10.0, 1.0, True), "it stops at the end"
    assert script.actions == [1] * 4 + [2] * 4 + [3] * 2
    assert refusal("action_repeat:times=1").endswith("times must be a whole number from 2, not 1")


def test_one_hot_actions() -> None:
    env, script = wrapped("one_hot_action", spaces.Discrete(3, start=5))
    assert env.action_space == spaces.Box(0, 1, (3,), np.int64)
    env.reset()
    env.step(np.array([0, 0, 1]))
    assert script.actions == [7]
    for wrong in (np.array([0, 1]), np.float32([0, 0, 1]), 1):
        with pytest.raises(InvalidAction, match="its shape or type is another"):
            env.step(wrong)
    env, script = wrapped("one_hot_action:dtype=float32")
    env.reset()
    env.step(np.float32([0.1, 0.2, 0.7, 0.0]))
    assert script.actions == [2]
    assert refusal("one_hot_action", TORQUE).endswith("it needs Discrete actions, not Box(-2.0, 2.0, (1,), float32)")
    assert "must be 'int64' or 'float32', not 'uint8'" in refusal("one_hot_action:dtype=uint8")


# observations


def test_flat_observations() -> None:
    space = spaces.Dict({"b": spaces.Box(0, 9, (2,)), "a": spaces.Box(-5, 5, (2, 2)), "n": spaces.Box(0, 1, ())})
    env, script = wrapped("flatten_observations", observation_space=space)
    assert env.observation_space.shape == (7,)
    np.testing.assert_array_equal(env.observation_space.high, [5, 5, 5, 5, 9, 9, 1])
    got, _ = env.reset(seed=3)
    script.observation_space.seed(3)
    raw = script.observation_space.sample()
    np.testing.assert_array_equal(got, np.concatenate([raw["a"].ravel(), raw["b"], [raw["n"]]]))
    assert got.dtype == np.float32
    only, _ = wrapped('flatten_observations:observations_allowlist=["b"]', observation_space=space)
    assert only.observation_space.shape == (2,)
    bare, _ = wrapped("flatten_observations:observations_allowlist=b", observation_space=space)
    assert bare.observation_space.shape == (2,)
    assert "there is no observation x; there are a, b, n" in refusal(
        "flatten_observations:observations_allowlist=[x]", observation_space=space
    )
    assert "must name one observation or more of a, b, n" in refusal(
        "flatten_observations:observations_allowlist=[]", observation_space=space
    )
    assert "it needs Dict observations, not Box" in refusal("flatten_observations")
    mixed = spaces.Dict({"a": spaces.Box(0, 1, (1,)), "n": spaces.Discrete(3)})
    assert "it needs observations of one type; these are of float32, int64" in refusal(
        "flatten_observations", observation_space=mixed
    )
    assert "is no space of arrays" in refusal(
        "flatten_observations", observation_space=spaces.Dict({"t": spaces.Text(3)})
    )


def test_history_of_zeros_or_of_the_first() -> None:
    env, _ = wrapped("history")
    env.reset()
    assert env.step(1)[0].tolist() == [[0], [0], [1]]
    assert env.observation_space.shape == (3, 1)
    env.step(1)
    assert env.step(1)[0].tolist() == [[1], [2], [3]]
    assert env.reset()[0].tolist() == [[0], [0], [0]], "nothing of the last episode is left"
    positive = spaces.Box(5, 1000, (1,), np.float32)
    tiled, _ = wrapped("history:tile_first_step_obs=true", observation_space=positive, start=6)
    assert tiled.observation_space.low.min() == 5
    assert wrapped("history", observation_space=positive)[0].observation_space.low.min() == 0
    assert tiled.reset()[0].tolist() == [[6], [6], [6]]
    assert tiled.step(0)[0].tolist() == [[6], [6], [7]]


def test_history_with_actions() -> None:
    env, _ = wrapped("history:include_actions=true", spaces.Discrete(3, start=2))
    assert env.reset()[0]["action"].tolist() == [0, 0, 0]
    env.step(4)
    seen = env.step(3)[0]
    assert seen["observation"].tolist() == [[0], [1], [2]]
    assert seen["action"].tolist() == [0, 4, 3], "each is the one that led to the observation beside it"
    assert env.observation_space["action"] == spaces.Box(0, 4, (3,), np.int64)
    assert env.observation_space.contains(seen)
    continuous, _ = wrapped("history:include_actions=true,history_length=2", TORQUE)
    continuous.reset()
    assert continuous.step(np.float32([1.5]))[0]["action"].tolist() == [[0], [1.5]]
    assert "history_length must be a whole number from 2, not 1" in refusal("history:history_length=1")
    assert "is no space of arrays" in refusal("history", observation_space=PARTS)


def test_filtered_observations() -> None:
    env, script = wrapped("observation_filter:idx=[2,0]", observation_space=PLANE)
    got, _ = env.reset(seed=1)
    script.observation_space.seed(1)
    np.testing.assert_array_equal(got, script.observation_space.sample()[[2, 0]])
    assert env.observation_space.shape == (2,)
    for idx, said in (
        ("[3]", "idx 3 is out of bounds; there are 0 to 2"),
        ("[-1]", "idx -1 is out of bounds"),
        ("[]", "idx must be a list of one index or more, not []"),
        ("[[0]]", "idx must be list[int], not [[0]]"),
    ):
        assert said in refusal(f"observation_filter:idx={idx}", observation_space=PLANE)
    for idx in ([0.7], [True, False]):
        with pytest.raises(rlhub.ConfigError, match="idx must be a list of one index or more"):
            ObservationFilter(gymnasium.make("CartPole-v1"), idx)  # type: ignore[arg-type]
    assert "one array of one dimension, not Dict" in refusal("observation_filter:idx=[0]", observation_space=PARTS)


# goals


def test_goals() -> None:
    env, _ = wrapped("goal_replay:achieved=[0],goal=[2],tolerance=0.5", length=3)
    seen, _ = env.reset()
    assert {key: value.tolist() for key, value in seen.items()} == {
        "observation": [0],
        "achieved_goal": [0],
        "desired_goal": [2],
    }
    assert env.step(0)[1:] == (-1.0, False, False, {"is_success": False})
    assert env.step(0)[1:] == (0.0, False, False, {"is_success": True})
    assert env.step(0)[1:] == (-1.0, True, False, {"is_success": False})
    rewards = env.get_wrapper_attr("compute_reward")(np.array([[0.0], [1.5], [2.6]]), np.array([[2.0]] * 3), [{}] * 3)
    assert rewards.tolist() == [-1, 0, -1], "hindsight asks for many at once"
    for arguments, said in (
        ("achieved=[0]", "say what is wanted by `goal`, numbers, or by `desired`, indices: by one of them"),
        ("achieved=[0],goal=[1],desired=[0]", "by one of them"),
        ("achieved=[4],goal=[1]", "achieved 4 is out of bounds; there are 0 to 0"),
        ("achieved=[0],desired=[9]", "desired 9 is out of bounds; there are 0 to 0"),
        ("achieved=[0],goal=[1,2]", "achieved and wanted must be equally many numbers, not [0] and [1.0, 2.0]"),
        ("achieved=[0],goal=[1],tolerance=-1", "tolerance must be a distance from 0, not -1"),
    ):
        assert said in refusal(f"goal_replay:{arguments}")
    assert "one array of one dimension, not Dict" in refusal(
        "goal_replay:achieved=[0],goal=[1]", observation_space=PARTS
    )


def test_goals_of_ones_own() -> None:
    class Cell(GoalReplay):
        def achieved_goal(self, observation: Any) -> Any:
            return np.floor(observation[:1])

    env = Cell(Script(), achieved=[0], goal=[1.0])
    env.reset()
    assert env.step(0)[1] == 0.0


def test_hindsight_learns_with_them() -> None:
    run = rlhub.train(
        "sb3/dqn",
        Script,
        steps=300,
        wrappers=["legacy/goal_replay:achieved=[0],goal=[3]", "legacy/time_limit:max_episode_steps=10"],
        config={"her": True, "learning_starts": 50, "buffer_size": 500, "policy_kwargs": {"net_arch": [8]}},
    )
    assert run.steps == 300


# episodes


def test_episodes_of_one_length() -> None:
    env, script = wrapped("fixed_length:fix_length=5", length=3)
    with pytest.raises(ResetNeeded, match=r"All 5 steps of the episode are taken: call reset\(\)"):
        env.step(0)
    env.reset()
    steps = [env.step(0) for _ in range(5)]
    assert [step[0].item() for step in steps] == [1, 2, 3, 3, 3]
    assert [step[1] for step in steps] == [1, 1, 1, 0, 0]
    assert [step[2] for step in steps] == [False] * 4 + [True], "it had terminated"
    assert not any(step[3] for step in steps)
    assert [step[4]["padding"] for step in steps] == [False] * 3 + [True] * 2
    assert len(script.actions) == 3
    for options in ({"length": 9}, {"length": 3, "truncates": True}):
        env, _ = wrapped("fixed_length:fix_length=5", **options)
        env.reset()
        assert [env.step(0)[2:4] for _ in range(5)][-1] == (False, True), "it had not"
    env, _ = wrapped("fixed_length:fix_length=5", length=5)
    env.reset()
    assert [env.step(0)[2:4] for _ in range(5)][-1] == (True, False)
    assert "fix_length must be a whole number from 1, not 0" in refusal("fixed_length:fix_length=0")


def test_statistics() -> None:
    env, _ = wrapped("run_stats", length=3)
    for steps in (3, 2, 3, 1):
        env.reset()
        for _ in range(steps):
            env.step(0)
    names = ("episodes", "resets", "episode_steps", "total_steps")
    assert [env.get_wrapper_attr(name) for name in names] == [2, 4, 1, 9]


def test_profiles(capsys: pytest.CaptureFixture[str]) -> None:
    profiles: list[cProfile.Profile] = []

    def profiled(env: Any) -> Any:
        from rlhub_legacy.wrappers.episodes import PerformanceProfiler

        return PerformanceProfiler(env, process_steps=4, process_profile_fn=profiles.append)

    env = rlhub.make(Script, wrappers=[profiled])
    env.reset()
    for _ in range(9):
        env.step(0)
    assert len(profiles) == 2
    calls = {entry.code.co_name: entry.callcount for entry in profiles[0].getstats() if not isinstance(entry.code, str)}
    assert calls["step"] == 4
    assert calls["reset"] == 1
    env, _ = wrapped("performance_profiler:process_steps=2")
    env.reset()
    env.step(0)
    env.step(0)
    assert "cumulative" in capsys.readouterr().err
    with pytest.raises(rlhub.ConfigError, match="it is profiled already, and Python profiles one thing at a time"):
        rlhub.make(Script, wrappers=["legacy/performance_profiler", "legacy/performance_profiler"])


def test_a_time_limit_keeps_a_termination() -> None:
    env, _ = wrapped("time_limit:max_episode_steps=3", length=5)
    env.reset()
    assert [env.step(0)[2:4] for _ in range(3)] == [(False, False), (False, False), (False, True)]
    env, _ = wrapped("time_limit:max_episode_steps=3", length=3)
    env.reset()
    assert [env.step(0)[2] for _ in range(3)][-1], "the future is still worth nothing"


# buttons

GAME = ("NOOP", "FIRE", "RIGHT", "LEFT")


def test_fire_after_a_reset_and_a_lost_life_loses_nothing() -> None:
    env, script = wrapped("auto_fire", meanings=("FIRE", "NOOP", "UP"), lives=(4, 9))
    assert env.reset()[0] == 1, "what is seen after FIRE, here button 0"
    assert script.actions == [0]
    assert env.step(2)[:2] == (2.0, 2.0), "FIRE's reward is the first step's"
    assert env.step(2)[:2] == (3.0, 1.0)
    observation, reward, *_, info = env.step(2)
    assert (observation, reward, info["lives"]) == (5.0, 2.0, 2), "the life was lost at 4, FIRE came at 5"
    assert script.actions == [0, 2, 2, 2, 0]
    assert env.step(2)[:2] == (6.0, 1.0)


def test_a_game_that_fire_ends_ends() -> None:
    env, script = wrapped("auto_fire", meanings=GAME, lives=(4,), length=5)
    env.reset()
    env.step(2)
    env.step(2)
    assert env.step(2)[0:3] == (5.0, 2.0, True)
    env, script = wrapped("auto_fire", meanings=GAME, lives=(4,), length=4)
    env.reset()
    env.step(2)
    env.step(2)
    assert env.step(2)[0:3] == (4.0, 1.0, True)
    assert script.actions == [1, 2, 2, 2], "there is none after the end"


def test_fire_then_the_third_button() -> None:
    env, script = wrapped("fire_on_reset", meanings=GAME, lives=(4,))
    assert env.reset()[0] == 2
    assert env.step(0)[:2] == (3.0, 3.0)
    env.step(0)
    assert script.actions == [1, 2, 0, 0]
    env, script = wrapped("fire_on_reset", meanings=GAME, length=2)
    assert env.reset()[0] == 0, "a game too short for it begins without"
    assert "of three actions or more, the second FIRE, not FIRE, NOOP, UP" in refusal(
        "fire_on_reset", meanings=("FIRE", "NOOP", "UP")
    )


def test_games_without_buttons_or_lives() -> None:
    assert "it needs an Atari game, with a method get_action_meanings" in refusal("auto_fire")
    assert "it needs a game with the action FIRE; this one has NOOP, UP" in refusal(
        "auto_fire", meanings=("NOOP", "UP")
    )
    env, script = wrapped("auto_fire", meanings=GAME)
    script.meanings = ()
    with pytest.raises(rlhub.SpaceError, match=r"legacy/auto_fire needs info\['lives'\]"):
        env.reset()


def test_breakout_is_served() -> None:
    pytest.importorskip("ale_py")
    plain = rlhub.make("atari/Breakout-v0", fire=False, noop_max=0)
    served = rlhub.make("atari/Breakout-v0", wrappers=["legacy/auto_fire"], fire=False, noop_max=0)
    plain.reset(seed=1)
    by_hand, *_ = plain.step(1)
    np.testing.assert_array_equal(served.reset(seed=1)[0], by_hand)
    lives = []
    for _ in range(400):
        *_, over, _, info = served.step(0)
        lives.append(info["lives"])
        if over:
            break
    assert lives[-1] == 0, "a ball is served for every life, though nobody presses FIRE"


# the command line


def test_from_the_command_line(tmp_path: Path) -> None:
    run = CliRunner().invoke
    told = run(app, ["info", "legacy/history"]).output
    assert "history_length\tint\t3" in told
    assert "include_actions\tbool\tfalse" in told.lower()
    command = ["train", "deep/dqn", "Pendulum-v1", "--steps", "300", "--out", str(tmp_path / "run"), "-q"]
    command += [
        "--wrapper",
        "legacy/action_discretize:num_actions=5",
        "--wrapper",
        "legacy/observation_filter:idx=[0,1]",
    ]
    result = run(app, command)
    assert result.exit_code == 0, result.output
    assert "legacy/action_discretize:num_actions=5" in (tmp_path / "run" / "experiment.toml").read_text()
    again = run(app, ["evaluate", str(tmp_path / "run"), "--episodes", "2"])
    assert again.exit_code == 0, again.output
    wrong = run(app, [*command[:3], "--wrapper", "legacy/action_repeat:times=1", "--steps", "9"])
    assert "legacy/action_repeat cannot wrap Pendulum-v1: times must be a whole number from 2, not 1" in wrong.output


def test_a_number_of_numpy_is_one_for_all_dimensions() -> None:
    env = ActionDiscretize(rlhub.make(Plane), np.int64(3))  # type: ignore[arg-type]
    assert env.action_space == spaces.MultiDiscrete([3, 3])


class Plane(gymnasium.Env[Any, Any]):
    observation_space = spaces.Box(-1, 1, (1,))
    action_space = spaces.Box(-1, 1, (2,))
