"""What the actions of an environment are called, and which keys stand for them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from rlhub_core.config import split_name
from rlhub_core.envs import Env
from rlhub_core.errors import ConfigError, squeezed

Keys = frozenset[str]  # "left", "right", "up", "down", "space", "enter", or a letter or digit
NOTHING: Keys = frozenset()

KNOWN = {  # of Gymnasium's environments, in the order of their actions: name, key ("" is none)
    "Acrobot": "torque left:left, no torque:, torque right:right",
    "Blackjack": "stick:enter, hit:space",
    "CarRacing": "nothing:, right:right, left:left, gas:up, brake:down",
    "CartPole": "push left:left, push right:right",
    "CliffWalking": "up:up, right:right, down:down, left:left",
    "FrozenLake": "left:left, down:down, right:right, up:up",
    "LunarLander": "nothing:, left engine:left, main engine:up, right engine:right",
    "MountainCar": "push left:left, no push:, push right:right",
    "Taxi": "south:down, north:up, east:right, west:left, pick up:space, drop off:enter",
}
CODES: dict[Any, str] = {  # of SDL 1 and 2, which Gymnasium's environments still give
    **dict(zip((276, 275, 273, 274), ("left", "right", "up", "down"), strict=True)),
    **dict(zip((1073741904, 1073741903, 1073741906, 1073741905), ("left", "right", "up", "down"), strict=True)),
    **{32: "space", 13: "enter", " ": "space", "\r": "enter"},
}
MEANING = re.compile("(UP|DOWN)?(LEFT|RIGHT)?(FIRE)?")  # ALE's


@dataclass(frozen=True)
class KeyMap:
    """The actions that keys stand for, pressed together or alone."""

    actions: Mapping[Keys, Any]

    @property
    def names(self) -> Keys:
        """Every key that has a part in an action."""
        return frozenset(itertools.chain.from_iterable(self.actions))

    def action(self, held: Keys) -> Any:
        """Return the action of what is held: of as many of the keys as stand for one; None where none do."""
        held = held & self.names
        for count in range(len(held), -1, -1):
            for some in itertools.combinations(sorted(held), count):
                if frozenset(some) in self.actions:
                    return self.actions[frozenset(some)]
        return None

    def __str__(self) -> str:
        alone = [(" ".join(sorted(keys)), action) for keys, action in self.actions.items() if len(keys) == 1]
        return ", ".join(f"{key}={np.asarray(action).tolist()}" for key, action in alone)


def action_names(env: Env) -> list[str]:
    """Return what the actions of an environment are called, in their order; nothing where nobody says."""
    meanings = _meanings(env)
    if meanings:
        return [name.lower() for name in meanings]
    known = _known(env)
    return [name for name, _ in known] if known else []


def keys_of(env: Env, written: str | None = None) -> KeyMap:
    """Return the keys of an environment's actions.

    Args:
        env: whose action meanings, headings or `get_keys_to_action` tell them; Gymnasium's own are known; of other
            Discrete spaces the digits are actions, and of Boxes the arrows move the first two numbers.
        written: "left=0,right=1,up=2", or for continuous actions "left=[-1,0],right=[1,0]"; keys are joined with "+".

    Raises:
        ConfigError: where that is no action, or there are no keys and nothing is written.
    """
    if written is not None:
        return KeyMap(_written(env, written))
    space = env.action_space
    found = _by_meaning(env) or _by_known(env) or _by_codes(env)
    if not found and isinstance(space, Discrete) and space.n <= 10:
        found = {frozenset([str(number)]): int(space.start) + number for number in range(int(space.n))}
    if not found and isinstance(space, Box) and space.shape in ((1,), (2,)):
        found = _by_arrows(space)
    if not found:
        raise ConfigError(
            f"No keys are known for the actions {squeezed(space)}. Say which: --keys left=0,right=1,space=2."
        )
    return KeyMap(found)


def _meanings(env: Env) -> list[str]:
    for name in ("get_action_meanings", "headings"):
        if env.has_wrapper_attr(name):
            told = env.get_wrapper_attr(name)
            told = told() if callable(told) else told
            if isinstance(env.action_space, Discrete) and told is not None and len(told) == env.action_space.n:
                return [str(each) for each in told]
    return []


def _by_meaning(env: Env) -> dict[Keys, Any]:
    found = {}
    for action, meaning in enumerate(_meanings(env)):
        parts = MEANING.fullmatch(meaning.upper())
        if parts is None and meaning.upper() != "NOOP":
            return {}
        pressed = [part.lower().replace("fire", "space") for part in parts.groups() if part] if parts else []
        found[frozenset(pressed)] = action + int(env.action_space.start)  # type: ignore[attr-defined]
    return found


def _known(env: Env) -> list[tuple[str, str]]:
    name = env.spec.id.rpartition("/")[2].partition("-v")[0] if env.spec is not None else ""
    family = next((known for known in KNOWN if name == known or name.startswith(f"{known}8")), None)
    if family is None or not isinstance(env.action_space, Discrete):
        return []
    pairs = [each.strip().partition(":")[::2] for each in KNOWN[family].split(",")]
    return pairs if len(pairs) == env.action_space.n else []


def _by_known(env: Env) -> dict[Keys, Any]:
    return {frozenset([key] if key else []): action for action, (_, key) in enumerate(_known(env))}


def _by_codes(env: Env) -> dict[Keys, Any]:
    if not env.has_wrapper_attr("get_keys_to_action"):
        return {}
    found = {}
    for codes, action in env.get_wrapper_attr("get_keys_to_action")().items():
        codes = codes if isinstance(codes, tuple) else (codes,)
        names = [CODES.get(code, code if isinstance(code, str) else chr(code)) for code in codes]
        found[frozenset(names)] = action
    return found


def _by_arrows(space: Box) -> dict[Keys, Any]:
    """Return actions of the arrows: each moves one number to its bound, from the middle where none is held."""
    low, high = np.nan_to_num(space.low, neginf=-1.0), np.nan_to_num(space.high, posinf=1.0)
    middle = (low + high) / 2
    moves = [[("left", low, 0), ("right", high, 0), None]]
    if space.shape == (2,):
        moves.append([("down", low, 1), ("up", high, 1), None])
    found = {}
    for combination in itertools.product(*moves):
        action, pressed = middle.copy(), [move for move in combination if move is not None]
        for _, bound, place in pressed:
            action[place] = bound[place]
        found[frozenset(name for name, _, _ in pressed)] = action.astype(space.dtype)
    return found


def _written(env: Env, written: str) -> dict[Keys, Any]:
    space = env.action_space
    _, pairs = split_name(f"keys:{written}")
    if not pairs:
        raise ConfigError(f"keys: {written!r} is not KEY=ACTION, such as left=0,right=1.")
    found: dict[Keys, Any] = {}
    for name, value in pairs.items():
        action = np.asarray(value, space.dtype) if isinstance(space, Box) else value
        if not space.contains(action):
            raise ConfigError(f"keys: {name}={value!r} is no action of {squeezed(space)}.")
        found[NOTHING if name == "none" else frozenset(name.split("+"))] = action
    return found
