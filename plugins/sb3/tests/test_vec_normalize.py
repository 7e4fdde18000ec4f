"""`VecNormalize`'s statistics come along from Stable-Baselines3, and go back to it."""

from __future__ import annotations

import pickle

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete
from rlhub_sb3.export import vec_normalize
from rlhub_sb3.importing import import_zip
from stable_baselines3 import PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core.cli import app


class Wild(gymnasium.Env):
    """Sees numbers far from 0 and 1; the reward is larger the better the action fits the first of them."""

    def __init__(self, parts=False, box=False, size=2):
        place = Box(-np.inf, np.inf, (size,), np.float64)
        self.parts, self.box, self.size = parts, box, size
        self.observation_space = Dict({"place": place, "kind": Discrete(3)}) if parts else place
        self.action_space = Box(-1, 1, (1,), np.float32) if box else Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.time = 0
        return self.seen(), {}

    def step(self, action):
        self.time += 1
        return self.seen(), 100.0 * float(np.sum(action)) * self.place[0], False, self.time == 20, {}

    def seen(self):
        self.place = self.np_random.normal([300.0, 1e-3, 5.0][: self.size], [50.0, 1e-4, 1.0][: self.size])
        return {"place": self.place, "kind": int(self.np_random.integers(3))} if self.parts else self.place


def looks(parts, number=64):
    rng = np.random.default_rng(0)
    place = rng.normal([300.0, 1e-3], [50.0, 1e-4], (number, 2))
    return {"place": place, "kind": rng.integers(3, size=number)} if parts else place


FIRST = np.ones(64, np.bool_)


@pytest.fixture
def no_unpickling(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("nothing may be unpickled")

    for target in ("load", "loads"):
        monkeypatch.setattr(pickle, target, forbidden)


def trained(kind, tmp_path, parts=False, steps=256, size=2, **settings):
    """Train a model of SB3 under VecNormalize; return model, VecNormalize and the paths of what they saved."""
    venv = DummyVecEnv([lambda: Wild(parts, kind is SAC, size)] * 2)
    venv.seed(1)
    under = VecNormalize(venv, **settings)
    small = {"n_steps": 32, "batch_size": 32} if kind is PPO else {"buffer_size": 500, "learning_starts": 50}
    policy = "MultiInputPolicy" if parts else "MlpPolicy"
    model = kind(policy, under, seed=3, device="cpu", policy_kwargs={"net_arch": [8]}, **small).learn(steps)
    model.save(tmp_path / "model.zip")
    under.save(tmp_path / "vecnormalize.pkl")
    return model, under, tmp_path / "model.zip", tmp_path / "vecnormalize.pkl"


SETTINGS = [
    {},
    {"gamma": 0.9, "clip_obs": 1.5, "clip_reward": 3.0, "epsilon": 1e-3},
    {"norm_reward": False, "clip_obs": np.inf},
    {"norm_obs": False},
]


@pytest.mark.parametrize("kind", [PPO, SAC])
@pytest.mark.parametrize("parts", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_model_comes_with_its_statistics_and_acts_and_goes_on(kind, parts, settings, no_unpickling, tmp_path):
    if parts and settings.get("norm_obs", True):
        settings = settings | {"norm_obs_keys": ["place"]}
    model, under, zipped, pickled = trained(kind, tmp_path, parts, **settings)

    def world():
        return Wild(parts, kind is SAC)

    run = import_zip(zipped, world, normalization=pickled, folder=tmp_path / "run")
    ours = run.normalization
    assert ours.settings.observations == under.norm_obs
    assert ours.settings.discount == under.gamma
    if under.norm_obs:
        theirs = under.obs_rms["place"] if parts else under.obs_rms
        moments = ours.observation_moments["place" if parts else ""]
        np.testing.assert_array_equal(moments.mean, theirs.mean)
        np.testing.assert_allclose(moments.variance, theirs.var, rtol=1e-15)
        assert moments.count == theirs.count
    if under.norm_reward:
        assert ours.return_moments.count == under.ret_rms.count
        assert ours.return_moments.variance == pytest.approx(under.ret_rms.var, rel=1e-14)
    expected = model.predict(under.normalize_obs(looks(parts)), deterministic=True)[0]
    for each in (run, rlhub.load(tmp_path / "run", env=world)):
        np.testing.assert_allclose(each.actor()(looks(parts), FIRST), expected, rtol=1e-5, atol=1e-6)
    further = rlhub.resume(tmp_path / "run", env=world, steps=run.steps + 128, progress=False)
    assert further.restored == "exact"
    grown = [*further.normalization.observation_moments.values(), further.normalization.return_moments]
    assert all(moments.count >= 256 + 128 for moments in grown if moments)


def test_a_model_trained_under_it_is_not_taken_without(tmp_path, capsys):
    _, _, zipped, pickled = trained(PPO, tmp_path)
    with pytest.raises(rlhub.ConfigError) as error:
        import_zip(zipped, Wild, folder=tmp_path / "run")
    assert str(error.value) == (
        f"{zipped} was trained under VecNormalize, and knows only normalised numbers. Give what its save() wrote: "
        "--normalization vecnormalize.pkl (in Python normalization=…); none, where it shall not matter."
    )
    assert import_zip(zipped, Wild, normalization="none", folder=tmp_path / "none").normalization is None
    arguments = ["import-sb3", str(zipped), "--env", "CartPole-v1", "--normalization", str(pickled)]
    refused = CliRunner().invoke(app, [*arguments, "--out", str(tmp_path / "cartpole")])
    assert "CartPole-v1 gives Box(" in refused.output
    assert capsys.readouterr().err == ""
    _, _, zipped, _ = trained(SAC, tmp_path)
    import_zip(zipped, lambda: Wild(box=True), folder=tmp_path / "sac")
    assert "does not tell whether it was trained under VecNormalize. If so, it needs what" in capsys.readouterr().err


class Evil:
    def __init__(self, folder):
        self.folder = folder

    def __reduce__(self):
        import os

        return os.mkdir, (self.folder,)


def test_other_files_are_refused_and_run_nothing(tmp_path):
    _, under, zipped, pickled = trained(PPO, tmp_path)

    def refused(content):
        pickled.write_bytes(content)
        with pytest.raises(rlhub.CheckpointError) as error:
            import_zip(zipped, Wild, normalization=pickled, folder=tmp_path / "run")
        assert not (tmp_path / "run").exists()
        return str(error.value).removeprefix(str(pickled))

    assert refused(b"nothing").startswith(" cannot be read as a pickle: ")
    assert refused(pickle.dumps([1])) == " holds no VecNormalize that Stable-Baselines3 has saved, but list."
    evil = pickle.dumps(Evil(str(tmp_path / "evil")))
    assert refused(evil) == " holds no VecNormalize that Stable-Baselines3 has saved, but posix:mkdir."
    under.gamma = Evil(str(tmp_path / "evil"))
    assert refused(pickle.dumps(under)) == " cannot be used: no array of numpy."
    assert not (tmp_path / "evil").exists()
    under.gamma = 3.0
    assert refused(pickle.dumps(under)) == " cannot be used: normalize: discount must be in [0, 1], not 3.0."
    under.gamma, under.obs_rms.var = 0.9, np.array([1.0, -1.0])
    text = " cannot be used: the numbers of obs_rms cannot be means, variances and a count."
    assert refused(pickle.dumps(under)) == text
    under.norm_obs = under.norm_reward = False
    text = " cannot be used: it normalises neither observations nor rewards; say --normalization none."
    assert refused(pickle.dumps(under)) == text
    pickled.unlink()
    with pytest.raises(rlhub.CheckpointError, match=r"cannot be read as a pickle: .*No such file"):
        import_zip(zipped, Wild, normalization=pickled, folder=tmp_path / "run")


def test_statistics_of_other_observations_are_refused(tmp_path):
    (tmp_path / "three").mkdir()
    pickled = trained(PPO, tmp_path / "three", size=3)[-1]
    zipped = trained(PPO, tmp_path)[2]
    with pytest.raises(rlhub.SpaceError, match=r"holds statistics of observations of shape \(3,\); Wild gives Box\("):
        import_zip(zipped, Wild, normalization=pickled, folder=tmp_path / "run")
    zipped, of_parts = trained(PPO, tmp_path, parts=True, norm_obs_keys=["place"])[2:]
    with pytest.raises(rlhub.SpaceError, match=r"of shape \(3,\); <lambda> gives Dict\("):
        import_zip(zipped, lambda: Wild(parts=True), normalization=pickled, folder=tmp_path / "run")
    zipped = trained(PPO, tmp_path / "three")[2]
    with pytest.raises(rlhub.ConfigError, match=r"keys are those of a Dict; observations are Box"):
        import_zip(zipped, Wild, normalization=of_parts, folder=tmp_path / "run")


CONFIG = {"sb3/ppo": {"n_steps": 32, "batch_size": 32}, "sb3/sac": {"buffer_size": 500, "learning_starts": 50}}


@pytest.mark.parametrize("name", CONFIG)
@pytest.mark.parametrize(("parts", "normalize"), [(False, True), (True, True), (False, "observations,clip_rewards=2")])
def test_a_run_goes_back_with_its_statistics(name, parts, normalize, tmp_path):
    def world():
        return Wild(parts, name == "sb3/sac")

    options = {"config": CONFIG[name], "steps": 256, "num_envs": 2, "normalize": normalize, "progress": False}
    rlhub.train(name, world, folder=tmp_path / "run", **options)
    run = rlhub.load(tmp_path / "run", env=world)
    venv = vec_normalize(run, DummyVecEnv([world] * 2), training=False)
    model = run.algorithm.to_sb3(venv)
    assert model.get_vec_normalize_env() is venv
    expected = run.actor()(looks(parts), FIRST)
    given = venv.normalize_obs(looks(parts))
    np.testing.assert_array_equal(model.predict(given, deterministic=True)[0], expected)
    observations = venv.reset()
    for _ in range(30):
        raw = venv.get_original_obs()
        actions = model.predict(observations, deterministic=True)[0]
        np.testing.assert_array_equal(actions, run.actor()(raw, FIRST[:2]))
        observations = venv.step(actions)[0]
    assert venv.norm_reward == (normalize is True)
    venv.training, before = True, venv.ret_rms.count
    if name == "sb3/sac":
        assert model.replay_buffer.size() == 0  # a run keeps what it saw, SB3 the raw
    model.learn(100, reset_num_timesteps=False)
    assert venv.ret_rms.count > before
    model.save(tmp_path / "model.zip")
    venv.save(tmp_path / "vecnormalize.pkl")
    back = import_zip(tmp_path / "model.zip", world, normalization=tmp_path / "vecnormalize.pkl", folder=tmp_path / "b")
    expected = model.predict(venv.normalize_obs(looks(parts)), deterministic=True)[0]
    np.testing.assert_allclose(back.actor()(looks(parts), FIRST), expected, rtol=1e-5, atol=1e-6)


def test_what_cannot_be_wrapped_says_why(tmp_path):
    options = {"config": CONFIG["sb3/ppo"], "steps": 64, "progress": False}
    raw = rlhub.train("sb3/ppo", Wild, folder=tmp_path / "raw", **options)
    with pytest.raises(rlhub.ConfigError, match="normalises nothing: its model takes observations as they are"):
        vec_normalize(raw, DummyVecEnv([Wild]))
    run = rlhub.train("sb3/ppo", Wild, folder=tmp_path / "run", normalize=True, **options)
    with pytest.raises(rlhub.ConfigError, match="These environments are normalised already; give those beneath"):
        vec_normalize(run, VecNormalize(DummyVecEnv([Wild])))
    with pytest.raises(rlhub.SpaceError, match=r"has learnt from observations Box.*: another shape. Give environments"):
        vec_normalize(run, DummyVecEnv([lambda: Wild(size=3)]))
