"""An agent is watched while it plays, and whoever watches may slow it down, stop it, or play in its place."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from rlhub_core.envs import check_positive
from rlhub_core.errors import ConfigError, need
from rlhub_core.evaluation import LONGEST_EPISODE, told
from rlhub_core.playing.actions import NOTHING, KeyMap, keys_of
from rlhub_core.playing.drawing import Pixels
from rlhub_core.playing.film import Film, check_path
from rlhub_core.playing.stage import Moment, Stage, has_display
from rlhub_core.playing.terminal import Pressed, Terminal
from rlhub_core.playing.views import check_view, view_of
from rlhub_core.playing.window import Window

SLOWEST, FASTEST = 1 / 16, 64.0  # times the environment's own speed
LAST = 0.6  # s that the last frame of an episode stays
POLL = 0.1  # s between two looks at the keyboard while nothing moves
COMMANDS = {"a": "slower", "-": "slower", "s": "faster", "+": "faster", "=": "faster", "p": "pause", "n": "step"} | {
    "m": "manual",
    "q": "quit",
    "escape": "quit",
}


class Screen(Protocol):
    """Where frames are shown and keys are heard: a window, a terminal, or a test's."""

    def show(self, frame: Pixels, status: str, help: str) -> None:
        """Show a frame [height, width, 3] and two lines of text."""
        ...

    def wait(self, seconds: float) -> Pressed:
        """Return the keys that were pressed within some seconds, and those held at the end."""
        ...

    def close(self) -> None:
        """Leave everything as it was."""
        ...


def watch(
    subject: Any,
    env: Any = None,
    *,
    episodes: int | None = None,
    seed: int = 0,
    speed: float = 1.0,
    max_steps: int = LONGEST_EPISODE,
    view: str = "environment",
    human: bool = False,
    keys: str | None = None,
    record: str | Path | None = None,
    terminal: bool = False,
    screen: Screen | None = None,
    wrappers: Sequence[Any] = (),
    **options: Any,
) -> list[float]:
    """Show an agent play, live, and return the return of each whole episode.

    Keys: `a` and `s` (or - and +) slower and faster, `p` pause, `n` one step, `q` quit; with `human`, `m` gives the
    agent the controls and takes them back, and the arrows, space and so on act. Where doing nothing is no action, the
    game waits for a key.

    Args:
        subject: a run, or an actor.
        env: as for `record`.
        episodes: after which it ends (default: it goes on until `q`).
        seed: of the environment's first reset.
        speed: times the environment's own.
        max_steps: after which an episode is cut off.
        view: "environment", or "agent": beside it what the agent sees and thinks it is worth.
        human: whoever watches plays from the start, and may take over and give back.
        keys: what keys do: "left=0,right=1"; by default what the environment tells, or is known of it.
        record: a `.gif` or `.mp4` of everything that was shown.
        terminal: show it there even where a window could be opened.
        screen: where to show it instead.
        wrappers, options: of the environment.

    Raises:
        ConfigError: for an environment that renders no pixels, or whose actions have no keys.
        RlhubError: where there is neither display nor terminal, or something is not installed.
    """
    if episodes is not None:
        check_positive("episodes", episodes)
    check_positive("max_steps", max_steps)
    if not (isinstance(speed, (int, float)) and SLOWEST <= speed <= FASTEST):
        raise ConfigError(f"speed must be a number from 1/16 to 64, not {speed!r}.")
    if keys is not None and not human:
        raise ConfigError("keys are for who plays: pass human as well (--human).")
    check_view(view)
    need("PIL", "media")
    path = None if record is None else Path(record)
    if path is not None:
        check_path(path)
    with contextlib.ExitStack() as closing:
        stage = closing.enter_context(Stage(subject, env, wrappers, options, values=view == "agent"))
        closing.enter_context(told([stage.env]))
        key_map = keys_of(stage.env, keys) if human else None
        if screen is None:
            screen = Window() if has_display() and not terminal else Terminal()
        closing.callback(screen.close)
        film = None
        if path is not None:
            film = Film()
            closing.callback(_keep, film, path, stage.fps)
        session = Session(stage, screen, view_of(stage, view), key_map, speed, film)
        with contextlib.suppress(KeyboardInterrupt):
            session.play(episodes, seed, max_steps)
        return session.returns


class Session:
    """The state of watching: how fast, whether paused, who plays.

    Args:
        stage: what plays where.
        screen: where it is shown.
        frame: makes a frame of a moment.
        key_map: of who may take over; None: nobody.
        speed: times the environment's own.
        film: to which every frame is added.

    Attributes:
        returns: of the episodes that ended.
    """

    def __init__(
        self,
        stage: Stage,
        screen: Screen,
        frame: Callable[[Moment], Pixels],
        key_map: KeyMap | None,
        speed: float,
        film: Film | None,
    ) -> None:
        self._stage, self._screen, self._frame, self._film = stage, screen, frame, film
        self._keys, self._manual = key_map, key_map is not None
        self._speed, self._paused, self._step, self._quit = speed, False, False, False
        self.returns: list[float] = []

    def play(self, episodes: int | None, seed: int, max_steps: int) -> None:
        """Play until enough episodes are over, or somebody quits."""
        first: int | None = seed
        while not self._quit and (episodes is None or len(self.returns) < episodes):
            self._episode(first, max_steps)
            first = None

    def _episode(self, seed: int | None, max_steps: int) -> None:
        with contextlib.closing(self._stage.episode(seed, max_steps)) as moments:
            moment = next(moments)
            while True:
                self._show(moment)
                action = self._pass(moment)
                if moment.last:
                    self.returns.append(moment.return_)
                if self._quit or moment.last:
                    break
                moment = moments.send(action)
        if self._film is not None:
            self._film.cut()

    def _show(self, moment: Moment) -> None:
        frame = self._frame(moment)
        if self._film is not None:
            self._film.add(frame)
        self._shown = frame, moment
        self._screen.show(frame, self._status(moment), self._help())

    def _pass(self, moment: Moment) -> Any:
        """Let time pass until the next step, and return what a human does in it; None: what the agent does."""
        pressed = self._heard(LAST if moment.last else 1 / (self._stage.fps * self._speed))
        while not self._quit:
            if self._paused and not self._step:
                pressed = self._heard(POLL)
                continue
            if not self._manual or self._keys is None or moment.last:
                break
            action = self._keys.action(pressed.held | set(pressed.keys))
            if action is not None:
                self._step = False
                return action
            pressed = self._heard(POLL)  # it waits for whoever plays
        self._step = False
        return None

    def _heard(self, seconds: float) -> Pressed:
        pressed = self._screen.wait(seconds)
        for key in pressed.keys:
            plays = self._manual and self._keys is not None and key in self._keys.names
            if key in COMMANDS and not plays:
                self._obey(COMMANDS[key])
        return pressed

    def _obey(self, command: str) -> None:
        if command == "quit":
            self._quit = True
        elif command == "pause":
            self._paused = not self._paused
        elif command == "step":
            self._paused = self._step = True
        elif command == "manual":
            self._manual = not self._manual and self._keys is not None
        else:
            self._speed = min(FASTEST, max(SLOWEST, self._speed * (2 if command == "faster" else 0.5)))
        frame, moment = self._shown
        self._screen.show(frame, self._status(moment), self._help())

    def _status(self, moment: Moment) -> str:
        who = ["you play"] if self._manual else ["the agent plays"] if self._keys is not None else []
        paused = ["paused"] if self._paused else []
        told = [f"step {moment.step:,}", f"return {moment.return_:,.4g}", f"speed {self._speed:g}x", *who, *paused]
        return " · ".join([self._stage.name, *told])

    def _help(self) -> str:
        slower = "-/+" if self._manual else "a/s"
        take = [] if self._keys is None else ["m agent plays" if self._manual else "m you play"]
        said = ["q quit", *take, "p pause", "n step", f"{slower} slower, faster"]
        if self._manual and self._keys is not None:
            waits = "" if self._keys.action(NOTHING) is not None else " (the game waits for you)"
            said.append(f"{self._keys}{waits}")
        return " · ".join(said)


def _keep(film: Film, path: Path, fps: float) -> None:
    if len(film):
        film.cut()
        film.write(path, fps)
