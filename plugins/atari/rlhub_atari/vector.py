"""Many copies of one Atari game at once, over ale-py's native vector environment."""

from collections.abc import Sequence
from typing import Any

import gymnasium
import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, VectorEnv
from numpy.typing import NDArray

from rlhub_atari.roms import provenance
from rlhub_atari.seeding import ale_seed
from rlhub_atari.settings import AtariSettings, check_integer
from rlhub_core.threads import in_force

Observations = NDArray[np.uint8]
Info = dict[str, Any]
Seeds = int | Sequence[int | None] | NDArray[np.integer[Any]] | None

_UNSEEDED = -1  # what ale-py takes for "go on with the random numbers you have"


class AtariVector(VectorEnv[Observations, NDArray[np.integer[Any]], NDArray[Any]]):
    """`num_envs` games in native threads; each is the game that `rlhub_atari.single.make_atari` defines.

    Observations are uint8 [num_envs, stack, size, size(, 3)], a new array each time. Rewards are raw, as
    float64. A game that has ended begins anew in the next step (`AutoresetMode.NEXT_STEP`) unless a reset
    does it first.
    """

    def __init__(
        self,
        game: str,
        num_envs: int = 1,
        *,
        num_threads: int | None = None,
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
    ) -> None:
        """Build it; `AtariSettings` says what the keywords mean.

        `num_threads` are the emulator's threads: at most, and by default, one per environment and per
        processor. They change nothing but speed. Raises ValueError where a value makes no sense.
        """
        check_integer("num_envs", num_envs, 1)
        if num_threads is not None:
            check_integer("num_threads", num_threads, 1)
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
        self._native = _native(settings, num_envs, num_threads)
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.metadata = {
            "render_modes": ["rgb_array"],
            "render_fps": settings.render_fps,
            "autoreset_mode": AutoresetMode.NEXT_STEP,
            "provenance": provenance(game),
        }
        self.single_observation_space = self._native.single_observation_space
        self.single_action_space = self._native.single_action_space
        self.observation_space = self._native.observation_space
        self.action_space = self._native.action_space
        self._meanings = [action.name for action in self._native.ale.get_action_set()]
        self._fires = fire and "FIRE" in self._meanings
        self._fire_action = self._meanings.index("FIRE") if self._fires else 0
        self._lives = np.zeros(num_envs, np.int32)  # [num_envs], after the last step
        self._press_fire = np.zeros(num_envs, np.bool_)  # [num_envs], in the next step
        self._fire_pending = False  # whether any of them is true
        self._full_strength = np.ones(num_envs, np.float32)  # [num_envs], how far a joystick is pushed
        self._newest: Observations | None = None  # the observations last returned

    def reset(self, *, seed: Seeds = None, options: dict[str, Any] | None = None) -> tuple[Observations, Info]:
        """Reset all games, or those where `options["reset_mask"]` (bool [num_envs]) is true.

        Returns the observations of all games. `seed` is None, an integer (game i gets `seed + i`), or one
        integer or None per game, also for those not reset, which ignore theirs; only a seed's 31 low bits
        count. A seeded reset loads the ROM again and takes about 15 times as long as an unseeded one.
        """
        if self.closed:
            raise ClosedEnvironmentError("This environment is closed.")
        mask = self._mask(options)
        seeds = self._seeds(seed, mask)
        observations, info = self._native.reset(seed=seeds, options={"reset_mask": mask})
        self._lives = np.where(mask, info["lives"], self._lives)
        self._press_fire &= ~mask
        self._fire_pending = bool(np.count_nonzero(self._press_fire))
        self._newest = observations
        return observations, info

    def step(
        self, actions: NDArray[np.integer[Any]]
    ) -> tuple[Observations, NDArray[np.float64], NDArray[np.bool_], NDArray[np.bool_], Info]:
        """Step all games with an integer action each; the step after a lost life presses FIRE instead."""
        if self._newest is None:
            raise ResetNeeded("There are no games to step: call reset() first.")
        chosen = self._checked(actions)
        if self._fire_pending:
            chosen = np.where(self._press_fire, self._fire_action, chosen)
        # What AtariVectorEnv.step does, less its checks and a new array of paddle strengths each time.
        self._native.ale.send(chosen, self._full_strength)
        observations, rewards, terminated, truncated, info = self._native.ale.recv()
        over = terminated | truncated
        lives = info["lives"]
        if self._fires:
            self._press_fire = (lives < self._lives) & ~over
            self._fire_pending = bool(np.count_nonzero(self._press_fire))
        # A game that is over counts as without lives, so that its successor can not seem to have lost some.
        self._lives = np.where(over, 0, lives)
        self._newest = observations
        return observations, rewards.astype(np.float64), terminated, truncated, info

    def render(self) -> tuple[NDArray[np.uint8], ...] | None:
        """The newest processed frame of each game as RGB, a tuple of uint8 [size, size, 3].

        ale-py's vector environment does not give out its screens; the single environment renders them in
        their true colours and size.
        """
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: make the environment with render_mode='rgb_array'.")
            return None
        if self._newest is None:
            raise ResetNeeded("There is nothing to render: call reset() first.")
        frames = self._newest[:, -1]  # [num_envs, size, size(, 3)]
        colours = frames if frames.ndim == 4 else np.repeat(frames[..., None], 3, axis=-1)
        return tuple(colours.copy())

    def get_action_meanings(self) -> list[str]:
        """ALE's name of each action, such as ["NOOP", "FIRE", "RIGHT", "LEFT"]."""
        return list(self._meanings)

    def close_extras(self, **kwargs: Any) -> None:
        """End the emulator's threads."""
        self._newest = None
        del self._native.ale

    def _mask(self, options: dict[str, Any] | None) -> NDArray[np.bool_]:
        """The games to reset, bool [num_envs]; the same demands as Gymnasium's own vector environments make."""
        if options is None or "reset_mask" not in options:
            return np.ones(self.num_envs, np.bool_)
        mask = options["reset_mask"]
        if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_:
            raise TypeError(f"options['reset_mask'] must be a numpy array of bool, not {mask!r}.")
        if mask.shape != (self.num_envs,) or not mask.any():
            raise ValueError(
                f"options['reset_mask'] must have shape ({self.num_envs},) and at least one true value, not {mask!r}."
            )
        if self._newest is None and not mask.all():
            raise ResetNeeded("The first reset must be of all games: call reset() without a reset_mask.")
        return mask

    def _seeds(self, seed: Seeds, mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """ALE's seeds of the masked games, int64 [mask.sum()], as ale-py wants them."""
        if seed is None:
            return np.full(int(mask.sum()), _UNSEEDED)
        seeds = [int(seed) + i for i in range(self.num_envs)] if isinstance(seed, int | np.integer) else list(seed)
        if len(seeds) != self.num_envs:
            raise ValueError(f"seed must hold one entry per environment, {self.num_envs} in all, not {len(seeds)}.")
        return np.array([_UNSEEDED if seeds[i] is None else ale_seed(seeds[i]) for i in np.flatnonzero(mask)])

    def _checked(self, actions: NDArray[np.integer[Any]]) -> NDArray[np.int64]:
        """Actions as ale-py takes them; raises InvalidAction, where ale-py itself would wait for ever."""
        array = np.asarray(actions)
        if array.shape != (self.num_envs,) or array.dtype.kind not in "iu":
            raise InvalidAction(
                f"Actions must be {self.num_envs} integers, one per environment, not {array.dtype} {array.shape}."
            )
        chosen = array.astype(np.int64, copy=False)
        if np.count_nonzero(chosen.view(np.uint64) >= len(self._meanings)):  # unsigned, a negative one is very large
            raise InvalidAction(f"Actions must be from 0 to {len(self._meanings) - 1}, not {array}.")
        return chosen


def _native(settings: AtariSettings, num_envs: int, num_threads: int | None) -> AtariVectorEnv:
    return AtariVectorEnv(
        settings.game,
        num_envs,
        num_threads=num_threads or min(num_envs, in_force()),
        frameskip=settings.frame_skip,
        stack_num=settings.stack,
        img_height=settings.size,
        img_width=settings.size,
        grayscale=settings.grayscale,
        noop_max=settings.noop_max,
        use_fire_reset=settings.fire,
        repeat_action_probability=settings.sticky,
        max_num_frames_per_episode=settings.max_frames,
        full_action_space=settings.full_action_space,
        reward_clipping=False,
    )
