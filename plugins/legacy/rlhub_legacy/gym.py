"""Environments of OpenAI Gym before 0.26, and of rlmodels, which asks for the same less the spaces.

`reset() -> observation`, `step(action) -> (observation, reward, done, info)`, and where there are any `seed`,
`render(mode)`, `close`, `observation_space`, `action_space`, `metadata` and `_max_episode_steps`.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from copy import deepcopy
from inspect import signature
from typing import Any, NamedTuple

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded

from rlhub_core import ConfigError, EnvironmentContractError
from rlhub_legacy.contract import flag, info_of, limited, number, steps
from rlhub_legacy.faults import described, wrong
from rlhub_legacy.randomness import OwnRandomness, takes_argument
from rlhub_legacy.spaces import Space, Unfit, fitted, space_of

Info = dict[str, Any]
CUT_OFF = "TimeLimit.truncated"  # Gym's name in `info`, from 0.12 on


class Step(NamedTuple):
    """What a step of theirs returned, with `done` told apart."""

    observation: Any
    reward: Any
    terminated: bool
    truncated: bool
    info: Any


class OldGym(gymnasium.Env[Any, Any]):
    """An environment of the old contract as a Gymnasium environment.

    `done` is a termination unless `info["TimeLimit.truncated"]` says that the episode was cut off. At the step number
    `_max_episode_steps`, where theirs has one, an episode that goes on is truncated; one that ends there has ended by
    itself, except in a time limit's wrapper that does not tell the two apart, as Gym's did until 0.12, or around one,
    Gymnasium's among them.

    A seed is passed to their `seed`, and given to every generator that they hold and to the global ones, which are
    theirs alone while a method of theirs runs.

    Args:
        theirs: the environment, kept as `.theirs`.
        observation_space, action_space: where theirs has none, or none that is right; Gymnasium's or an old one's.
            Where there are none at all, the observation space is told from what `reset` and `step` return, with a
            warning, and the action space only from an attribute `n_actions` or `num_actions`.
        render_mode: of `render`; by default "rgb_array" where their metadata names it.

    Raises:
        EnvironmentContractError: for a space that is missing and cannot be told; later where a method of theirs
            returns something else than it should, naming it.
        ConfigError: for a render mode that their metadata does not name.
    """

    def __init__(
        self,
        theirs: Any,
        observation_space: Any = None,
        action_space: Any = None,
        render_mode: str | None = None,
    ) -> None:
        self.theirs = theirs
        self._randomness = OwnRandomness(theirs)
        self._seeded = False
        self._steps = -1  # of the running episode; before the first there is none
        self._late = False  # had a limit within been reached before the newest step? Then it cut nothing
        self._looks = 2  # observations still to be compared with their space's bounds
        self.metadata, self.render_mode = _metadata(theirs, render_mode)
        self.action_space = self._space("action_space", action_space) or _action_space(theirs)
        self.observation_space = self._space("observation_space", observation_space) or self._seen_space()

    def reset(self, *, seed: int | None = None, options: Info | None = None) -> tuple[Any, Info]:
        """Begin an episode; options are nothing that an old environment knows."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:  # many make their generator only when they are seeded
            self._randomness.seed(int(self.np_random.integers(2**31)) if seed is None else seed)
            self._seeded = True
        with self._randomness():
            got = _method(self.theirs, "reset")()
        observation, info = self._first(got)
        self._steps = 0
        return observation, info

    def step(self, action: Any) -> tuple[Any, float, bool, bool, Info]:
        """Take a step and tell a termination from a truncation."""
        if self._steps < 0:
            raise ResetNeeded("There is no episode to step in: call reset() first.")
        call = f"step({_short(action)})"
        self._late = limited(self.theirs)
        with self._randomness():
            got = _method(self.theirs, "step")(_as_theirs(action))
        self._steps += 1
        step = self._told_apart(got, call)
        observation = self._observation(step.observation, call)
        reward = number(self.theirs, call, step.reward)
        return observation, reward, step.terminated, step.truncated, info_of(self.theirs, call, step.info)

    def render(self) -> Any:
        """Return what theirs shows in the render mode: uint8 [height, width, 3] for "rgb_array"."""
        if self.render_mode is None:
            gymnasium.logger.warn("render() does nothing: adapt the environment with render_mode='rgb_array'.")
            return None
        render = _method(self.theirs, "render")
        takes_mode = takes_argument(render)
        by_name = takes_mode and "mode" in signature(render).parameters
        given, named = ((), {"mode": self.render_mode}) if by_name else ((self.render_mode,) if takes_mode else (), {})
        with self._randomness():
            got = render(*given, **named)
        if self.render_mode != "rgb_array":
            return got
        picture = np.asarray(got)
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
            call = f"render({self.render_mode!r})" if takes_mode else "render()"
            raise wrong(self.theirs, call, got, "an array of shape (height, width, 3) and type uint8")
        return picture.copy()

    def close(self) -> None:
        """Close theirs, where it can be closed."""
        close = _method(self.theirs, "close")
        if close is not None:
            close()

    def _space(self, name: str, given: Any) -> Space | None:
        theirs = getattr(self.theirs, name, None) if given is None else given
        if theirs is None:
            return None
        space = space_of(theirs, f"{type(self.theirs).__qualname__}.{name}")
        return deepcopy(space) if space is theirs else space  # theirs may draw from its own, and others from this

    def _seen_space(self) -> Space:
        """Return the observation space that the first two observations suggest."""
        self._randomness.seed(0)
        with self._randomness():
            first = _method(self.theirs, "reset")()
            first = first[0] if _with_info(first) else first
            action = _as_theirs(self.action_space.sample())
            stepped = _method(self.theirs, "step")(action)
        second = stepped[0] if isinstance(stepped, tuple | list) and stepped else None
        space = _suggested(self.theirs, first)
        try:
            fitted(space, second)
        except Unfit as error:
            raise wrong(self.theirs, f"step({_short(action)})", stepped, f"{error}, as from reset()") from None
        warnings.warn(
            f"{type(self.theirs).__qualname__} has no observation_space; from what reset() and step() returned it is "
            f"taken to be {space}. To say it yourself: adapt(env, observation_space=…).",
            stacklevel=2,
        )
        return space

    def _first(self, got: Any) -> tuple[Any, Info]:
        """Return observation and info of a reset; theirs may give both, as Gym did from 0.26 on."""
        if _with_info(got):
            try:
                return self._observation(got, "reset()"), {}  # where a pair is what is observed
            except EnvironmentContractError:
                return self._observation(got[0], "reset()"), dict(got[1])
        return self._observation(got, "reset()"), {}

    def _told_apart(self, got: Any, call: str) -> Step:
        if isinstance(got, tuple | list) and len(got) == 5:
            observation, reward, terminated, truncated, info = got
            flags = (flag(self.theirs, call, terminated), flag(self.theirs, call, truncated))
            step = Step(observation, reward, *flags, info)
        elif isinstance(got, tuple | list) and len(got) == 4:
            observation, reward, done, info = got
            cut = flag(self.theirs, call, done) and self._cut_off(info)
            step = Step(observation, reward, bool(done) and not cut, cut, info)
        else:
            raise wrong(self.theirs, call, got, "a tuple (observation, reward, done, info)")
        ended = step.terminated or step.truncated
        return step if ended or not self._at_limit() else step._replace(truncated=True)

    def _cut_off(self, info: Any) -> bool:
        """Return whether an episode that is done was cut off."""
        if isinstance(info, Mapping) and CUT_OFF in info:
            return bool(info[CUT_OFF])
        waits = hasattr(self.theirs, "_elapsed_steps") and hasattr(self.theirs, "env")
        return (limited(self.theirs) and not self._late) or (waits and self._at_limit())

    def _at_limit(self) -> bool:
        """Return whether the episode is as long as theirs allows; read anew, for scripts changed it at will."""
        limit = steps(getattr(self.theirs, "_max_episode_steps", None))
        return limit is not None and limit <= self._steps

    def _observation(self, value: Any, call: str) -> Any:
        try:
            observation = fitted(self.observation_space, value)
        except Unfit as error:
            raise wrong(self.theirs, call, value, f"{error}, as its observation_space says") from None
        if self._looks:
            self._looks -= 1
            if not self.observation_space.contains(observation):
                warnings.warn(
                    f"{type(self.theirs).__qualname__}.{call} returned {described(value)} outside of the bounds "
                    f"of its observation_space, {self.observation_space}.",
                    stacklevel=4,
                )
        return observation


def _method(theirs: Any, name: str) -> Any:
    """Return a method by its name, or with the underscore that classes of Gym before 0.9.6 gave it; None: no such."""
    found = (getattr(theirs, each, None) for each in (name, f"_{name}"))
    return next(filter(callable, found), None)


def _metadata(theirs: Any, render_mode: str | None) -> tuple[dict[str, Any], str | None]:
    """Return metadata under the names of today, and the render mode."""
    old = getattr(theirs, "metadata", None)
    old = old if isinstance(old, Mapping) else {}
    named = old.get("render_modes", old.get("render.modes")) or []
    named = [named] if isinstance(named, str) else [str(mode) for mode in named]
    if render_mode is not None and _method(theirs, "render") is None:
        raise ConfigError(f"{type(theirs).__qualname__} has no render(), so render_mode={render_mode!r} is nothing.")
    if render_mode is not None and named and render_mode not in named:
        raise ConfigError(f"{type(theirs).__qualname__} has no render mode {render_mode!r}. It has: {named}.")
    modes = named or [render_mode] if render_mode else named
    frames = old.get("render_fps", old.get("video.frames_per_second", 30))
    chosen = render_mode or ("rgb_array" if "rgb_array" in modes and _method(theirs, "render") else None)
    return {"render_modes": modes, "render_fps": frames}, chosen


def _action_space(theirs: Any) -> Space:
    """Return the action space of an environment that has none but tells how many actions it takes."""
    name = type(theirs).__qualname__
    for attribute in ("n_actions", "num_actions"):
        count = getattr(theirs, attribute, None)
        if isinstance(count, int | np.integer) and not isinstance(count, bool) and count > 0:
            warnings.warn(
                f"{name} has no action_space; from its {attribute} it is taken to be Discrete({count}). To say it "
                "yourself: adapt(env, action_space=…).",
                stacklevel=3,
            )
            return spaces.Discrete(int(count))
    raise EnvironmentContractError(
        f"{name} has no action_space, and which actions it takes cannot be told from outside. Say it: "
        "adapt(env, action_space=gymnasium.spaces.Discrete(2))."
    )


def _suggested(theirs: Any, observation: Any) -> Space:
    """Return the space of an observation, without bounds; bytes have theirs."""
    try:
        array = np.asarray(observation)
    except ValueError:
        array = np.empty(0, object)
    if array.dtype.kind not in "biuf" or (array.dtype.kind != "f" and not array.ndim):
        raise EnvironmentContractError(
            f"{type(theirs).__qualname__} has no observation_space, and reset() returned {described(observation)}, "
            "from which none can be told. Say it: adapt(env, observation_space=…)."
        )
    if array.dtype == np.uint8:
        return spaces.Box(0, 255, array.shape, np.uint8)
    return spaces.Box(-np.inf, np.inf, array.shape, np.float32)


def _with_info(got: Any) -> bool:
    return isinstance(got, tuple) and len(got) == 2 and isinstance(got[1], Mapping)


def _as_theirs(action: Any) -> Any:
    """Return an action as old environments took it: whole numbers as int, arrays of their own."""
    if isinstance(action, np.integer):
        return int(action)
    if isinstance(action, np.ndarray):
        return action.copy() if action.ndim else action.item()
    if isinstance(action, tuple):
        return tuple(map(_as_theirs, action))
    return {key: _as_theirs(part) for key, part in action.items()} if isinstance(action, dict) else action


def _short(action: Any) -> str:
    text = " ".join(str(action).split())
    return text if len(text) <= 30 else "action"
