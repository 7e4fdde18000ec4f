"""What dm_env and TF-Agents share: time steps, and an environment of them as a Gymnasium environment."""

from __future__ import annotations

import math
from enum import IntEnum
from typing import Any, Literal, NamedTuple

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded

from rlhub_core import EnvironmentContractError
from rlhub_legacy.array_specs import Fault, acted, observed, space_of
from rlhub_legacy.faults import described, wrong
from rlhub_legacy.randomness import OwnRandomness, parameters_of

TIME_STEP = "a time step: step_type, reward, discount, observation"


class StepType(IntEnum):
    """Where in an episode a time step is."""

    FIRST = 0
    MID = 1
    LAST = 2


class TimeStep(NamedTuple):
    """What an environment returns from `reset` and `step`.

    A LAST step of discount 0 is a termination: the future is worth nothing. One of a discount above 0 is a truncation.
    """

    step_type: Any
    reward: Any
    discount: Any  # in [0, 1]
    observation: Any

    def first(self) -> bool:
        """Return whether it is the first of an episode."""
        return bool(np.all(np.equal(self.step_type, StepType.FIRST)))

    def mid(self) -> bool:
        """Return whether it is neither the first nor the last."""
        return bool(np.all(np.equal(self.step_type, StepType.MID)))

    def last(self) -> bool:
        """Return whether it is the last."""
        return bool(np.all(np.equal(self.step_type, StepType.LAST)))

    def is_first(self) -> bool:
        """Return `first()`, as TF-Agents calls it."""
        return self.first()

    def is_mid(self) -> bool:
        """Return `mid()`, as TF-Agents calls it."""
        return self.mid()

    def is_last(self) -> bool:
        """Return `last()`, as TF-Agents calls it."""
        return self.last()


class TimeStepEnv(gymnasium.Env[Any, Any]):
    """An environment of time steps, as a Gymnasium environment.

    LAST with a discount of 0 is a termination, with another a truncation. A discount that says neither "go on" (1) nor
    "terminated" is told as `info["discount"]`. A step after the last, or before a reset, is refused.

    Args:
        theirs: with `reset`, `step`, `action_spec`, `observation_spec`, as methods.
        render_mode: "rgb_array" or None; by default "rgb_array" where their environment seems to render.

    Attributes:
        theirs: their environment.

    Raises:
        EnvironmentContractError: for specifications that are none, and from `reset` and `step` for what is no time
            step, or not as specified.
    """

    def __init__(self, theirs: Any, *, render_mode: Literal["rgb_array", "auto"] | None = "auto") -> None:
        self.theirs = theirs
        self._randomness = OwnRandomness(theirs)
        renders = callable(self._renderer())
        self.metadata = {"render_modes": ["rgb_array"] if renders else []}
        self.render_mode = ("rgb_array" if renders else None) if render_mode == "auto" else render_mode
        with self._randomness():
            self._observation_spec, self._action_spec = theirs.observation_spec(), theirs.action_spec()
        self.observation_space = space_of(self._observation_spec, self._fault("observation_spec"), action=False)
        self.action_space = space_of(self._action_spec, self._fault("action_spec"), action=True)
        self._running = False
        self._to_compare = {
            StepType.FIRST,
            StepType.MID,
            StepType.LAST,
        }  # kinds of steps whose bounds were not looked at

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; a seed seeds everything their environment draws from.

        Raises:
            EnvironmentContractError: for what is no FIRST time step, or an observation that is not as specified.
        """
        super().reset(seed=seed)
        if seed is not None:
            self._seed(seed)
        with self._randomness():
            got = self.theirs.reset()
        fault = self._fault("reset")
        kind, time_step = self._read(got, fault)
        if kind != StepType.FIRST:
            raise fault(got, f"a time step of step_type FIRST (0), not {kind.name}")
        self._running = True
        return self._observation(time_step, kind, fault), self._info()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Take a step.

        Raises:
            ResetNeeded: where no episode is running.
            InvalidAction: for an action that is not in the space.
            EnvironmentContractError: for what is no time step, or not as specified.
        """
        if not self._running:
            raise ResetNeeded("No episode is running: call reset() first, and again after an episode has ended.")
        theirs = acted(self._action_spec, self.action_space, action)
        with self._randomness():
            got = self.theirs.step(self._batched(theirs))
        fault = self._fault("step", action)
        kind, time_step = self._read(got, fault)
        if kind == StepType.FIRST:
            raise fault(got, "a time step of step_type MID (1) or LAST (2); an episode begins by reset() alone")
        reward, discount = self._reward(time_step, fault), self._discount(time_step, fault)
        last = kind == StepType.LAST
        terminated = last and discount == 0.0
        self._running = not last
        info = self._info()
        if discount != 1.0 and not terminated:
            info["discount"] = discount
        return self._observation(time_step, kind, fault), reward, terminated, last and not terminated, info

    def render(self) -> Any:
        """Return what their environment renders, uint8 [height, width, 3].

        Raises:
            EnvironmentContractError: where it cannot render after all, or returns something else.
        """
        renderer = self._renderer()
        if self.render_mode is None or renderer is None:
            gymnasium.logger.warn("render() does nothing: the environment has no render mode.")
            return None
        with self._randomness():
            try:
                pixels = self._pixels(renderer)
            except NotImplementedError as error:
                name = type(self.theirs).__qualname__
                raise EnvironmentContractError(f"{name}.render() is not implemented; nothing can be shown.") from error
        array = np.asarray(pixels)
        if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
            raise self._fault("render")(pixels, "uint8 pixels of shape (height, width, 3)")
        return array.copy()  # of what they may draw on again

    def close(self) -> None:
        """Close their environment, if it can be."""
        close = getattr(self.theirs, "close", None)
        if callable(close):
            with self._randomness():
                close()

    # what a dialect may have otherwise

    def _renderer(self) -> Any:
        """Return the method that renders, or None."""
        return getattr(self.theirs, "render", None)

    def _pixels(self, renderer: Any) -> Any:
        return renderer(mode="rgb_array") if "mode" in parameters_of(renderer) else renderer()

    def _info(self) -> dict[str, Any]:
        return {}

    def _batched(self, action: Any) -> Any:
        """Return an action as their environment takes it."""
        return action

    def _unbatched(self, observation: Any) -> Any:
        """Return an observation as the specification has it."""
        return observation

    def _seed(self, seed: int) -> None:
        self._randomness.seed(seed)

    # reading

    def _fault(self, method: str, *arguments: Any) -> Fault:
        def fault(got: Any, expected: str) -> EnvironmentContractError:
            return wrong(self.theirs, f"{method}({', '.join(map(str, arguments))})", got, expected)

        return fault

    def _read(self, got: Any, fault: Fault) -> tuple[StepType, TimeStep]:
        if all(hasattr(got, field) for field in TimeStep._fields):
            time_step = TimeStep(*(getattr(got, field) for field in TimeStep._fields))
        elif isinstance(got, tuple | list) and len(got) == len(TimeStep._fields):
            time_step = TimeStep(*got)
        else:
            raise fault(got, TIME_STEP)
        try:
            return StepType(_integer(time_step.step_type)), time_step
        except ValueError:
            said = described(time_step.step_type)
            raise fault(got, f"{TIME_STEP}; step_type 0 (FIRST), 1 (MID) or 2 (LAST), not {said}") from None

    def _reward(self, time_step: TimeStep, fault: Fault) -> float:
        reward = _float(time_step.reward)
        if math.isnan(reward):
            raise fault(time_step.reward, "a reward that is a number")
        return reward

    def _discount(self, time_step: TimeStep, fault: Fault) -> float:
        discount = _float(time_step.discount)
        if not 0.0 <= discount <= 1.0:
            raise fault(time_step.discount, "a discount from 0 to 1; at the last step, 0 says that it terminated")
        return discount

    def _observation(self, time_step: TimeStep, kind: StepType, fault: Fault) -> Any:
        value = observed(self._observation_spec, self.observation_space, self._unbatched(time_step.observation), fault)
        if kind in self._to_compare:
            self._to_compare.discard(kind)
            if not self.observation_space.contains(value):
                raise fault(time_step.observation, f"an observation within {self.observation_space}")
        return value


def _integer(value: Any) -> int:
    array = np.asarray(value)
    if array.size != 1 or array.dtype.kind not in "iu":
        raise ValueError("no integer")
    return int(array.item())


def _float(value: Any) -> float:
    """Return a number, or one number in an array, as a float; anything else as not a number."""
    try:
        array = np.asarray(value)
    except ValueError:  # a ragged list
        return math.nan
    return float(array.item()) if array.size == 1 and array.dtype.kind in "biuf" else math.nan
