"""Watching an agent: on a screen that a test reads, in a terminal as text, with keys."""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import ConfigError, RlhubError
from rlhub_core.cli import app
from rlhub_core.playing import stage, window
from rlhub_core.playing.actions import action_names, keys_of
from rlhub_core.playing.terminal import Pressed, Terminal, colours_of, half_blocks, key_names
from rlhub_core.playing.window import Window


class Screen:
    """Remembers what was shown, and presses the keys it was given, one wait each; then it quits."""

    def __init__(self, *script: str) -> None:
        self.script: Iterator[str] = iter(script)
        self.status: list[str] = []
        self.waits: list[float] = []
        self.frames: list[Any] = []
        self.help, self.closed = "", 0

    def show(self, frame: Any, status: str, help: str) -> None:
        self.frames.append(frame)
        self.status.append(status.removeprefix("toy/Corridor-v0 · "))
        self.help = help

    def wait(self, seconds: float) -> Pressed:
        self.waits.append(seconds)
        keys = next(self.script, "q").split()
        return Pressed(tuple(keys), frozenset(keys))

    def close(self) -> None:
        self.closed += 1


def to_the_right(observations: Any, first: Any) -> Any:
    """Walk right."""
    return np.ones(len(first), np.int64)


def watched(*script: str, **arguments: Any) -> tuple[list[float], Screen]:
    """Watch a walk to the right in the corridor from seed 3, where it takes 7 steps at most."""
    screen = Screen(*script)
    settings: dict[str, Any] = {"env": "toy/Corridor-v0", "seed": 3} | arguments
    return rlhub.watch(to_the_right, screen=screen, **settings), screen


@pytest.mark.usefixtures("toy")
def test_every_step_is_shown_at_the_environments_own_speed() -> None:
    returns, screen = watched(*[""] * 50, episodes=2, speed=2)
    assert len(returns) == 2
    assert screen.status[0] == "step 0 · return 0 · speed 2x"
    assert screen.status[1] == "step 1 · return -0.1 · speed 2x"
    assert set(screen.waits) == {1 / 40, 0.6}  # 20 steps a second; the last frame stays
    assert sum(wait == 0.6 for wait in screen.waits) == 2
    assert screen.closed == 1


@pytest.mark.usefixtures("toy")
def test_slower_and_faster_and_quit() -> None:
    returns, screen = watched("s", "s", "a", "q")
    assert returns == []
    assert screen.waits == [1 / 20, 1 / 40, 1 / 80, 1 / 40]
    assert screen.status[-1].endswith("speed 2x")


@pytest.mark.usefixtures("toy")
def test_pause_and_single_steps() -> None:
    _, screen = watched("p", "", "n", "", "n", "", "p", "q")
    steps = [status.partition(" ·")[0] for status in screen.status if "paused" in status]
    assert list(dict.fromkeys(steps)) == ["step 0", "step 1", "step 2"]
    assert "paused" not in screen.status[-1]


@pytest.mark.usefixtures("toy")
def test_a_step_while_it_plays_pauses_it() -> None:
    _, screen = watched("", "n", *[""] * 20)
    assert screen.status[-1] == "step 2 · return -0.2 · speed 1x · paused"


@pytest.mark.usefixtures("toy")
def test_a_human_plays_and_the_game_waits() -> None:
    _, screen = watched("1", "", "", "0", "1", human=True)
    told = [status.partition(" · speed")[0] for status in screen.status]
    assert told == [
        "step 0 · return 0",
        "step 1 · return -0.1",
        "step 2 · return -0.2",
        "step 3 · return -0.3",
        "step 3 · return -0.3",
    ]
    walked = [int(np.argmax((frame[4] == (213, 94, 0)).all(axis=-1))) // 8 for frame in screen.frames[:4]]
    assert np.diff(walked).tolist() == [1, -1, 1]
    assert screen.help.endswith("0=0, 1=1 (the game waits for you)")


@pytest.mark.usefixtures("toy")
def test_the_controls_are_given_and_taken_back() -> None:
    _, screen = watched("m", "", "m", "q", human=True, keys="left=0,right=1")
    who = [status.rpartition(" · ")[2] for status in screen.status]
    assert list(dict.fromkeys(who)) == ["you play", "the agent plays"]
    assert who[-1] == "you play"


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("ending", ["gif", "mp4"])
def test_what_was_shown_is_recorded_also_when_somebody_quits(tmp_path: Path, ending: str) -> None:
    path = tmp_path / "a" / f"x.{ending}"
    _, screen = watched("", "", "q", record=path)
    assert path.exists()
    assert len(screen.frames) == 4  # one of them again, with what the key did
    assert os.listdir(path.parent) == [path.name]


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"speed": 0}, "speed must be a number from 1/16 to 64, not 0."),
        ({"speed": float("nan")}, "speed must be a number from 1/16 to 64, not nan."),
        ({"episodes": 0}, "episodes must be a positive integer, not 0."),
        ({"view": "inside"}, "There is no view 'inside'. There are: environment, agent."),
        ({"keys": "left=0"}, "keys are for who plays: pass human as well (--human)."),
        ({"keys": "left=5", "human": True}, "keys: left=5 is no action of Discrete(2)."),
        ({"keys": "left", "human": True}, "keys: 'left' is not KEY=ACTION, such as left=0,right=1."),
        ({"record": "x.avi"}, "A recording is a .gif or .mp4, not '.avi': x.avi."),
        (
            {"env": "toy/Dark-v0"},
            "toy/Dark-v0 cannot be recorded: it has no render mode 'rgb_array'. It has: ansi.",
        ),
    ],
)
def test_what_cannot_be_watched(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(said)}$"):
        watched(**arguments)


@pytest.mark.usefixtures("toy")
def test_without_display_and_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(RlhubError, match="neither a display nor a terminal to watch in here"):
        rlhub.watch(to_the_right, "toy/Corridor-v0")


def test_the_command_line(toy: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    rlhub.train("toy/random", "toy/Corridor-v0", steps=10, folder=run)
    for command in ("watch", "record"):
        refused = CliRunner().invoke(app, [command, str(run), "--best", "--step", "10"])
        assert refused.output == "--best and --step 10 name two checkpoints. Leave one out.\n"
        assert refused.exit_code == 2
    assert "has kept no best checkpoint" in CliRunner().invoke(app, ["watch", str(run), "--best"]).output
    assert "There is neither a display" in CliRunner().invoke(app, ["watch", str(run), "--terminal"]).output


# the terminal


class Tty(io.StringIO):
    """A terminal to write to."""

    def isatty(self) -> bool:
        return True


def test_half_blocks_are_two_pixels_each() -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    frame = np.array([[red, red], [blue, blue]], np.uint8)
    assert half_blocks(frame, 2, 1) == ["\x1b[38;2;255;0;0;48;2;0;0;255m▀▀\x1b[0m"]
    assert half_blocks(frame, 2, 1, 256) == ["\x1b[38;5;196;48;5;21m▀▀\x1b[0m"]


def test_only_what_changes_of_the_colours_is_written() -> None:
    frame = np.array([[[9, 9, 9], [8, 8, 8]], [[7, 7, 7], [7, 7, 7]]], np.uint8)
    assert half_blocks(frame, 2, 1) == ["\x1b[38;2;9;9;9;48;2;7;7;7m▀\x1b[38;2;8;8;8m▀\x1b[0m"]


@pytest.mark.parametrize(("shape", "size"), [((210, 160), (38, 20)), ((8, 96), (80, 4)), ((400, 600), (60, 20))])
def test_frames_are_fitted_to_the_terminal(shape: tuple[int, int], size: tuple[int, int]) -> None:
    lines = half_blocks(np.zeros((*shape, 3), np.uint8), 80, 25 if shape[0] == 210 else 20)
    assert len(lines) <= 25
    assert max(line.count("▀") for line in lines) <= 80
    width, height = max(line.count("▀") for line in lines), 2 * len(lines)
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.2)
    assert size[0] <= width + 1


def test_greys_are_found_among_256_colours() -> None:
    frame = np.full((2, 1, 3), 128, np.uint8)
    assert half_blocks(frame, 1, 1, 256) == ["\x1b[38;5;244;48;5;244m▀\x1b[0m"]


def test_a_terminal_is_given_back_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((20, 6)))
    out = Tty()
    terminal = Terminal(out, colours=256)
    terminal.show(np.zeros((8, 8, 3), np.uint8), "status that is too long for it", "help")
    assert terminal.wait(0.001) == Pressed()
    terminal.close()
    text = out.getvalue()
    assert text.startswith("\x1b[?1049h\x1b[?25l")
    assert text.endswith("\x1b[?25h\x1b[?1049l")
    assert "status that is too l\x1b[K" in text
    assert text.count("\n") == 5  # 4 lines of blocks, the status, the help


def test_keys_of_a_terminal() -> None:
    read, write = os.openpty()
    try:
        terminal = Terminal(Tty(), keyboard=write, colours=256)
        os.write(read, b"\x1b[Cq \x1b[15~\x1b")
        pressed = terminal.wait(0.05)
        terminal.close()
    finally:
        os.close(read)
        os.close(write)
    assert pressed.keys == ("right", "q", "space", "escape")
    assert pressed.held == {"right", "q", "space", "escape"}


def test_names_of_keys() -> None:
    assert key_names("\x1b[A\x1bOBx\r") == ["up", "down", "x", "enter"]
    assert key_names("\x1b[1;5Cp") == ["p"]


def test_colours_of_a_terminal() -> None:
    assert colours_of({"COLORTERM": "truecolor"}) == 2**24
    assert colours_of({"TERM": "xterm-256color"}) == 256


# the window


def test_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    import pygame

    screen = Window()
    screen.show(np.full((8, 96, 3), 255, np.uint8), "status", "help")
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_LEFT))
    pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=pygame.K_SPACE))
    pygame.event.post(pygame.event.Event(pygame.KEYUP, key=pygame.K_SPACE))
    pressed = screen.wait(0.0)
    assert pressed == Pressed(("left", "space"), frozenset({"left"}))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    assert screen.wait(0.0).keys == ("escape",)
    screen.close()
    assert screen.wait(0.0).keys == ("escape",)  # a window that is gone is no reason to go on


def test_a_window_needs_pygame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhub_core.errors.find_spec", lambda name: None)
    with pytest.raises(
        RlhubError, match=r"^A window needs pygame, which is not installed. Try: pip install 'rlhub-core"
    ):
        window.Window()


def test_a_display(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    assert stage.has_display()
    monkeypatch.delenv("DISPLAY")
    assert not stage.has_display()


# keys


class Bare(gymnasium.Env[Any, Any]):
    """An environment of some action space, and nothing else."""

    def __init__(self, space: Any, **told: Any) -> None:
        self.action_space = space
        for name, what in told.items():
            setattr(self, name, what)


def held(*keys: str) -> frozenset[str]:
    """Return keys that are held."""
    return frozenset(keys)


def test_keys_by_action_meanings() -> None:
    meanings = ["NOOP", "FIRE", "RIGHT", "LEFT", "RIGHTFIRE"]
    keys = keys_of(Bare(Discrete(5), get_action_meanings=lambda: meanings))
    assert [keys.action(held(*each)) for each in ((), ("space",), ("right",), ("space", "right"))] == [0, 1, 2, 4]
    assert keys.action(held("left", "space")) in (1, 3)  # as many of the keys as stand for one
    assert keys.action(held("x")) == 0


def test_keys_of_worlds_that_are_known() -> None:
    assert keys_of(rlhub.make("CartPole-v1")).action(held("right")) == 1
    assert keys_of(rlhub.make("CartPole-v1")).action(held()) is None
    assert keys_of(rlhub.make("FrozenLake8x8-v1")).action(held("up")) == 3
    assert keys_of(rlhub.make("MountainCar-v0")).action(held()) == 1
    assert keys_of(Bare(Discrete(4), headings=("up", "down", "left", "right"))).action(held("left")) == 2
    assert action_names(rlhub.make("CartPole-v1")) == ["push left", "push right"]


def test_keys_that_an_environment_tells() -> None:
    told = {(): 1, (276,): 0, (ord("d"), ord(" ")): 2}
    keys = keys_of(Bare(Discrete(12), get_keys_to_action=lambda: told))
    assert [keys.action(held(*each)) for each in ((), ("left",), ("d", "space"))] == [1, 0, 2]


def test_keys_of_continuous_actions() -> None:
    keys = keys_of(Bare(Box(np.array([-2, 0]), np.array([2, 1]), dtype=np.float32)))
    np.testing.assert_allclose(keys.action(held("left", "up")), [-2, 1])
    np.testing.assert_allclose(keys.action(held()), [0, 0.5])
    assert rlhub.make("Pendulum-v1").action_space.contains(keys_of(rlhub.make("Pendulum-v1")).action(held("right")))
    written = keys_of(Bare(Box(-1, 1, (3,), np.float32)), "left=[-1,0,0],none=[0,0,0]")
    np.testing.assert_allclose(written.action(held("left")), [-1, 0, 0])
    np.testing.assert_allclose(written.action(held()), [0, 0, 0])


def test_keys_that_nobody_knows() -> None:
    assert keys_of(Bare(Discrete(3, start=1))).action(held("2")) == 3
    with pytest.raises(
        ConfigError, match=r"No keys are known for the actions Discrete\(30\). Say which: --keys left=0"
    ):
        keys_of(Bare(Discrete(30)))
