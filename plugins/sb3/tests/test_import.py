"""What Stable-Baselines3 has saved becomes a run that acts and goes on, and nothing in the file is run."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import re
import zipfile

import gymnasium
import numpy as np
import pytest
import torch as th
from rlhub_sb3.importing import import_zip
from rlhub_sb3.pickles import UnreadableError, numbers, read
from rlhub_sb3.plugin import ALGORITHMS
from rlhub_sb3.tensors import tensors
from stable_baselines3 import A2C, DQN, PPO, SAC, TD3
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.type_aliases import TrainFrequencyUnit
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core.cli import app

NAMES = [row[0] for row in ALGORITHMS]
LOOKS, FIRST = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32), np.ones(50, np.bool_)


def saved(model, path):
    model.save(path)
    return path


@pytest.fixture
def no_unpickling(monkeypatch):
    def forbidden(*args, **kwargs):
        raise AssertionError("nothing may be unpickled")

    for target in ("load", "loads"):
        monkeypatch.setattr(pickle, target, forbidden)
    monkeypatch.setattr(th, "load", forbidden)


@pytest.mark.parametrize("name", NAMES)
def test_each_algorithm_is_recognised_acts_the_same_and_goes_on(
    name, drift, plain_on, assert_same_weights, no_unpickling, tmp_path
):
    world = drift(name)
    model = plain_on(name, DummyVecEnv([world] * 2)).learn(260)
    run = import_zip(saved(model, tmp_path / "model.zip"), world, folder=tmp_path / "run")
    assert run.experiment.algorithm == f"sb3/{name}"
    assert run.steps == run.algorithm.steps == model.num_timesteps
    assert_same_weights(run.algorithm.model, model)
    expected = model.predict(LOOKS, episode_start=FIRST, deterministic=True)[0]
    loaded = rlhub.load(tmp_path / "run", env=world)
    np.testing.assert_array_equal(loaded.actor()(LOOKS, FIRST), expected)
    assert rlhub.evaluate(loaded, episodes=2).step == model.num_timesteps
    for field in ("gamma", "batch_size", "n_steps", "n_delta", "train_freq", "learning_rate", "n_epochs", "tau"):
        if hasattr(loaded.algorithm.model, field):
            assert getattr(loaded.algorithm.model, field) == getattr(model, field), field
    further = rlhub.resume(tmp_path / "run", env=world, steps=run.steps + 200, progress=False)
    assert further.restored == "exact"
    assert further.algorithm.model._n_updates > model._n_updates
    assert further.episodes[0].step > model.num_timesteps


def test_hyper_parameters_are_read_from_pickles_as_data(drift, no_unpickling, tmp_path):
    def hyper_parameters(kind, env, **given):
        path = saved(kind("MlpPolicy", env(), device="cpu", **given), tmp_path / "model.zip")
        folder = tmp_path / f"run-{len(list(tmp_path.iterdir()))}"
        return import_zip(path, env, folder=folder).experiment.hyper_parameters

    net = {"net_arch": {"pi": [8], "vf": [4]}, "activation_fn": th.nn.ReLU}
    ppo = hyper_parameters(PPO, drift("ppo"), policy_kwargs=net, clip_range=LinearSchedule(0.3, 0.1, 0.5))
    assert ppo["policy_kwargs"] == {
        "net_arch": {"pi": [8], "vf": [4]},
        "activation_fn": "torch.nn.modules.activation:ReLU",
    }
    assert str(ppo["clip_range"]) == "linear(0.3, 0.1, 1)"
    noise = NormalActionNoise(np.zeros(1), np.array([0.25]))
    td3 = hyper_parameters(TD3, drift("td3"), action_noise=noise, train_freq=(1, "episode"), buffer_size=100)
    assert td3["action_noise"] == "normal([0.25], mean=[0.0])"
    assert td3["train_freq"] == (1, "episode")
    noise = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.array([0.5]), theta=0.2, dt=0.1)
    sac = hyper_parameters(SAC, drift("sac"), action_noise=noise, n_steps=3, buffer_size=100)
    assert sac["action_noise"] == "ornstein_uhlenbeck([0.5], theta=0.2, dt=0.1, mean=[0.0])"
    assert (sac["n_steps"], sac["ent_coef"], sac["target_entropy"]) == (3, "auto", -1.0)
    a2c = hyper_parameters(A2C, drift("a2c"), gamma=np.float64(0.9))
    assert a2c["gamma"] == 0.9


@pytest.mark.parametrize(
    "pickled", [lambda unit: (type(unit), (unit.value,)), lambda unit: (getattr, (type(unit), unit.name))]
)
def test_a_frequency_is_read_from_what_any_python_has_pickled(pickled, drift, no_unpickling, tmp_path, monkeypatch):
    monkeypatch.setattr(TrainFrequencyUnit, "__reduce_ex__", lambda unit, protocol: pickled(unit))
    path = saved(TD3("MlpPolicy", drift("td3")(), train_freq=(2, "episode"), buffer_size=100), tmp_path / "model.zip")
    run = import_zip(path, drift("td3"), folder=tmp_path / "run")
    assert run.experiment.hyper_parameters["train_freq"] == (2, "episode")


def test_a_model_saved_in_the_midst_of_training_goes_on_exploring(drift, tmp_path):
    model = DQN("MlpPolicy", drift("dqn")(), exploration_fraction=0.5, buffer_size=100, learning_starts=10)
    model.learn(1000, callback=lambda here, _: here["self"].num_timesteps < 100)  # which leaves it there
    run = import_zip(saved(model, tmp_path / "model.zip"), drift("dqn"), folder=tmp_path / "run")
    assert run.experiment.steps == 1000
    for _ in run.algorithm.train(rlhub.Collector(rlhub.make_vec(drift("dqn"))), 300):
        pass
    assert 0.3 < run.algorithm.model.exploration_rate < 0.7


def test_actions_of_other_bounds_are_refused(tmp_path):
    path = saved(SAC("MlpPolicy", "Pendulum-v1", buffer_size=10), tmp_path / "model.zip")

    def narrow():
        return gymnasium.wrappers.RescaleAction(gymnasium.make("Pendulum-v1"), -1.0, 1.0)

    with pytest.raises(rlhub.SpaceError) as error:
        import_zip(path, narrow, folder=tmp_path / "narrow")
    assert str(error.value) == (
        f"{path} was trained with actions Box(-2.0, 2.0, (1,), float32); narrow takes Box(-1.0, 1.0, (1,), float32): "
        "other bounds. Name the environment that it was trained on, with its wrappers, or rescale its actions with a "
        "wrapper."
    )
    assert import_zip(path, "Pendulum-v1", folder=tmp_path / "right").action_space.high == 2.0


def test_a_hindsight_model_is_one(drift, no_unpickling, tmp_path):
    from stable_baselines3 import HerReplayBuffer

    world = drift("sac", goals=True)
    model = SAC("MultiInputPolicy", world(), replay_buffer_class=HerReplayBuffer, buffer_size=200, device="cpu")
    run = import_zip(saved(model, tmp_path / "model.zip"), world, folder=tmp_path / "run")
    assert run.experiment.hyper_parameters["her"] is True
    assert run.experiment.hyper_parameters["policy"] == "MultiInputPolicy"


def test_a_function_is_asked_for_or_unpickled_with_trust(drift, tmp_path, capsys):
    world = drift("ppo")
    model = PPO("MlpPolicy", world(), n_steps=64, learning_rate=lambda left: 1e-3 * left, device="cpu").learn(64)
    path = saved(model, tmp_path / "model.zip")
    with pytest.raises(rlhub.ConfigError) as error:
        import_zip(path, world, folder=tmp_path / "asked")
    assert str(error.value) == (
        f"{path} holds learning_rate as pickled code, which is not run. Say the value, such as learning_rate=…; or "
        "unpickle it with --trust (in Python trust=True), if you made the file yourself."
    )
    assert not (tmp_path / "asked").exists()
    told = import_zip(path, world, folder=tmp_path / "told", config={"learning_rate": 5e-4})
    assert told.experiment.hyper_parameters["learning_rate"] == 5e-4
    trusted = import_zip(path, world, folder=tmp_path / "trusted", trust=True)
    assert str(trusted.experiment.hyper_parameters["learning_rate"]) == "linear(0.001, 0.0, 64)"
    assert f"Unpickling learning_rate of {path}: a pickle can run any code" in capsys.readouterr().err
    model.learning_rate = lambda left: left**2
    with pytest.raises(rlhub.ConfigError, match=r"learning_rate of .* is no constant or linear schedule; say it"):
        import_zip(saved(model, path), world, folder=tmp_path / "odd", trust=True)


class Evil:
    def __init__(self, folder):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


def rewritten(path, **members):
    """Return a copy of a zip with other contents for some of its members; None leaves one out."""
    changed = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(changed, "w") as after:
        for name in before.namelist():
            content = members.get(name.replace(".pth", ""), before.read(name))
            if content is not None:
                after.writestr(name, content)
    return changed


@pytest.fixture
def cartpole(tmp_path):
    return saved(PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu").learn(64), tmp_path / "model.zip")


def test_malicious_files_run_nothing(cartpole, tmp_path):
    data = json.loads(zipfile.ZipFile(cartpole).read("data"))
    for name in data:
        data[name] = {":type:": "x", ":serialized:": base64.b64encode(pickle.dumps(Evil(tmp_path / "evil"))).decode()}
    buffer = io.BytesIO()
    th.save({"weight": Evil(tmp_path / "evil")}, buffer)
    for change in (
        {"data": json.dumps(data)},
        {"policy": buffer.getvalue()},
        {"policy": pickle.dumps(Evil(tmp_path / "evil"))},
    ):
        with pytest.raises(rlhub.RlhubError):
            import_zip(rewritten(cartpole, **change), "CartPole-v1", algorithm="sb3/ppo", folder=tmp_path / "run")
        assert not (tmp_path / "evil").exists()
    with pytest.raises(UnreadableError, match="posix:mkdir, which is no tensor"):
        tensors(buffer.getvalue())


@pytest.mark.parametrize(
    ("members", "env", "options", "text"),
    [
        ({"data": None}, "CartPole-v1", {}, "is a zip, but none that a Stable-Baselines3 model has saved."),
        ({"data": b"{"}, "CartPole-v1", {}, "is damaged, or holds more than tensors: "),
        ({"policy": b"no zip"}, "CartPole-v1", {}, "is damaged, or holds more than tensors: BadZipFile"),
        (
            {"_stable_baselines3_version": b"1.6.2"},
            "CartPole-v1",
            {},
            "was saved by Stable-Baselines3 1.6.2; 1.7 is the",
        ),
        ({}, None, {}, "was trained, for it does not: --env CartPole-v1."),
        ({}, "Acrobot-v1", {}, "float32); Acrobot-v1 gives Box("),
        ({}, "CartPole-v1", {"algorithm": "sb3/dqn"}, "only CnnPolicy, MlpPolicy, MultiInputPolicy can be imported."),
        ({}, "CartPole-v1", {"algorithm": "sb3/pqo"}, "No algorithm is called 'sb3/pqo'. Did you mean 'sb3/ppo'?"),
        ({}, "CartPole-v1", {"config": {"gama": 1}}, "sb3/ppo has no hyper-parameter 'gama'. Did you mean 'gamma'?"),
        ({}, "Pendulum-v1", {}, "Pendulum-v1 gives Box([-1. -1. -8.], [1. 1. 8.], (3,), float32): another shape. Name"),
    ],
)
def test_what_cannot_be_imported_says_why_and_leaves_nothing(members, env, options, text, cartpole, tmp_path):
    with pytest.raises(rlhub.RlhubError) as error:
        import_zip(rewritten(cartpole, **members), env, folder=tmp_path / "run", **options)
    assert text in str(error.value)
    assert not list(tmp_path.rglob("*.toml"))


def test_other_files_are_refused(tmp_path):
    (tmp_path / "text.zip").write_text("no zip")
    for name in ("text.zip", "absent.zip"):
        with pytest.raises(rlhub.CheckpointError, match=r"zip cannot be read as a zip: "):
            import_zip(tmp_path / name, "CartPole-v1")


def test_models_before_2_4_have_their_target_network_left_out(tmp_path):
    model = DQN("MlpPolicy", "CartPole-v1", buffer_size=100, device="cpu").learn(120)
    path = saved(model, tmp_path / "model.zip")
    optimizer = model.policy.optimizer.state_dict()
    count = len(optimizer["param_groups"][0]["params"])
    optimizer["param_groups"][0]["params"] = list(range(2 * count))
    buffer = io.BytesIO()
    th.save(optimizer, buffer)
    old = {"_stable_baselines3_version": b"2.3.2", "policy.optimizer": buffer.getvalue()}
    run = import_zip(rewritten(path, **old), "CartPole-v1", folder=tmp_path / "run")
    assert len(run.algorithm.model.policy.optimizer.state_dict()["param_groups"][0]["params"]) == count


def test_pickles_are_read_as_python_would():
    rng = np.random.default_rng(1)
    for protocol in (4, 5):
        for thing in (
            {"a": [1, 2.5, None, True, "x" * 300], "b": (1, (2, 3, 4, 5), ()), 3: {"c"}, "d": b"y" * 300},
            [list(range(300)), -(2**40), 2**80, frozenset({1}), {}, [], float("inf")],
        ):
            assert read(pickle.dumps(thing, protocol)) == thing
        array = rng.normal(size=(2, 3))
        np.testing.assert_array_equal(numbers(read(pickle.dumps(array, protocol))), array)
        assert numbers(read(pickle.dumps(np.float32(2.5), protocol))) == 2.5
    whole = pickle.dumps({"a": [1, 2, {"b": "c"}]})
    for end in range(len(whole)):
        with pytest.raises(UnreadableError):
            read(whole[:end])


def test_tensors_are_read_as_torch_would():
    base = th.arange(24, dtype=th.float32).reshape(4, 6)
    kinds = [th.ones(2, dtype=th.bool)] + [
        th.arange(3, dtype=kind) for kind in (th.float64, th.int64, th.int32, th.uint8, th.float16)
    ]
    tree = {"views": [base, base.T, base[1:3, ::2], base[0, 0]], "kinds": kinds, "empty": th.zeros(0, 2), "n": {"x": 1}}
    buffer = io.BytesIO()
    th.save(tree, buffer)
    found = tensors(buffer.getvalue())
    for name in ("views", "kinds"):
        for ours, theirs in zip(found[name], tree[name], strict=True):
            assert ours.dtype == theirs.dtype
            assert th.equal(ours, theirs)
    assert found["empty"].shape == (0, 2)
    assert found["n"] == {"x": 1}


def test_a_tensor_may_not_reach_beyond_its_storage():
    buffer = io.BytesIO()
    th.save(th.arange(6.0), buffer)
    source = zipfile.ZipFile(io.BytesIO(buffer.getvalue()))
    forged = io.BytesIO()
    with zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            target.writestr(
                name, re.sub(rb"K\x06\x85", b"K\x60\x85", content) if name.endswith("data.pkl") else content
            )
    with pytest.raises(UnreadableError, match="beyond its storage"):
        tensors(forged.getvalue())


def test_the_command_line(cartpole, tmp_path):
    folder = tmp_path / "run"
    done = CliRunner().invoke(
        app, ["import-sb3", str(cartpole), "--env", "CartPole-v1", "--out", str(folder), "gamma=0.9"]
    )
    assert done.output == f"sb3/ppo, 64 steps, is now the run {folder}.\n"
    assert rlhub.load(folder).experiment.hyper_parameters["gamma"] == 0.9
    refused = CliRunner().invoke(app, ["import-sb3", str(cartpole)])
    assert refused.exit_code == 2
    assert "Say on which environment" in refused.output
    shown = CliRunner().invoke(app, ["import-sb3", "--help"])
    assert "--trust" in shown.output
    assert "import-sb3" in CliRunner().invoke(app, ["--help"]).output
