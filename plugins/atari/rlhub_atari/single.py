"""One Atari game as a Gymnasium environment: the emulator, and a pipeline of small wrappers around it."""

from functools import cache
from typing import Any

import ale_py
import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import InvalidAction, ResetNeeded
from numpy.typing import NDArray

from rlhub_atari.roms import provenance, rom_path
from rlhub_atari.seeding import WaitDraws, ale_seed, fresh_ale_seed
from rlhub_atari.settings import AtariSettings
from rlhub_atari.wrappers import AreaResize, FireAfterLostLife, FrameStack

Frame = NDArray[np.uint8]
Info = dict[str, Any]


def make_atari(
    game: str,
    *,
    frame_skip: int = 4,
    stack: int = 4,
    size: int = 84,
    grayscale: bool = True,
    noop_max: int = 30,
    fire: bool = True,
    sticky: float = 0.0,
    max_frames: int = 108_000,
    full_action_space: bool = False,
    render_mode: str | None = None,
) -> gymnasium.Env[Frame, int]:
    """Build one preprocessed Atari environment; `AtariSettings` says what the keywords mean.

    Observations are uint8 [stack, size, size], or [stack, size, size, 3] with `grayscale=False`.
    Raises ValueError where a keyword's value makes no sense.
    """
    settings = AtariSettings(
        game=game,
        frame_skip=frame_skip,
        stack=stack,
        size=size,
        grayscale=grayscale,
        noop_max=noop_max,
        fire=fire,
        sticky=sticky,
        max_frames=max_frames,
        full_action_space=full_action_space,
        render_mode=render_mode,
    )
    emulator = AtariGame(settings)
    env: gymnasium.Env[Frame, int] = FrameStack(AreaResize(emulator, size), stack)
    meanings = emulator.get_action_meanings()
    return FireAfterLostLife(env, meanings.index("FIRE")) if fire and "FIRE" in meanings else env


class AtariGame(gymnasium.Env[Frame, int]):
    """The emulator in agent steps: holds each action for `frame_skip` frames and shows whole screens.

    Observations are the pixelwise maximum of a step's last two screens, uint8 [height, width] in ALE's grey
    or [height, width, 3] in RGB. Where a game ends in the middle of a step, screens that were not reached are
    those of the step before. A whole game is one episode; `info["lives"]` tells of lives.
    """

    def __init__(self, settings: AtariSettings) -> None:
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": settings.render_fps,
            "provenance": provenance(settings.game),
        }
        self.render_mode = settings.render_mode
        self._settings = settings
        self._ale = _new_emulator(settings.sticky)
        self._waits: WaitDraws | None = None  # None until the ROM is loaded
        self._actions, screen = _actions_and_screen(settings.game, settings.full_action_space)
        self._fires = settings.fire and ale_py.Action.FIRE in self._actions
        shape = screen if settings.grayscale else (*screen, 3)
        self.observation_space = spaces.Box(0, 255, shape, np.uint8)
        self.action_space = spaces.Discrete(len(self._actions))  # type: ignore[assignment]  # as Gymnasium's own do
        self._screens = np.zeros((2, *shape), np.uint8)  # a step's last screen, and the one before it
        self._frames = 0  # emulator frames since the reset
        self._running = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, Info]:
        """Begin a game: FIRE for one frame where the game has it, then NOOP for the frames drawn.

        The draw is uniform on 0..noop_max-1 and the frame of FIRE counts towards it. With a seed the game,
        its draws and its sticky actions start from that seed (its 31 low bits); without one they go on.
        """
        super().reset(seed=seed)
        if seed is not None or self._waits is None:
            self._waits = self._load(fresh_ale_seed() if seed is None else ale_seed(seed))
        self._ale.reset_game()
        if self._fires:
            self._ale.act(ale_py.Action.FIRE)
        for _ in range(self._waits.draw() - self._fires):
            self._ale.act(ale_py.Action.NOOP)
            if self._ale.game_over():
                self._ale.reset_game()
        self._screens[0] = self._screen()
        self._screens[1] = 0
        self._frames = 0
        self._running = True
        return self._screens[0].copy(), self._info()

    def step(self, action: int) -> tuple[Frame, float, bool, bool, Info]:
        """Hold an action for `frame_skip` frames, or until the game or its time is over; sums the raw rewards."""
        if not self._running:
            raise ResetNeeded("There is no game to step: call reset() first, and again after an episode has ended.")
        if not self.action_space.contains(action):
            raise InvalidAction(f"{action!r} is no action of this game; it has 0 to {len(self._actions) - 1}.")
        reward, terminated, truncated = 0, False, False
        for frames_left in reversed(range(self._settings.frame_skip)):
            reward += self._ale.act(self._actions[action])
            self._frames += 1
            terminated = self._ale.game_over()
            truncated = not terminated and self._frames >= self._settings.max_frames
            if terminated or truncated:
                break
            if frames_left < 2:
                self._screens[frames_left] = self._screen()
        self._running = not (terminated or truncated)
        self._screens[0] = self._screens.max(axis=0)
        return self._screens[0].copy(), float(reward), terminated, truncated, self._info()

    def render(self) -> Frame | None:
        """The true screen in colour, uint8 [height, width, 3], with `render_mode="rgb_array"`."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: make the environment with render_mode='rgb_array'.")
            return None
        if self._waits is None:
            raise ResetNeeded("There is nothing to render: call reset() first.")
        return np.asarray(self._ale.getScreenRGB())

    def get_action_meanings(self) -> list[str]:
        """ALE's name of each action, such as ["NOOP", "FIRE", "RIGHT", "LEFT"]."""
        return [action.name for action in self._actions]

    def _load(self, seed: int) -> WaitDraws:
        """Load the ROM, which is when ALE takes a seed; returns the waits of the same seed."""
        self._ale.setInt("random_seed", seed)
        self._ale.loadROM(rom_path(self._settings.game))
        return WaitDraws(self._settings.noop_max, seed)

    def _screen(self) -> Frame:
        return np.asarray(self._ale.getScreenGrayscale() if self._settings.grayscale else self._ale.getScreenRGB())

    def _info(self) -> Info:
        return {
            "lives": self._ale.lives(),
            "frame_number": self._ale.getFrameNumber(),
            "episode_frame_number": self._ale.getEpisodeFrameNumber(),
        }


def _new_emulator(sticky: float) -> ale_py.ALEInterface:
    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)  # before the emulator prints its greeting
    ale = ale_py.ALEInterface()
    ale.setFloat("repeat_action_probability", sticky)
    return ale


@cache
def _actions_and_screen(game: str, full_action_space: bool) -> tuple[list[ale_py.Action], tuple[int, int]]:
    """A game's actions and its screen's height and width; to know them, ALE must load the ROM, which takes 0.1 s."""
    ale = _new_emulator(sticky=0.0)
    ale.loadROM(rom_path(game))
    return ale.getLegalActionSet() if full_action_space else ale.getMinimalActionSet(), ale.getScreenDims()
