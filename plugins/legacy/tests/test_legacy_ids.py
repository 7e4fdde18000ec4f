"""Environment ids of old: each is the nearest thing that lives, and says how it differs."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.envs.registration import EnvSpec
from rlhub_legacy import plugin

import rlhub_core as rlhub
from rlhub_core.testing import check_exact_restore

box2d = pytest.mark.skipif(find_spec("Box2D") is None, reason="LunarLander needs gymnasium[box2d]")
SPECS = {spec.id.removeprefix("legacy/"): spec for spec in plugin.rlhub_environments()}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".* is (played by today's emulator|gone)")
        yield


@pytest.mark.parametrize(
    ("id", "sticky", "skip", "limit", "shape"),
    [
        ("Breakout-v0", 0.25, (2, 5), 10_000, (210, 160, 3)),
        ("Breakout-v4", 0.0, (2, 5), 100_000, (210, 160, 3)),
        ("BreakoutDeterministic-v0", 0.25, 4, 100_000, (210, 160, 3)),
        ("BreakoutDeterministic-v4", 0.0, 4, 100_000, (210, 160, 3)),
        ("BreakoutNoFrameskip-v4", 0.0, 1, 400_000, (210, 160, 3)),
        ("Breakout-ram-v0", 0.25, (2, 5), 10_000, (128,)),
        ("Breakout-ram-v4", 0.0, (2, 5), 100_000, (128,)),
        ("Breakout-ramNoFrameskip-v4", 0.0, 1, 400_000, (128,)),
        ("SpaceInvadersDeterministic-v4", 0.0, 3, 100_000, (210, 160, 3)),
        ("SpaceInvadersNoFrameskip-v4", 0.0, 1, 300_000, (210, 160, 3)),
    ],
)
def test_an_atari_id_means_what_it_meant(id: str, sticky: float, skip: Any, limit: int, shape: Any) -> None:
    env = rlhub.make(f"legacy/{id}")
    game: Any = env.unwrapped
    assert env.spec is not None
    assert env.spec.max_episode_steps == limit
    assert env.observation_space.shape == shape
    assert game.ale.getFloat("repeat_action_probability") == sticky
    assert game._frameskip == skip
    assert game.ale.getInt("max_num_frames_per_episode") == 0
    env.reset(seed=0)
    env.step(env.action_space.sample())
    assert env.unwrapped.metadata["render_fps"] == round(60 / (3 if skip == (2, 5) else skip))


def test_frames_are_held_as_often_as_the_id_says() -> None:
    held = {}
    for id in ("Breakout-v4", "BreakoutDeterministic-v4", "BreakoutNoFrameskip-v4"):
        env = rlhub.make(f"legacy/{id}")
        frames = [env.reset(seed=1)[1]["frame_number"]]
        frames += [env.step(0)[4]["frame_number"] for _ in range(60)]
        held[id] = set(np.diff(frames).tolist())
    assert list(held.values()) == [{2, 3, 4}, {4}, {1}]


def test_every_game_that_ale_py_still_registers_under_old_ids_is_here() -> None:
    import ale_py  # noqa: F401 - registers them

    theirs = {
        name for name, spec in gymnasium.registry.items() if "/" not in name and "ale_py" in str(spec.entry_point)
    }
    assert len(theirs) > 200
    assert theirs <= SPECS.keys()
    for name in theirs:
        for setting in ("game", "frameskip", "repeat_action_probability"):
            assert SPECS[name].kwargs[setting] == gymnasium.registry[name].kwargs[setting]


@pytest.mark.parametrize(
    ("id", "now", "limit", "threshold"),
    [
        ("CartPole-v0", "CartPole-v0", 200, 195.0),
        ("Pendulum-v0", "Pendulum-v1", 200, None),
        pytest.param("LunarLander-v2", "LunarLander-v3", 1000, 200.0, marks=box2d),
        pytest.param("LunarLanderContinuous-v2", "LunarLanderContinuous-v3", 1000, 200.0, marks=box2d),
        ("Taxi-v3", "Taxi-v4", 200, 8.0),
    ],
)
def test_the_others_are_their_living_version(id: str, now: str, limit: int, threshold: float | None) -> None:
    env, living = rlhub.make(f"legacy/{id}"), gymnasium.make(gymnasium.spec(now))
    assert env.spec is not None
    assert (env.spec.max_episode_steps, env.spec.reward_threshold) == (limit, threshold)
    assert type(env.unwrapped) is type(living.unwrapped)
    assert (env.observation_space, env.action_space) == (living.observation_space, living.action_space)
    np.testing.assert_array_equal(env.reset(seed=3)[0], living.reset(seed=3)[0])


@pytest.mark.parametrize(
    ("id", "text"),
    [
        ("Pendulum-v0", "Pendulum-v0 is gone; this is Pendulum-v1: the speed is limited to 8 before the angle"),
        pytest.param("LunarLander-v2", "LunarLander-v2 is gone; this is LunarLander-v3: the bounds", marks=box2d),
        ("Breakout-v4", "Breakout-v4 is played by today's emulator: .* info has 'lives' where it had 'ale.lives'"),
    ],
)
def test_a_warning_says_how_it_differs(id: str, text: str) -> None:
    with pytest.warns(UserWarning, match=text):
        rlhub.make(f"legacy/{id}")


def test_where_nothing_differs_nothing_is_said() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rlhub.make("legacy/CartPole-v0")


def test_pendulum_differs_as_the_warning_says() -> None:
    """v0 moved the angle by the speed before limiting it; v1 limits it first."""
    env: Any = rlhub.make("legacy/Pendulum-v0").unwrapped
    env.reset(seed=0)
    env.state = np.array([np.pi / 2, 7.9])  # the speed is about to pass 8
    env.step(np.array([2.0], np.float32))
    unlimited = 7.9 + (15 * np.sin(np.pi / 2) + 3 * 2.0) * 0.05
    assert unlimited > 8
    assert env.state.tolist() == pytest.approx([np.pi / 2 + 8 * 0.05, 8.0])


def test_specs_survive_being_written() -> None:
    spec = SPECS["Breakout-v0"]
    again = EnvSpec.from_json(json.dumps(json.loads(spec.to_json())))
    assert gymnasium.make(again).unwrapped._frameskip == (2, 5)  # type: ignore[attr-defined]


def test_an_option_is_passed_on() -> None:
    assert rlhub.make("legacy/Breakout-v4", full_action_space=True).action_space.n == 18  # type: ignore[attr-defined]
    assert rlhub.make("legacy/Pendulum-v0", render_mode="rgb_array").render_mode == "rgb_array"


@box2d
def test_an_option_of_the_lander_is_passed_on() -> None:
    assert rlhub.make("legacy/LunarLander-v2", continuous=True).action_space.shape == (2,)


@pytest.mark.parametrize("id", ["legacy/Breakout-ram-v0", "legacy/Pendulum-v0"])
def test_they_come_back_exactly(id: str) -> None:
    check_exact_restore(id, steps=60, num_envs=2)


def test_saying_what_is_there_imports_next_to_nothing() -> None:
    program = (
        "import sys; from rlhub_legacy import plugin; n = len(list(plugin.rlhub_environments()));"
        "print(n > 700, sorted({'ale_py', 'rlhub_legacy.gym', 'torch', 'PIL'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True []"


def test_without_ale_py_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ale_py.env", None)
    with pytest.raises(rlhub.PluginError, match=r"Breakout-v4 needs ale-py\. Try: pip install 'rlhub-legacy\[atari\]'"):
        rlhub.make("legacy/Breakout-v4")
