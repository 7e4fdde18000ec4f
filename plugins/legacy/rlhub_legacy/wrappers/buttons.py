"""Wrappers that press the buttons with which an Atari game begins.

Beyond a reset and a step, they need what Gymnasium's and rlhub's Atari environments have: a method
`get_action_meanings`, and `info["lives"]`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium
from gymnasium.utils import RecordConstructorArgs

from rlhub_core import SpaceError
from rlhub_core.errors import listed

Env = gymnasium.Env[Any, Any]
Step = tuple[Any, float, bool, bool, dict[str, Any]]


class _Pressing(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Presses buttons after each reset and, on wish, after each lost life.

    What they bring is not lost: the observation after them is returned, their rewards are added to those of the step
    (after a reset: of the next step), and where they end the game, the step ends with it. A reset whose buttons end the
    game is made again without them.
    """

    def __init__(self, env: Env, buttons: Sequence[int], *, after_lost_life: bool) -> None:
        super().__init__(env)
        self._buttons, self._after_lost_life = buttons, after_lost_life
        self._lives = 0
        self._carried = 0.0  # reward that came after a reset, not yet handed over

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, press, and return what is seen then."""
        observation, info = self.env.reset(seed=seed, options=options)
        observation, self._carried, terminated, truncated, info = self._press((observation, 0.0, False, False, info))
        if terminated or truncated:
            observation, info = self.env.reset(options=options)
            self._carried = 0.0
        self._lives = info.get("lives", 0)
        return observation, info

    def step(self, action: Any) -> Step:
        """Step; where that loses a life, press as well."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        result = observation, float(reward) + self._carried, terminated, truncated, info
        self._carried = 0.0
        if self._after_lost_life and info["lives"] < self._lives:
            result = self._press(result)
        self._lives = result[4].get("lives", 0)
        return result

    def _press(self, result: Step) -> Step:
        for button in self._buttons:
            if result[2] or result[3]:
                break
            observation, reward, terminated, truncated, info = self.env.step(button)
            result = observation, result[1] + float(reward), terminated, truncated, info
        return result


class FireOnReset(_Pressing, RecordConstructorArgs):
    """Presses FIRE and then the third action after each reset, as OpenAI's baselines do.

    Raises:
        SpaceError: for a game whose second action is not FIRE, or that has fewer than three.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        meanings = _meanings(env)
        if meanings.index("FIRE") != 1 or len(meanings) < 3:
            raise SpaceError(f"it needs a game of three actions or more, the second FIRE, not {', '.join(meanings)}")
        super().__init__(env, (1, 2), after_lost_life=False)


class AutoFire(_Pressing, RecordConstructorArgs):
    """Presses FIRE after each reset and each lost life, so that none has to learn that a ball must be served.

    TF-Agents' notebook recipe returned the observation before FIRE and dropped its reward and end; this one does not.

    Raises:
        SpaceError: for a game without FIRE, or that tells of no lives.
    """

    def __init__(self, env: Env) -> None:
        RecordConstructorArgs.__init__(self)
        super().__init__(env, (_meanings(env).index("FIRE"),), after_lost_life=True)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Reset, serve, and return what is seen then.

        Raises:
            SpaceError: where `info` tells of no lives.
        """
        observation, info = super().reset(seed=seed, options=options)
        if "lives" not in info:
            raise SpaceError(f"legacy/auto_fire needs info['lives']; {self.env} tells {listed(info)}.")
        return observation, info


def _meanings(env: Env) -> list[str]:
    try:
        meanings = list(env.get_wrapper_attr("get_action_meanings")())
    except AttributeError:
        raise SpaceError("it needs an Atari game, with a method get_action_meanings") from None
    if "FIRE" not in meanings:
        raise SpaceError(f"it needs a game with the action FIRE; this one has {', '.join(meanings)}")
    return meanings
