"""A corpus of broken distributions: each is named with version and cause, and everything else works."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import rlhub_core
from rlhub_core import AdapterSpec, AlgorithmSpec, Hub, PluginError, doctor, envs, hookimpl, hub, rehearsal

Install = Callable[..., Path]
HEAD = "from rlhub_core import AdapterSpec, AlgorithmSpec, CallbackSpec, hookimpl\n"
GOOD = HEAD + "@hookimpl\ndef rlhub_callbacks():\n    yield CallbackSpec('good/x', 'collections:OrderedDict', '')\n"


def hook(body: str, name: str = "rlhub_callbacks") -> str:
    return f"{HEAD}@hookimpl\ndef {name}():\n    {body}\n"


ONE = "yield CallbackSpec('bad/one', 'a:b', '')"
CORPUS = {  # what its module says, what is said of it
    "raises": ("raise ValueError('no such file')", "ValueError: no such file"),
    "raises_an_odd_exception": ("class Odd(BaseException): pass\nraise Odd('out')", "Odd: out"),
    "cannot_say_what": (
        "class Mute(Exception):\n    def __str__(self): raise RuntimeError\nraise Mute",
        "Mute: its text cannot be shown",
    ),
    "exits": ("import sys\nsys.exit(3)", "SystemExit: 3"),
    "does_not_parse": ("def (:", "SyntaxError: invalid syntax"),
    "imports_in_a_circle": ("from rlhub_bad import missing", "cannot import name 'missing' from partially initialized"),
    "lacks_a_module": ("import no_such_framework", "ModuleNotFoundError: no_such_framework"),
    "gives_none": (hook("return None"), "rlhub_callbacks gave None, not CallbackSpecs one after another"),
    "gives_a_text": (hook("return 'bad/x'"), "rlhub_callbacks gave a str ('bad/x'), not CallbackSpecs"),
    "gives_numbers": (hook("return [42]"), "rlhub_callbacks gave a int, not CallbackSpec: 42"),
    "raises_in_the_middle": (hook(f"{ONE}; raise OSError('gone')"), "OSError: gone"),
    "never_ends": (hook("i = 0\n    while True:\n        i += 1\n        yield CallbackSpec(f'bad/{i}', 'a:b', '')"),
                   "gives more than 100 offers, perhaps without end"),
    "names_a_list": (hook("yield CallbackSpec(['bad/x'], 'a:b', '')"), "gave a name that is no text: ['bad/x']"),
    "names_it_empty": (hook("yield CallbackSpec('bad/', 'a:b', '')"), "it offers 'bad/'; a name is not empty"),
    "names_it_twice": (hook(f"{ONE}; {ONE}"), "it offers 'bad/one' twice"),
    "takes_anothers_name": (hook("yield CallbackSpec('good/x', 'a:b', '')"), "it offers 'good/x', outside its"),
    "names_no_target": (hook("yield CallbackSpec('bad/x', 'nothing', '')"), "must have an entry point 'module:attri"),
    "passes_the_class": (hook("yield CallbackSpec('bad/x', dict, '')"), "must have an entry point 'module:attribute'"),
    "states_spaces_as_text": (
        hook("yield AlgorithmSpec('bad/x', 'a:b', '', action_spaces='Box')", "rlhub_algorithms"),
        "'bad/x' must state its spaces as tuples of names",
    ),
    "matches_by_text": (
        hook("yield AdapterSpec('bad/x', 'a:b', 'Foo', '')", "rlhub_adapters"),
        "'bad/x' must have a function as matches, not 'Foo'",
    ),
    "misspells_a_hook": (hook("return ()", "rlhub_algoritms"), "Did you mean 'rlhub_algorithms'?"),
    "forgets_the_mark": ("def rlhub_algorithms():\n    return ()", "write @rlhub_core.hookimpl above it"),
    "has_no_hook": ("x = 1", "which implements no hook of rlhub_adapters"),
}  # fmt: skip


def run(code: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh interpreter that finds the plugins of a folder first."""
    paths = os.pathsep.join([str(folder), *filter(None, sys.path)])
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": paths} | environment,
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip


@pytest.fixture
def bad(tmp_path: Path, install: Install, on_path: Callable[[Path], None]) -> Callable[..., Hub]:
    """`bad(source)` installs rlhub-bad 0.3 beside a good plugin and returns the hub of both."""

    def make(source: str, target: str = "rlhub_bad", **more: Any) -> Hub:
        install(tmp_path, "rlhub-bad", "0.3", {"rlhub_bad.py": source}, {"bad": target}, **more)
        install(tmp_path, "rlhub-good", "1.0", {"rlhub_good.py": GOOD}, {"good": "rlhub_good"})
        on_path(tmp_path)
        return Hub(strict=False)

    return make


@pytest.mark.parametrize(("source", "cause"), CORPUS.values(), ids=CORPUS.keys())
def test_whatever_is_wrong_with_a_plugin_it_is_named_and_the_rest_works(
    bad: Callable[..., Hub], source: str, cause: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rlhub_core.offers.MOST", 100)
    found = bad(source)
    assert found.find("callback", "good/x").name == "good/x"
    with pytest.raises(PluginError) as refused:
        found.find("callback", "bad/one")
    assert str(refused.value).startswith("Plugin 'bad' (rlhub-bad 0.3) is installed but could not be loaded: ")
    assert cause in str(refused.value)
    sys.modules.pop("rlhub_bad", None)
    strict = Hub(strict=True)
    for _ in range(2):  # not only for who asks first
        with pytest.raises(PluginError, match=r"Plugin 'bad' \(rlhub-bad 0\.3\): .* \(RLHUB_STRICT is set\.\)"):
            strict.plugins()


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("no_such_module", "ModuleNotFoundError: no_such_module"),
        ("rlhub_bad:nothing", "AttributeError: module 'rlhub_bad' has no attribute 'nothing'"),
        ("rlhub_bad:number", "its entry point names a int (1), which implements no hook"),
        ("rlhub bad!", "its entry point 'rlhub bad!' is no 'module' or 'module:attribute'"),
        ("", "its entry point '' is no 'module' or 'module:attribute'"),
    ],
)
def test_an_entry_point_to_nothing(bad: Callable[..., Hub], target: str, cause: str) -> None:
    found = bad("number = 1", target)
    assert cause in found.plugins()["bad"].error
    assert list(found.offers("callback")).count("good/x") == 1


def test_an_entry_point_with_extras_is_loaded(bad: Callable[..., Hub]) -> None:
    assert bad(hook(ONE), "rlhub_bad [more]").find("callback", "bad/one").name == "bad/one"


def test_a_requirement_that_cannot_be_read_is_named(bad: Callable[..., Hub]) -> None:
    found = bad(hook(ONE), requires=["rlhub-core>>1"])
    assert "it needs 'rlhub-core>>1', which is no valid requirement" in found.plugins()["bad"].error


def test_a_requirement_for_other_machines_is_none(bad: Callable[..., Hub]) -> None:
    assert not bad(hook(ONE), requires=["rlhub-core>=99; python_version < '3'"]).plugins()["bad"].error


@pytest.mark.parametrize(
    "spoil",
    [
        lambda info: (info / "METADATA").unlink(),
        lambda info: (info / "METADATA").write_bytes(b"Name: \xff\xfe\n"),
        lambda info: (info / "entry_points.txt").write_bytes(b"[rlhub]\nbad = \xff\n"),
        lambda info: (info / "entry_points.txt").write_text("[rlhub]\nno equals sign\n"),
    ],
    ids=["no METADATA", "METADATA not UTF-8", "entry points not UTF-8", "entry points no pairs"],
)
def test_metadata_that_cannot_be_read_hides_no_other_plugin(
    bad: Callable[..., Hub], tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    bad(hook(ONE))
    spoil(tmp_path / "rlhub_bad-0.3.dist-info")
    found = Hub(strict=False)
    assert found.find("callback", "good/x").name == "good/x"
    (broken,) = (plugin for plugin in found.plugins().values() if plugin.error)
    assert broken.error.startswith("the metadata of rlhub-bad 0.3 cannot be read")
    assert "pip install --force-reinstall rlhub-bad" in broken.error
    assert any(finding.level == "wrong" and "rlhub-bad 0.3" in finding.text for finding in doctor.examine())


def test_the_order_on_the_path_does_not_matter(tmp_path: Path, install: Install, on_path: Any) -> None:
    install(tmp_path / "a", "rlhub-maze", "1.0", {"maze_a.py": GOOD}, {"maze": "maze_a"})
    install(tmp_path / "b", "other-maze", "2.0", {"maze_b.py": GOOD}, {"maze": "maze_b"})
    install(tmp_path / "c", "rlhub-good", "1.0", {"rlhub_good.py": GOOD}, {"good": "rlhub_good"})
    on_path(tmp_path)
    told = set()
    original = list(sys.path)
    for order in itertools.permutations("abc"):
        sys.path[:] = [*(str(tmp_path / name) for name in order), *original]
        plugins = Hub(strict=False).plugins()
        told.add(tuple((name, plugins[name].status, plugins[name].error) for name in ("good", "maze")))
    sys.path[:] = original
    clash = "two distributions claim the name 'maze': other-maze 2.0 and rlhub-maze 1.0; uninstall all but one of them"
    assert told == {(("good", "loaded", ""), ("maze", "broken", clash))}


def test_three_claims_and_one_that_claims_twice(tmp_path: Path, install: Install, on_path: Any) -> None:
    for name in ("one", "three", "two"):
        install(tmp_path, name, "1", {}, {"maze": "nothing"})
    install(tmp_path, "self", "1", {}, {})
    (tmp_path / "self-1.dist-info/entry_points.txt").write_text("[rlhub]\ntwice = a\ntwice = b\n")
    on_path(tmp_path)
    plugins = Hub(strict=False).plugins()
    assert plugins["maze"].error.startswith("3 distributions claim the name 'maze': one 1 and three 1 and two 1;")
    assert plugins["twice"].error == "self 1 claims the name 'twice' twice; report it to its authors"


def test_of_two_copies_of_a_distribution_the_one_that_python_imports_counts(
    tmp_path: Path, install: Install, on_path: Any
) -> None:
    for version in ("1.0", "2.0"):
        install(tmp_path / version, "rlhub-good", version, {"rlhub_good.py": GOOD}, {"good": "rlhub_good"})
        on_path(tmp_path / version)
    assert str(Hub(strict=True).plugins()["good"]) == "rlhub-good 2.0"
    (note,) = (finding for finding in doctor.examine() if "another copy" in finding.text)
    assert note.level == "note"
    assert note.text.startswith("rlhub-good 2.0 is used; another copy is installed, 1.0 in ")


def test_what_a_plugin_prints_stays_out_of_the_output_and_is_reported(bad: Callable[..., Hub], capsys: Any) -> None:
    found = bad("print('Welcome to bad!')\n" + hook(ONE))
    assert found.plugins()["bad"].printed == "Welcome to bad!\n"
    assert capsys.readouterr().out == ""
    sys.modules.pop("rlhub_bad")
    texts = [finding.text for finding in doctor.examine()]
    assert "plugin 'bad' (rlhub-bad 0.3) prints 'Welcome to bad!' merely to be listed" in texts


def test_a_stream_that_a_plugin_has_kept_goes_on_to_the_output(bad: Callable[..., Hub], capsys: Any) -> None:
    bad("import sys\nkept = sys.stdout\n" + hook(ONE)).plugins()
    print("later", file=sys.modules["rlhub_bad"].kept)
    assert capsys.readouterr().out == "later\n"


def test_a_slow_plugin_is_reported_with_its_time(bad: Callable[..., Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 10.0)
    monkeypatch.setattr(hub, "perf_counter", lambda: next(clock))
    bad(hook(ONE))
    texts = [finding.text for finding in doctor.examine()]
    assert "plugin 'bad' (rlhub-bad 0.3) takes 10.0 s merely to be listed" in texts


def test_who_interrupts_a_slow_import_is_heard_and_the_plugin_has_another_chance(bad: Callable[..., Hub]) -> None:
    source = (
        "import builtins\nif not hasattr(builtins, 'asked'):\n    builtins.asked = 1\n    raise KeyboardInterrupt\n"
    )
    found = bad(source + hook(ONE))
    with pytest.raises(KeyboardInterrupt) as interrupted:
        found.plugins()
    assert interrupted.value.__notes__ == ["while plugin 'bad' (rlhub-bad 0.3) was loaded"]
    assert found.find("callback", "bad/one").name == "bad/one"
    import builtins

    del builtins.asked  # type: ignore[attr-defined]


def test_a_disabled_plugin_is_neither_imported_nor_recommended(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "rlhub-bad", "0.3", {"rlhub_bad.py": "raise SystemExit"}, {"bad": "rlhub_bad"})
    code = (
        "import sys, rlhub_core as r\n"
        "try: r.Hub().find('callback', 'bad/x')\n"
        "except r.NotFoundError as error: print(error, 'rlhub_bad' in sys.modules)"
    )
    said = run(code, tmp_path, RLHUB_DISABLE="bad", RLHUB_STRICT="1").stdout
    assert said == "bad/x is of the plugin 'bad', which RLHUB_DISABLE leaves out. Unset it. False\n"


def test_strict_mode_is_an_environment_variable(tmp_path: Path, install: Install) -> None:
    install(tmp_path, "rlhub-bad", "0.3", {"rlhub_bad.py": "1 / 0"}, {"bad": "rlhub_bad"})
    command = "from rlhub_core.cli import main; import sys; sys.argv[1:] = ['list']; main()"
    strict, lenient = (run(command, tmp_path, RLHUB_STRICT=setting) for setting in ("1", "0"))
    assert strict.returncode != 0
    assert "Plugin 'bad' (rlhub-bad 0.3): ZeroDivisionError: division by zero (RLHUB_STRICT is set.)" in strict.stderr
    assert lenient.returncode == 0
    assert "Broken plugins (see `rlhub plugins`): bad." in lenient.stderr


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("rlhub_bad:nothing", "AttributeError: module 'rlhub_bad' has no attribute 'nothing'"),
        ("rlhub_late:Anything", "SystemExit: 3"),
        ("rlhub_bad:number", "bad/x of plugin 'bad' names a int (1), which cannot be called"),
        ("rlhub_bad:function", "which is no class of algorithms"),
        ("collections:OrderedDict", "names OrderedDict, which is no algorithm: it lacks Config, actor, load, save"),
    ],
)
def test_a_target_that_is_not_what_it_should_be(
    bad: Callable[..., Hub], tmp_path: Path, target: str, cause: str
) -> None:
    (tmp_path / "rlhub_late.py").write_text("print('late'); raise SystemExit(3)")
    offer = f"yield AlgorithmSpec('bad/x', '{target}', '', action_spaces=('Box',))"
    found = bad("number = 1\ndef function(): pass\n" + hook(offer, "rlhub_algorithms"))
    with pytest.raises(PluginError) as refused:
        found.load("algorithm", "bad/x")
    assert cause in str(refused.value)
    assert "rlhub-bad 0.3" in str(refused.value)


def test_an_environment_whose_module_does_not_import_names_plugin_and_distribution(bad: Callable[..., Hub]) -> None:
    offer = "from gymnasium.envs.registration import EnvSpec; yield EnvSpec('bad/X-v0', entry_point='rlhub_gone:X')"
    found = bad(hook(offer, "rlhub_environments"))
    with pytest.raises(PluginError, match=r"Plugin 'bad' \(rlhub-bad 0\.3\) .*: ModuleNotFoundError: rlhub_gone\."):
        rlhub_core.make("bad/X-v0", hub=found)


def adapters(matches: Callable[[object], bool]) -> Hub:
    class Plugin:
        @hookimpl
        def rlhub_adapters(self) -> Any:
            yield AdapterSpec("odd/robot", "collections:OrderedDict", matches, "")

    return Hub({"odd": Plugin()}, discover=False)


def test_an_adapter_that_fails_when_it_looks_is_named() -> None:
    with pytest.raises(
        rlhub_core.EnvironmentContractError, match=r"odd/robot failed when it looked at it: KeyError: 7"
    ):
        rlhub_core.adapt(object(), hub=adapters(lambda thing: bool({1: 2}[7])))


def test_an_adapter_that_takes_its_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 3.0)
    monkeypatch.setattr(envs, "perf_counter", lambda: next(clock))
    spec = AdapterSpec("odd/robot", "a:b", lambda thing: False, "")
    with pytest.warns(UserWarning, match=r"The adapter odd/robot took 3\.0 s to look at a object"):
        assert not envs.matches(spec, object())


def test_the_doctor_survives_what_ends_kills_or_hangs_a_process(
    tmp_path: Path, install: Install, on_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rehearsal, "PATIENCE", 2.0)
    deadly = {
        "leaves": ("import os; os._exit(3)", "ends the process (exit code 3) that imports it"),
        "crashes": ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "kills the process (SIGKILL)"),
        "sleeps": ("import threading; threading.Event().wait()", "takes longer than 2 s"),
    }
    for name, (source, _) in deadly.items():
        install(tmp_path, f"rlhub-{name}", "0.1", {f"rlhub_{name}.py": source}, {name: f"rlhub_{name}"})
    install(tmp_path, "rlhub-good", "1.0", {"rlhub_good.py": GOOD}, {"good": "rlhub_good"})
    on_path(tmp_path)
    found = {finding.text: finding for finding in doctor.examine()}
    for name, (_, fate) in deadly.items():
        (text,) = (text for text in found if text.startswith(f"plugin '{name}' (rlhub-{name} 0.1) {fate}"))
        assert found[text].level == "wrong"
        assert f"RLHUB_DISABLE={name}" in found[text].cure
    assert any(text.startswith("plugin 'good' (rlhub-good 1.0) loads in ") for text in found)


def test_the_doctor_survives_a_target_that_ends_the_process(bad: Callable[..., Hub], tmp_path: Path) -> None:
    (tmp_path / "rlhub_leaves.py").write_text("import os; os._exit(1)")
    bad(hook("yield CallbackSpec('bad/x', 'rlhub_leaves:X', ''); yield CallbackSpec('bad/y', 'json:loads', '')"))
    texts = [finding.text for finding in doctor.examine(deep=True)]
    assert "bad/x of plugin 'bad' (rlhub-bad 0.3) ends the process (exit code 1) that imports it" in texts


CHANGES = {
    "environments in Gymnasium's registry": "import gymnasium; gymnasium.register('Mine-v0', 'a:b')",
    "gymnasium.make": "import gymnasium; gymnasium.make = print",
    "Python's random generator": "import random; random.seed(1)",
    "numpy's random generator": "import numpy; numpy.random.seed(1)",
    "numpy's error handling": "import numpy; numpy.seterr(all='ignore')",
    "the filters of warnings": "import warnings; warnings.filterwarnings('ignore', message='mine')",
    "the working directory": "import os; os.chdir('/')",
    "signal handlers": "import signal; signal.signal(signal.SIGUSR1, signal.SIG_IGN)",
    "environment variables": "import os; os.environ['MINE'] = '1'",
    "running threads": "import threading; threading.Thread(target=threading.Event().wait).start()",
    "the root logger": "import logging; logging.basicConfig()",
    "sys.excepthook": "import sys; sys.excepthook = print",
}


def test_the_doctor_tells_what_an_import_changes_for_everybody(tmp_path: Path, install: Install, on_path: Any) -> None:
    for number, source in enumerate(CHANGES.values()):
        name = f"plugin{number:02}"
        install(tmp_path, f"rlhub-{name}", "1", {f"rlhub_{name}.py": f"{source}\n"}, {name: f"rlhub_{name}"})
    install(tmp_path, "rlhub-tidy", "1", {"rlhub_tidy.py": GOOD.replace("good/", "tidy/")}, {"tidy": "rlhub_tidy"})
    on_path(tmp_path)
    names = sorted(Hub().discovered())
    outcomes = {outcome.plugin: outcome for outcome in rehearsal.rehearse(names)}
    assert [outcomes[f"plugin{number:02}"].changed for number in range(len(CHANGES))] == [(each,) for each in CHANGES]
    assert outcomes["tidy"].changed == outcomes["core"].changed == ()


def test_an_offer_of_the_right_kind_passes() -> None:
    class Plugin:
        @hookimpl
        def rlhub_algorithms(self) -> Any:
            yield AlgorithmSpec("fine/x", "a:b", "", action_spaces=("Box",), presets="a:b.toml")

    assert not Hub({"fine": Plugin()}, discover=False).plugins()["fine"].error
