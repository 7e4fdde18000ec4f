"""`to_sb3` gives a model of plain Stable-Baselines3 that has learned the same and goes on without rlhub."""

from __future__ import annotations

import copy
from types import SimpleNamespace

import numpy as np
import pytest
from rlhub_sb3.plugin import ALGORITHMS
from stable_baselines3.common.vec_env import DummyVecEnv

import rlhub_core as rlhub

NAMES = [row[0] for row in ALGORITHMS]


def trained(name, world, collector, algorithm, **changed):
    here = collector(world, num_envs=2)
    made = algorithm(name, here, 260, **changed)
    list(made.train(here, 260))
    return made


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_sb3s_own_predicts_the_same_and_goes_on(
    name, drift, algorithm, collector, assert_same_weights, tmp_path
):
    world = drift(name)
    made = trained(name, world, collector, algorithm)
    model = made.to_sb3()
    assert type(model).__module__.startswith(("stable_baselines3.", "sb3_contrib."))
    assert_same_weights(model, made.model)
    looks, first = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), np.ones(50, np.bool_)
    expected = made.actor()(looks, first)

    def predicted(model):
        return model.predict(looks, episode_start=first, deterministic=True)[0]

    np.testing.assert_array_equal(predicted(model), expected)
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip")
    assert_same_weights(loaded, model)
    np.testing.assert_array_equal(predicted(loaded), expected)
    steps, before = model.num_timesteps, copy.deepcopy(made.model.get_parameters())
    assert steps == made.steps == loaded.num_timesteps
    for each in (model, loaded):
        each.set_env(DummyVecEnv([world] * 2))
        each.learn(100, reset_num_timesteps=False)
        assert each.num_timesteps >= steps + 100
        assert each._n_updates > made.model._n_updates
    assert_same_weights(made.model, SimpleNamespace(get_parameters=lambda: before))  # they share nothing


def test_it_takes_any_environment_and_the_replay_buffer_goes_along(drift, algorithm, collector):
    world = drift("sac")
    made = trained("sac", world, collector, algorithm, action_noise="ornstein_uhlenbeck(0.1)", ent_coef="auto_0.3")
    alone, same = made.to_sb3(world()), made.to_sb3(DummyVecEnv([world] * 2))
    assert alone.n_envs == 1
    assert alone.replay_buffer.size() == 0
    assert same.replay_buffer.size() == made.model.replay_buffer.size() > 0
    np.testing.assert_array_equal(same.replay_buffer.observations, made.model.replay_buffer.observations)
    assert same.log_ent_coef.item() == made.model.log_ent_coef.item() != np.log(0.3)
    for model in (alone, same):
        model.learn(50, reset_num_timesteps=False)
        assert model.num_timesteps >= 310


def test_scheduled_numbers_have_the_value_in_force(drift, algorithm, collector, tmp_path):
    schedules = {
        "learning_rate": lambda step: 1e-2 if step < 200 else 1e-3,
        "clip_range": lambda step: 0.3 - step / 1e4,
    }
    made = trained("ppo", drift("ppo"), collector, algorithm, **schedules)
    model = made.to_sb3()
    model.save(tmp_path / "model.zip")
    loaded = type(model).load(tmp_path / "model.zip")
    for each in (model, loaded):
        assert each.learning_rate == each.lr_schedule(0.5) == 1e-3
        assert each.clip_range(0.5) == pytest.approx(0.3 - made.steps / 1e4)


@pytest.mark.parametrize("her", [False, True])
def test_hindsight_comes_along_and_an_untrained_model_does(her, drift, algorithm, collector):
    world = drift("sac", goals=True)
    here = collector(world, num_envs=2)
    made = algorithm("sac", here, 260, her=her)
    assert made.to_sb3().replay_buffer.buffer_size * made.to_sb3().n_envs == 120
    list(made.train(here, 260))
    model = made.to_sb3(DummyVecEnv([world] * 2))
    assert model.replay_buffer.size() == made.model.replay_buffer.size()
    model.learn(60, reset_num_timesteps=False)


def test_making_one_draws_from_no_global_generator_and_changes_nothing(drift, algorithm, collector):
    made = trained("ppo", drift("ppo"), collector, algorithm)
    np.random.seed(3)
    made.to_sb3()
    drawn = np.random.random()
    np.random.seed(3)
    assert drawn == np.random.random()


def test_a_run_that_was_loaded_gives_one(settings, tmp_path):
    folder = tmp_path / "run"
    rlhub.train("sb3/ppo", "CartPole-v1", steps=64, num_envs=2, config=settings["ppo"], folder=folder)
    model = rlhub.load(folder).algorithm.to_sb3()
    assert model.num_timesteps == 64
    assert model.env is None
