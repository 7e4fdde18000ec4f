"""Runs and recipes of somebody who means harm: refused with a sentence, nothing outside touched, no memory filled."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import struct
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import (
    ArtefactError,
    CheckpointError,
    ConfigError,
    RlhubError,
    RunError,
    TrustError,
    artefacts,
    state,
)
from rlhub_core.cli import app
from rlhub_core.config import option
from rlhub_core.errors import printable
from rlhub_core.evaluation import Evaluation
from rlhub_core.reporting.page import report
from rlhub_core.training import run_experiment

RUN = Path("run")
MOST_MEMORY = 64 * 2**20  # bytes at the peak of a refusal
UNSEALED = "manifest.json is not as it was written"
JSON = {
    "a pickle": pickle.dumps(print),
    "nothing": b"",
    "not closed": b"{",
    "no table": b"[1]",
    "null": b"null",
    "deep": b"[" * 100_000 + b"]" * 100_000,
    "deep tables": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "deeper than allowed": b"[" * 70 + b"]" * 70,
    "a key twice": b'{"steps": 1, "steps": 2}',
    "a million digits": b'{"steps": ' + b"9" * 1_000_000 + b"}",
    "no text": b'{"steps": "\xff\xfe"}',
    "half a character": b'{"steps": "\\ud800"}',
    "a byte order mark": b"\xef\xbb\xbf{}",
    "NUL": b"\0" * 100,
    "no such array": b'{"steps": {"$array": "/gone"}}',
    "a marker and more": b'{"steps": {"$array": "/gone", "$tuple": []}}',
    "a tuple of no list": b'{"steps": {"$tuple": {"$tuple": 1}}}',
    "an unknown marker": b'{"$code": "os:system"}',
    "NaN everywhere": b'{"steps": NaN, "seconds": NaN, "next": NaN, "time": NaN}',
}


def header(text: bytes | str, length: int | None = None, data: bytes = b"") -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def tensor(dtype: str = "F32", shape: str = "[1]", offsets: str = "[0, 4]", name: str = "/a") -> str:
    return f'"{name}": {{"dtype": "{dtype}", "shape": {shape}, "data_offsets": {offsets}}}'


SAFETENSORS = {
    "a pickle": pickle.dumps(print),
    "nothing": b"",
    "a header of 2^63 bytes": header("{}", 2**63),
    "a header of 2^64 - 1 bytes": header("{}", 2**64 - 1),
    "a header beyond the end": header("{}", 100),
    "2^40 elements": header("{" + tensor(shape="[1099511627776]") + "}", data=bytes(4)),
    "a shape that overflows": header("{" + tensor(shape="[4294967296, 4294967296, 4]") + "}", data=bytes(4)),
    "beyond the end": header("{" + tensor(shape="[100]", offsets="[0, 400]") + "}", data=bytes(4)),
    "backwards": header("{" + tensor(offsets="[4, 0]") + "}", data=bytes(4)),
    "overlapping": header("{" + tensor() + "," + tensor(name="/b") + "}", data=bytes(4)),
    "an unknown dtype": header("{" + tensor(dtype="OBJECT") + "}", data=bytes(4)),
    "a deep header": header("[" * 100_000),
    "other arrays": header("{" + tensor() + "}", data=bytes(4)),
}


@pytest.fixture(autouse=True)
def _toy_only(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in a folder of its own; what hangs is ended."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def trained(**settings: Any) -> Path:
    callbacks = [
        "core/checkpoint:every=100,keep=1",
        "core/evaluate:every=50,episodes=2",
        "core/stop_on_return:value=99",
    ]
    settings = {"steps": 100, "num_envs": 2, "normalize": "observations,rewards", "callbacks": callbacks, **settings}
    return rlhub.train("toy/random", "toy/Corridor-v0", folder=RUN, progress=False, **settings).folder


def newest() -> Path:
    return max((RUN / "checkpoints").glob("[0-9]" * 12))


def sealed(folder: Path, **changed: Any) -> None:
    """Write a manifest with which all that is in a checkpoint verifies, whoever else may have changed it."""
    file = folder / "manifest.json"

    def entry(path: Path) -> dict[str, Any]:
        return {"sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "size": path.stat().st_size}

    paths = (path for path in folder.rglob("*") if path.is_file() and path != file)
    files = {path.relative_to(folder).as_posix(): entry(path) for path in paths}
    manifest = json.loads(file.read_text()) | {"files": files} | changed
    del manifest["seal"]
    seal = hashlib.sha256(json.dumps(manifest, indent=1).encode()).hexdigest()
    file.write_text(json.dumps(manifest | {"seal": seal}, indent=1))


def members(suffix: str) -> list[Path]:
    return sorted(path for path in newest().rglob(f"*{suffix}") if path.name != "manifest.json")


def refused(call: Callable[[], Any], kind: type[RlhubError] = RlhubError) -> str:
    """Return the sentence of a refusal that took little memory."""
    tracemalloc.start()
    try:
        with pytest.raises(kind) as error:
            call()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MOST_MEMORY
    sentence = str(error.value)
    assert sentence
    assert len(sentence) < 5_000
    assert UNSEALED not in sentence, "refused for the work of the test, not for what is tested"
    return sentence


def everything_outside(top: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in top.rglob("*") if path.is_file()}


@pytest.mark.parametrize("payload", JSON)
def test_json_that_no_run_writes_is_refused_in_every_member(payload: str) -> None:
    trained()
    assert len(members(".json")) >= 6
    for member in members(".json"):
        before = member.read_bytes()
        member.write_bytes(JSON[payload])
        sealed(newest())
        refused(lambda: rlhub.resume(RUN, progress=False, steps=200), CheckpointError)
        member.write_bytes(before)
    sealed(newest())
    assert rlhub.resume(RUN, progress=False).restored == "exact"


@pytest.mark.parametrize("payload", SAFETENSORS)
def test_arrays_that_no_run_writes_are_refused_in_every_member(payload: str) -> None:
    trained()
    assert len(members(".safetensors")) >= 2
    for member in members(".safetensors"):
        before = member.read_bytes()
        member.write_bytes(SAFETENSORS[payload])
        sealed(newest())
        refused(lambda: rlhub.resume(RUN, progress=False, steps=200), CheckpointError)
        member.write_bytes(before)


@pytest.mark.parametrize(
    ("member", "key", "value"),
    [
        ("algorithm/walk", "steps", -1),
        ("algorithm/walk", "steps", 1e300),
        ("algorithm/walk", "steps", 100.0),
        ("algorithm/walk", "steps", True),
        ("algorithm/walk", "steps", 10**18),
        ("algorithm/walk", "steps", "100"),
        ("algorithm/walk", "random", {"bit_generator": "os:system"}),
        ("algorithm/walk", "random", None),
        ("collector/collector", "time", 10**15),
        ("collector/collector", "time", -1),
        ("collector/collector", "steps", float("nan")),
        ("collector/collector", "stretch", [0, 0]),
        ("collector/collector", "actions", 3),
        ("collector/collector", "ended", [[1]]),
        ("collector/normalization", "returns", "many"),
        ("run", "seconds", float("nan")),
        ("run", "seconds", -1.0),
        ("run", "seconds", "1"),
        ("run", "records", []),
        ("run", "records", {"means": {}, "next_line": 1e999, "sizes": {}}),
        ("run", "records", {"means": {}, "next_line": 100, "sizes": {"metrics.jsonl": -1}}),
        ("run", "records", {"means": {}, "next_line": 100, "sizes": {"metrics.jsonl": 10**18}}),
        ("run", "snapshots", ["../x"]),
        ("run", "best_evaluation", {"step": "../x"}),
    ],
)
def test_values_that_cannot_be_are_refused(member: str, key: str, value: Any) -> None:
    trained()
    file = newest() / f"{member}.json"
    tree = json.loads(file.read_text())
    assert key in tree
    file.write_text(json.dumps({**tree, key: value}))
    sealed(newest())
    refused(lambda: rlhub.resume(RUN, progress=False, steps=200))


@pytest.mark.parametrize("change", ["shape", "dtype", "nan"])
def test_arrays_of_another_kind_are_refused(change: str) -> None:
    trained()
    for file, names in (("collector", ["/begun", "/stretch"]), ("normalization", ["/observations/0/mean"])):
        path = newest() / "collector" / f"{file}.safetensors"
        before = load_file(path)
        for name in names:
            array = before[name]
            other = {"shape": np.zeros((5, *array.shape), array.dtype), "dtype": array.astype(np.float16)}
            other["nan"] = np.full(array.shape, np.nan, np.float64)
            save_file({**before, name: other[change]}, path)
            sealed(newest())
            refused(lambda: rlhub.resume(RUN, progress=False))
        save_file(before, path)


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "C:\\x", "a\0b", "", ".", "..", "x/../../secret", "a\nb"])
def test_a_manifest_names_nothing_outside(name: str) -> None:
    trained()
    Path("secret").write_text("mine")
    files = json.loads((newest() / "manifest.json").read_text())["files"]
    sealed(newest(), files={**files, name: {"sha256": hashlib.sha256(b"mine").hexdigest(), "size": 4}})
    refused(lambda: rlhub.load(RUN), CheckpointError)


@pytest.mark.parametrize(
    "change",
    [
        {"step": -1},
        {"step": 1e300},
        {"step": "../../x"},
        {"step": 7},
        {"files": [1]},
        {"files": None},
        {"format": "9" * 10},
        {"format": {}},
        {"resume": []},
        {"provenance": 3},
        {"provenance": {"distributions": {"a": 1}}},
        {"provenance": {"torch_threads": "many"}},
        {"provenance": {"torch_threads": 10**9}},
    ],
)
def test_a_manifest_that_cannot_be_is_refused(change: dict[str, Any]) -> None:
    trained()
    sealed(newest(), **change)
    if change == {"resume": []}:  # whatever is not "exact" is warm
        assert rlhub.resume(RUN, progress=False).restored == "warm"
    else:
        refused(lambda: rlhub.resume(RUN, progress=False))


PLACES = [
    "experiment.toml",
    "metrics.jsonl",
    ".lock",
    "provenance.json",
    "checkpoints",
    "checkpoints/NEWEST",
    "checkpoints/NEWEST/run.json",
    "checkpoints/NEWEST/algorithm",
    "checkpoints/NEWEST/algorithm/walk.json",
    "tensorboard",
    "videos",
    "plots",
]
DOORS = {
    "load": lambda: rlhub.load(RUN),
    "resume": lambda: rlhub.resume(RUN, progress=False, steps=200),
    "plot": lambda: rlhub.plot([RUN], "x.png"),
    "report": lambda: report([RUN], Path("x.html")),
}


@pytest.mark.parametrize("place", PLACES)
def test_a_link_out_of_the_run_is_not_followed(place: str, tmp_path: Path) -> None:
    trained()
    outside = tmp_path / "outside"
    (outside / "000000000001").mkdir(parents=True)
    (outside / "file").write_text("[user]\nmine = true\n")
    before = everything_outside(outside)
    path = RUN / place.replace("NEWEST", newest().name)
    if path.exists():
        path.rename(tmp_path / "moved")
    for target in (outside, outside / "file", outside / "new", Path("/dev/zero"), Path("/dev/stdin")):
        path.unlink(missing_ok=True)
        path.symlink_to(target)
        for door in DOORS.values():
            assert "symbolic link that leads out of the run" in refused(door, ArtefactError)
    assert everything_outside(outside) == before


def test_a_checkpoint_that_is_deleted_while_a_run_is_looked_at_is_no_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run/checkpoints/old").mkdir(parents=True)
    scandir = os.scandir

    def late(path: Path) -> Any:
        if path.name == "old":
            path.rmdir()
        return scandir(path)

    monkeypatch.setattr(os, "scandir", late)
    artefacts.check_folder(tmp_path / "run")
    with pytest.raises(FileNotFoundError):
        artefacts.check_folder(tmp_path / "none")


@pytest.mark.parametrize("place", PLACES)
def test_a_pipe_is_not_waited_for(place: str) -> None:
    trained()
    path = RUN / place.replace("NEWEST", newest().name)
    if path.exists():
        path.rename("moved")
    os.mkfifo(path)
    for door in DOORS.values():
        assert "is no regular file" in refused(door, ArtefactError)


def test_a_pipe_named_by_the_user_is_not_waited_for() -> None:
    os.mkfifo("pipe.toml")
    for path in ("pipe.toml", "/dev/zero", "/dev/null"):
        assert "is no regular file" in refused(partial(rlhub.Experiment.read, Path(path)), ArtefactError)


def test_a_link_inside_the_run_is_as_good_as_what_it_points_to() -> None:
    trained()
    (RUN / "latest").symlink_to(newest().resolve())
    Path("alias").symlink_to(RUN)
    assert rlhub.load("alias").steps == 100


@pytest.mark.parametrize(
    "text",
    [
        b"\x80\x04.",
        b"\xff\xfe",
        b"\xef\xbb\xbfsteps = 1",
        b"a = " + b"[" * 100_000,
        b"a = " + b"[" * 70 + b"]" * 70,
        b"a." * 20_000 + b"a = 1",
        b"steps = " + b"9" * 10_000,
        b"steps = 1\nsteps = 2",
        b'"\\ud800" = 1',
        b"steps = -1",
        b"steps = nan",
        b"steps = 1e300",
        b"seed = -1",
        b"num_envs = true",
        b'algorithm = "os:system"',
        b'algorithm = "../../x/y"',
        b'callbacks = ["os:system"]',
        b'callbacks = ["toy/count:from_step=' + b"[" * 100_000 + b'"]',
        b'callbacks = ["toy/count:from_step=' + b"9" * 10_000 + b'"]',
        b'wrappers = ["os:system"]',
        b"wrappers = [\"toy/scale:by=__import__('os')\"]",
        b"preset = \"../../x\"\n[hyper_parameters]\nright = \"__import__('os').system('true')\"",
        b'[hyper_parameters]\nright = "linear(' + b"-" * 50_000 + b'1, 1)"',
        b'[hyper_parameters]\nright = "linear(' + b"(" * 50_000 + b'"',
        b'[hyper_parameters]\nright = "linear(1, 9**9**9)"',
        b'[hyper_parameters]\nright = "exponential(1, 1, 0)"',
        b"[hyper_parameters]\nright = inf",
        b'[environment_options]\nlength = {array = ["x"], dtype = "S1000000000"}',
        b'[environment_options]\nlength = {array = ["x"], dtype = "O"}',
        b'[environment_options]\nentry_point = "os:system"',
        b'[environment_options]\nlength = {array = ["os:system"], dtype = "i4,"}',
    ],
    ids=lambda text: text[:30].decode(errors="replace").replace("\n", " "),
)
def test_a_recipe_that_cannot_be_is_refused(text: bytes) -> None:
    tables = text.find(b"[hyper") if b"[hyper" in text else text.find(b"[environment")
    top, table = (text, b"") if tables < 0 else (text[:tables], text[tables:])
    usual = {b"algorithm": b'"toy/random"', b"environment": b'"toy/Corridor-v0"', b"steps": b"100"}
    lines = [b"%s = %s" % pair for pair in usual.items() if not top.lstrip(b"\xef\xbb\xbf").startswith(pair[0])]
    Path("experiment.toml").write_bytes(b"\n".join([top, *lines, table]))
    refused(lambda: run_experiment(rlhub.Experiment.read(Path("experiment.toml")), RUN, progress=False))
    assert not RUN.exists()
    result = CliRunner().invoke(app, ["train", "experiment.toml", "--out", "run", "-q"])
    assert result.exit_code in (1, 2)
    assert "Traceback" not in result.output
    assert not RUN.exists()


@pytest.mark.parametrize("file", ["metrics.jsonl", "episodes.csv", "evaluations.jsonl"])
@pytest.mark.parametrize(
    "text",
    [
        b"\x80\x04.\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b"null\n",
        b"[]\n[]\n",
        b'{"step": 1, "step": 2}\n{}\n',
        b'{"step": NaN}\nnan,nan,nan,nan\n',
        b'{"step": 1e999}\n1,2,3,1e999\n',
        b'{"step": -1}\n-1,0,0,0\n',
        b'{"step": "<script>"}\n<script>,1,1,1\n',
        b'{"step": ' + b"9" * 900 + b"}\n" + b"9" * 900 + b",1,1,1\n",
        b'{"step": 1, "returns": ["x"], "lengths": [1], "unfinished": 0, "x": {}}\nx\n',
    ],
    ids=lambda text: text[:20].decode(errors="replace").replace("\n", " "),
)
def test_records_that_no_run_writes_are_refused(file: str, text: bytes) -> None:
    trained()
    (RUN / file).write_bytes(b"head\n" * (file == "episodes.csv") + text)
    refused(DOORS["report"], ArtefactError)
    if file != "metrics.jsonl":
        refused(DOORS["plot"], RunError)


@pytest.mark.parametrize("file", ["metrics.jsonl", "episodes.csv", "evaluations.jsonl", "experiment.toml"])
@pytest.mark.parametrize("size", [10**9, 10**12])
def test_files_of_holes_fill_no_memory(file: str, size: int) -> None:
    trained()
    os.truncate(RUN / file, size)
    refused(DOORS["report"], ArtefactError)


def test_states_of_holes_fill_no_memory(tmp_path: Path) -> None:
    state.save(tmp_path, "tree", {"a": np.zeros(3)})
    os.truncate(tmp_path / "tree.json", 10**12)
    refused(lambda: state.load(tmp_path, "tree"), CheckpointError)
    (tmp_path / "tree.json").write_text('{"a": {"$array": "/a"}}')
    text = "{" + tensor("F32", "[2500000000000]", "[0, 10000000000000]") + "}"
    (tmp_path / "tree.safetensors").write_bytes(header(text))
    os.truncate(tmp_path / "tree.safetensors", 8 + len(text) + 10**13)
    assert "bytes of memory are free" in refused(lambda: state.load(tmp_path, "tree"), CheckpointError)


def test_a_long_evaluation_has_its_interval_in_little_memory() -> None:
    returns = tuple(np.random.default_rng(1).normal(size=20_000).tolist())
    tracemalloc.start()
    low, high = Evaluation(returns, (1,) * len(returns)).interval
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert low < np.mean(returns) < high
    assert peak < MOST_MEMORY


def test_what_drives_a_terminal_is_spelled_out() -> None:
    trained()
    evil = "\x1b]0;owned\x07\x1b[2J\u202e"
    recipe = RUN / "experiment.toml"
    recipe.write_text(recipe.read_text().replace("toy/random", json.dumps(f"toy/{evil}")[1:-1]))
    result = CliRunner().invoke(app, ["evaluate", "run"])
    assert result.exit_code in (1, 2)
    assert not {"\x1b", "\x07", "\u202e"} & set(result.output)
    assert "toy/" in result.output
    assert printable(evil) == "\\x1b]0;owned\\x07\\x1b[2J\\u202e"
    assert printable("α ≥ 1\n\tyes") == "α ≥ 1\n\tyes"


def test_names_in_a_report_stay_text() -> None:
    trained()
    evil = "</script><img src=x onerror=alert(1)>"
    with (RUN / "metrics.jsonl").open("a") as file:
        file.writelines(json.dumps({"step": step, f"train/{evil}": 1.0}) + "\n" for step in (98, 99))
    (RUN / "provenance.json").write_text(json.dumps({"python": evil, evil: {"distributions": evil}}))
    (RUN / "profile.json").write_text(json.dumps({"seconds": {evil: 1.0}}))
    page = Path(report([RUN], Path("x.html"))).read_text()
    assert "onerror" in page
    tags: list[str] = []

    class Tags(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.extend([tag, *(name for name, _ in attrs)])

    Tags().feed(page)
    assert "div" in tags
    assert not {"img", "onerror"} & set(tags)


@pytest.mark.parametrize("name", ["a\0b", "x" * 300, "x/" * 3_000, "/proc/no/such"])
def test_a_folder_that_cannot_be_is_refused(name: str) -> None:
    refused(lambda: rlhub.train("toy/random", "toy/Corridor-v0", steps=10, folder=name), RunError)
    refused(lambda: rlhub.load(name), RunError)


@pytest.mark.parametrize("name", ["../x", "..", "/etc/x", "CON", "a\nb", "-x", "x" * 300, "\x1b[2J", "é"])
def test_a_name_makes_no_path(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from rlhub_toy.parts import Corridor  # type: ignore[import-not-found]

    class Named(Corridor):  # type: ignore[misc]
        pass

    Named.__qualname__ = Named.__name__ = name
    run = rlhub.train("toy/random", Named, steps=10, progress=False)
    assert run.folder.parent == Path("runs")
    assert run.folder.name.isascii()
    assert run.folder.name.isprintable()
    assert not run.folder.name.startswith(("-", "."))
    assert len(run.folder.name) < 200


# trust


def write_evil(name: str = "evil") -> None:
    Path(f"{name}.py").write_text(
        "from pathlib import Path\nimport gymnasium\nPath('was_here').touch()\n"
        "gymnasium.register('Evil-v0', 'rlhub_toy.parts:Corridor', max_episode_steps=9)\n"
        "def double(x):\n    return 2 * x\n"
    )


@pytest.mark.parametrize("module", ["evil", "antigravity", "this", "idlelib.idle"])
def test_an_environment_of_a_module_needs_trust(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    trained()
    monkeypatch.syspath_prepend(str(Path.cwd()))
    write_evil()
    recipe = RUN / "experiment.toml"
    recipe.write_text(recipe.read_text().replace("toy/Corridor-v0", f"{module}:Evil-v0"))
    loaded = set(sys.modules)
    for door in (
        lambda: rlhub.load(RUN),
        lambda: rlhub.resume(RUN, progress=False),
        lambda: run_experiment(rlhub.Experiment.read(recipe), "other", progress=False),
    ):
        assert f"imports the module {module!r}, and importing runs code. Allow it with --trust" in refused(
            door, TrustError
        )
    for arguments in (["evaluate"], ["resume"], ["record"], ["watch"], ["train"]):
        result = CliRunner().invoke(app, [*arguments, "run/experiment.toml" if arguments == ["train"] else "run"])
        assert result.exit_code == 1
        assert "--trust" in result.output
    assert module not in set(sys.modules) - loaded
    assert not Path("was_here").exists()
    assert not Path("other").exists()


def test_trust_allows_the_module_of_an_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    trained()
    monkeypatch.syspath_prepend(str(Path.cwd()))
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    write_evil()
    recipe = RUN / "experiment.toml"
    recipe.write_text(recipe.read_text().replace("toy/Corridor-v0", "evil:Evil-v0"))
    assert CliRunner().invoke(app, ["evaluate", "run", "--trust"]).exit_code == 0
    assert Path("was_here").exists()
    del sys.modules["evil"]
    assert rlhub.load(RUN, trust=True).steps == 100
    monkeypatch.delitem(sys.modules, "evil", raising=False)


@pytest.mark.parametrize(
    "named", ["os:system", "subprocess:run", "evil:double", "builtins:eval", "rlhub_toy.parts:Die"]
)
def test_a_function_that_a_recipe_names_needs_trust(named: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import dataclass

    import rlhub_toy.parts as parts  # type: ignore[import-not-found]

    @dataclass(frozen=True)
    class Config(parts.RandomWalk.Config):  # type: ignore[misc]
        network: Callable[[Any], Any] | None = option(None, "a function")

    monkeypatch.setattr(parts.RandomWalk, "Config", Config)
    monkeypatch.syspath_prepend(str(Path.cwd()))
    write_evil()
    trained()
    recipe = RUN / "experiment.toml"
    text = recipe.read_text()
    assert 'network = "none"' in text
    recipe.write_text(text.replace('network = "none"', f'network = "{named}"'))
    for door in (
        lambda: rlhub.load(RUN),
        lambda: rlhub.resume(RUN, progress=False),
        lambda: run_experiment(rlhub.Experiment.read(recipe), "other", progress=False),
    ):
        sentence = refused(door, TrustError)
        assert f"network='{named}': it is not imported, because it could do anything. Allow it with --trust" in sentence
    assert not Path("was_here").exists()
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    loaded = rlhub.load(RUN, trust=True)
    assert callable(loaded.algorithm.config.network)  # type: ignore[attr-defined]
    monkeypatch.delitem(sys.modules, "evil", raising=False)
    assert callable(rlhub.load(RUN, config={"network": print}).algorithm.config.network)  # type: ignore[attr-defined]


@pytest.mark.parametrize("key", ["algorithm", "callbacks", "wrappers"])
def test_what_no_installed_plugin_offers_is_not_imported_even_with_trust(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained()
    monkeypatch.syspath_prepend(str(Path.cwd()))
    write_evil()
    experiment = rlhub.Experiment.read(RUN)
    import dataclasses

    for name in ("evil:double", "evil/double", "os:system"):
        changed = dataclasses.replace(experiment, **{key: name if key == "algorithm" else (name,)})  # type: ignore[arg-type]
        refused(partial(run_experiment, changed, "other", trust=True, progress=False))
    assert not Path("was_here").exists()


def test_a_disabled_plugin_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    trained()
    code = (
        "import sys, rlhub_core as rlhub\n"
        "try:\n    rlhub.load('run', trust=True)\n"
        "except rlhub.RlhubError as error:\n    print(error)\n"
        "print('rlhub_toy' in sys.modules)"
    )
    path = os.pathsep.join([str(Path(rlhub.__file__).parents[1]), os.environ["PYTHONPATH"]])
    disabled = f"{os.environ['RLHUB_DISABLE']},toy"
    result = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"RLHUB_DISABLE": disabled, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.stdout.endswith("\nFalse\n"), result.stdout + result.stderr


def test_limits_are_far_above_what_runs_write(tmp_path: Path) -> None:
    line = json.dumps({f"train/metric_{index}": index / 3 for index in range(200)} | {"step": 5})
    (tmp_path / "metrics.jsonl").write_text(f"{line}\n" * 2_000)  # 12 MB
    assert len(list(artefacts.lines(tmp_path / "metrics.jsonl"))) == 2_000
    state.save(tmp_path, "many", {"list": [[index, 0.5, "text"] for index in range(50_000)]})
    assert len(state.load(tmp_path, "many")["list"]) == 50_000
    with pytest.raises(TypeError, match="put numbers into arrays"):
        state.save(tmp_path, "huge", "x" * (artefacts.LARGEST_JSON + 1))
    with pytest.raises(ConfigError, match="The recipe writes an array that is none"):
        rlhub_as_given({"array": [[1], [1, 2]], "dtype": "float64"})


def rlhub_as_given(value: Any) -> Any:
    from rlhub_core.config import as_given

    return as_given(value)
