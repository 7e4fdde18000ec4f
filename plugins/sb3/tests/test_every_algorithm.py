"""What holds for each algorithm: SB3's weights bit for bit, exact resume without pickle, predictions that survive."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch as th
from rlhub_sb3.plugin import ALGORITHMS
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv

import rlhub_core as rlhub
from rlhub_core.hub import default_hub
from rlhub_core.testing import check_exact_resume

NAMES = [row[0] for row in ALGORITHMS]
WIDE = ("ppo", "recurrent_ppo", "trpo")  # that are shown with Box actions, although they take others
OFF_POLICY = ("ddpg", "dqn", "sac", "td3", "qrdqn", "tqc")  # that take Dict observations
NOISE = {"action_noise": "ornstein_uhlenbeck(0.3)"}
VARIANTS = {
    **{name: (name, {}) for name in NAMES},
    **{f"{name}, gSDE": (name, {"use_sde": True, "sde_sample_freq": 3}) for name in ("ppo", "sac", "tqc", "trpo")},
    "sac, gSDE at warm-up": ("sac", {"use_sde": True, "use_sde_at_warmup": True}),
    "a2c, Adam": ("a2c", {"use_rms_prop": False}),
    "dqn, each observation once": (
        "dqn",
        {"optimize_memory_usage": True, "replay_buffer_kwargs": {"handle_timeout_termination": False}},
    ),
    "recurrent_ppo, gSDE": ("recurrent_ppo", {"use_sde": True}),
    "td3, noise": ("td3", NOISE),
    "crossq, noise": ("crossq", {"action_noise": "normal(0.2)"}),
    "sac, fixed ent_coef": ("sac", {"ent_coef": 0.1, "target_update_interval": 2, "gradient_steps": 2}),
    "dqn, three steps": ("dqn", {"n_steps": 3}),
}
SHORT = {"ars": 300, "a2c": 300}  # env steps, where an update takes more or fewer of them


def sb3s(settings, num_envs):
    """Return settings as SB3 writes them."""
    from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise

    kinds = {NOISE["action_noise"]: OrnsteinUhlenbeckActionNoise(np.zeros(1), np.array([0.3]))}
    kinds["normal(0.2)"] = NormalActionNoise(np.zeros(1), np.array([0.2]))
    return settings | {key: kinds[value] for key, value in settings.items() if key == "action_noise"}


def trained(algorithm, collector, total):
    list(algorithm.train(collector, total))
    return algorithm


@pytest.mark.parametrize("variant", VARIANTS)
def test_weights_are_those_of_sb3_alone_with_its_own_environments(
    variant, drift, algorithm, collector, plain_on, assert_same_weights
):
    name, settings = VARIANTS[variant]
    total, box = SHORT.get(name, 260), name in WIDE or drift(name)().box
    world = drift(name, random=False, box=box)
    theirs = plain_on(name, DummyVecEnv([world] * 2), **sb3s(settings, 2))
    theirs.learn(total)
    here = collector(world, num_envs=2)
    ours = trained(algorithm(name, here, total, **settings), here, total)
    assert ours.steps == theirs.num_timesteps == here.steps
    assert theirs._n_updates > 0
    assert_same_weights(ours.model, theirs)


@pytest.mark.parametrize("name", OFF_POLICY)
def test_hindsight_is_sb3s(name, drift, algorithm, collector, plain_on, assert_same_weights):
    world = drift(name, goals=True, random=False)
    options = {"replay_buffer_kwargs": {"n_sampled_goal": 2, "copy_info_dict": name in ("dqn", "sac")}}
    env = DummyVecEnv([world] * 2)
    theirs = plain_on(name, env, "MultiInputPolicy", replay_buffer_class=HerReplayBuffer, **options)
    theirs.learn(260)
    here = collector(world, num_envs=2)
    ours = trained(algorithm(name, here, 260, her=True, **options), here, 260)
    assert_same_weights(ours.model, theirs)


def test_each_candidate_of_ars_plays_whole_episodes(drift, algorithm, collector, plain_on, assert_same_weights):
    long, short = drift("ars", random=False), drift("ars", random=False, length=5)
    theirs = plain_on("ars", DummyVecEnv([long, short]), n_eval_episodes=4)
    theirs.learn(1)
    both = itertools.cycle([long, short])
    here = collector(lambda: next(both)(), num_envs=2)
    ours = trained(algorithm("ars", here, 1, n_eval_episodes=4), here, 1)
    assert_same_weights(ours.model, theirs)
    assert ours.steps == here.steps < theirs.num_timesteps  # which counts a step of two environments twice


def test_hindsight_joins_no_two_episodes(algorithm, collector, drift):
    world = drift("dqn", goals=True)
    ours = algorithm("dqn", here := collector(world, num_envs=2), 400, her=True)
    for _ in range(4):
        trained(ours, here, ours.steps + 22)  # leaves it amid an episode
        here = collector(world, num_envs=2)
    buffer = ours.model.replay_buffer
    goals = buffer.observations["desired_goal"]
    for time, env in zip(*np.nonzero(buffer.ep_length), strict=True):
        begin = buffer.ep_start[time, env]
        assert len(np.unique(goals[begin : begin + buffer.ep_length[time, env], env])) == 1


@pytest.mark.parametrize("name", NAMES)
def test_linear_schedules_are_sb3s(name, drift, algorithm, collector, plain, assert_same_weights):
    total, world = 192, drift(name)
    keys = {"learning_rate"} | ({"clip_range", "clip_range_vf"} if "ppo" in name else set())
    theirs = plain(name, collector(world, num_envs=2), **{key: lambda left: 1e-2 * left for key in keys})
    theirs.learn(total)
    here = collector(world, num_envs=2)
    ours = algorithm(name, here, total, **{key: lambda step: 1e-2 * (1 - step / total) for key in keys})
    assert_same_weights(trained(ours, here, total).model, theirs)


@pytest.fixture
def no_pickle(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("nothing may be pickled or unpickled")

    for target in ("dump", "dumps", "load", "loads"):
        monkeypatch.setattr(pickle, target, forbidden)
    monkeypatch.setattr(th, "load", forbidden)
    monkeypatch.setattr(th, "save", forbidden)


HINDSIGHT = {
    **{f"{name}, hindsight": (name, {"her": True}) for name in OFF_POLICY},
    "sac, hindsight that keeps infos": ("sac", {"her": True, "replay_buffer_kwargs": {"copy_info_dict": True}}),
    "dqn, hindsight that overwrites": ("dqn", {"her": True, "buffer_size": 100}),
}


@pytest.mark.parametrize("variant", [*VARIANTS, *HINDSIGHT])
def test_resume_is_exact(variant, drift, settings, no_pickle):
    name, more = (VARIANTS | HINDSIGHT)[variant]
    world = drift(name, goals="her" in more, box=name in WIDE or drift(name)().box)
    config = settings[name] | more
    if name not in ("a2c", "dqn"):  # they are resumed under a schedule elsewhere
        config |= {"learning_rate": "linear(1e-2, 1e-3)"}
    check_exact_resume(f"sb3/{name}", world, steps=390, num_envs=2, config=config, device="cpu", reward_clip=0.9)


@pytest.mark.parametrize("name", NAMES)
def test_predictions_survive_saving_and_seeds_matter(
    name, drift, algorithm, collector, assert_same_weights, settings, tmp_path
):
    def run(seed):
        here = collector(drift(name), num_envs=2)
        kind = type(algorithm(name, here, 100))
        config, spaces = kind.Config(**settings[name]), (here.single_observation_space, here.single_action_space)
        made = kind(*spaces, config, seed=seed, total_steps=100, device="cpu")
        return trained(made, here, 100)

    one, same, other = run(1), run(1), run(2)
    assert_same_weights(one.model, same.model)
    with pytest.raises(AssertionError):
        assert_same_weights(one.model, other.model)
    observations = np.random.default_rng(0).normal(size=(100, 2)).astype(np.float32)
    first = np.ones(100, np.bool_)
    one.save(tmp_path)
    other.load(tmp_path)
    np.testing.assert_array_equal(other.actor()(observations, first), one.actor()(observations, first))


def test_recurrent_actor_remembers_the_episode_and_forgets_it_at_its_end(algorithm, collector, drift):
    here = collector(drift("recurrent_ppo", box=True), num_envs=2)
    ours = trained(algorithm("recurrent_ppo", here, 100), here, 100)
    actor, looks = ours.actor(), np.full((2, 2), 0.5, np.float32)
    fresh, remembered = actor(looks, np.ones(2, np.bool_)), actor(looks, np.zeros(2, np.bool_))
    assert (fresh != remembered).all()
    mixed = actor(looks, np.array([True, False]))
    assert mixed[0] == fresh[0]
    assert mixed[1] != fresh[1]
    assert len(actor(looks[:1], np.ones(1, np.bool_))) == 1  # another number of environments


def test_exploring_actor_adds_the_noise_of_training(algorithm, collector, drift):
    here = collector(drift("td3"), num_envs=2)
    quiet, noisy = (algorithm("td3", here, 100, **more) for more in ({}, {"action_noise": "normal(0.1)"}))
    looks, first = np.zeros((500, 2), np.float32), np.ones(500, np.bool_)
    difference = noisy.actor(explore=True)(looks, first) - quiet.actor(explore=True)(looks, first)
    assert np.std(difference) == pytest.approx(0.2, rel=0.15)  # actions reach from -2 to 2
    np.testing.assert_array_equal(noisy.actor()(looks, first), quiet.actor()(looks, first))


def test_possible_actions_are_known_in_training_evaluation_and_acting(drift, settings, tmp_path):
    world = drift("maskable_ppo")  # it fails where an impossible action is taken
    config = settings["maskable_ppo"]
    run = rlhub.train("sb3/maskable_ppo", world, steps=64, num_envs=2, config=config, folder=tmp_path / "run")
    rlhub.evaluate(run, world, episodes=4)
    for explore in (False, True):
        actor = run.actor(explore=explore)
        masks = np.eye(3, dtype=np.int8)
        chosen = actor(np.zeros((3, 2), np.float32), np.ones(3, np.bool_), masks)
        assert chosen.tolist() == [0, 1, 2]


def test_environment_that_tells_nothing_is_refused(settings, tmp_path):
    config = settings["maskable_ppo"]
    with pytest.raises(rlhub.EnvironmentContractError, match="no method action_masks\\. Without them, use sb3/ppo"):
        rlhub.train("sb3/maskable_ppo", "CartPole-v1", steps=64, config=config, folder=tmp_path / "run")


def test_hindsight_is_tested_wherever_it_is_offered():
    offering = [
        name for name in NAMES if "her" in default_hub().load("algorithm", f"sb3/{name}").Config.__annotations__
    ]
    assert sorted(offering) == sorted(OFF_POLICY)


def test_settings_are_not_changed_by_a_model(algorithm, collector, drift, settings):
    before = copy.deepcopy(settings)
    for name in NAMES:
        algorithm(name, collector(drift(name), num_envs=2), 100)
    assert settings == before
