"""The keywords of every `atari/...` environment, checked in one place for both implementations."""

import operator
from dataclasses import dataclass

from rlhub_atari.roms import check_game

_LARGEST = 2**31 - 2  # ALE counts frames in a C int, and adds one
_SMALLEST_SCREEN_SIDE = 160  # pixels; every Atari screen is 160 wide and at least 210 high


@dataclass(frozen=True, kw_only=True)
class AtariSettings:
    """One definition of an Atari environment; raises ValueError where a value makes no sense."""

    game: str  # as in ale-py, such as "space_invaders"
    frame_skip: int  # emulator frames an action is held; the last two are max-pooled
    stack: int  # processed frames in an observation
    size: int  # pixels; height and width of a processed frame
    grayscale: bool  # one channel of ALE's grey, or three of RGB
    noop_max: int  # a reset draws from 0..noop_max-1 how many frames pass before the first observation
    fire: bool  # FIRE at the start and after each lost life, where the game has that action
    sticky: float  # probability, in each frame, that ALE repeats the action of the frame before
    max_frames: int  # emulator frames after the reset at which an episode is truncated
    full_action_space: bool  # all 18 actions, or those the game uses
    render_mode: str | None  # None or "rgb_array"

    def __post_init__(self) -> None:
        check_game(self.game)
        check_integer("frame_skip", self.frame_skip, 1)
        check_integer("stack", self.stack, 1)
        check_integer("size", self.size, 1, _SMALLEST_SCREEN_SIDE)
        check_integer("noop_max", self.noop_max, 0)
        check_integer("max_frames", self.max_frames, 1)
        for name in ("grayscale", "fire", "full_action_space"):
            _check_switch(name, getattr(self, name))
        _check_probability("sticky", self.sticky)
        if self.render_mode not in (None, "rgb_array"):
            raise ValueError(f"render_mode must be None or 'rgb_array', not {self.render_mode!r}.")

    @property
    def render_fps(self) -> int:
        """Agent steps per second of play: the console shows 60 frames a second."""
        return max(1, round(60 / self.frame_skip))


def check_integer(name: str, value: object, lowest: int, highest: int = _LARGEST) -> None:
    """Raise ValueError unless `value` is a whole number from `lowest` to `highest`."""
    try:
        fits = not isinstance(value, bool) and lowest <= operator.index(value) <= highest  # type: ignore[arg-type]
    except TypeError:
        fits = False
    if not fits:
        raise ValueError(f"{name} must be a whole number from {lowest} to {highest}, not {value!r}.")


def _check_probability(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name} must be a probability from 0 to 1, not {value!r}.")


def _check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ValueError(f"{name} must be true or false, not {value!r}.")
