"""What does not fit a model that is imported is refused and named: spaces, counters, settings, what is damaged."""

from __future__ import annotations

import base64
import io
import json
import os
import pickle
import reprlib
import zipfile

import gymnasium
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from rlhub_sb3.importing import import_zip
from rlhub_sb3.pickles import UnreadableError, numbers, read
from rlhub_sb3.saved_spaces import difference, space_of
from rlhub_sb3.tensors import tensors
from stable_baselines3 import A2C, DQN, PPO, SAC

import rlhub_core as rlhub


class Silent(gymnasium.Env):
    """Shows anything and ends after seven steps."""

    def __init__(self, shown, taken=None):
        self.observation_space, self.action_space = shown, taken or spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        self.time += 1
        return self.observation_space.sample(), 0.0, self.time == 7, False, {}


@pytest.fixture
def cartpole(tmp_path):
    path = tmp_path / "model.zip"
    PPO("MlpPolicy", "CartPole-v1", n_steps=64, device="cpu").learn(64).save(path)
    return path


def with_data(path, **changes):
    """Return a copy of a zip that says other things about its model; `...` leaves one out."""
    changed = path.with_name("changed.zip")
    with zipfile.ZipFile(path) as before, zipfile.ZipFile(changed, "w") as after:
        for name in before.namelist():
            content = before.read(name)
            if name == "data":
                data = json.loads(content) | changes
                content = json.dumps({key: value for key, value in data.items() if value is not ...}).encode()
            after.writestr(name, content)
    return changed


def pickled(thing):
    return {":type:": "x", ":serialized:": base64.b64encode(pickle.dumps(thing)).decode()}


def refused(path, env="CartPole-v1", error=rlhub.RlhubError, **options):
    folder = path.with_name("refused")
    with pytest.raises(error) as raised:
        import_zip(path, env, folder=folder, **options)
    assert not list(folder.rglob("*.toml"))
    return str(raised.value)


BOX, IMAGE = spaces.Box(-1, 1, (2,), np.float32), spaces.Box(0, 255, (36, 40, 3), np.uint8)
DICT = spaces.Dict({"a": BOX, "b": spaces.Discrete(3)})
PAIRS = {
    "bounds": (BOX, spaces.Box(-1, 2, (2,), np.float32), "other bounds. Name .* declared otherwise, let a wrapper"),
    "shape": (BOX, spaces.Box(-1, 1, (2, 1), np.float32), "another shape. Name the environment"),
    "dtype": (BOX, spaces.Box(-1, 1, (2,), np.float64), "another dtype. Name the environment"),
    "kind": (BOX, spaces.MultiBinary(2), "another kind of space. Name the environment"),
    "n": (spaces.Discrete(3), spaces.Discrete(4), "another number of choices. Name"),
    "nvec": (spaces.MultiDiscrete([2, 3]), spaces.MultiDiscrete([3, 2]), "another number of choices. Name"),
    "keys": (DICT, spaces.Dict({"a": BOX, "c": spaces.Discrete(3)}), "other keys. Name"),
    "of a part": (DICT, spaces.Dict({"a": BOX, "b": spaces.Discrete(2)}), "'b': another number of choices. Name"),
    "image": (IMAGE, spaces.Box(0, 255, (40, 36, 3), np.uint8), "another shape. Name"),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_other_observations_are_refused_and_the_same_are_not(pair, tmp_path):
    before, here, text = PAIRS[pair]
    policy = "MultiInputPolicy" if isinstance(before, spaces.Dict) else "MlpPolicy"
    model = A2C("CnnPolicy" if pair == "image" else policy, Silent(before), device="cpu")
    model.save(tmp_path / "model.zip")
    with pytest.raises(rlhub.SpaceError, match=rf"was trained with observations .*; <lambda> gives .*: {text}"):
        import_zip(tmp_path / "model.zip", lambda: Silent(here), folder=tmp_path / "run")
    assert not list((tmp_path / "run").rglob("*.toml"))
    import_zip(tmp_path / "model.zip", lambda: Silent(before), folder=tmp_path / "run")


def test_spaces_are_read_from_what_any_writer_has_pickled():
    columns = np.asfortranarray([[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]], np.float32)
    kinds = [BOX, IMAGE, DICT, spaces.Box(columns - 1, columns), spaces.MultiBinary([2, 2]), spaces.MultiBinary(3)]
    for space in [*kinds, spaces.MultiDiscrete([2, 3]), spaces.Discrete(3, start=2)]:
        for protocol in (4, 5):
            found = space_of(read(pickle.dumps(space, protocol)))
            assert found == space
            assert difference(found, space) is None
    endless = np.full(2, np.finfo(np.float32).max)
    assert difference(spaces.Box(-endless, endless), spaces.Box(-np.inf, np.inf, (2,))) is None
    for nothing in (3, BOX.low, spaces.Text(3), spaces.Tuple([BOX])):
        with pytest.raises(UnreadableError):
            space_of(read(pickle.dumps(nothing)))


def test_arrays_are_read_in_the_order_in_which_they_lie():
    for array in (np.asfortranarray(np.arange(6.0).reshape(2, 3)), np.arange(3, dtype=">i2"), np.array(98, np.uint8)):
        for protocol in (4, 5):
            np.testing.assert_array_equal(numbers(read(pickle.dumps(array, protocol))), array)
    assert numbers(read(pickle.dumps(np.uint8(98)))) == 98


COUNTS = ("num_timesteps", "_n_updates", "_episode_num", "n_envs", "seed")


@pytest.mark.parametrize("wrong", [128.5, -5, 10**30, "many", True, [1]])
def test_a_count_that_cannot_be_is_refused_by_name(wrong, cartpole):
    for name in COUNTS:
        text = refused(with_data(cartpole, **{name: wrong}), error=rlhub.CheckpointError)
        least, shown = 1 if name == "n_envs" else 0, reprlib.repr(wrong)
        end = f"is damaged: its {name} is {shown}, and can only be a whole number from {least} to 999,999,999,999."
        assert text.endswith(end)


def test_null_is_no_count_but_a_whole_fraction_is_one(cartpole, tmp_path):
    for name in ("num_timesteps", "_n_updates", "n_envs"):
        text = refused(with_data(cartpole, **{name: None}), error=rlhub.CheckpointError)
        assert f"its {name} is None, and can only be a whole number" in text
    for name, wrong in (("_total_timesteps", -1), ("_total_timesteps", None), ("_total_timesteps", float("nan"))):
        assert f"its {name} is {wrong}, and can only be a number from" in refused(with_data(cartpole, **{name: wrong}))
    for wrong in (1.5, None, "half"):
        text = refused(with_data(cartpole, _current_progress_remaining=wrong))
        assert f"its _current_progress_remaining is {wrong!r}, and can only be a number of at most 1." in text
    told = {"num_timesteps": 128.0, "_total_timesteps": 1e3, "_n_updates": pickled(np.int64(7)), "seed": None}
    run = import_zip(with_data(cartpole, **told), "CartPole-v1", folder=tmp_path / "run")
    assert (run.steps, run.experiment.steps, run.algorithm.model._n_updates) == (128, 1000, 7)


def test_a_told_setting_that_does_not_fit_the_weights_is_named(cartpole, tmp_path):
    text = refused(cartpole, config={"policy_kwargs": {"net_arch": [8]}, "gamma": 0.9}, error=rlhub.ConfigError)
    assert "do not fit policy_kwargs={'net_arch': [8]}: " in text
    assert text.endswith("Leave it out: then the file's own is taken.")
    assert "Name the environment" not in text
    SAC("MlpPolicy", "Pendulum-v1", buffer_size=10, device="cpu").save(tmp_path / "sac.zip")
    text = refused(tmp_path / "sac.zip", "Pendulum-v1", config={"ent_coef": 0.1}, error=rlhub.ConfigError)
    names = "there are actor.optimizer, critic.optimizer, ent_coef_optimizer, policy, and the model has actor.optimizer"
    assert f"do not fit ent_coef=0.1: {names}, critic.optimizer, policy. Leave it out: then" in text
    SAC("MlpPolicy", "Pendulum-v1", buffer_size=10, ent_coef=0.1, device="cpu").save(tmp_path / "fixed.zip")
    text = refused(tmp_path / "fixed.zip", "Pendulum-v1", config={"ent_coef": "auto"}, error=rlhub.ConfigError)
    assert "do not fit ent_coef='auto': " in text
    text = refused(cartpole, config={"policy_kwargs": {"optimizer_class": "torch.optim:RMSprop"}})
    assert "policy.optimizer is of another kind than RMSprop: it has no alpha. Leave it" in text


def test_weights_of_another_network_ask_for_its_description(cartpole):
    text = refused(with_data(cartpole, policy_kwargs={"net_arch": [8]}), error=rlhub.ConfigError)
    assert "do not fit sb3/ppo with the networks that the file describes: " in text
    assert text.endswith("else the networks were made otherwise: say policy_kwargs=….")


class Warmup:
    """A schedule that is an object."""

    def __call__(self, left):
        return 1e-3


class Evil:
    def __reduce__(self):
        return os.mkdir, ("evil",)


def by_name(module, name):
    """Return a pickle of what a function makes, by a name that may be nobody's."""
    text = f"c{module}\n{name}\n)R.".encode()
    return {":type:": "x", ":serialized:": base64.b64encode(text).decode()}


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"learning_rate": {":serialized:": "?"}}, "learning_rate is damaged. Say the value, such as learning_rate=…."),
        ({"learning_rate": {":serialized:": None}}, "learning_rate is damaged"),
        ({"clip_range": {":serialized:": base64.b64encode(b"x").decode()}}, "clip_range is damaged"),
        ({"learning_rate": pickled(Evil())}, "learning_rate is made by posix:mkdir. Say"),
        ({"learning_rate": by_name("zoo", "Linear")}, "learning_rate is made by zoo:Linear, which is not installed."),
        ({"gamma": pickled(Warmup())}, "gamma is made by "),
        (
            {"policy_kwargs": pickled({"activation_fn": Evil})},
            "policy_kwargs is nothing that Stable-Baselines3 writes (",
        ),
        ({"gamma": pickled(max)}, "gamma is made by builtins:max"),
    ],
)
@pytest.mark.parametrize("trust", [False, True])
def test_trust_is_offered_only_where_it_helps(changes, said, trust, cartpole, monkeypatch, capsys):
    monkeypatch.setattr(pickle, "loads", pytest.fail)
    text = refused(with_data(cartpole, **changes), trust=trust, error=rlhub.ConfigError)
    assert f"does not tell all hyper-parameters: {said}" in text
    assert "--trust" not in text
    assert "Unpickling" not in capsys.readouterr().err


def test_what_makes_a_function_is_asked_for_or_trusted(cartpole):
    schedule = by_name("numpy", "Linear")  # whether numpy has it is not looked up
    assert "holds learning_rate as pickled code, which is not run." in refused(
        with_data(cartpole, learning_rate=schedule)
    )
    absent = with_data(cartpole, learning_rate=by_name("numpy.nowhere", "Linear"))
    with pytest.raises(rlhub.CheckpointError, match=r"cannot be unpickled: No module named 'numpy.nowhere'. Say its"):
        import_zip(absent, "CartPole-v1", trust=True)
    with pytest.raises(rlhub.CheckpointError, match=r"cannot be unpickled: Can't get attribute 'Linear' on .* Say its"):
        import_zip(with_data(cartpole, learning_rate=schedule), "CartPole-v1", trust=True)


DEEP = b"\x80\x04" + b"]" * 20_000 + b"a" * 19_999 + b"."
ENDLESS = b"\x80\x04]\x94h\x00a."
KEYED = b"\x80\x04}" + b"(" * 20_000 + b"t" * 20_000 + b"Ns."


@pytest.mark.parametrize("content", [DEEP, ENDLESS, KEYED])
def test_what_is_too_deep_is_damaged(content, cartpole, tmp_path):
    with pytest.raises(UnreadableError):
        read(content)
    value = {":type:": "x", ":serialized:": base64.b64encode(content).decode()}
    assert "gamma is damaged" in refused(with_data(cartpole, gamma=value), error=rlhub.ConfigError)
    for name in ("num_timesteps", "n_envs"):
        refused(with_data(cartpole, **{name: value}), error=rlhub.CheckpointError)
    buffer = io.BytesIO()
    th.save(th.zeros(1), buffer)
    forged = io.BytesIO()
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(forged, "w") as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith("data.pkl") else source.read(name))
    with pytest.raises(UnreadableError):
        tensors(forged.getvalue())


@pytest.mark.parametrize("depth", [500, 100_000])
def test_text_that_is_too_deep_is_damaged(depth, cartpole):
    changed = cartpole.with_name("deep.zip")
    with zipfile.ZipFile(cartpole) as before, zipfile.ZipFile(changed, "w") as after:
        for name in before.namelist():
            deep = b'{"gamma": ' + b"[" * depth + b"]" * depth + b"}"
            after.writestr(name, deep if name == "data" else before.read(name))
    assert "is damaged, or holds more than tensors: " in refused(changed, error=rlhub.CheckpointError)


def test_a_network_of_images_is_compared_as_sb3_keeps_it(tmp_path):
    model = DQN("CnnPolicy", Silent(IMAGE), buffer_size=10, device="cpu")
    model.save(tmp_path / "model.zip")  # channel first
    run = import_zip(tmp_path / "model.zip", lambda: Silent(IMAGE), folder=tmp_path / "run")
    assert run.observation_space == IMAGE
