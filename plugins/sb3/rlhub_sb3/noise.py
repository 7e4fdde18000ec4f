"""Action noise as text, and its state: `normal(0.1)`, `ornstein_uhlenbeck(0.2, theta=0.15, dt=0.01)`."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from gymnasium import Space
from numpy.typing import NDArray
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from rlhub_core import ConfigError

HOW = (
    "Write normal(sigma, mean=0) or ornstein_uhlenbeck(sigma, theta=0.15, dt=0.01, mean=0), each sigma and mean a "
    "number or a list of one for each action; actions are scaled to [-1, 1]."
)


def action_noise(text: str, action_space: Space[Any], owner: str) -> ActionNoise:
    """Return the noise that a text writes, for one environment.

    Raises:
        ConfigError: for any other text.
    """
    shape = action_space.shape or ()

    def each(given: Any) -> NDArray[np.float64]:
        if not np.isfinite(np.asarray(given, np.float64)).all():
            raise ValueError("not finite")
        return np.array(np.broadcast_to(np.asarray(given, np.float64), shape))

    def normal(sigma: Any, mean: Any = 0.0) -> ActionNoise:
        return NormalActionNoise(each(mean), each(_at_least_0(sigma)))

    def ornstein_uhlenbeck(sigma: Any, theta: float = 0.15, dt: float = 0.01, mean: Any = 0.0) -> ActionNoise:
        return OrnsteinUhlenbeckActionNoise(each(mean), each(_at_least_0(sigma)), float(theta), float(_at_least_0(dt)))

    try:
        return _called(text, {"normal": normal, "ornstein_uhlenbeck": ornstein_uhlenbeck})
    except (SyntaxError, ValueError, TypeError, KeyError) as error:
        raise ConfigError(f"{owner}: action_noise cannot be {text!r}. {HOW}") from error


def vectorized(noise: ActionNoise, num_envs: int) -> ActionNoise:
    """Return the noise of so many environments, as `learn` would make it of one's."""
    return noise if num_envs == 1 else VectorizedActionNoise(copy.deepcopy(noise), num_envs)


def noise_state(noise: ActionNoise | None) -> list[NDArray[Any]]:
    """Return what each environment's noise remembers; nothing where it remembers nothing."""
    return [each.noise_prev.copy() for each in _remembering(noise)]


def restore_noise(noise: ActionNoise | None, state: Iterable[NDArray[Any]]) -> None:
    """Go on from what `noise_state` returned."""
    for each, before in zip(_remembering(noise), state, strict=True):
        each.noise_prev = before.copy()


def _remembering(noise: Any) -> list[OrnsteinUhlenbeckActionNoise]:
    parts = noise.noises if isinstance(noise, VectorizedActionNoise) else [noise]
    return [part for part in parts if isinstance(part, OrnsteinUhlenbeckActionNoise)]


def _called(text: str, kinds: dict[str, Callable[..., ActionNoise]]) -> ActionNoise:
    call = ast.parse(text.strip(), mode="eval").body
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name)):
        raise ValueError("no call")
    arguments = [ast.literal_eval(node) for node in call.args]
    named = {str(keyword.arg): ast.literal_eval(keyword.value) for keyword in call.keywords}
    return kinds[call.func.id](*arguments, **named)


def _at_least_0(given: Any) -> Any:
    if np.any(np.asarray(given, np.float64) < 0):
        raise ValueError("negative")
    return given
