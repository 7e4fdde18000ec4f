"""Environments that misbehave: one typed error in bounded time that says where, and nothing of them is left."""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import gc
import math
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv, VectorEnv

import rlhub_core as rlhub
from rlhub_core import Collector, ConfigError, EnvironmentFault, NonFiniteError, checkpoint, faults, make_vec
from rlhub_core.errors import WorkerTraceback
from rlhub_core.loop import only_writer
from rlhub_core.seeding import stretch_seeds
from rlhub_core.workers import Workers

AT, LENGTH, SEED = 12, 5, 3  # the step of an environment at which it misbehaves; steps of an episode; of the collector


class Fine(gymnasium.Env[Any, Any]):
    """Counts its steps; its episodes are short."""

    observation_space: Any = Box(-1000, 1000, (2,), np.float32)
    action_space: Any = Discrete(2)

    def __init__(self, render_mode: str | None = None) -> None:
        self.now = self.time = self.resets = 0
        self.render_mode = render_mode

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.time, self.resets = 0, self.resets + 1
        return self.see(), {}

    def step(self, action: Any) -> Any:
        self.now, self.time = self.now + 1, self.time + 1
        return self.see(), 1.0, self.time == LENGTH, False, {}

    def see(self) -> Any:
        return np.array([self.now, self.time], np.float32)


class Bad(Fine):
    """Misbehaves in a word, in its second environment alone."""

    made = 0

    def __init__(self, how: str = "raise", word: str = "step", second: bool = True) -> None:
        super().__init__()
        self.how, self.word, self.second = how, word, second

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        observation, info = super().reset(seed=seed, options=options)
        self.second = self.second and (seed is None or seed == seed_of(1))
        if self.word == "reset" and self.second and self.resets == 2:
            return {"alone": observation, "info": (observation, None), **self.does(observation)}[self.how]
        return observation, info

    def step(self, action: Any) -> Any:
        observation, reward, terminated, truncated, info = super().step(action)
        if self.word == "step" and self.second and self.now == AT:
            return {
                "nan reward": (observation, math.nan, terminated, truncated, info),
                "inf reward": (observation, -math.inf, terminated, truncated, info),
                "no reward": (observation, None, terminated, truncated, info),
                "four": (observation, reward, terminated, info),
                "info": (observation, reward, terminated, truncated, None),
                **self.does(observation, reward, terminated, truncated, info),
            }[self.how]
        return observation, reward, terminated, truncated, info

    def close(self) -> None:
        if self.word == "close" and self.second and self.now:
            self.does()

    def does(self, observation: Any = None, *others: Any) -> dict[str, Any]:
        if self.how == "raise":
            raise ValueError("out of paint")
        if self.how == "sleep":
            time.sleep(600)
        if self.how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.how == "exit":
            os._exit(3)
        if self.how == "crash":
            faulthandler.disable()  # whose report would stand amid that of the tests
            ctypes.string_at(0)
        others = others or ({},)
        return (
            {
                "nan": (observation * np.float32(math.nan), *others),
                "inf": (observation + np.float32(math.inf), *others),
                "shape": (np.zeros(3, np.float32), *others),
                "text": (np.array(["a", "b"]), *others),
                "far": (np.full(2, 9e9, np.float32), *others),
            }
            if observation is not None
            else {}
        )


def seed_of(env: int) -> int:
    return int(stretch_seeds(SEED, np.array([env]), np.array([0]))[0])


def play(env: VectorEnv[Any, Any, Any], steps: int = 2 * AT, **settings: Any) -> Collector:
    collector = Collector(env, SEED, **settings)
    for _ in range(steps):
        collector.step(np.zeros(env.num_envs, np.int64))
    return collector


@contextlib.contextmanager
def nothing_left() -> Iterator[None]:
    """Check that a block leaves no process, no shared memory and no file descriptor."""

    def left() -> tuple[int, ...]:
        gc.collect()
        shared = sum(f"-{os.getpid()}-" in name for name in os.listdir("/dev/shm")) if os.path.isdir("/dev/shm") else 0
        return len(multiprocessing.active_children()), shared, len(os.listdir("/dev/fd"))

    make_vec(Fine, 2, vectorization_mode="async").close()  # multiprocessing keeps a little memory for the next time
    before = left()
    yield
    assert left() == before


GIVEN = [
    ("raise", "step", r"The environment raised ValueError: out of paint \(.*test_faults\.py:\d+\)\."),
    ("nan", "step", r"The observation holds nan, no finite number\."),
    ("inf", "step", r"The observation holds inf, no finite number\."),
    ("shape", "step", r"bservation .*shape \[3\]; its space is Box\("),
    ("text", "step", r"bservation .*is \[2\] of <U1; its space is Box"),
    ("far", "step", r"The observation holds 8999999488\.0, outside of its space Box\(-1000"),
    ("nan reward", "step", r"The reward is nan, no finite number\."),
    ("inf reward", "step", r"The reward is -inf, no finite number\."),
    ("no reward", "step", r"The reward is nan|cannot be used: float\(\) argument must be .* 'NoneType'"),
    (
        "four",
        "step",
        r"cannot be used: not enough values to unpack \(expected 5, got 4\).*\(pip install rlhub-legacy\)",
    ),
    ("info", "step", r"The info is None \(NoneType\); expected a dict, which may be empty\."),
    ("raise", "reset", r"The environment raised ValueError: out of paint"),
    ("nan", "reset", r"The observation holds nan, no finite number\."),
    ("shape", "reset", r"bservation .*shape \[3\]; its space is Box\("),
    ("alone", "reset", r"AttributeError|The observation has shape \[\]|The info is|cannot be used"),
    ("info", "reset", r"The info is None"),
]
ENDS = [
    ("sleep", r"The environment did not answer within 0\.7 s\..*vectorization_mode=\"async:timeout=SECONDS"),
    ("kill", r"The environment's worker process was killed by SIGKILL\."),
    ("exit", r"The environment's worker process ended with exit code 3\."),
    ("crash", r"The environment's worker process was killed by SIGSEGV\."),
]


def check(fault: EnvironmentFault, word: str, text: str) -> None:
    """Check that a fault says what, where, and whose."""
    assert re.search(text, str(fault)), str(fault)
    assert (fault.index, fault.num_envs, fault.environment, fault.during) == (1, 2, "Bad", word)
    steps = {"step": AT - 1, "reset": LENGTH, "close": AT}[word]
    assert (fault.step, fault.seed, fault.since_seed) == (2 * steps, seed_of(1), steps)
    where = f"That is number 1 of 2 × Bad, in {word} at env step {2 * steps}, {steps} steps after its reset with seed"
    assert where in str(fault)


@pytest.mark.parametrize(("how", "word", "text"), GIVEN, ids=lambda value: str(value)[:12])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_an_environment_raises_or_gives_names_it(mode: str, how: str, word: str, text: str) -> None:
    with nothing_left():
        env = make_vec(Bad, 2, vectorization_mode=mode, how=how, word=word)
        with pytest.raises(EnvironmentFault) as caught:
            play(env)
        env.close()
        check(caught.value, word, text)
        if how == "raise":
            cause = caught.value.__cause__
            assert isinstance(cause, ValueError if mode == "sync" else WorkerTraceback)
            assert mode == "sync" or 'raise ValueError("out of paint")' in str(cause)
        del caught, env


@pytest.mark.parametrize(("how", "word", "text"), GIVEN, ids=lambda value: str(value)[:12])
def test_gymnasiums_own_vector_environment_of_the_user_is_understood(how: str, word: str, text: str) -> None:
    env = SyncVectorEnv([lambda: Bad(how, word)] * 2)
    with pytest.raises(EnvironmentFault) as caught:
        play(env)
    if how in ("info", "text"):  # which Gymnasium's takes apart itself
        assert caught.value.index is not None
    else:
        check(caught.value, word, text)


@pytest.mark.parametrize("word", ["step", "reset", "close"])
@pytest.mark.parametrize(("how", "text"), ENDS, ids=[how for how, _ in ENDS])
def test_a_worker_that_hangs_or_dies_is_told_of_and_nothing_of_it_is_left(how: str, word: str, text: str) -> None:
    with nothing_left():
        env = make_vec(Bad, 2, vectorization_mode="async:timeout=0.7", how=how, word=word)
        pids = [process.pid for process in env.processes]  # type: ignore[attr-defined]
        with pytest.raises(EnvironmentFault) as caught:
            play(env, AT).close()
        env.close()
        check(caught.value, word, text)
        for pid in pids:
            with pytest.raises(ProcessLookupError):
                os.kill(pid, 0)
        del caught, env


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_environment_that_raises_in_close(mode: str) -> None:
    with nothing_left():
        collector = play(make_vec(Bad, 2, vectorization_mode=mode, word="close"), AT)
        with pytest.raises(EnvironmentFault) as caught:
            collector.close()
        check(caught.value, "close", "The environment raised ValueError: out of paint")
        del caught, collector


class Native(VectorEnv[Any, Any, Any]):
    """Three environments at once, of which the last misbehaves."""

    metadata = {"autoreset_mode": AutoresetMode.DISABLED}
    num_envs = 3

    def __init__(self, how: str, space: Any = Fine.observation_space) -> None:
        self.how, self.now = how, 0
        self.single_observation_space, self.single_action_space = space, Discrete(2)

    def reset(self, *, seed: Any = None, options: Any = None) -> Any:
        return np.zeros((3, *(self.single_observation_space.shape or ())), self.single_observation_space.dtype), {}

    def step(self, actions: Any) -> Any:
        self.now += 1
        observation, rewards, over = self.reset()[0], np.ones(3), np.zeros(3, np.bool_)
        if self.now < AT:
            return observation, rewards, over, over, {}
        if self.how == "raise":
            raise ValueError("out of paint")
        last = np.arange(3) == 2  # [B]
        return {
            "nan": (np.where(last[:, None], np.float32(math.nan), observation), rewards, over, over, {}),
            "shape": (np.zeros((3, 3), np.float32), rewards, over, over, {}),
            "dtype": (np.zeros((3, 2), np.complex64), rewards, over, over, {}),
            "class": (4 * last, rewards, over, over, {}),
            "reward": (observation, np.where(last, math.inf, 1.0), over, over, {}),
            "one reward": (observation, 1.0, over, over, {}),
            "over": (observation, rewards, over.astype(float), over, {}),
            "info": (observation, rewards, over, over, None),
            "four": (observation, rewards, over, {}),
        }[self.how]


@pytest.mark.parametrize(
    ("how", "index", "text"),
    [
        ("raise", None, "The environment raised ValueError: out of paint"),
        ("nan", 2, "The observation holds nan, no finite number"),
        ("shape", None, r"The observations are \[3, 3\] of float32; expected \[3, 2\] of float32"),
        ("dtype", None, r"The observations are \[3, 2\] of complex64; their space is Box"),
        ("class", 2, r"The observation holds 4, outside of its space Discrete\(3\)"),
        ("reward", 2, "The reward is inf, no finite number"),
        ("one reward", None, r"The rewards are 1\.0 \(float\); expected numbers, \[3\]"),
        ("over", None, r"`terminated` is \[3\] of float64; expected bool, \[3\]"),
        ("info", None, r"The info is None"),
        ("four", None, r"not enough values to unpack \(expected 5, got 4\)"),
    ],
)
def test_a_native_vector_environment_that_misbehaves(how: str, index: int | None, text: str) -> None:
    with pytest.raises(EnvironmentFault, match=text) as caught:
        play(Native(how, Discrete(3) if how == "class" else Fine.observation_space))
    fault = caught.value
    assert (fault.index, fault.environment, fault.step) == (index, "Native", 3 * (AT - 1))
    assert f"That is {'one' if index is None else 'number 2'} of 3 × Native" in str(fault)


# what is seen later, and what is no fault


class Late(Fine):
    """Gives a reward that is no number long after it was looked at closely."""

    def step(self, action: Any) -> Any:
        observation, _, terminated, truncated, info = super().step(action)
        return observation, math.nan if self.now == 203 else 1.0, terminated, truncated, info


def test_a_reward_that_is_no_number_is_found_at_the_end_of_its_episode_at_the_latest() -> None:
    with pytest.raises(EnvironmentFault, match="The sum of rewards is nan") as caught:
        play(make_vec(Late, 2), 300)
    assert caught.value.step == 2 * 205
    assert caught.value.index == 0


def test_it_is_in_no_checkpoint(tmp_path: Path) -> None:
    collector = play(make_vec(Late, 2), 203)
    with pytest.raises(EnvironmentFault, match="The sum of rewards is nan"):
        collector.save(tmp_path)
    assert not list(tmp_path.iterdir())


class Loose(Fine):
    """Observations of float64, a little outside of their space, as those of many an environment."""

    observation_space = Box(-1, 1, (2,), np.float32)

    def see(self) -> Any:
        return np.array([1.5, 0.0])


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_is_harmless_is_warned_of_once(mode: str) -> None:
    env = make_vec(Loose, 2, vectorization_mode=mode)
    with pytest.warns(UserWarning, match="outside of its space") as warned:
        play(env, 40)
    env.close()
    texts = [str(each.message) for each in warned if "observation" in str(each.message)]
    assert (
        sum("holds 1.5, outside of its space Box(-1.0, 1.0, (2,), float32); widen the space" in t for t in texts) == 1
    )
    if mode == "sync":
        assert sum("is float64, where its space is of float32; say the same in both" in text for text in texts) == 1


@pytest.mark.filterwarnings("error")
def test_rounding_is_nothing() -> None:
    class Rounded(Fine):
        observation_space = Box(-1, 1, (2,), np.float32)

        def see(self) -> Any:
            return np.full(2, 1.00001, np.float32)

    play(make_vec(Rounded, 1), 20)


@pytest.mark.parametrize(
    ("space", "observation", "text"),
    [
        (Discrete(3), 3, r"holds 3, outside of its space Discrete\(3\)"),
        (Box(0, 255, (2,), np.uint8), np.array([0.5, 1.0]), "holds 0.5 of float64, which uint8, its space's, cannot"),
        (Dict({"a": Discrete(2)}), {"b": 1}, r"The observation is a dict of 'b'; its space is Dict\('a'"),
        (Dict({"a": Box(0, 1, (1,))}), {"a": np.array([np.nan], np.float32)}, "holds nan, no finite number"),
        (Box(-np.inf, np.inf, (1,)), np.array([np.inf], np.float32), "holds inf, no finite number"),
    ],
)
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_what_the_space_does_not_hold(mode: str, space: Any, observation: Any, text: str) -> None:
    class Sees(Fine):
        observation_space = space

        def see(self) -> Any:
            return observation

    env = make_vec(Sees, 1, vectorization_mode=mode)
    with pytest.raises(EnvironmentFault, match=text) as caught:
        play(env)
    env.close()
    assert caught.value.during == "reset"


class Steered(Fine):
    """Shows where it was sent."""

    action_space = Box(-1, 1, (2,), np.float32)

    def step(self, action: Any) -> Any:
        observation, *others = super().step(0)
        return (observation + action, *others)


class Stubborn:
    """An algorithm that catches whatever its environments raise, and goes on; one of its actions may be none."""

    @dataclass
    class Config:
        first_nan: int = 10**9

    def __init__(self, observation_space: Any, action_space: Any, config: Config, **keywords: Any) -> None:
        self.config, self.steps = config, 0
        self.observation_space, self.action_space = observation_space, action_space

    def train(self, collector: Collector, total_steps: int) -> Iterator[rlhub.Progress]:
        while self.steps < total_steps:
            actions = np.zeros((collector.num_envs, *collector.single_action_space.shape), np.float32)
            if self.steps >= self.config.first_nan:
                actions[1] = math.nan
            with contextlib.suppress(EnvironmentFault):
                collector.step(actions.astype(collector.single_action_space.dtype))
            self.steps += collector.num_envs
            yield rlhub.Progress(self.steps, collector.episodes(), {})

    def save(self, folder: Path) -> None:
        (folder / "steps.json").write_text(str(self.steps))

    def load(self, folder: Path) -> None:
        self.steps = int((folder / "steps.json").read_text())


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_algorithm_that_catches_a_fault_ends_with_it_nevertheless(mode: str, tmp_path: Path) -> None:
    with nothing_left():
        with pytest.raises(EnvironmentFault, match=r"out of paint.*of 2 × <lambda>, in step at env step 22") as caught:
            rlhub.train(
                Stubborn,
                lambda: Once("raise"),
                steps=400,
                num_envs=2,
                folder=tmp_path / "run",
                vectorization_mode=mode,
                callbacks=["core/checkpoint:every=10"],
            )
        del caught
    assert checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] == 20


def test_whatever_is_done_with_a_collector_after_a_fault_raises_it_again(tmp_path: Path) -> None:
    collector = Collector(make_vec(Bad, 2), SEED)
    for _ in range(AT - 1):
        collector.step(np.zeros(2, np.int64))
    with pytest.raises(EnvironmentFault) as caught:
        collector.step(np.zeros(2, np.int64))
    for action in (
        lambda: collector.step(np.zeros(2, np.int64)),
        lambda: collector.restart(np.ones(2, np.bool_)),
        lambda: collector.save(tmp_path),
    ):
        with pytest.raises(EnvironmentFault) as again:
            action()
        assert again.value is caught.value
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first_nan", [20, 400], ids=["while every step is looked at", "later"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_an_action_that_is_no_number_is_no_fault_of_the_environment(mode: str, first_nan: int, tmp_path: Path) -> None:
    with pytest.raises(NonFiniteError, match=r"the action for environment 1 holds nan\. Try") as caught:
        rlhub.train(
            Stubborn,
            Steered,
            steps=4_000,
            num_envs=2,
            folder=tmp_path / "run",
            vectorization_mode=mode,
            config={"first_nan": first_nan},
        )
    assert isinstance(caught.value.__cause__, EnvironmentFault)
    found = rlhub.replay_update(tmp_path / "run", algorithm=Stubborn)
    assert (found.arrays[0].name, found.arrays[0].nan, found.arrays[0].at) == ("actions", 2, (1, 0))


# workers


def test_timeouts_are_part_of_the_recipe_and_are_checked() -> None:
    env = make_vec("CartPole-v1", 1, vectorization_mode="async:timeout=7,start_timeout=8")
    assert isinstance(env, Workers)
    assert (env.timeout, env.start_timeout) == (7.0, 8.0)
    env.close()
    with pytest.raises(ConfigError, match=r"Timeouts are positive numbers of seconds, not 0\.0 and 300\.0"):
        make_vec("CartPole-v1", 1, vectorization_mode="async:timeout=0")
    with pytest.raises(ConfigError, match=r"async has no option 'timeuot'\. Did you mean 'timeout'"):
        make_vec("CartPole-v1", 1, vectorization_mode="async:timeuot=1")


def test_an_environment_that_cannot_be_made_in_its_process() -> None:
    parent = os.getpid()

    def made() -> Fine:
        if os.getpid() != parent:
            raise OSError("no licence")
        return Fine()

    with nothing_left(), pytest.raises(EnvironmentFault, match=r"OSError: no licence.* 2 × made, in construction"):
        make_vec(made, 2, vectorization_mode="async")


def test_signals_to_the_whole_group_leave_workers_alone() -> None:
    env = make_vec(Fine, 2, vectorization_mode="async")
    for process in env.processes:  # type: ignore[attr-defined]
        os.kill(process.pid, signal.SIGINT)
        os.kill(process.pid, signal.SIGTERM)
    assert play(env).steps == 4 * AT
    env.close()


def test_workers_are_started_anew_where_asked() -> None:
    env = make_vec("CartPole-v1", 2, vectorization_mode="async:context=spawn")
    same = make_vec("CartPole-v1", 2)
    assert play(env)._checksum() == play(same)._checksum()
    env.close()


def test_a_method_that_is_missing_ends_nothing() -> None:
    env = make_vec(Fine, 2, vectorization_mode="async")
    with pytest.raises(EnvironmentFault, match="AttributeError"):
        env.call("nothing_of_the_kind")  # type: ignore[attr-defined]
    assert env.call("now") == (0, 0)  # type: ignore[attr-defined]
    env.close()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ("sleep", r"step_wait` has timed out after 0\.7 second"),
        ("kill", r"worker process ended with exit code -9"),
        ("raise", r"The environment raised ValueError: out of paint"),
    ],
)
def test_a_users_own_async_environment_does_not_wait_for_ever(
    how: str, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(faults, "TIMEOUT", 0.7)
    env = AsyncVectorEnv([lambda: Bad(how)] * 2)
    with pytest.raises(EnvironmentFault, match=text) as caught:
        play(env)
    assert (caught.value.index, caught.value.seed) == (1, seed_of(1))
    env.close(terminate=True)


SCRIPT = """
import os, sys, threading, time
sys.path[:0] = {path!r}
from rlhub_core import make_vec
from test_faults import Bad, play

def main():
    env = make_vec(Bad, 2, vectorization_mode="async", how="sleep", second=True)
    print(*[process.pid for process in env.processes], flush=True)
    if {how!r} != "idle":
        play(env)
    globals()["kept"] = env

thread = threading.Thread(target=main, daemon=True)
main() if {how!r} != "thread" else (thread.start(), thread.join())
"""


def gone(pid: int) -> bool:
    """Return whether a process has ended; nobody may have asked yet how it did."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        pass
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


@pytest.mark.parametrize("how", ["main", "thread"])
def test_workers_end_with_a_parent_that_is_killed_whatever_they_are_doing(how: str) -> None:
    script = SCRIPT.format(path=sys.path, how=how)
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while not all(map(gone, pids)):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_program_that_forgets_to_close_ends() -> None:
    script = SCRIPT.format(path=sys.path, how="idle")
    ended = subprocess.run([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, timeout=30, check=True)
    assert all(gone(int(pid)) for pid in ended.stdout.split())


def test_a_forked_process_does_not_hold_a_runs_lock(tmp_path: Path) -> None:
    (reading, writing), (waiting, there) = os.pipe(), os.pipe()
    with only_writer(tmp_path):
        child = os.fork()
        if child == 0:
            os.write(there, b".")
            os.close(writing)
            os.read(reading, 1)  # until the parent is done
            os._exit(0)
        os.read(waiting, 1)
    with only_writer(tmp_path):
        pass
    for each in (reading, writing, waiting, there):
        os.close(each)
    os.waitpid(child, 0)


# runs

PLUGIN = """
from gymnasium.envs.registration import EnvSpec
from rlhub_core import hookimpl

@hookimpl
def rlhub_environments():
    yield EnvSpec("bad/Bad-v0", entry_point="test_faults:Bad")
"""


@pytest.fixture
def _plugin(tmp_path: Path, install: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(toy, "rlhub-bad", "1.2", {"rlhub_bad.py": PLUGIN}, {"bad": "rlhub_bad"})
    monkeypatch.chdir(tmp_path)


def train(env: Any, **settings: Any) -> rlhub.Run:
    given = {"steps": 60, "num_envs": 2, "folder": "run", "log_every": 10, "callbacks": ["core/checkpoint:every=10"]}
    return rlhub.train("toy/random", env, **{**given, **settings})


class Once(Bad):
    """Misbehaves for whoever has not mended it."""

    mended = False

    def __init__(self, how: str) -> None:
        super().__init__(how, second=False)
        self.now = 0

    def step(self, action: Any) -> Any:
        self.second = self.now == AT - 1 and not self.mended
        return super().step(action)


@pytest.mark.usefixtures("_plugin")
@pytest.mark.parametrize(("mode", "how"), [("sync", "raise"), ("sync", "nan"), ("async", "kill"), ("async", "crash")])
def test_a_run_whose_environment_fails_goes_on_exactly_once_it_is_mended(
    mode: str, how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with nothing_left():
        with pytest.raises(EnvironmentFault) as caught:
            train(Once, env_options={"how": how}, vectorization_mode=mode)
        assert caught.value.step == 2 * (AT - 1)
        assert caught.value.__notes__ == [
            "The run's newest checkpoint is of step 20. Mend the environment, then go on with: rlhub resume run"
        ]
        del caught  # whose frames hold the environments
    monkeypatch.setattr(Once, "mended", True)
    resumed = rlhub.resume("run", env=Once)
    assert (resumed.restored, resumed.steps) == ("exact", 60)
    clean = train(Once, env_options={"how": how}, vectorization_mode=mode, folder="clean")
    for file in ("episodes.csv", "metrics.jsonl"):
        ours, theirs = (
            [re.sub(r'"[^"]*(seconds|_per_s)[^"]*": [^,}]+', "", line) for line in (run.folder / file).open()]
            for run in (resumed, clean)
        )
        assert ours == theirs


@pytest.mark.usefixtures("_plugin")
def test_a_fault_names_the_distribution_that_offers_the_environment() -> None:
    with pytest.raises(EnvironmentFault, match=r"number 0 of 2 × bad/Bad-v0, offered by rlhub-bad 1\.2, in step at"):
        train("bad/Bad-v0", env_options={"second": False, "how": "raise", "word": "step"}, wrappers=[_Always])


class _Always(gymnasium.Wrapper[Any, Any, Any, Any]):
    """Has an environment misbehave wherever it is."""

    def reset(self, **keywords: Any) -> Any:
        answer = super().reset(**keywords)
        self.env.unwrapped.second = True  # type: ignore[attr-defined]
        return answer


@pytest.mark.usefixtures("_plugin")
def test_a_run_refused_by_its_environment_leaves_neither_folder_nor_process() -> None:
    def never() -> Fine:
        env = Fine()
        env.reset = lambda **_: None  # type: ignore[method-assign]
        return env

    with nothing_left(), pytest.raises(EnvironmentFault, match=r"of 2 × never, in reset at env step 0"):
        train(never, vectorization_mode="async")
    assert not Path("run").exists()


@pytest.mark.usefixtures("_plugin")
def test_an_environment_that_fails_to_close_costs_nothing() -> None:
    class Last(Fine):
        def close(self) -> None:
            if self.now:
                raise OSError("the door is stuck")

    with pytest.raises(EnvironmentFault, match=r"OSError: the door is stuck.* in close at env step 60") as caught:
        train(Last)
    assert caught.value.__notes__ == ["Training has ended before, and the run is saved."]
    assert rlhub.load("run", env=Last).steps == 60


def still(observations: Any, first: Any) -> Any:
    return np.zeros(len(first), np.int64)


def test_a_fault_in_an_evaluation_names_itself() -> None:
    with pytest.raises(EnvironmentFault, match=r"out of paint.*number 0 of 1 × Once, in step at env step 11"):
        rlhub.evaluate(still, Once, 9, num_envs=1, how="raise")


def test_a_fault_while_recording_names_itself(tmp_path: Path) -> None:
    class Endless(Fine):
        metadata = {"render_modes": ["rgb_array"]}

        def step(self, action: Any) -> Any:
            if self.now == 4:
                raise ValueError("out of paint")
            self.now += 1
            return self.see(), 1.0, False, False, {}

        def render(self) -> Any:
            return np.zeros((8, 8, 3), np.uint8)

    with pytest.raises(EnvironmentFault, match=r"out of paint.*1 × Endless, in step at env step 4, 4 steps after its"):
        rlhub.record(still, tmp_path / "film.gif", Endless)


def test_a_fault_while_restoring_names_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Once, "mended", True)
    play(make_vec(Once, 1, how="raise"), 15).save(tmp_path)
    monkeypatch.setattr(Once, "mended", False)
    with pytest.raises(EnvironmentFault, match=r"out of paint.*in step, repeated to restore it at env step 11, 11 st"):
        Collector(make_vec(Once, 1, how="raise"), SEED).load(tmp_path)
