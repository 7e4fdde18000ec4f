"""Small wrappers: the steps of Atari preprocessing, and the skip-start of Space Invaders."""

from collections import deque
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.utils import RecordConstructorArgs
from numpy.typing import NDArray

from rlhub_atari.settings import check_integer

Frame = NDArray[np.uint8]
Info = dict[str, Any]


class AreaResize(gymnasium.ObservationWrapper[Frame, int, Frame], RecordConstructorArgs):
    """Resize a frame [height, width(, 3)] to [size, size(, 3)]: each new pixel is the mean of the area it covers.

    Columns first, then rows, each summed from left to right and top to bottom in single precision, and the
    result rounded to even: in this order the pixels are those of ale-py, bit for bit.
    """

    def __init__(self, env: gymnasium.Env[Frame, int], size: int = 84) -> None:
        RecordConstructorArgs.__init__(self, size=size)
        super().__init__(env)
        height, width, *channels = env.observation_space.shape or ()
        self._rows = area_weights(height, size)
        self._columns = area_weights(width, size)
        self.observation_space = spaces.Box(0, 255, (size, size, *channels), np.uint8)

    def observation(self, observation: Frame) -> Frame:
        """Return the resized frame."""
        columns_first = observation.swapaxes(0, 1).astype(np.float32)  # [width, height(, 3)]
        narrow = _weighted_sums(columns_first, *self._columns)  # [size, height(, 3)]
        small = _weighted_sums(narrow.swapaxes(0, 1), *self._rows)  # [size, size(, 3)]
        return np.rint(small).astype(np.uint8)


def area_weights(source: int, target: int) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """Which of `source` pixels make up each of `target` equal cells, and their shares.

    Returns indices and weights, both [n, target]: cell t is the sum over k of weights[k, t] * pixels[indices[k, t]].
    """
    cell = source / target  # source pixels a cell covers
    starts = np.arange(target) * cell  # [target]
    pixels = np.floor(starts) + np.arange(np.ceil(cell) + 1)[:, None]  # [n, target]
    overlap = np.minimum(starts + cell, pixels + 1) - np.maximum(starts, pixels)  # [n, target]
    weights = np.clip(overlap, 0, None) / cell
    return np.minimum(pixels, source - 1).astype(np.intp), weights.astype(np.float32)


def _weighted_sums(
    image: NDArray[np.float32], indices: NDArray[np.intp], weights: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Sums over the first axis of `image` [source, ...] as `area_weights` says: [target, ...]."""
    shares = weights.reshape(*weights.shape, *[1] * (image.ndim - 1))  # [n, target, 1...]
    total: NDArray[np.float32] = image[indices[0]] * shares[0]
    for index, share in zip(indices[1:], shares[1:], strict=True):
        total += image[index] * share
    return total


class FrameStack(gymnasium.Wrapper[Frame, int, Frame, int], RecordConstructorArgs):
    """Observe the last `stack` frames, the newest last; before the first frame of an episode all is black (zeros)."""

    def __init__(self, env: gymnasium.Env[Frame, int], stack: int = 4) -> None:
        RecordConstructorArgs.__init__(self, stack=stack)
        super().__init__(env)
        shape = env.observation_space.shape or ()
        self._black = np.zeros(shape, np.uint8)
        self._frames: deque[Frame] = deque(maxlen=stack)
        self.observation_space = spaces.Box(0, 255, (stack, *shape), np.uint8)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, Info]:
        """Reset and return [stack, ...]: zeros, then the first frame."""
        frame, info = self.env.reset(seed=seed, options=options)
        self._frames.extend([self._black] * (self._frames.maxlen or 0))
        self._frames.append(frame)
        return np.stack(self._frames), info

    def step(self, action: int) -> tuple[Frame, float, bool, bool, Info]:
        """Step and return the last `stack` frames as [stack, ...]."""
        frame, reward, terminated, truncated, info = self.env.step(action)
        self._frames.append(frame)
        return np.stack(self._frames), float(reward), terminated, truncated, info


class FireAfterLostLife(gymnasium.Wrapper[Frame, int, Frame, int], RecordConstructorArgs):
    """Press FIRE instead of the given action in the step after the one in which a life was lost."""

    def __init__(self, env: gymnasium.Env[Frame, int], fire_action: int = 1) -> None:
        RecordConstructorArgs.__init__(self, fire_action=fire_action)
        super().__init__(env)
        self._fire_action = fire_action
        self._lives = 0
        self._press_fire = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Frame, Info]:
        """Reset; a new game has lost no life."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info["lives"]
        self._press_fire = False
        return observation, info

    def step(self, action: int) -> tuple[Frame, float, bool, bool, Info]:
        """Step with FIRE if a life was lost in the step before, else with `action`."""
        chosen = self._fire_action if self._press_fire else action
        observation, reward, terminated, truncated, info = self.env.step(chosen)
        self._press_fire = info["lives"] < self._lives
        self._lives = info["lives"]
        return observation, float(reward), terminated, truncated, info


class SkipStart(gymnasium.Wrapper[Any, int, Any, int], RecordConstructorArgs):
    """Let `noops` agent steps of NOOP pass after each reset and after each lost life.

    Space Invaders is still for a while at these moments, and a learner gains nothing from it. What is
    skipped is no step of the learner's: it sees the observation after it, and rewards in between are
    added to the reward of the step that lost the life; those after a reset, to the first step's. A
    life lost during the wait starts it anew. If the game ends meanwhile, the step ends with it; a
    reset whose wait would outlast the whole game returns a new game without waiting.
    """

    def __init__(self, env: gymnasium.Env[Any, int], noops: int = 40) -> None:
        check_integer("noops", noops, 0)
        RecordConstructorArgs.__init__(self, noops=noops)
        super().__init__(env)
        meanings = env.get_wrapper_attr("get_action_meanings")()
        if "NOOP" not in meanings:
            raise ValueError(f"atari/skip_start needs the action NOOP; this game has only {', '.join(meanings)}.")
        self._noop = meanings.index("NOOP")
        self._noops = noops
        self._lives = 0
        self._carried = 0.0  # reward that came after a reset, not yet handed over

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, Info]:
        """Reset, wait, and return the observation and info after the wait."""
        observation, info = self.env.reset(seed=seed, options=options)
        self._lives = info["lives"]
        observation, self._carried, terminated, truncated, info = self._wait(observation, 0.0, False, False, info)
        if terminated or truncated:
            observation, info = self.env.reset(options=options)
            self._carried = 0.0
        self._lives = info["lives"]
        return observation, info

    def step(self, action: int) -> tuple[Any, float, bool, bool, Info]:
        """Step; where that loses a life, wait as well."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        total, self._carried = float(reward) + self._carried, 0.0
        if info["lives"] < self._lives:
            return self._wait(observation, total, terminated, truncated, info)
        self._lives = info["lives"]
        return observation, total, terminated, truncated, info

    def _wait(
        self, observation: Any, total: float, terminated: bool, truncated: bool, info: Info
    ) -> tuple[Any, float, bool, bool, Info]:
        """Pass `noops` steps, or fewer if the game ends; what came before is what a wait of none returns."""
        self._lives = info["lives"]
        left = self._noops
        while left and not (terminated or truncated):
            observation, reward, terminated, truncated, info = self.env.step(self._noop)
            total += float(reward)
            left = self._noops if info["lives"] < self._lives else left - 1
            self._lives = info["lives"]
        return observation, total, terminated, truncated, info
