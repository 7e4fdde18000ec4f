"""Stable-Baselines3's own callbacks are called in a run as in plain `learn`, and end it without a loss."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from rlhub_sb3.callbacks import SB3Callbacks
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.vec_env import DummyVecEnv

import rlhub_core as rlhub
from rlhub_core.testing import StopAt

NAMES = ("a2c", "dqn", "ppo", "sac", "ars", "maskable_ppo", "recurrent_ppo", "trpo", "tqc", "qrdqn", "crossq")


class Tape(BaseCallback):
    """Notes every call, what it sees then, and stops the training at a step."""

    def __init__(self, stop_at: float = np.inf) -> None:
        super().__init__()
        self.stop_at = stop_at
        self.calls: list[list[object]] = []

    def note(self, what: str) -> None:
        seen = self.locals.get("rewards") if what == "step" else None
        reward = None if seen is None else round(float(np.sum(seen)), 5)
        self.calls.append([what, self.n_calls, self.num_timesteps, self.model.num_timesteps, reward])

    def _init_callback(self) -> None:
        self.note("init")

    def _on_training_start(self) -> None:
        assert "total_timesteps" in self.locals
        self.note("training_start")

    def _on_rollout_start(self) -> None:
        self.note("rollout_start")

    def _on_step(self) -> bool:
        self.note("step")
        return self.num_timesteps < self.stop_at

    def _on_rollout_end(self) -> None:
        self.note("rollout_end")

    def _on_training_end(self) -> None:
        self.note("training_end")


@pytest.mark.parametrize("name", NAMES)
def test_calls_and_weights_are_those_of_plain_learn(name, drift, algorithm, plain_on, collector, assert_same_weights):
    world, num_envs = drift(name, random=False), 1 if name == "ars" else 2  # where it counts a step for each
    ours, theirs = Tape(), Tape()
    model = plain_on(name, DummyVecEnv([world] * num_envs))
    model.learn(300, callback=[theirs])
    here = collector(world, num_envs=num_envs)
    made = algorithm(name, here, 300)
    run = SimpleNamespace(algorithm=made)
    host = SB3Callbacks(ours)
    host.on_start(run)
    list(made.train(here, 300))
    host.on_end(run)
    assert ours.calls == theirs.calls
    assert len(ours.calls) > 100
    assert_same_weights(made.model, model)


def test_one_that_returns_false_ends_the_run_after_the_update_and_is_not_called_again(settings, drift, tmp_path):
    first, second = Tape(stop_at=150), Tape()
    folder, world = tmp_path / "run", drift("ppo")
    config = settings["ppo"]
    run = rlhub.train("sb3/ppo", world, steps=900, num_envs=2, config=config, callbacks=[first, second], folder=folder)
    assert run.stopped == "Tape returned False"
    assert run.steps == 160  # whole rollouts of 32 steps
    assert first.calls[-2][:3] == ["step", 75, 150]
    assert first.calls[-1][0] == second.calls[-1][0] == "training_end"
    assert len(first.calls) == len(second.calls)
    assert rlhub.load(folder, env=world).steps == 160


def test_sb3s_own_callbacks_work(settings, drift, tmp_path):
    world = drift("ppo")
    stop = StopTrainingOnRewardThreshold(reward_threshold=-1e9)
    evaluation = EvalCallback(
        world(), callback_on_new_best=stop, eval_freq=50, n_eval_episodes=2, verbose=0, warn=False
    )
    saved = CheckpointCallback(20, str(tmp_path / "zips"))
    callbacks = [CallbackList([saved]), evaluation]
    run = rlhub.train(
        "sb3/ppo", world, steps=900, num_envs=2, config=settings["ppo"], callbacks=callbacks, folder=tmp_path / "run"
    )
    assert run.stopped == "EvalCallback returned False"
    assert run.steps == 128
    assert np.isfinite(evaluation.best_mean_reward)
    zips = sorted(path.name for path in (tmp_path / "zips").iterdir())
    assert zips == ["rl_model_40_steps.zip", "rl_model_80_steps.zip"]
    assert PPO.load(tmp_path / "zips" / zips[0]).num_timesteps == 40


def test_what_they_count_survives_a_resume(settings, drift, tmp_path):
    def made():
        return [Tape(), CheckpointCallback(70, str(tmp_path / "zips"))]

    world, folder = drift("ppo"), tmp_path / "run"
    common = {"steps": 320, "num_envs": 2, "config": settings["ppo"], "log_every": 32}
    whole = made()
    rlhub.train("sb3/ppo", world, callbacks=whole, folder=tmp_path / "whole", **common)
    rlhub.train("sb3/ppo", world, callbacks=[*made(), StopAt(150)], folder=folder, **common)
    parted = made()
    parted[1].save_path = str(tmp_path / "elsewhere")
    run = rlhub.resume(folder, env=world, callbacks=[*parted, StopAt(0)])
    assert run.restored == "exact"
    assert parted[0].n_calls == whole[0].n_calls == 160
    begins = [call[0] for call in parted[0].calls].count("training_start")
    steps = [call for call in parted[0].calls if call[0] == "step"]
    assert begins == 2  # of each session
    assert steps == [call for call in whole[0].calls if call[0] == "step"]
    assert [path.name for path in (tmp_path / "elsewhere").iterdir()] == ["rl_model_280_steps.zip"]


def test_they_are_refused_where_there_is_no_model():
    run = SimpleNamespace(algorithm=object(), experiment=SimpleNamespace(algorithm="deep/dqn"))
    with pytest.raises(rlhub.ConfigError) as error:
        SB3Callbacks(Tape()).on_start(run)
    assert str(error.value) == (
        "Tape: callbacks of Stable-Baselines3 are called by its models, and deep/dqn has none. Use an algorithm sb3/…, "
        "or write an rlhub_core.Callback."
    )
    with pytest.raises(rlhub.ConfigError, match="42 is no callback of Stable-Baselines3"):
        SB3Callbacks(42)


def test_a_refused_run_leaves_its_folder_free(tmp_path):
    pytest.importorskip("rlhub_deep", reason="an algorithm of another plugin")
    with pytest.raises(rlhub.ConfigError, match="deep/dqn has none"):
        rlhub.train("deep/dqn", "CartPole-v1", steps=100, callbacks=[Tape()], folder=tmp_path / "run")
    assert not list(tmp_path.rglob("*.toml"))


def test_training_env_is_at_hand(settings, tmp_path):
    class Look(BaseCallback):
        def _on_step(self) -> bool:
            self.seen = self.training_env.num_envs, self.training_env.get_attr("spec")[0].id
            return True

    look = Look()
    rlhub.train(
        "sb3/ppo",
        "CartPole-v1",
        steps=64,
        num_envs=2,
        config=settings["ppo"],
        callbacks=[look],
        folder=tmp_path / "run",
    )
    assert look.seen == (2, "CartPole-v1")
    assert (tmp_path / "run" / "experiment.toml").read_text().count("Look") == 1
