"""An agent plays in one environment, moment by moment, for those who look on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import numpy as np
from gymnasium.error import DependencyNotInstalled
from gymnasium.vector.utils import batch_space, concatenate, create_empty_array, iterate
from numpy.typing import NDArray

from rlhub_core.actors import values_of
from rlhub_core.collector import act
from rlhub_core.envs import Env, EnvironmentSource
from rlhub_core.errors import ConfigError, EnvironmentContractError, EnvironmentFault, RlhubError, listed
from rlhub_core.evaluation import check_same_spaces, subject_of
from rlhub_core.faults import raised
from rlhub_core.protocol import ObsType


@dataclass(frozen=True)
class Moment:
    """What there is to see at one step of an episode.

    Attributes:
        picture: uint8 [height, width, 3] that the environment renders.
        observation: what the agent sees: as the environment gives it, or normalised where it learnt so.
        action: what the agent does next; None where the episode is over.
        values: of the observation, as `rlhub_core.actors.values_of` gives them, without the leading axis.
        step: of the episode, 0 after the reset.
        return_: sum of raw rewards so far.
        last: the episode ends here, or is cut off.
        finished: it ended by itself or by the environment's own limit.
    """

    picture: Any
    observation: Any
    action: Any
    values: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    step: int = 0
    return_: float = 0.0
    last: bool = False
    finished: bool = False


class Stage:
    """An agent and the environment it is looked at in.

    Args:
        subject: a run, or an actor.
        env: a name, class, factory or environment; for a run the one it was trained on unless given.
        wrappers: of the environment.
        options: of the environment.
        values: ask the actor what it thinks the observations are worth.

    Attributes:
        name: of the environment.
        env: the environment.
        fps: env steps a second that show it at its own speed.

    Raises:
        ConfigError: for an environment that cannot be rendered as pixels.
        SpaceError: for one that the run cannot act in.
    """

    def __init__(
        self,
        subject: Any,
        env: Any = None,
        wrappers: Sequence[Any] = (),
        options: dict[str, Any] | None = None,
        *,
        values: bool = False,
    ) -> None:
        actor, source = subject_of(subject, env, wrappers, options or {})
        without_display()
        self.name, self._source, self._values = source.name, source, values
        self.env = filmable(source)
        try:
            check_same_spaces(subject, self.env, source.name)
        except Exception:
            self.close()
            raise
        self.fps = own_speed(self.env)
        self._subject, self._actor = subject, actor

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the environment, but not one that the user made."""
        if not self._source.is_instance:
            self.env.close()

    @property
    def observation_space(self) -> Any:
        """The space of what the agent sees."""
        normalization = getattr(self._subject, "normalization", None)
        return self.env.observation_space if normalization is None else normalization.observation_space

    def act_anew(self) -> None:
        """Let the run's actor be the one of its weights now; what it remembered is forgotten."""
        self._actor = self._subject.actor()

    def episode(self, seed: int | None, max_steps: int) -> Generator[Moment, Any, None]:
        """Play an episode and yield every moment of it, each before its action is taken; what is sent is done instead.

        Args:
            seed: of the environment's reset; None goes on from the last.
            max_steps: after which it is cut off.
        """
        env = self.env
        with self._watching("reset"):
            observation, info = env.reset(seed=seed)
        first, return_ = np.ones(1, np.bool_), 0.0
        for step in range(max_steps + 1):
            batch = _batched(env, observation)
            over = step == max_steps
            actions = None if over else act(self._actor, batch, first, partial(_masks, env, info))
            action = None if over else next(iter(iterate(batch_space(env.action_space, 1), actions)))
            instead = yield self._moment(batch, action, step, return_, last=over)
            if over:
                return
            action = action if instead is None else instead
            with self._watching("step", step, seed):
                observation, reward, terminated, truncated, info = env.step(action)
            return_ += float(reward)
            first = np.zeros(1, np.bool_)
            if terminated or truncated:
                yield self._moment(_batched(env, observation), None, step + 1, return_, last=True, finished=True)
                return

    @contextlib.contextmanager
    def _watching(self, during: str, step: int = 0, seed: int | None = None) -> Iterator[None]:
        """Raise what goes wrong in the environment as a fault that says where it is."""
        try:
            yield
        except Exception as error:
            fault = error if isinstance(error, EnvironmentFault) else EnvironmentFault(raised(error), index=0)
            fault.locate(self.name, self._source.offered_by, during, 1, step=step, seed=seed, since_seed=step)
            if fault is error:
                raise
            raise fault from error

    def _moment(
        self, batch: ObsType, action: Any, step: int, return_: float, *, last: bool = False, finished: bool = False
    ) -> Moment:
        values = values_of(self._actor, batch) if self._values else {}
        values = {name: each[0] for name, each in values.items()}
        normalization = getattr(self._subject, "normalization", None)
        seen = batch if normalization is None else normalization.observations(batch)
        observation = next(iter(iterate(batch_space(self.observation_space, 1), seen)))
        return Moment(self._picture(), observation, action, values, step, return_, last, finished)

    def _picture(self) -> Any:
        try:
            pixels = np.asarray(self.env.render())
        except DependencyNotInstalled as error:
            raise RlhubError(f"{self.name} cannot be rendered: {error}") from error
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            rendered = f"{pixels.dtype} {list(pixels.shape)}"
            raise EnvironmentContractError(f"A frame is uint8 [height, width, 3]; the environment renders {rendered}.")
        return pixels


def filmable(source: EnvironmentSource) -> Env:
    """Return an environment that renders pixels.

    Raises:
        ConfigError: saying which render modes it has.
    """
    env = source.make()
    if env.render_mode == "rgb_array":
        return env
    modes = env.metadata.get("render_modes", [])
    if source.is_instance:
        raise ConfigError(f'{source.name} was made without render_mode="rgb_array". Make it with that to record it.')
    env.close()
    if "rgb_array" not in modes:
        has = listed(modes)
        raise ConfigError(f"{source.name} cannot be recorded: it has no render mode 'rgb_array'. It has: {has}.")
    return source.make(render_mode="rgb_array")


def own_speed(env: Env) -> float:
    """Return the env steps per second that show the environment at its own speed."""
    skip = env.spec.kwargs.get("frameskip") if env.spec is not None else None
    if isinstance(skip, int) and str(env.spec.entry_point).startswith("ale_py"):  # type: ignore[union-attr]
        return 60.0 / skip  # ale-py says 30 whatever its frame skip
    return float(env.metadata.get("render_fps") or 30)


def has_display() -> bool:
    """Return whether a window can be opened."""
    graphical = sys.platform in ("darwin", "win32")
    return graphical or any(os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def without_display() -> None:
    """Let pygame render without a display, where there is none: else it complains of the missing one."""
    if not has_display():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")


def _masks(env: Env, info: dict[str, Any]) -> Any:
    """Return the possible actions [1, n], as `Collector.action_masks` does."""
    if "action_mask" in info:
        return np.array(info["action_mask"])[None]
    return np.array(env.get_wrapper_attr("action_masks")())[None] if env.has_wrapper_attr("action_masks") else None


def _batched(env: Env, observation: Any) -> ObsType:
    space = env.observation_space
    return concatenate(space, [observation], cast(Any, create_empty_array(space, 1)))
