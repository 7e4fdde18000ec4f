"""Single environments, each in a process of its own that neither hangs this one nor outlives it."""

from __future__ import annotations

import contextlib
import ctypes
import multiprocessing
import os
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from copy import deepcopy
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.util import Finalize
from typing import Any, NamedTuple

import numpy as np
from gymnasium import Env, spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode
from gymnasium.vector.async_vector_env import AsyncState
from gymnasium.vector.utils import concatenate, iterate, write_to_shared_memory

from rlhub_core.checks import EVERY, STRICT, misshapen, no_info
from rlhub_core.errors import ConfigError, EnvironmentContractError, EnvironmentFault, WorkerTraceback
from rlhub_core.faults import START_TIMEOUT, TIMEOUT, raised, unusable

_LIFE = 1.0  # s between two looks at whether a process is still there, where nothing else tells
_CLOSED = "closed"
_DIE_WITH_PARENT = 1  # Linux: PR_SET_PDEATHSIG


class _Failure(NamedTuple):
    """What a worker tells of an exception: texts alone, which always reach the other process."""

    problem: str
    cure: str
    trace: str
    contract: bool  # whether it was an EnvironmentContractError


class Workers(AsyncVectorEnv[Any, Any]):
    """Gymnasium's `AsyncVectorEnv`, where whatever an environment does becomes an `EnvironmentFault` in bounded time.

    An environment that raises tells its traceback; one that dies or does not answer is named. The processes ignore
    SIGINT and SIGTERM, which reach a whole group, so that this one can end in order; they end with this process,
    however that ends. Nothing is left of them after `close`, which kills what does not close in time.

    Args:
        env_fns: make one environment each; the first is also called here, to see its spaces.
        timeout: s that all of them together have for a step, a reset, a call, or to close.
        start_timeout: s until they are made, and for their first reset.
        autoreset_mode: as for `AsyncVectorEnv`.
        context: how processes start: "fork", "spawn" or "forkserver" (default: that of the platform).

    Raises:
        ConfigError: for a timeout that is no positive number.
        EnvironmentFault: where an environment cannot be made.
    """

    def __init__(
        self,
        env_fns: Sequence[Callable[[], Env[Any, Any]]],
        *,
        timeout: float = TIMEOUT,
        start_timeout: float = START_TIMEOUT,
        autoreset_mode: AutoresetMode = AutoresetMode.NEXT_STEP,
        context: str | None = None,
    ) -> None:
        if not min(timeout, start_timeout) > 0:
            raise ConfigError(f"Timeouts are positive numbers of seconds, not {timeout!r} and {start_timeout!r}.")
        self.timeout, self.start_timeout = timeout, max(timeout, start_timeout)
        self._lost: set[int] = set()  # those that died or hang
        self._was_reset = False
        self.processes = []
        # a process ends with the thread that forked it, unless that is the main one
        on_main = threading.current_thread() is threading.main_thread()
        try:
            super().__init__(
                env_fns, worker=partial(_work, die_at_once=on_main), autoreset_mode=autoreset_mode, context=context
            )
        except BaseException:
            _kill(self.processes)
            self.closed = True
            raise
        del self.error_queue  # its file descriptors; failures come through the pipes
        # before multiprocessing ends its children with SIGTERM, which they ignore, and waits for them
        self._end: Any = Finalize(self, _kill, (self.processes,), exitpriority=100)

    def reset_async(self, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None) -> None:
        """Ask for resets, as `AsyncVectorEnv` does."""
        self._assert_ready()
        if isinstance(seed, int):
            seed = [seed + i for i in range(self.num_envs)]
        seeds = [None] * self.num_envs if seed is None else seed
        others = {name: value for name, value in (options or {}).items() if name != "reset_mask"}
        mask = (options or {}).get("reset_mask", np.ones(self.num_envs, np.bool_))
        for index, (one, chosen) in enumerate(zip(seeds, mask, strict=True)):
            command = ("reset", {"seed": one, "options": others if options is not None else None})
            self._send(index, command if chosen else ("reset-noop", None))
        self._state = AsyncState.WAITING_RESET

    def reset_wait(self, timeout: float | None = None) -> tuple[Any, dict[str, Any]]:
        """Return what `reset_async` asked for: observations [B, ...] and infos."""
        allowed = self.timeout if self._was_reset else self.start_timeout
        answers = self._answers("reset", timeout or allowed)
        self._was_reset = True
        infos: dict[str, Any] = {}
        for index, (_, info) in enumerate(answers):
            infos = self._add_info(infos, info, index)
        return self._seen([observation for observation, _ in answers]), infos

    def step_async(self, actions: Any) -> None:
        """Ask for a step of every environment."""
        self._assert_ready()
        for index, action in zip(range(self.num_envs), iterate(self.action_space, actions), strict=True):
            self._send(index, ("step", action))
        self._state = AsyncState.WAITING_STEP

    def step_wait(self, timeout: float | None = None) -> tuple[Any, Any, Any, Any, dict[str, Any]]:
        """Return what `step_async` asked for."""
        observations, rewards, terminated, truncated, each = zip(
            *self._answers("step", timeout or self.timeout), strict=True
        )
        infos: dict[str, Any] = {}
        for index, info in enumerate(each):
            infos = self._add_info(infos, info, index)
        return (
            self._seen(observations),
            np.array(rewards, np.float64),
            np.array(terminated, np.bool_),
            np.array(truncated, np.bool_),
            infos,
        )

    def call_async(self, name: str, /, *args: object, **kwargs: object) -> None:
        """Ask for a method, or an attribute, of every environment."""
        self._assert_ready()
        for index in range(self.num_envs):
            self._send(index, ("_call", (name, args, kwargs)))
        self._state = AsyncState.WAITING_CALL

    def call_wait(self, timeout: float | None = None) -> tuple[Any, ...]:
        """Return what `call_async` asked for, of each environment."""
        return tuple(self._answers("call", timeout or self.timeout))

    def set_attr(self, name: str, values: Any) -> None:
        """Set an attribute of every environment, to a value each where there is a list or tuple of them."""
        self._assert_ready()
        each = values if isinstance(values, (list, tuple)) else [values] * self.num_envs
        if len(each) != self.num_envs:
            raise ValueError(f"There are {self.num_envs} environments, not {len(each)}.")
        for index, value in enumerate(each):
            self._send(index, ("_setattr", (name, value)))
        self._answers("call", self.timeout)

    def close_extras(self, timeout: float | None = None, terminate: bool = False) -> None:
        """Close the environments and end the processes; those that do not close in time are killed.

        Raises:
            EnvironmentFault: where one raised or was killed, unless it had failed before.
        """
        self.closed = True
        failed = bool(self._lost)
        allowed = 0.0 if terminate else timeout or self.timeout
        asked = [] if terminate else [index for index in range(self.num_envs) if index not in self._lost]
        for index in asked:
            self._send(index, ("close", None))
        deadline = time.monotonic() + allowed
        faults: list[EnvironmentFault] = []
        for index in asked:
            try:
                while self._answer(index, "close", deadline, allowed) != _CLOSED:
                    pass
            except EnvironmentFault as fault:
                faults.append(fault)
        for index in set(asked) - self._lost:
            self.processes[index].join(max(0.0, min(deadline - time.monotonic(), _LIFE)))
        self._end()  # kills those that are still there
        for pipe in self.parent_pipes:
            pipe.close()
        for process in self.processes:
            process.close()
        if faults and not failed:
            raise faults[0]

    def _check_spaces(self) -> None:
        for index in range(self.num_envs):
            self._send(index, ("_check_spaces", (self.single_observation_space, self.single_action_space)))
        answers = self._answers("construction", self.start_timeout)
        for index, (observations, actions) in enumerate(answers):
            for kind, alike in (("observation", observations), ("action", actions)):
                if not alike:
                    raise EnvironmentContractError(
                        f"The {kind} space of environment {index} is not that of the others. Make them alike.",
                        index=index,
                    )

    def _assert_ready(self) -> None:
        self._assert_is_running()
        if self._lost:
            raise EnvironmentFault("The environment died or hangs since an earlier call.", index=min(self._lost))

    def _send(self, index: int, command: Any) -> None:
        with contextlib.suppress(OSError):  # it is dead, as waiting for its answer will tell
            self.parent_pipes[index].send(command)

    def _answers(self, during: str, timeout: float) -> list[Any]:
        """Return what every worker answers; all are heard before one's failure is raised."""
        deadline = time.monotonic() + timeout
        answers: list[Any] = []
        failed: EnvironmentFault | None = None
        for index in range(self.num_envs):
            try:
                answers.append(self._answer(index, during, deadline, timeout))
            except EnvironmentFault as fault:
                if self._lost:
                    raise
                failed = failed or fault
        self._state = AsyncState.DEFAULT
        if failed is not None:
            raise failed
        return answers

    def _answer(self, index: int, during: str, deadline: float, timeout: float) -> Any:
        """Return what a worker answers, or raise the fault it tells of, or that it does not answer."""
        pipe = self.parent_pipes[index]
        try:
            if not _readable(pipe, 0.0):
                self._await(index, during, deadline, timeout)
            answer, success = pipe.recv()
        except (EOFError, OSError):
            raise self._dead(index) from None
        except EnvironmentFault:
            raise
        except Exception as error:  # of an info whose class is not known here
            raise EnvironmentFault(
                f"What the environment told cannot be read here. {raised(error)}", index=index
            ) from error
        if not success:
            kind = EnvironmentContractError if answer.contract else EnvironmentFault
            raise kind(answer.problem, index=index, cure=answer.cure) from WorkerTraceback(answer.trace)
        return answer

    def _await(self, index: int, during: str, deadline: float, timeout: float) -> None:
        """Wait until a worker has something to say, as long as all are alive."""
        while True:
            left = deadline - time.monotonic()
            if _readable(self.parent_pipes[index], max(0.0, min(left, _LIFE))):
                return
            for other, process in enumerate(self.processes):
                if not process.is_alive() and not _readable(self.parent_pipes[other], 0.0):
                    raise self._dead(other)
            if left <= 0:
                self._lost.add(index)
                raise EnvironmentFault(
                    f"The environment did not answer within {timeout:g} s.",
                    index=index,
                    cure='If it only needs longer: vectorization_mode="async:timeout=SECONDS,start_timeout=SECONDS".',
                )

    def _dead(self, index: int) -> EnvironmentFault:
        self._lost.add(index)
        process = self.processes[index]
        process.join(_LIFE)
        code = process.exitcode
        how = "ended"
        if code is not None:
            how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return EnvironmentFault(
            f"The environment's worker process {how}.",
            index=index,
            cure="It crashed, ended itself, or was killed, perhaps for want of memory.",
        )

    def _seen(self, observations: Sequence[Any]) -> Any:
        """Return observations [B, ...] that no later step overwrites."""
        if not self.shared_memory:
            self.observations = concatenate(self.single_observation_space, observations, self.observations)
        return deepcopy(self.observations)


def _readable(pipe: Connection, timeout: float) -> bool:
    """Return whether there is something to read, the end of it included, within so many seconds."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(round(timeout * 1000)))


def _kill(processes: list[Any]) -> None:
    started = [process for process in processes if process.pid is not None]
    for process in started:
        process.kill()
    for process in started:
        process.join()


# in the worker's process


def _work(
    index: int,
    env_fn: Callable[[], Env[Any, Any]],
    pipe: Connection,
    parent_pipe: Connection,
    shared_memory: Any,
    error_queue: Any,
    autoreset_mode: AutoresetMode,
    semaphore: Any,
    *,
    die_at_once: bool,
) -> None:
    """Do what is asked through a pipe until told to close; what the environment raises is an answer."""
    _end_with_parent(die_at_once)
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, _ignore)  # not SIG_IGN, which programs that the environment starts would inherit
    parent_pipe.close()
    worker: _Worker | None = None
    unmade: _Failure | None = None
    try:
        worker = _Worker(index, env_fn(), shared_memory, autoreset_mode)
    except BaseException as error:
        unmade = _failure(error)
    command = ""
    while command != "close":
        try:
            command, data = pipe.recv()
        except (EOFError, OSError):  # nobody is there any more
            break
        try:
            if worker is not None:
                pipe.send((worker.do(command, data), True))
            else:
                pipe.send((_CLOSED, True) if command == "close" else (unmade, False))
        except BaseException as error:
            pipe.send((_failure(error), False))


class _Worker:
    """An environment and where it is in its life."""

    def __init__(self, index: int, env: Env[Any, Any], shared_memory: Any, autoreset_mode: AutoresetMode) -> None:
        self._index, self._env, self._shared_memory = index, env, shared_memory
        self._next_step = autoreset_mode == AutoresetMode.NEXT_STEP
        self._space = env.observation_space
        self._is_array = isinstance(self._space, spaces.Box)
        self._over = False  # has an episode ended whose reset is due at the next step?
        self._observation: Any = None
        self._calls = self._check_at = 0

    def do(self, command: str, data: Any) -> Any:
        """Return the answer to a command."""
        if command == "step":
            return self._step(data)
        if command == "reset":
            self._over = False
            return self._reset(**data)
        if command == "reset-noop":
            return self._observation, {}
        if command == "_call":
            name, args, kwargs = data
            attribute = self._env.get_wrapper_attr(name)
            return attribute(*args, **kwargs) if callable(attribute) else attribute
        if command == "_setattr":
            return self._env.set_wrapper_attr(*data)
        if command == "_check_spaces":
            return data[0] == self._space, data[1] == self._env.action_space
        self._env.close()
        return _CLOSED

    def _step(self, action: Any) -> Any:
        if self._next_step and self._over:
            self._over = False
            observation, info = self._reset()
            return observation, 0.0, False, False, info
        answer = self._env.step(action)
        try:
            observation, reward, terminated, truncated, info = answer
            reward, terminated, truncated = float(reward), bool(terminated), bool(truncated)
        except (TypeError, ValueError) as error:
            raise unusable(error, "step", None) from None
        self._over = terminated or truncated
        return self._kept(observation), reward, terminated, truncated, self._told(info)

    def _reset(self, **keywords: Any) -> Any:
        answer = self._env.reset(**keywords)
        try:
            observation, info = answer
        except (TypeError, ValueError) as error:
            raise unusable(error, "reset", None) from None
        return self._kept(observation), self._told(info)

    def _kept(self, observation: Any) -> Any:
        """Put an observation where the other process sees it; return it where it must be sent."""
        if self._calls >= self._check_at or (self._is_array and np.shape(observation) != self._space.shape):
            self._check_at = self._calls + (1 if self._calls < STRICT else EVERY)
            wrong, _ = misshapen(self._space, observation)
            if wrong:
                raise EnvironmentFault(f"The observation {wrong}.")
        self._calls += 1
        if not self._shared_memory:
            self._observation = observation
            return observation
        write_to_shared_memory(self._space, self._index, observation, self._shared_memory)
        return None

    def _told(self, info: Any) -> Any:
        if not isinstance(info, dict):
            raise no_info(info)
        return info


def _failure(error: BaseException) -> _Failure:
    trace = traceback.format_exc()
    if isinstance(error, EnvironmentFault):
        return _Failure(error.problem, error.cure, trace, isinstance(error, EnvironmentContractError))
    return _Failure(raised(error), "", trace, False)


def _ignore(number: int, frame: Any) -> None:
    """Go on; the other process says when to end."""


def _end_with_parent(at_once: bool) -> None:
    """Let this process end when the one that made it does, however that ends and whatever this one is doing."""
    parent = os.getppid()
    if at_once and sys.platform == "linux":  # also where no thread of Python's can run
        ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    maker = multiprocessing.parent_process()
    if maker is not None and parent != maker.pid and multiprocessing.get_start_method() != "forkserver":
        os._exit(1)  # it has ended already
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_LIFE)
    os._exit(1)
