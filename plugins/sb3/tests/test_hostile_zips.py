"""Zips that somebody made to do harm: `rlhub import-sb3` refuses them with a sentence and fills no memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest
import torch as th
from rlhub_sb3.importing import import_zip
from rlhub_sb3.pickles import UnreadableError, read
from rlhub_sb3.statistics import Statistics
from rlhub_sb3.tensors import tensors
from stable_baselines3 import A2C

import rlhub_core as rlhub

MOST_MEMORY = 64 * 2**20  # bytes at the peak of a refusal


class Evil:
    def __reduce__(self):
        return os.system, ("touch was_here",)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "model.zip"
    A2C("MlpPolicy", "CartPole-v1", policy_kwargs={"net_arch": [4]}, learning_rate=0.001).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def write(members, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile("model.zip", "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def refused(call):
    tracemalloc.start()
    try:
        with pytest.raises(rlhub.RlhubError) as error:
            call()
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert not os.path.exists("was_here")
    return str(error.value)


def import_it():
    import_zip("model.zip", "CartPole-v1", folder="run", config={"policy_kwargs": {"net_arch": [4]}})


def torch_zip(description: bytes, data: bytes = bytes(4)) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", description)
        archive.writestr("archive/data/0", data)
    return buffer.getvalue()


class _Rebuild:
    """Pickles as torch's call that makes a tensor."""

    def __init__(self, size, stride, count=1):
        self.told = (th.FloatStorage, "0", "cpu", count), 0, size, stride, False, {}

    def __reduce__(self):
        return th._utils._rebuild_tensor_v2, (_Stored(self.told[0]), *self.told[1:])


class _Stored:
    def __init__(self, told):
        self.told = told


class _Pickler(pickle.Pickler):
    def persistent_id(self, thing):
        return ("storage", *thing.told) if isinstance(thing, _Stored) else None


def described(tree) -> bytes:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=2).dump(tree)
    return buffer.getvalue()


def laughs(levels=60):
    tree = [1]
    for _ in range(levels):
        tree = [tree, tree]
    return tree


def test_the_zip_itself_is_imported(members):
    write(members)
    import_it()
    assert rlhub.load("run").experiment.algorithm == "sb3/a2c"


@pytest.mark.parametrize(
    "payload",
    [
        pickle.dumps(Evil()),
        b"",
        b"\0" * 100,
        torch_zip(pickle.dumps(Evil(), protocol=2)),
        torch_zip(b"\x80\x02" + b"(" * 20_000 + b"."),
        torch_zip(b"\x80\x02" + b"]" + b"\x85" * 60_000 + b"."),
        torch_zip(b"\x80\x04}" + b")" + b"\x85" * 60_000 + b"Ns."),  # as a key: hashing it ends the process
        torch_zip(b"\x80\x04(" + b")" + b"\x85" * 60_000 + b"\x91."),
        torch_zip(b"\x80\x04X\xff\xff\xff\x7f."),
        torch_zip(b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f."),
        torch_zip(b"\x80\x02]q\x00h\x00a."),
        torch_zip(described(laughs())),
        torch_zip(described(_Rebuild((2**40,), (0,)))),
        torch_zip(described(_Rebuild((2**40,), (1,), 2**40))),
        torch_zip(described(_Rebuild((-1,), (1,)))),
        torch_zip(described(_Rebuild((2**70,), (2**70,)))),
        torch_zip(described(_Rebuild(("x",), (1,)))),
        torch_zip(described({"a": _Rebuild((1,), (1,), 1e300)})),
    ],
)
def test_what_no_model_saves_is_refused_in_every_member(members, payload):
    for name in members:
        if name in ("data", "_stable_baselines3_version") or name.endswith(".pth"):
            write({**members, name: payload})
            if name == "pytorch_variables.pth" and payload == torch_zip(described({})):
                continue
            refused(import_it)
            assert not os.path.exists("run")


@pytest.mark.parametrize(
    "data",
    [
        "[" * 100_000,
        '{"a": ' * 100_000,
        '{"policy_class": 1, "policy_class": 2}',
        '{"num_timesteps": ' + "9" * 1_000_000 + "}",
        '{"num_timesteps": 1e999999}',
        '{"num_timesteps": NaN}',
        '{"num_timesteps": "\\ud800"}',
        "[]",
        "null",
        '{"policy_class": {":serialized:": "' + "A" * 99 + '"}}',
        '{"policy_class": {":serialized:": {"a": 1}}}',
    ],
    ids=lambda text: text[:20],
)
def test_data_that_no_model_saves_is_refused(members, data):
    write({**members, "data": data})
    refused(import_it)


def test_a_zip_bomb_is_refused(members):
    with zipfile.ZipFile("model.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
        with archive.open("critic.pth", "w") as member:
            for _ in range(200):
                member.write(bytes(2**20))
    assert "that unpack to" in refused(import_it)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("x/data.pkl", "w") as member:
        for _ in range(200):
            member.write(bytes(2**20))
    write({**members, "policy.pth": buffer.getvalue()})
    assert "that unpack to" in refused(import_it)


def test_sizes_that_a_zip_only_claims(members):
    write(members)
    raw = bytearray(Path("model.zip").read_bytes())
    at = raw.rfind(b"PK\x01\x02")
    raw[at + 24 : at + 28] = struct.pack("<I", 2**32 - 2)  # the size that is claimed of the last member
    Path("model.zip").write_bytes(raw)
    assert "that unpack to" in refused(import_it)


def test_members_that_overlap_are_refused(members):
    write({**members, "critic.pth": bytes(100)})
    raw = bytearray(Path("model.zip").read_bytes())
    at = [index for index in range(len(raw)) if raw.startswith(b"PK\x01\x02", index)]
    raw[at[-1] + 42 : at[-1] + 46] = raw[at[0] + 42 : at[0] + 46]
    Path("model.zip").write_bytes(raw)
    refused(import_it)


def test_a_name_that_is_there_twice_is_refused(members):
    write(members)
    with zipfile.ZipFile("model.zip", "a") as archive, pytest.warns(UserWarning, match="Duplicate name"):
        archive.writestr("data", json.dumps({}))
    assert "a name that is there twice" in refused(import_it)


def test_an_encrypted_zip_is_refused(members):
    write(members)
    raw = bytearray(Path("model.zip").read_bytes())
    for index in range(len(raw)):
        if raw.startswith(b"PK\x01\x02", index):
            raw[index + 8] |= 1
    Path("model.zip").write_bytes(raw)
    assert "encrypted" in refused(import_it)


def test_names_that_lead_elsewhere_are_not_written(members):
    names = ("../evil.pth", "/tmp/evil.pth", "C:\\evil", "a/../../evil", "x" * 300)
    write(members | dict.fromkeys(names[1:], b"evil") | {"../evil": b"evil"})
    with contextlib.suppress(rlhub.RlhubError):
        import_it()
    assert sorted(os.listdir()) in (["model.zip"], ["model.zip", "run"])
    assert not os.path.exists("../evil")


def test_what_is_no_file_is_not_waited_for():
    os.mkfifo("model.zip")
    assert "is no regular file" in refused(import_it)
    os.mkfifo("statistics.pkl")
    assert "is no regular file" in refused(lambda: Statistics.read(Path("statistics.pkl")))
    Path("statistics.pkl").unlink()
    for payload in (pickle.dumps(Evil()), b"", pickle.dumps(laughs())):
        Path("statistics.pkl").write_bytes(payload)
        refused(lambda: Statistics.read(Path("statistics.pkl")))


def test_a_pickle_that_would_grow_is_no_tensor():
    with pytest.raises(UnreadableError, match="more than 5,000,000 values"):
        read(pickle.dumps(laughs()))
    with pytest.raises(UnreadableError, match="more numbers than its storage"):
        tensors(torch_zip(described(_Rebuild((2**40,), (0,)))))


def test_a_class_that_a_recipe_names_needs_trust(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "mine.py").write_text(
        "from pathlib import Path\nimport torch\nPath('was_here').touch()\nclass Mine(torch.nn.ReLU): pass\n"
    )
    settings = {"n_steps": 8, "policy_kwargs": {"net_arch": [4], "activation_fn": "torch.nn:ReLU"}}
    run = rlhub.train("sb3/a2c", "CartPole-v1", steps=8, config=settings, folder="run", progress=False)
    recipe = run.folder / "experiment.toml"
    text = recipe.read_text()
    for named in ("mine:Mine", "os:system", "subprocess:Popen", "torch.utils.collect_env:run", "torch.hub:load"):
        recipe.write_text(text.replace("torch.nn:ReLU", named))
        assert "allow what a recipe names with --trust" in refused(lambda: rlhub.load("run"))
    recipe.write_text(text.replace("torch.nn:ReLU", "stable_baselines3.common.utils:os.system"))
    assert "is no torch module" in refused(lambda: rlhub.load("run"))
    recipe.write_text(text.replace("torch.nn:ReLU", "mine:Mine"))
    assert rlhub.load("run", trust=True).algorithm.model.policy.activation_fn.__name__ == "Mine"
    assert os.path.exists("was_here")
