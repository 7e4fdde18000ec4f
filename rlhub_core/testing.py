"""What a plugin's author tests with: probe environments that learn in a second, and the promises as functions.

from rlhub_core.testing import check_exact_resume, check_exact_restore

def test_resume(): check_exact_resume("maze/wall_follower", "CartPole-v1", steps=2_000)
def test_restore(): check_exact_restore("maze/Tiny-v0")
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete
from numpy.typing import NDArray

from rlhub_core import segments, state
from rlhub_core.collector import Collector
from rlhub_core.envs import EnvironmentSource
from rlhub_core.protocol import Callback, Progress, StopTraining
from rlhub_core.run import Run
from rlhub_core.training import resume, train

Observation = NDArray[np.float32]


class Probe(gymnasium.Env[Observation, np.int64]):
    """A smallest environment that isolates one thing an algorithm can get wrong.

    The five of them, each with one more thing than the one before, are those that Andy Jones describes in "Debugging
    reinforcement learning systems" (2021).
    """

    actions = 2
    length = 1  # steps of an episode

    def __init__(self) -> None:
        self.observation_space = Box(-1.0, 1.0, (1,), np.float32)
        self.action_space = Discrete(self.actions)
        self._time = 0
        self._seen = 0.0

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed)
        self._time = 0
        self._seen = self.first_observation()
        return np.array([self._seen], np.float32), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Take one of the one or two steps of an episode."""
        reward = self.reward(self._seen, int(action))
        self._time += 1
        over = self._time == self.length
        self._seen = float(self._time) if not over else 0.0
        return np.array([self._seen], np.float32), reward, over, False, {}

    def first_observation(self) -> float:
        """Return what is seen first."""
        return 0.0

    def reward(self, seen: float, action: int) -> float:
        """Return the reward of an action."""
        return 1.0


class ConstantValue(Probe):
    """One action, one observation, one step, reward 1: is a value learnt at all?"""

    actions = 1


class ObservationValue(Probe):
    """A random observation of -1 or 1 is the reward: does the value depend on what is seen?"""

    actions = 1

    def first_observation(self) -> float:
        """Return -1 or 1."""
        return float(self.np_random.choice([-1.0, 1.0]))

    def reward(self, seen: float, action: int) -> float:
        """Return what was seen."""
        return seen


class DiscountedValue(Probe):
    """Two steps, reward 1 at the second: is the value of the first γ?"""

    actions, length = 1, 2

    def reward(self, seen: float, action: int) -> float:
        """Return 1 for the second step."""
        return seen


class ActionMatters(Probe):
    """Two actions, rewards -1 and 1: is the better one chosen?"""

    def reward(self, seen: float, action: int) -> float:
        """Return 1 for action 1."""
        return 2.0 * action - 1.0


class ActionAndObservationMatter(Probe):
    """The better action is the one that matches a random observation."""

    def first_observation(self) -> float:
        """Return -1 or 1."""
        return float(self.np_random.choice([-1.0, 1.0]))

    def reward(self, seen: float, action: int) -> float:
        """Return 1 where action and observation agree, else -1."""
        return 1.0 if (action == 1) == (seen > 0) else -1.0


PROBES = (ConstantValue, ObservationValue, DiscountedValue, ActionMatters, ActionAndObservationMatter)


class StopAt(Callback):
    """Ends a run at an env step; a run that was resumed goes on."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Stop once the step is reached."""
        if run.restored is None and progress.steps >= self.step:
            raise StopTraining(f"step {self.step} reached")


def check_exact_restore(
    env: Any, *, num_envs: int = 3, steps: int = 300, reseed_every: int = 50, **options: Any
) -> None:
    """Assert that a collector over these environments goes on bit for bit after it is saved and built anew.

    Args:
        env: a name, class or factory.
        num_envs: environments side by side.
        steps: vector steps before the collector is saved, and as many after it.
        reseed_every: as for `Collector`; short, so that several stretches are crossed.
        options: keyword arguments of the environment.
    """
    source = EnvironmentSource.of(env, options)
    collector = Collector(source.make_vec(num_envs), 7, reseed_every=reseed_every)
    space = collector.env.action_space
    space.seed(3)
    actions = [space.sample() for _ in range(2 * steps)]
    for action in actions[:steps]:
        collector.step(action)
    with tempfile.TemporaryDirectory() as folder:
        collector.save(Path(folder))
        restored = Collector(source.make_vec(num_envs), 7, reseed_every=reseed_every)
        assert restored.load(Path(folder)), f"{source.name} is not where it was after its actions are replayed"
    for action in actions[steps:]:
        one, other = collector.step(action), restored.step(action)
        for name, ours, theirs in zip(one._fields[:-1], one, other, strict=False):
            np.testing.assert_equal(ours, theirs, err_msg=f"{source.name}: {name} differs after a restore")
        np.testing.assert_equal(collector.observations, restored.observations)
    assert list(collector.episodes()) == list(restored.episodes()), f"{source.name}: episodes differ after a restore"
    collector.close()
    restored.close()


def check_exact_resume(
    algorithm: Any, env: Any, *, steps: int, num_envs: int = 2, config: Mapping[str, Any] | None = None, **settings: Any
) -> None:
    """Assert that a run stopped half way and resumed leaves the same files and the same state as one that was not.

    Args:
        algorithm: a name or class.
        env: a name, class or factory.
        steps: of the whole run.
        num_envs: environments side by side.
        config: hyper-parameters.
        settings: as for `train`.
    """
    with tempfile.TemporaryDirectory() as parent:
        whole, parted = Path(parent) / "whole", Path(parent) / "parted"
        settings = {"steps": steps, "num_envs": num_envs, "config": config, "progress": False, **settings}
        train(algorithm, env, folder=whole, callbacks=[StopAt(2 * steps)], **settings)
        train(algorithm, env, folder=parted, callbacks=[StopAt(steps // 2)], **settings)
        live: dict[str, Any] = {
            "algorithm": None if isinstance(algorithm, str) else algorithm,
            "env": None if isinstance(env, str) else env,
            "config": {name: value for name, value in (config or {}).items() if callable(value)},
        }
        resumed = resume(parted, callbacks=[StopAt(0)], progress=False, **live)
        assert resumed.restored == "exact", f"the run resumed {resumed.restored}"
        for left, right in zip(fingerprints(whole), fingerprints(parted), strict=True):
            assert left == right, f"an uninterrupted and a resumed run differ in {left[0]} and {right[0]}"


def fingerprints(folder: Path) -> list[tuple[str, str]]:
    """Return (name, hash) of what two equal runs share: last states of learner and environments, and the records.

    Metrics whose name begins with `time/` are left out.
    """
    newest = max((folder / "checkpoints").glob("[0-9]*"))
    paths = [
        *(newest / "algorithm").rglob("*"),
        *(newest / "collector").rglob("*"),
        *(folder / name for name in ("episodes.csv", "evaluations.jsonl") if (folder / name).exists()),
    ]
    cut = [path for path in paths if path.suffix == ".json" and b'"segments"' in path.read_bytes()]
    named = [(path.name, _contents(path)) for path in cut]
    files = [path for path in paths if path.is_file() and not any(_belongs(path, index) for index in cut)]
    named += [(path.name, path.read_bytes()) for path in sorted(files)]
    metrics = folder / "metrics.jsonl"
    if metrics.exists():
        lines = [json.loads(line) for line in metrics.read_text().splitlines()]
        timeless = [{name: number for name, number in line.items() if not name.startswith("time/")} for line in lines]
        named.append((metrics.name, json.dumps(timeless).encode()))
    return [(name, hashlib.sha256(content).hexdigest()) for name, content in named]


def _belongs(path: Path, index: Path) -> bool:
    return path.parent == index.parent and path.name.startswith(f"{index.stem}.")


def _contents(index: Path) -> bytes:
    """Return what a state says, however its rows are cut into files."""
    return json.dumps(segments.digest(index.parent, state.load(index.parent, index.stem))).encode()
