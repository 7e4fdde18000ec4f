"""deep/a3c: workers that share weights, and what happens when one of them dies."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.envs.classic_control import CartPoleEnv
from gymnasium.spaces import Discrete
from rlhub_deep.a3c import A3C

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, EnvironmentFault, TrainingError

QUICK: dict[str, Any] = {"rollouts_together": 4, "hidden_sizes": (8,)}


class KillOne(rlhub.Callback):
    """Kills a worker once the run is on its way, unless it was resumed."""

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        if progress.steps >= 100 and not run.restored:
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)


def test_a_killed_worker_ends_the_run_with_an_error_and_a_checkpoint() -> None:
    with pytest.raises(TrainingError, match=r"Worker \d of deep/a3c \(process \d+\) was killed by SIGKILL") as raised:
        rlhub.train(
            "deep/a3c", "CartPole-v1", steps=100_000, num_envs=3, config=QUICK, folder="run", callbacks=[KillOne()]
        )
    assert "The run is saved. Go on with: rlhub resume run" in raised.value.__notes__
    assert not multiprocessing.active_children()
    run = rlhub.resume("run", steps=400, callbacks=[KillOne()])
    assert (run.restored, run.stopped) == ("warm", "")
    assert run.steps >= 400


class Fragile(CartPoleEnv):
    """Breaks after a while."""

    steps = 0

    def step(self, action: Any) -> Any:
        self.steps += 1
        if self.steps == 30:
            raise RuntimeError("the pole is broken")
        return super().step(action)


def test_a_worker_whose_environment_misbehaves_says_so() -> None:
    place = r"RuntimeError: the pole is broken .*That is number \d of 2 × .*, in step at env step \d+, \d+ steps after"
    with pytest.raises(EnvironmentFault, match=place) as caught:
        rlhub.train("deep/a3c", Fragile, steps=10_000, num_envs=2, config=QUICK, folder="run")
    assert "the pole is broken" in str(caught.value.__cause__)  # the worker's own traceback
    assert not multiprocessing.active_children()
    assert sorted(Path("run/checkpoints").iterdir())


def test_workers_learn_on_shared_weights_from_environments_of_their_own() -> None:
    run = rlhub.train("deep/a3c", "CartPole-v1", steps=4_000, num_envs=3, config=QUICK)
    assert not multiprocessing.active_children()
    assert {episode.env for episode in run.episodes} == {0, 1, 2}
    assert run.steps == 4_020  # rounds of 3 workers × 4 rollouts × 5 steps
    algorithm: Any = run.algorithm
    fresh = A3C(
        run.observation_space, run.action_space, algorithm.config, seed=algorithm.seed, total_steps=9, device="cpu"
    )
    moved = (algorithm.network.weights - fresh.network.weights).abs()
    assert (moved > 0).float().mean() > 0.9
    loaded = rlhub.load(run.folder)
    assert torch.equal(loaded.algorithm.network.weights, algorithm.network.weights)  # type: ignore[attr-defined]
    observations = np.random.default_rng(0).normal(size=(9, 4)).astype(np.float32)
    first = np.zeros(9, np.bool_)
    assert loaded.actor()(observations, first).tolist() == run.actor()(observations, first).tolist()


def test_a_run_that_is_stopped_leaves_no_worker() -> None:
    run = rlhub.train(
        "deep/a3c", "CartPole-v1", steps=10**6, num_envs=2, config=QUICK, callbacks=["core/stop_after:episodes=5"]
    )
    assert run.stopped
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("optimizer", ["rmsprop:centered=true", "adam", "sgd:momentum=0.9"])
def test_what_optimizers_remember_is_shared(optimizer: str) -> None:
    run = rlhub.train("deep/a3c", "CartPole-v1", steps=200, num_envs=2, config=QUICK | {"optimizer": optimizer})
    algorithm: Any = run.algorithm
    remembered = algorithm.optimizer.state()["state"]["0"]
    for name, moment in remembered.items():
        assert np.any(moment != 0), name


def test_it_says_that_its_resume_is_not_exact() -> None:
    assert not rlhub.algorithms()["deep/a3c"].exact_resume
    run = rlhub.train("deep/a3c", "CartPole-v1", steps=200, config=QUICK)
    assert rlhub.load(run.folder).restored == "warm"


def test_environments_that_cannot_be_taken_apart_are_refused() -> None:
    with pytest.raises(EnvironmentContractError, match=r"cannot be taken apart\. Make it with vectorization_mode"):
        rlhub.train("deep/a3c", "CartPole-v1", steps=100, num_envs=2, vectorization_mode="async", folder="run")
    assert not Path("run/experiment.toml").exists()


def test_environments_that_are_wrapped_together_are_refused() -> None:
    wrapped = gymnasium.wrappers.vector.TransformReward(rlhub.make_vec("CartPole-v1", 2), lambda reward: 100 * reward)
    with pytest.raises(EnvironmentContractError, match=r"cannot be taken apart.*Wrappers go around single ones"):
        rlhub.train("deep/a3c", wrapped, steps=100, num_envs=2)


def test_statistics_that_workers_cannot_share_are_refused() -> None:
    config = {
        "network": lambda space, outputs: torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Linear(4, outputs))
    }
    with pytest.raises(ConfigError, match=r"your network's BatchNorm would not learn\. Use LayerNorm"):
        rlhub.train("deep/a3c", "CartPole-v1", steps=100, config=config)


SCRIPT = """
import rlhub_core as rlhub, torch
torch.set_num_threads(1)
rlhub.train("deep/a3c", "CartPole-v1", steps=10**7, num_envs=2, config={"hidden_sizes": (8,)}, folder="run")
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_run_that_is_killed_leaves_no_worker_and_can_be_resumed(how: signal.Signals) -> None:
    run = subprocess.Popen([sys.executable, "-c", SCRIPT], start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not Path("run/metrics.jsonl").exists() or not Path("run/metrics.jsonl").stat().st_size:
        time.sleep(0.1)
        assert run.poll() is None
    if how == signal.SIGKILL:
        run.kill()
        run.wait()
    else:
        os.killpg(run.pid, how)  # as a batch system does
        assert run.wait(30) == 128 + how
        assert "by SIGTERM. Go on with: rlhub resume run" in (run.stderr.read() if run.stderr else "")
    deadline = time.monotonic() + 30
    while workers_of(run.pid):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert rlhub.resume("run", steps=rlhub.load("run").steps + 400).restored == "warm"


def workers_of(session: int) -> list[int]:
    """Return the processes of a session that are alive."""
    listed = subprocess.run(["ps", "-o", "pid=,stat=", "-s", str(session)], capture_output=True, text=True, check=False)
    lines = [line.split() for line in listed.stdout.splitlines()]
    return [int(pid) for pid, state in lines if not state.startswith("Z")]


def test_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhub_deep.a3c.choose_device", lambda name: torch.device("cuda"))
    env = gymnasium.make("CartPole-v1")
    with pytest.raises(ConfigError, match="shares weights between processes in the CPU's memory, not on cuda"):
        A3C(env.observation_space, Discrete(2), A3C.Config(), seed=0, total_steps=9, device="cuda")
