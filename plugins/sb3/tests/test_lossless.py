"""Being watched, paused and disturbed changes nothing; everyone else's generators are left alone."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch as th

from rlhub_core.schedules import Linear

NAMES = ("a2c", "dqn", "ppo")


def finish(algorithm, collector, until):
    return list(algorithm.train(collector, until))


def test_scheduled_values_never_leave_their_range(algorithm, collector):
    total = 800  # a rollout takes 256: the last one ends at 1,024
    schedule = Linear(1e-3, 0.0, over=total)
    changing = {"learning_rate": schedule, "clip_range": Linear(0.2, 0.1, over=total)}
    ours = algorithm("ppo", world := collector(), total, n_steps=64, **changing)
    progress = finish(ours, world, total)
    rates = [p.metrics["train/learning_rate"] for p in progress]
    assert rates == [schedule(256), schedule(512), schedule(768), 0.0]
    assert progress[-1].metrics["train/clip_range"] == pytest.approx(0.1)


@pytest.mark.parametrize("name", NAMES)
def test_pausing_and_acting_change_nothing(name, algorithm, collector, assert_same_weights):
    total = 640
    undisturbed = algorithm(name, world := collector(), total)
    finish(undisturbed, world, total)
    disturbed, world = algorithm(name, other := collector(), total), other
    explorer = disturbed.actor(explore=True)
    while disturbed.steps < total:
        for _ in disturbed.train(world, min(total, disturbed.steps + 100)):
            np.random.seed(0)
            random.seed(0)
            th.manual_seed(0)
            explorer(world.observations, world.first)
            disturbed.actor()(world.observations, world.first)
            break  # leaving at any yield is fine
    assert_same_weights(disturbed.model, undisturbed.model)


@pytest.mark.parametrize("name", NAMES)
def test_global_generators_are_left_alone(name, algorithm, collector, tmp_path):
    random.seed(1), np.random.seed(1), th.manual_seed(1)
    np.random.randn()  # keeps a second normal draw, which must survive
    expected = None
    for train in (False, True):
        random.seed(1), np.random.seed(1), th.manual_seed(1)
        np.random.randn()
        if train:
            ours = algorithm(name, world := collector(), 300)
            finish(ours, world, 300)
            ours.actor(explore=True)(world.observations, world.first)
            ours.save(tmp_path)
            ours.load(tmp_path)
        drawn = random.random(), np.random.randn(), np.random.rand(), th.rand(1).item()
        expected = expected or drawn
    assert drawn == expected


def test_weights_set_before_training_are_kept(algorithm, collector):
    ours = algorithm("dqn", world := collector(), 100, learning_starts=1000)
    with th.no_grad():
        next(ours.model.policy.parameters()).fill_(0.25)
    finish(ours, world, 100)
    assert th.all(next(ours.model.policy.parameters()) == 0.25)


def test_training_once_an_episode(algorithm, collector):
    ours = algorithm("dqn", world := collector(num_envs=1), 500, train_freq=(1, "episode"))
    progress = finish(ours, world, 500)
    assert sum(len(p.episodes) for p in progress) == ours.model._episode_num
