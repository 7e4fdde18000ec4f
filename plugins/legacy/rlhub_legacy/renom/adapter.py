"""An environment of ReNom RL as a Gymnasium environment; its hooks are called where ReNom's documents say.

Facts of the dialect: ReNom RL's BaseEnv reference and how-to, and the order of calls of its version 0.4.2.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from rlhub_core import ConfigError
from rlhub_legacy.faults import wrong
from rlhub_legacy.randomness import OwnRandomness, attributes_of
from rlhub_legacy.renom import spaces
from rlhub_legacy.renom.memory import recall, remembered

DEFAULTS = {"test_start": "start", "test_epoch_step": "epoch_step", "test_close": "close"}  # where one is missing
EARLY = ("epoch", "test_start")  # what version 0.4.2 called before the reset
FIRST: tuple[str, ...] = ("start", "epoch")  # hooks of the first reset
Timing = Literal["documented", "0.4.2"]
Mode = Literal["single", "train", "test", "off"]
RULES: dict[str, tuple[str, ...]] = {  # who is asked after a step
    "single": ("terminate",),
    "train": ("terminate", "terminate_epoch", "stop_epoch"),
    "test": ("test_terminate",),
    "off": (),
}


class ReNomEnv(gymnasium.Env[NDArray[Any], Any]):
    """A ReNom environment as Gymnasium's.

    A terminal state is a termination. Where the environment's attribute `truncated` is true after a step, the episode
    is truncated there; such a flag of the object is made false before each reset. In training outside `fit`, everything
    is one epoch: `start` and `epoch` follow the first reset, `epoch_step` each step. In evaluation the `test_` hooks
    are called instead, and `test_terminate` cuts the episode off.

    A seeded reset seeds all that the environment may draw from, and truly resets the Gymnasium environments inside it.

    Args:
        theirs: the environment; any object with reset, step, sample, action_shape and state_shape.
        action_space: said instead of inferred.
        observation_space: likewise.
        hook_timing: "documented": `epoch` and `test_start` follow their reset; "0.4.2": they come before it, as in the
            code of that version.
        render_mode: "rgb_array" where `theirs.render()` returns pixels, "human" where it shows them (default: the
            environment's own `render_mode`; where it does not say, pixels).

    Attributes:
        theirs: as given.
        mode: which hooks are called: those of plain training ("single"), of `fit` ("train"), of a test, or none.
        asked: which stop rule said yes after the newest step, or "".
        terminated_by_rule: whether `terminate()` has ever said yes since training began.

    Raises:
        EnvironmentContractError: for a shape, action or state that contradicts what the environment says of itself.
    """

    def __init__(
        self,
        theirs: Any,
        *,
        action_space: Any = None,
        observation_space: Any = None,
        hook_timing: Timing = "documented",
        render_mode: str | None = None,
    ) -> None:
        self.theirs, self.hook_timing = theirs, checked_timing(hook_timing)
        kind = type(theirs)  # under whose name a run and its folder go
        self.__name__, self.__qualname__, self.__module__ = kind.__name__, kind.__qualname__, kind.__module__
        self._randomness = OwnRandomness(theirs)
        self.mode: Mode = "single"
        self._pending = FIRST  # hooks of the next reset
        self._before: tuple[Mode, tuple[str, ...]] = self.mode, self._pending  # of the running test
        self.asked, self.terminated_by_rule, self.is_listened_to = "", False, False
        self._closed = False
        self._carried: dict[str, Any] | None = None
        self._again: dict[str, Any] | None = None
        self._randomness.seed(0)  # so that objects of one class come to the same spaces
        with self._randomness():
            _seed_inside(theirs, 0)
            known = spaces.given(theirs, "observation_space", observation_space)
            self.observation_space: Space[Any] = known or spaces.observation_space_of(theirs, theirs.reset)
            known = spaces.given(theirs, "action_space", action_space)
            self.action_space: Space[Any] = known or spaces.action_space_of(theirs, theirs.sample)
        self._check_spaces()
        renders = callable(getattr(theirs, "render", None))
        self.render_mode = render_mode or (getattr(theirs, "render_mode", "rgb_array") if renders else None)
        self.metadata = {"render_modes": ["rgb_array", "human"] if renders else [], "render_fps": 30}
        if not renders and render_mode is not None:
            raise ConfigError(f"{type(theirs).__qualname__} has no render(), so render_mode={render_mode!r} cannot be.")

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[NDArray[Any], dict[str, Any]]:
        """Begin an episode, and call the hooks that are due at its beginning."""
        super().reset(seed=seed)
        if seed is not None:
            self._seed(seed)
        hooks, self._pending, self._closed = self._pending, (), False
        early = [hook for hook in hooks if self.hook_timing == "0.4.2" and hook in EARLY]
        late = [hook for hook in hooks if hook not in early]
        with self._randomness():
            if early and "start" in late:  # which comes first, after a reset of its own
                self._begin_theirs()
                self._call_all(late)
                late = []
            self._call_all(early)
            state = self._begin_theirs()
            self._call_all(late)
        return self._state("reset()", state), {}

    def step(self, action: Any) -> tuple[NDArray[Any], float, bool, bool, dict[str, Any]]:
        """Take a step, call its hook, and ask the stop rules."""
        discrete = isinstance(self.action_space, Discrete)
        given = int(action) if discrete else np.array(action)
        with self._randomness():
            result = self.theirs.step(given)
            observation, reward, terminal = self._checked(f"step({given})" if discrete else "step(action)", result)
            truncated = _is_true(getattr(self.theirs, "truncated", False))
            truncated = truncated and (terminal or self._has_flag())  # a class may say that every end is none
            self._after_step()
        truncated = truncated or self.asked == "test_terminate"
        return observation, reward, terminal and not truncated, truncated, {}

    def render(self) -> Any:
        """Return what the environment's `render()` draws: pixels [height, width, 3], or None where it shows them."""
        if self.render_mode is None:
            gymnasium.logger.warn(f"{type(self.theirs).__qualname__} has no render().")
            return None
        with self._randomness():
            frame = self.theirs.render()
        if self.render_mode == "human":
            return None
        if not (isinstance(frame, np.ndarray) and frame.ndim == 3 and frame.shape[2] == 3):
            expected = "pixels [height, width, 3]; where it shows them itself, say adapt(…, render_mode='human')"
            raise wrong(self.theirs, "render()", frame, expected)
        return frame

    def close(self) -> None:
        """Call the environment's `close`, once after each reset."""
        if not self._closed:
            self._closed = True
            self.call("close")

    # what training and evaluation tell it

    def begin(self, *hooks: str, mode: Mode) -> None:
        """Let the next reset call these hooks, and the steps after it those of a mode."""
        self.mode, self._pending = mode, hooks

    def call(self, hook: str) -> None:
        """Call a hook, or the one that stands for it; nothing where the environment has neither."""
        with self._randomness():
            self._call_all([hook])

    def begin_evaluation(self) -> None:
        """Let the next reset begin a test."""
        self._before = self.mode, self._pending
        self.begin("test_start", mode="test")

    def end_evaluation(self) -> None:
        """End the test; training goes on as before, or begins where it has not."""
        self.call("test_close")
        self.mode, self._pending = self._before

    @property
    def carried(self) -> Any:
        """What the environment took into its newest seeded reset, beyond the seed."""
        return self._carried and self._carried | {"heard": self.is_listened_to}

    @carried.setter
    def carried(self, carried: Any) -> None:
        self._again = carried  # taken where its seed comes by: a collector that restores may step on the way there

    def _begin_theirs(self) -> Any:
        if self._has_flag() and _is_true(self.theirs.truncated):
            self.theirs.truncated = False
        return self.theirs.reset()

    def _has_flag(self) -> bool:
        return "truncated" in attributes_of(self.theirs)

    def _seed(self, seed: int) -> None:
        """Let everything follow from a seed, and from what is carried."""
        again = self._again
        if again is not None and again["seed"] == seed:
            recall(self.theirs, again["memory"])
            self._pending, self.mode = tuple(again["pending"]), again["mode"]
            self.terminated_by_rule, self.is_listened_to = again["terminated"], again["heard"]
        self._carried = {
            "seed": seed,
            "memory": remembered(self.theirs),
            "pending": self._pending,
            "mode": self.mode,
            "terminated": self.terminated_by_rule,
        }
        self._randomness.seed(seed)
        with self._randomness():
            _seed_inside(self.theirs, seed)

    # checks

    def _check_spaces(self) -> None:
        shape = spaces.shape_of(self.theirs, "state_shape")
        if isinstance(self.observation_space, Box) and self.observation_space.shape != shape:
            raise ConfigError(
                f"observation_space has the shape {self.observation_space.shape}, but "
                f"{type(self.theirs).__qualname__}.state_shape is {shape}."
            )

    def _checked(self, call: str, result: Any) -> tuple[NDArray[Any], float, bool]:
        if not isinstance(result, tuple | list) or len(result) != 3:
            raise wrong(self.theirs, call, result, "a tuple of 3: state, reward, terminal")
        state, reward, terminal = result
        number = np.asarray(reward)
        if number.size != 1 or number.dtype.kind not in "biuf" or not np.isfinite(number).all():
            raise wrong(self.theirs, f"{call}[1]", reward, "a reward, which is one finite number")
        over = np.asarray(terminal)
        if over.size != 1 or over.dtype.kind not in "biu" or over.item() not in (0, 1):
            raise wrong(self.theirs, f"{call}[2]", terminal, "whether the state is terminal, True or False")
        return self._state(f"{call}[0]", state), float(number.item()), bool(over.item())

    def _state(self, method: str, state: Any) -> NDArray[Any]:
        shape: Any = self.observation_space.shape
        if shape == () and np.size(state) == 1:
            state = np.reshape(state, ())
        array = spaces.checked_state(self.theirs, method, state, shape)
        dtype = self.observation_space.dtype
        if dtype == np.uint8 and array.dtype != np.uint8:
            raise wrong(self.theirs, method, state, "a state of type uint8, as that of the observation space")
        return array.astype(dtype)  # a copy

    # hooks

    def _call_all(self, hooks: Sequence[str]) -> None:
        for hook in hooks:
            method = getattr(self.theirs, hook, None) or getattr(self.theirs, DEFAULTS.get(hook, hook), None)
            if callable(method):
                method()

    def _after_step(self) -> None:
        self.asked = ""
        if self.mode == "off" or (self.mode == "single" and self.terminated_by_rule):
            return
        self._call_all(["test_epoch_step" if self.mode == "test" else "epoch_step"])
        self.asked = next((rule for rule in RULES[self.mode] if self._says(rule)), "")
        if self.asked == "terminate" and self.mode == "single":
            self.terminated_by_rule = True
            if not self.is_listened_to:
                warnings.warn(
                    f"{type(self.theirs).__qualname__}.terminate() says that training ends, which an environment alone "
                    "cannot do. Train with rlhub_legacy.renom.fit, or with callbacks=['legacy/terminate'].",
                    stacklevel=2,
                )

    def _says(self, rule: str) -> bool:
        method = getattr(self.theirs, rule, None)
        answer = method() if callable(method) else False
        if answer is not None and not isinstance(answer, bool | np.bool_ | int):
            raise wrong(self.theirs, f"{rule}()", answer, "True or False")
        return bool(answer)


def checked_timing(timing: Any) -> Timing:
    """Return a timing of hooks, or raise ConfigError naming those there are."""
    if timing not in ("documented", "0.4.2"):
        raise ConfigError(f"hook_timing must be 'documented' or '0.4.2', not {timing!r}.")
    return timing  # type: ignore[no-any-return]


def _is_true(flag: Any) -> bool:
    """Return whether a flag is set; what is none (some object's method of that name) is not."""
    return isinstance(flag, bool | np.bool_ | int) and bool(flag)


def _seed_inside(theirs: Any, seed: int) -> None:
    """Seed the Gymnasium spaces and environments that an environment holds, and truly reset the latter."""
    for thing in _inside(theirs):
        if isinstance(thing, gymnasium.Env):
            thing.reset(seed=seed)
            thing.action_space.seed(seed)
            thing.observation_space.seed(seed)
        else:
            thing.seed(seed)


def _inside(theirs: Any, deep: int = 4) -> Iterator[Any]:
    for name, value in sorted(attributes_of(theirs).items()):
        if isinstance(value, Space | gymnasium.Env):
            yield value
        elif deep and "env" in name and hasattr(value, "step"):
            yield from _inside(value, deep - 1)
