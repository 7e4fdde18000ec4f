"""Environments and agents of Simple-DQN, both ways."""

from __future__ import annotations

import random
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from rlhub_legacy.screens import NoScreen, grey
from rlhub_legacy.simple_dqn import GymAgent, GymEnvironment

import rlhub_core as rlhub
from rlhub_core.testing import StopAt, check_exact_restore


class Game:
    """Three lives of up to six steps each; a step ends a life by chance. The screen shows lives and steps."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.mode, self.lives, self.steps, self.lost = "none", 0, 0, False

    def setMode(self, mode: str) -> None:
        self.calls.append(mode)
        self.mode = mode

    def numActions(self) -> int:
        return 3

    def restart(self) -> None:
        self.calls.append("restart")
        if self.mode == "test" or not self.lost or self.lives == 0:
            self.lives, self.steps = 3, 0
        self.lost = False

    def act(self, action: int) -> int:
        self.calls.append(action)
        self.steps += 1
        self.lost = random.random() < 0.2
        self.lives -= self.lost
        return 7

    def isTerminal(self) -> bool:
        return self.lives == 0 or (self.lost and self.mode == "train")

    def getScreen(self) -> np.ndarray:
        screen = np.zeros((42, 42), np.uint8)
        screen[0], screen[1] = 10 * max(self.lives, 0), self.steps % 256
        return screen


def returning(**methods: Any) -> Any:
    """Return a game whose methods return what is given."""
    theirs = Game()
    for name, value in methods.items():
        setattr(theirs, name, lambda *_, value=value: value)
    return theirs


def test_it_is_what_gymnasium_wants() -> None:
    theirs = Game()
    env = rlhub.adapt(theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", ".*Not able to test alternative render modes")
        check_env(env)
    assert env.action_space == spaces.Discrete(3)
    assert env.observation_space == spaces.Box(0, 255, (4, 84, 84), np.uint8)
    assert env.theirs is theirs  # type: ignore[attr-defined]
    assert env.unwrapped is env


def lose_often() -> Any:
    return rlhub.adapt(Game(), random_starts=5)


@pytest.mark.parametrize("make", [Game, lose_often, lambda: rlhub.adapt(Game(), mode="test")])
def test_it_comes_back_exactly(make: Any) -> None:
    check_exact_restore(make, steps=150)


def test_a_run_is_stopped_and_resumed_as_if_nothing_had_happened(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "steps": 240,
        "config": {"learning_starts": 200, "hidden_sizes": [8], "buffer_size": 500},
        "num_envs": 2,
    }
    whole = rlhub.train("deep/dqn", Game, folder=tmp_path / "whole", callbacks=[StopAt(9_999)], **settings)
    rlhub.train("deep/dqn", Game, folder=tmp_path / "parted", callbacks=[StopAt(120)], **settings)
    parted = rlhub.resume(tmp_path / "parted", env=Game, callbacks=[StopAt(0)])
    assert parted.restored == "exact"
    assert parted.episodes == whole.episodes


def test_a_seeded_reset_begins_a_new_game_and_another_goes_on_with_it() -> None:
    theirs = Game()
    env = rlhub.adapt(theirs, random_starts=None)
    env.reset(seed=0)
    assert theirs.calls == ["train", "test", "restart", "train"]
    theirs.calls.clear()
    while not theirs.lost:
        env.step(1)
    assert theirs.lives == 2
    env.reset()
    assert theirs.lives == 2
    assert theirs.calls[-1] == "restart"
    env.step(0)
    env.reset(seed=1)
    assert theirs.lives == 3


def test_the_mode_decides_whether_a_lost_life_ends_an_episode() -> None:
    lost = {}
    for mode in ("train", "test"):
        env: Any = rlhub.adapt(Game(), mode=mode, random_starts=None)
        env.reset(seed=0)
        terminated = False
        while not terminated:
            *_, terminated, _, _ = env.step(0)
        lost[mode] = 3 - env.theirs.lives
    assert lost == {"train": 1, "test": 3}


def test_no_op_starts_are_drawn_as_simple_dqn_drew_them() -> None:
    theirs = Game()
    theirs.isTerminal = lambda: False  # type: ignore[method-assign]
    env = rlhub.adapt(theirs, history_length=2, random_starts=5)
    env.reset(seed=0)
    counts = set()
    for _ in range(100):
        theirs.calls.clear()
        observation, _ = env.reset()
        counts.add(theirs.calls.count(0))
        assert set(theirs.calls) == {"restart", 0}
        assert observation[:, 3, 0].tolist() == [theirs.steps - 1, theirs.steps]
    assert counts == {3, 4, 5, 6}  # 2 to 5, and one more


def test_a_game_that_ends_meanwhile_begins_again() -> None:
    theirs = Game()
    env = rlhub.adapt(theirs, mode="test", random_starts=30)
    for seed in range(20):
        observation, _ = env.reset(seed=seed)
        assert not theirs.isTerminal()
        steps = observation[:, 3, 0].tolist()
        assert steps == sorted(steps), "a screen of the game before"
    assert theirs.calls.count("restart") > 20


def test_rewards_are_floats_and_the_last_screens_are_seen() -> None:
    env: Any = rlhub.adapt(Game(), mode="test", random_starts=None, history_length=3)
    first, _ = env.reset(seed=0)
    assert first[:, 3, 0].tolist() == [0, 0, 0]
    second, reward, terminated, truncated, info = env.step(np.int64(2))
    assert second[:, 3, 0].tolist() == [0, 0, 1]
    assert (reward, terminated, truncated, info) == (7.0, False, False, {})
    assert first[:, 3, 0].tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("theirs", "text"),
    [
        (returning(numActions=None), r"Game\.numActions\(\) returned None; expected a positive whole number"),
        (returning(act=None), r"Game\.act\(0\) returned None; expected a number as the reward"),
        (returning(isTerminal="no"), r"Game\.isTerminal\(\) returned 'no' \(str\); expected True or False"),
        (returning(getScreen=None), r"Game\.getScreen\(\) returned None; expected a screen: whole numbers"),
        (returning(getScreen=np.zeros((84, 84))), r"getScreen\(\) returned an array .* float64; expected a screen"),
        (returning(getScreen=np.zeros((4, 84, 84), np.uint8)), r"expected a screen: .* of shape \(height, width\) or"),
        (returning(getScreen=np.full((84, 84), 300)), r"expected a screen: whole numbers from 0 to 255, not from 300"),
    ],
)
def test_what_is_returned_wrongly_is_told_at_the_first_reset(theirs: Any, text: str) -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=text):
        rlhub.adapt(theirs).reset()


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(rlhub.ConfigError, match="random_starts must be at least history_length, 4, not 3; none"):
        rlhub.adapt(Game(), random_starts=3)
    with pytest.raises(rlhub.ConfigError, match="history_length and size must be at least 1, not 0 and 84"):
        rlhub.adapt(Game(), history_length=0)
    with pytest.raises(rlhub.ConfigError, match="mode must be 'train' or 'test', not 'play'"):
        rlhub.adapt(Game(), mode="play")
    with pytest.raises(ResetNeeded, match="reset"):
        rlhub.adapt(Game()).step(0)


def test_an_object_that_lacks_something_is_told_what() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r"legacy/simple_dqn looked for act\(\), numActions\(\)"):
        rlhub.adapt(SimpleNamespace(restart=len, getScreen=len, isTerminal=len))


def test_screens_are_grey_and_small_by_area() -> None:
    colours = np.zeros((2, 2, 3), np.uint8)
    colours[0, 0], colours[0, 1], colours[1, 0] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    assert grey(colours, 2, 2).tolist() == [[76, 150], [29, 0]]  # 0.299, 0.587 and 0.114 of 255
    assert grey(np.array([[0, 100], [200, 100]], np.uint8), 1, 1).tolist() == [[100]]
    assert grey(np.array([[0, 90, 30]], np.uint8), 1, 2).tolist() == [
        [30, 50]
    ]  # (0 + 90 / 2) / 1.5 and (45 + 30) / 1.5
    assert grey(np.full((210, 160, 3), 200), 84, 84).tolist() == np.full((84, 84), 200).tolist()
    assert grey(np.ones((3, 3, 1), bool), 84, 84).max() == 1
    same = np.zeros((84, 84), np.uint8)
    assert not np.may_share_memory(grey(same, 84, 84), same)
    with pytest.raises(NoScreen, match="a screen"):
        grey(np.zeros((0, 3), np.uint8), 84, 84)


def test_a_picture_is_shown_as_it_is() -> None:
    env = rlhub.adapt(Game(), random_starts=None)
    env.reset(seed=0)
    picture: Any = env.render()
    assert (picture.shape, picture[0, 0].tolist()) == ((42, 42, 3), [30, 30, 30])
    colours = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    np.testing.assert_array_equal(rlhub.adapt(returning(getScreen=colours)).render(), colours)  # type: ignore[arg-type]


class Lives(gymnasium.Env[Any, Any]):
    """Loses a life at every third step, ends with the third, is cut off after eight steps where that comes first."""

    observation_space = spaces.Box(0, 255, (5, 4, 3), np.uint8)
    action_space = spaces.Discrete(2)

    def __init__(self, cut: int = 99) -> None:
        self.cut, self.resets = cut, 0

    def reset(self, **how: Any) -> Any:
        self.resets, self.steps = self.resets + 1, 0
        self.seed = how["seed"]
        return self.observation_space.low, {"lives": 3}

    def step(self, action: Any) -> Any:
        self.steps += 1
        lives = 3 - self.steps // 3
        seen = np.full((5, 4, 3), 10 * self.steps, np.uint8)
        return seen, action, lives == 0, self.steps >= self.cut, {"lives": lives}


def test_gymnasium_as_simple_dqn_knows_it() -> None:
    inner = Lives()
    env = GymEnvironment(inner, seed=5)
    for early in (env.getScreen, lambda: env.act(0)):
        with pytest.raises(ResetNeeded, match="restart"):
            early()
    assert env.numActions() == 2
    env.restart()
    assert inner.seed == 5
    assert (env.act(1), env.isTerminal()) == (1.0, False)
    assert env.getScreen().shape == (84, 84)
    assert set(env.getScreen().flat) == {10}
    env.restart()  # in mid-game it begins a new one
    assert (inner.resets, inner.seed) == (2, None)


def test_a_lost_life_is_terminal_in_train_mode_and_the_game_goes_on() -> None:
    inner = Lives()
    env = GymEnvironment(inner)
    env.restart()
    ends = []
    for step in range(1, 10):
        env.act(0)
        if env.isTerminal():
            ends.append(step)
            env.restart()
    assert ends == [3, 6, 9]
    assert inner.resets == 2
    env.setMode("test")
    for step in range(1, 9):
        env.act(0)
        assert not env.isTerminal(), step
    env.act(0)
    assert env.isTerminal()
    with pytest.raises(rlhub.ConfigError, match="mode is 'train' or 'test', not 'play'"):
        env.setMode("play")  # type: ignore[arg-type]


def test_a_cut_is_not_lost_on_the_way_there_and_back() -> None:
    env: Any = rlhub.adapt(GymEnvironment(Lives(cut=2)), random_starts=None)
    env.reset(seed=0)
    env.step(0)
    assert env.step(0)[2:4] == (False, True)


def test_a_cut_by_gymnasiums_limit_within_a_class_of_ones_own_is_not_lost() -> None:
    class Own(GymEnvironment):
        isTruncated: Any = None  # which Simple-DQN's classes had not

    inner = gymnasium.wrappers.TimeLimit(Lives(), 2)
    env: Any = rlhub.adapt(Own(inner), random_starts=None)
    env.reset(seed=0)
    assert [env.step(0)[2:4] for _ in range(2)] == [(False, False), (False, True)]


def test_a_reset_has_the_last_word_on_the_seed() -> None:
    inner = Lives()
    env = rlhub.adapt(GymEnvironment(inner, seed=5), random_starts=None)
    seeds = []
    for seed in (1, 2, 1):
        env.reset(seed=seed)
        seeds.append(inner.seed)
    assert seeds == [1, 2, 1]


def test_what_is_no_game_for_simple_dqn_is_refused() -> None:
    with pytest.raises(rlhub.SpaceError, match="actions that are counted"):
        GymEnvironment(gymnasium.make("Pendulum-v1", render_mode="rgb_array"))
    with pytest.raises(rlhub.ConfigError, match=r"goes around a Gymnasium environment, not 'CartPole-v1'"):
        GymEnvironment("CartPole-v1")  # type: ignore[arg-type]
    with pytest.raises(rlhub.SpaceError, match=r'no picture\. Make it with render_mode="rgb_array"'):
        GymEnvironment(gymnasium.make("CartPole-v1"))


def test_the_newest_of_stacked_screens_is_shown() -> None:
    inner = Lives()
    inner.observation_space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    stacked = np.arange(4, dtype=np.uint8).repeat(84 * 84).reshape(4, 84, 84)
    inner.step = lambda action: (stacked, 0, False, False, {})  # type: ignore[method-assign]
    env = GymEnvironment(inner)
    env.restart()
    env.act(0)
    assert set(env.getScreen().flat) == {3}


def test_the_agent_sees_four_screens_and_is_random_at_first() -> None:
    seen: list[Any] = []

    def actor(observations: Any, first: Any) -> Any:
        seen.append((observations[0, :, 0, 0].tolist(), bool(first[0])))
        return np.array([9])

    agent = GymAgent(actor, num_actions=3, exploration_rate=0.0)
    actions = [agent.get_action(t, np.full((84, 84), t, np.uint8)) for t in range(6)]
    assert set(actions[:4]) <= {0, 1, 2}
    assert actions[4:] == [9, 9]
    assert seen == [([1, 2, 3, 4], True), ([2, 3, 4, 5], False)]


def test_one_action_in_twenty_is_random() -> None:
    agent = GymAgent(lambda observations, first: np.array([9]), num_actions=3)
    screen = np.zeros((84, 84), np.uint8)
    greedy = sum(agent.get_action(9, screen) == 9 for _ in range(2_000))
    assert 1_850 < greedy < 1_950


def test_an_actor_does_not_tell_how_many_actions_there_are() -> None:
    with pytest.raises(rlhub.ConfigError, match=r"GymAgent\(actor, num_actions=4\)"):
        GymAgent(lambda observations, first: np.array([0]))


def test_what_is_no_screen_is_told() -> None:
    agent = GymAgent(lambda observations, first: np.array([0]), num_actions=2)
    with pytest.raises(rlhub.EnvironmentContractError, match=r"observation is an array .* float64; expected a s"):
        agent.get_action(0, np.zeros((84, 84)))


def test_a_run_knows_its_actions() -> None:
    run = SimpleNamespace(action_space=spaces.Discrete(3), actor=lambda: lambda observations, first: np.array([2]))
    agent = GymAgent(run)
    assert agent.num_actions == 3
    assert agent.get_action(0, np.zeros((210, 160, 3), np.uint8)) in (0, 1, 2)
