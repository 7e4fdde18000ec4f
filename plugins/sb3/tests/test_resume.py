"""A run that was left and resumed, in a disturbed process, goes on as if nothing had happened."""

from __future__ import annotations

import json
import random
import shutil

import numpy as np
import pytest
import torch as th

import rlhub_core as rlhub

NAMES = ("dqn", "ppo")


def disturb():
    random.seed(99), np.random.seed(99), th.manual_seed(99)


def train_until(algorithm, collector, until):
    return [e for progress in algorithm.train(collector, until) for e in progress.episodes]


class StopAt(rlhub.Callback):
    def __init__(self, step):
        self.step = step

    def on_progress(self, run, progress):
        if progress.steps >= self.step:
            raise rlhub.StopTraining("enough for now")


def records(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    of_steps = [{name: number for name, number in line.items() if not name.startswith("time/")} for line in lines]
    return (folder / "episodes.csv").read_text(), of_steps


@pytest.mark.parametrize("name", NAMES)
def test_run_stopped_and_resumed_equals_one_that_was_not(name, tmp_path, assert_same_weights):
    settings = {
        "dqn": {"learning_starts": 64, "learning_rate": "linear(1e-3, 0)"},
        "ppo": {"n_steps": 32, "n_epochs": 2, "learning_rate": "linear(1e-3, 0)", "clip_range": "linear(0.2, 0)"},
    }[name]
    options = {"steps": 1500, "num_envs": 4, "seed": 2, "config": settings, "device": "cpu", "progress": False}
    whole = rlhub.train(f"sb3/{name}", "CartPole-v1", folder=tmp_path / "whole", **options)
    stopped = rlhub.train(f"sb3/{name}", "CartPole-v1", folder=tmp_path / "stopped", callbacks=[StopAt(700)], **options)
    assert stopped.steps < 1500
    disturb()
    resumed = rlhub.resume(tmp_path / "stopped", callbacks=[StopAt(10**9)], progress=False)
    assert resumed.restored == "exact"
    assert_same_weights(resumed.algorithm.model, whole.algorithm.model)
    assert records(resumed.folder) == records(whole.folder)


def test_loaded_run_acts_without_reading_the_replay_buffer(tmp_path):
    run = rlhub.train("sb3/dqn", "CartPole-v1", steps=200, folder=tmp_path / "run", device="cpu", progress=False)
    observations = np.random.default_rng(0).normal(size=(100, 4)).astype(np.float32)
    loaded = rlhub.load(tmp_path / "run")
    first = np.zeros(100, np.bool_)
    np.testing.assert_array_equal(loaded.actor()(observations, first), run.actor()(observations, first))
    assert loaded.algorithm.model.replay_buffer.pos == 0


def test_another_number_of_environments_is_refused(algorithm, collector):
    ours = algorithm("ppo", world := collector(), 256)
    train_until(ours, world, 64)
    with pytest.raises(rlhub.ConfigError, match="has learned with 4 environments; it cannot go on with 2"):
        train_until(ours, collector(num_envs=2), 256)


def test_a_collector_that_begins_anew_begins_an_episode(algorithm, collector):
    ours = algorithm("ppo", world := collector(), 128)
    train_until(ours, world, 64)
    train_until(ours, collector(), 128)
    assert ours.model.rollout_buffer.episode_starts[0].all()


@pytest.mark.parametrize("name", ["sb3/ppo", "sb3/dqn"])
def test_a_run_goes_on_from_its_very_beginning(name, tmp_path):
    config = {"n_steps": 64} if name == "sb3/ppo" else {"learning_starts": 50} if name == "sb3/dqn" else {}
    whole = rlhub.train(name, "CartPole-v1", steps=400, config=config, folder=tmp_path / "whole")
    shutil.copytree(tmp_path / "whole", tmp_path / "again")
    for later in sorted((tmp_path / "again" / "checkpoints").iterdir())[1:]:
        shutil.rmtree(later)  # as if it had been killed before its second one
    again = rlhub.resume(tmp_path / "again")
    assert again.restored == "exact"
    weights = whole.algorithm.model.policy.state_dict()
    for key, weight in again.algorithm.model.policy.state_dict().items():
        assert th.equal(weight, weights[key])
