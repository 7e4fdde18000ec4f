"""What is shown of a moment: the environment's picture, or beside it what the agent sees and thinks it is worth."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Tuple
from numpy.typing import NDArray

from rlhub_core.actors import ACTION_VALUES, STATE_VALUE
from rlhub_core.errors import ConfigError, need
from rlhub_core.playing.actions import action_names
from rlhub_core.playing.drawing import BLUE, FAINT, INK, MUTED, ORANGE, Canvas, Pixels, fitted, shortened
from rlhub_core.playing.stage import Moment, Stage

View = Literal["environment", "agent"]
VIEWS: tuple[View, ...] = ("environment", "agent")

HEIGHT = 420  # pixels that the environment's picture is enlarged to at most, and a panel has at least
WIDTH, MARGIN, ROW = 300, 18, 21  # of a panel
IMAGE = 252  # pixels of a side that an image observation is enlarged to at most: 3 × 84
MOST_ROWS, MOST_PARTS, HISTORY = 18, 3, 200
FAR = 5.0  # a bound that most numbers stay far away from, as those of normalised observations do
TINT = np.array([255, 138, 46])  # the newest frame's, over the older ones in grey


class Section(Protocol):
    """A part of the panel, of one height for the whole film."""

    height: int

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Draw what it has to say of a moment."""
        ...


def check_view(view: str) -> None:
    """Raise ConfigError for a view that there is not, RlhubError where Pillow is missing that draws it."""
    if view not in VIEWS:
        raise ConfigError(f"There is no view {view!r}. There are: {', '.join(VIEWS)}.")
    if view == "agent":
        need("PIL", "media")


def view_of(stage: Stage, view: str) -> Callable[[Moment], Pixels]:
    """Return what makes a frame of a moment: its picture, or for "agent" the picture and the panel beside it."""
    return AgentView(stage) if view == "agent" else lambda moment: moment.picture


class AgentView:
    """Draws the environment beside what the agent sees of it and what it thinks of its actions.

    Scales follow from what was seen since the film began, so one of these is for one film.
    """

    def __init__(self, stage: Stage) -> None:
        self._names = action_names(stage.env)
        self._start = int(getattr(stage.env.action_space, "start", 0))
        self._seen = list(sections(stage.observation_space))
        self._panel: list[Section] | None = None  # known when the first moment tells what values there are

    def __call__(self, moment: Moment) -> Pixels:
        """Return a frame [height, width, 3], of one size for all moments."""
        picture = fitted(moment.picture, 10**4, max(HEIGHT, moment.picture.shape[0]))
        if self._panel is None:
            self._panel = [Header(), *self._seen, *self._worth(moment)]
        panel = sum(section.height for section in self._panel) + MARGIN
        height = max(picture.shape[0], panel)
        canvas = Canvas(picture.shape[1] + WIDTH, height)
        canvas.paste(picture, 0, (height - picture.shape[0]) // 2)
        top = MARGIN // 2 + (height - panel) // 2
        canvas.line([(picture.shape[1], 0), (picture.shape[1], height)], FAINT)
        side = Canvas(WIDTH, height)
        for section in self._panel:
            section.draw(side, top, moment)
            top += section.height
        canvas.paste(side.pixels(), picture.shape[1], 0)
        return canvas.pixels()

    def _worth(self, moment: Moment) -> Iterator[Section]:
        if ACTION_VALUES in moment.values:
            yield ActionValues(self._names, len(moment.values[ACTION_VALUES]), self._start)
        if STATE_VALUE in moment.values:
            yield StateValue()


def sections(space: Space[Any], key: Callable[[Any], Any] = lambda whole: whole, name: str = "") -> Iterator[Section]:
    """Yield how to show observations of a space; `key` takes its part out of the whole."""
    title = f"agent sees: {shortened(name, 20)}" if name else "what the agent sees"
    if isinstance(space, Dict | Tuple):
        parts = list(space.spaces.items() if isinstance(space, Dict) else enumerate(space.spaces))
        for index, part in parts[:MOST_PARTS]:
            yield from sections(part, _part_of(key, index), str(index))
    elif isinstance(space, Box) and _frame_axes(space.shape) is not None:
        yield Frames(space, title, key)
    elif isinstance(space, Box | MultiBinary):
        yield Numbers(space, title, key)
    elif isinstance(space, Discrete | MultiDiscrete):
        yield State(title, key)


def _part_of(key: Callable[[Any], Any], index: Any) -> Callable[[Any], Any]:
    return lambda whole: key(whole)[index]


class Header:
    """Step and return."""

    height = 30

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Write both."""
        canvas.text(MARGIN, top + 10, f"step {moment.step:,}", INK, 15)
        canvas.text(WIDTH - MARGIN, top + 10, f"return {moment.return_:,.4g}", INK, 15, "rm")


class State:
    """The number of a state, or the numbers that make one."""

    height = 24 + 36

    def __init__(self, title: str, key: Callable[[Any], Any]) -> None:
        self._title, self._key = title, key

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Write the number."""
        _title(canvas, top, self._title)
        numbers = np.asarray(self._key(moment.observation)).reshape(-1).tolist()
        canvas.text(MARGIN, top + 40, shortened("state " + ", ".join(map(str, numbers)), 26), INK, 19)


class Numbers:
    """A vector as bars to either side of 0."""

    def __init__(self, space: Any, title: str, key: Callable[[Any], Any]) -> None:
        self._title, self._key = title, key
        count = int(np.prod(space.shape))
        self._shown, self._more = min(count, MOST_ROWS), max(0, count - MOST_ROWS)
        self._scale = _bounds(space)[: self._shown]  # [shown], grows with what is seen where there are no bounds
        self.height = 24 + ROW * (self._shown + bool(self._more)) + 12

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Draw a bar each."""
        _title(canvas, top, self._title)
        numbers = np.asarray(self._key(moment.observation), np.float64).reshape(-1)[: self._shown]
        self._scale = np.maximum(self._scale, np.where(np.isfinite(numbers), np.abs(numbers), 0.0))
        middle, reach = WIDTH / 2 - 12, WIDTH / 2 - 12 - MARGIN - 24
        for index, number in enumerate(numbers):
            y = top + 24 + ROW * index + ROW / 2
            canvas.text(MARGIN, y, str(index), MUTED, 12)
            canvas.box(middle - reach, y - 6, middle + reach, y + 6, (240, 241, 242))
            if np.isfinite(number):
                canvas.box(middle, y - 6, middle + reach * number / max(self._scale[index], 1e-12), y + 6, BLUE)
            canvas.line([(middle, y - 8), (middle, y + 8)], MUTED)
            canvas.text(WIDTH - MARGIN, y, f"{number:.2f}", INK, 12, "rm")
        if self._more:
            canvas.text(MARGIN, top + 24 + ROW * self._shown + ROW / 2, f"… and {self._more:,} more", MUTED, 12)


class Frames:
    """Stacked frames in one picture: the newest tinted where it differs from the older ones, which are grey."""

    def __init__(self, space: Box, title: str, key: Callable[[Any], Any]) -> None:
        self._key, self._space = key, space
        stacked = len(stacked_frames(np.zeros(space.shape), space))
        self._title = title if stacked == 1 else f"{title}: {stacked} frames, newest tinted"
        height, width, _ = self._fitted(np.zeros(space.shape, space.dtype)).shape
        self._left = (WIDTH - width) // 2
        self.height = 24 + height + 16

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Lay the frames on each other."""
        _title(canvas, top, self._title)
        canvas.paste(self._fitted(self._key(moment.observation)), self._left, top + 26)

    def _fitted(self, observation: Any) -> Pixels:
        return fitted(overlaid(stacked_frames(observation, self._space)), IMAGE, IMAGE)


class ActionValues:
    """What each action is worth, as dots on one scale, the chosen one marked."""

    def __init__(self, names: list[str], count: int, start: int) -> None:
        self._names, self._count, self._start = names, count, start
        self._rows = min(count, MOST_ROWS)
        self._low, self._high = np.inf, -np.inf
        self.height = 24 + ROW * self._rows + 22

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Draw a dot each."""
        _title(canvas, top, "action values, the chosen one marked")
        values = moment.values.get(ACTION_VALUES, np.zeros(0))
        finite = values[np.isfinite(values)]
        self._low, self._high = min([self._low, *finite]), max([self._high, *finite])
        left, right = MARGIN + 86, WIDTH - MARGIN - 58
        span = max(self._high - self._low, 1e-9)
        chosen = None if moment.action is None else int(moment.action) - self._start
        for row, action in enumerate(self._shown(chosen)):
            y = top + 24 + ROW * row + ROW / 2
            colour, worth = (ORANGE if action == chosen else BLUE), values[action]
            name = self._names[action] if action < len(self._names) else f"action {action + self._start}"
            canvas.line([(left, y), (right, y)], FAINT, 2)
            canvas.text(MARGIN, y, shortened(name, 13), _ink(action, chosen), 12)
            if action == chosen:
                canvas.pointer(MARGIN - 4, y, ORANGE)
            if np.isfinite(worth):
                canvas.dot(left + (right - left) * (worth - self._low) / span, y, 6 if action == chosen else 4, colour)
            canvas.text(WIDTH - MARGIN, y, _number(worth, span), _ink(action, chosen), 12, "rm")
        if np.isfinite(self._low):
            y = top + 24 + ROW * self._rows + 8
            canvas.text(left, y, _number(self._low, span), MUTED, 10, "mm")
            canvas.text(right, y, _number(self._high, span), MUTED, 10, "mm")

    def _shown(self, chosen: int | None) -> list[int]:
        rows = list(range(self._rows))
        return [*rows[:-1], chosen] if chosen is not None and chosen >= self._rows else rows


class StateValue:
    """The estimate of the state's value over the last steps of the episode."""

    height = 24 + 92

    def __init__(self) -> None:
        self._past: deque[float] = deque(maxlen=HISTORY)

    def draw(self, canvas: Canvas, top: int, moment: Moment) -> None:
        """Draw the line, and the newest value."""
        if moment.step == 0:
            self._past.clear()
        self._past.append(float(moment.values[STATE_VALUE]))
        _title(canvas, top, "value estimate")
        newest = self._past[-1]
        past = np.array(self._past)
        times = np.flatnonzero(np.isfinite(past))  # a network that diverged estimates NaN
        past = past[times]
        left, right, bottom, height = MARGIN, WIDTH - MARGIN - 62, top + 24 + 76, 64
        canvas.line([(left, bottom), (right, bottom)], FAINT)
        span = max(float(np.ptp(past)), 1e-9) if len(past) else 1.0
        canvas.text(WIDTH - MARGIN, bottom - height / 2, _number(newest, span), INK, 17, "rm")
        if not len(past):
            return
        xs = left + (right - left) * times / max(HISTORY - 1, 1)
        ys = bottom - height * (past - past.min()) / span if np.ptp(past) else np.full(len(past), bottom - height / 2)
        canvas.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), BLUE, 2)
        if np.isfinite(newest):
            canvas.dot(xs[-1], ys[-1], 4, ORANGE)


def stacked_frames(observation: Any, space: Box) -> NDArray[np.float64]:
    """Return an image observation as frames [stack, height, width, 1 or 3] of brightness in [0, 1], the newest last."""
    axes = _frame_axes(space.shape)
    assert axes is not None
    frames = np.asarray(observation, np.float64).transpose(axes[0]).reshape(axes[1])
    low, high = float(np.min(space.low)), float(np.max(space.high))
    if not np.isfinite([low, high]).all() or high - low > 1e6:
        low, high = float(frames.min()), float(frames.max())
    return np.clip((frames - low) / max(high - low, 1e-9), 0, 1)


def overlaid(frames: NDArray[np.float64]) -> Pixels:
    """Return one picture [height, width, 3] of frames [stack, height, width, 1 or 3].

    The older ones' mean is grey, and tinted where the newest one is brighter; on a bright ground, where it is darker.
    """
    newest = frames[-1]
    if len(frames) == 1:
        alone: Pixels = np.rint(np.broadcast_to(newest, (*newest.shape[:2], 3)) * 255).astype(np.uint8)
        return alone
    older, newest = frames[:-1].mean((0, 3)), newest.mean(2)
    change = newest - older if np.median(newest) < 0.5 else older - newest
    share = np.clip(2 * change, 0, 1)[..., None]  # [height, width, 1]; a ball may be half a pixel
    grey = older[..., None] * np.full(3, 255.0)
    tinted: Pixels = np.rint(grey * (1 - share) + TINT * share).astype(np.uint8)
    return tinted


def _frame_axes(shape: tuple[int, ...]) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """Return how to transpose and reshape an image to [stack, height, width, channels]; None for what is none."""
    if len(shape) == 2 and min(shape) >= 3:
        return (0, 1), (1, *shape, 1)
    if len(shape) == 4 and shape[3] in (1, 3) and min(shape[1:3]) >= 3:
        return (0, 1, 2, 3), shape
    if len(shape) != 3:
        return None
    if shape[2] in (1, 3) and min(shape[:2]) >= 3:
        return (0, 1, 2), (1, *shape)
    if shape[0] <= 16 and min(shape[1:]) > shape[0]:
        return (0, 1, 2), (*shape, 1)
    if shape[2] <= 16 and min(shape[:2]) >= 3:
        return (2, 0, 1), (shape[2], *shape[:2], 1)
    return None


def _bounds(space: Any) -> NDArray[np.float64]:
    """Return the largest size that each number can have; 1 where that is far off, which grows with what is seen."""
    if not isinstance(space, Box):
        return np.ones(int(np.prod(space.shape)))
    largest = np.maximum(np.abs(space.low.astype(np.float64)), np.abs(space.high.astype(np.float64))).reshape(-1)
    return np.where(largest > FAR, 1.0, largest)


def _title(canvas: Canvas, top: int, words: str) -> None:
    canvas.text(MARGIN, top + 10, words, MUTED, 12)


def _ink(action: int, chosen: int | None) -> tuple[int, int, int]:
    return ORANGE if action == chosen else INK


def _number(number: float, span: float) -> str:
    """Return a number with as many digits as tell apart what spans so much."""
    if not np.isfinite(number):
        return "-"  # the font has no dash
    digits = int(np.clip(2 - np.floor(np.log10(max(span, 1e-9))), 0, 4))
    return f"{number:,.{digits}f}"
