"""What environments do wrong: whose they are, and how it is told."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import wait
from typing import Any

from gymnasium.vector import AsyncVectorEnv, SyncVectorEnv
from gymnasium.vector.async_vector_env import AsyncState

from rlhub_core.checks import misshapen
from rlhub_core.errors import EnvironmentFault

TIMEOUT = 60.0  # s that an environment in another process has for a step
START_TIMEOUT = 300.0  # s that it has until it is made, and for its first reset
OLDER = "Of older libraries' environments, legacy adapters (pip install rlhub-legacy) make Gymnasium's."
_OURS = ("gymnasium.vector", "gymnasium.spaces", "rlhub_core.side_by_side", "numpy", "functools")
_SOURCE = "rlhub_source"


def introduce(vec: Any, source: Any) -> None:
    """Let a vector environment say what it is made of: something with a `name` and what it is `offered_by`."""
    setattr(vec, _SOURCE, source)


def source_of(vec: Any) -> Any:
    """Return what a vector environment was introduced as made of, or None."""
    return getattr(vec, _SOURCE, None)


def identity(vec: Any) -> tuple[str, str]:
    """Return the name of the environments of a vector environment, and the distribution that offers them or ""."""
    source = source_of(vec)
    if source is not None:
        return source.name, source.offered_by
    inner = vec.unwrapped
    one = inner.envs[0] if isinstance(inner, SyncVectorEnv) else inner
    spec = getattr(one, "spec", None)
    return (str(spec.id) if spec is not None else type(getattr(one, "unwrapped", one)).__name__), ""


def bound(vec: Any) -> None:
    """Let no step, reset or call of an `AsyncVectorEnv` that a user made wait for ever."""
    inner = vec.unwrapped
    if not isinstance(inner, AsyncVectorEnv) or hasattr(inner, "start_timeout") or "step_wait" in vars(inner):
        return  # our own bounds itself
    for name, allowed in (("step_wait", TIMEOUT), ("call_wait", TIMEOUT), ("reset_wait", START_TIMEOUT)):
        setattr(inner, name, partial(_in_time, getattr(inner, name), allowed))


def _in_time(method: Callable[[float], Any], allowed: float, timeout: float | None = None) -> Any:
    return method(allowed if timeout is None else timeout)


def explained(error: Exception, vec: Any, during: str) -> EnvironmentFault:
    """Return the fault behind what a vector environment has raised."""
    inner = vec.unwrapped
    if isinstance(inner, AsyncVectorEnv):
        return _remote(error, inner)
    index = _index(error, inner)
    if during in ("reset", "step") and isinstance(inner, SyncVectorEnv) and _after_the_call(error, inner):
        space = inner.single_observation_space
        seen = list(inner._env_obs[: (index or 0) + 1])
        wrong = [(each, text) for each, one in enumerate(seen) if (text := misshapen(space, one)[0])]
        if wrong:
            return EnvironmentFault(f"The observation {wrong[0][1]}.", index=wrong[0][0])
        return unusable(error, during, index)
    return EnvironmentFault(raised(error), index=index)


def raised(error: BaseException) -> str:
    """Return in one sentence what was raised, and where."""
    said = " ".join(str(error).split())
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return f"The environment raised {f'{type(error).__name__}: {said}'.rstrip(' :.')}{where}."


def unusable(error: Exception, during: str, index: int | None) -> EnvironmentFault:
    """Return the fault of an environment whose answer cannot be put with those of the others."""
    expected = {
        "step": "(observation, reward, terminated, truncated, info)",
        "reset": "(observation, info)",
    }[during]
    said = " ".join(str(error).split()).rstrip(".")
    return EnvironmentFault(
        f"What the environment returned cannot be used: {said}. It is to return {expected}.", index=index, cure=OLDER
    )


def _index(error: BaseException, inner: Any) -> int | None:
    """Return which environment raised: the traceback leads through the loop that steps them."""
    if inner.num_envs == 1:
        return 0
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_locals.get("self") is inner and isinstance(frame.f_locals.get("i"), int):
            return int(frame.f_locals["i"])
    return None


def _after_the_call(error: BaseException, inner: Any) -> bool:
    """Return whether not the environment raised, but what takes its answer apart."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    begin = next((number for number, frame in enumerate(frames) if frame.f_locals.get("self") is inner), len(frames))
    modules = [str(frame.f_globals.get("__name__", "")) for frame in frames[begin:]]
    return bool(modules) and all(module.startswith(_OURS) for module in modules)


def _remote(error: Exception, inner: AsyncVectorEnv) -> EnvironmentFault:
    """Return the fault behind what Gymnasium's `AsyncVectorEnv` raises, as far as it tells."""
    inner._state = AsyncState.DEFAULT  # else its `close` would wait for an answer that does not come
    if isinstance(error, (EOFError, OSError)):  # a pipe tells of a death before it can be asked for
        ended = wait([process.sentinel for process in inner.processes], timeout=1.0)
        for process in inner.processes:
            if process.sentinel in ended:
                process.join(timeout=1.0)
    failed = [index for index, pipe in enumerate(inner.parent_pipes) if pipe is None]
    if failed:
        return EnvironmentFault(raised(error), index=failed[0])
    dead = [(index, each.exitcode) for index, each in enumerate(inner.processes) if not each.is_alive()]
    if dead:
        return EnvironmentFault(
            f"The environment's worker process ended with exit code {dead[0][1]}.", index=dead[0][0]
        )
    if "Timeout" in type(error).__name__:
        silent = [index for index, pipe in enumerate(inner.parent_pipes) if not pipe.poll(0)]
        return EnvironmentFault(f"{error}".rstrip(".") + ".", index=silent[0] if silent else None)
    return EnvironmentFault(raised(error))
