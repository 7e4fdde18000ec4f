"""Finding plugins: names, broken ones, conflicts, isolation."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gymnasium.envs.registration import EnvSpec

from rlhub_core import AlgorithmSpec, CallbackSpec, Hub, NotFoundError, PluginError, hookimpl


def offering(*algorithms: str, **hooks: Callable[[], Any]) -> Any:
    """Return a plugin object that offers algorithms by name, and whatever else its hooks say."""

    class Offering:
        @hookimpl
        def rlhub_algorithms(self) -> Iterator[AlgorithmSpec]:
            for name in algorithms:
                yield AlgorithmSpec(name, "collections:OrderedDict", "one line", action_spaces=("Discrete",))

    for name, hook in hooks.items():
        setattr(Offering, name, staticmethod(hookimpl(hook)))
    return Offering()


def private(**plugins: Any) -> Hub:
    return Hub(plugins, discover=False, strict=False)


HUB = {"deep": offering("deep/a2c", "deep/dqn"), "sb3": offering("sb3/dqn")}


def test_a_full_name_and_a_bare_one_that_one_thing_bears() -> None:
    hub = private(**HUB)
    assert hub.find("algorithm", "deep/dqn").name == "deep/dqn"
    assert hub.find("algorithm", "a2c").name == "deep/a2c"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "deep/dnq",
            "No algorithm is called 'deep/dnq'. Did you mean 'deep/dqn'? Installed: deep/a2c, deep/dqn, sb3/dqn.",
        ),
        (
            "tabular/sarsa",
            "No algorithm is called 'tabular/sarsa'. If a package offers it: pip install rlhub-tabular. "
            "Installed: deep/a2c, deep/dqn, sb3/dqn.",
        ),
        ("dqn", "'dqn' is offered by deep/dqn (deep) and sb3/dqn (sb3). Name one."),
    ],
)
def test_a_name_that_does_not_lead_to_one_thing(name: str, message: str) -> None:
    with pytest.raises(NotFoundError) as error:
        private(**HUB).find("algorithm", name)
    assert str(error.value) == message


def test_only_the_plugin_asked_for_is_loaded() -> None:
    hub = private(**HUB)
    hub.find("algorithm", "deep/dqn")
    assert {name: plugin.status for name, plugin in hub._plugins.items()} == {"deep": "loaded", "sb3": "not loaded"}


def broken(fault: Callable[[], Any]) -> Any:
    return offering(rlhub_callbacks=fault)


def raises() -> Any:
    raise ValueError("no such file")


@pytest.mark.parametrize(
    ("plugin", "cause"),
    [
        (broken(raises), "ValueError: no such file"),
        (broken(lambda: [42]), "rlhub_callbacks gave a int, not CallbackSpec: 42"),
        (
            broken(lambda: [CallbackSpec("other/x", "a:b", "")]),
            "it offers 'other/x', outside its namespace; call it 'bad/x'",
        ),
        (offering("bad/x", "bad/x"), "it offers 'bad/x' twice"),
        (offering(rlhub_algoritms=lambda: ()), "unknown hook 'rlhub_algoritms'"),
        (
            offering(rlhub_environments=lambda: [EnvSpec("Bare-v0", entry_point="a:b")]),
            "it offers 'Bare-v0', outside its namespace",
        ),
    ],
)
def test_a_broken_plugin_is_quarantined_and_the_rest_works(plugin: Any, cause: str) -> None:
    hub = private(bad=plugin, **HUB)
    assert list(hub.offers("algorithm")) == ["deep/a2c", "deep/dqn", "sb3/dqn"]
    assert cause in hub.plugins()["bad"].error
    assert "Traceback" in hub.plugins()["bad"].traceback or "Error" in hub.plugins()["bad"].traceback
    with pytest.raises(
        PluginError, match=r"Plugin 'bad' is installed but could not be loaded: .*Try: pip install rlhub-bad\."
    ):
        hub.find("algorithm", "bad/x")
    with pytest.raises(PluginError, match="RLHUB_STRICT is set"):
        Hub({"bad": plugin}, discover=False, strict=True).plugins()


def test_a_target_that_cannot_be_imported_names_its_plugin() -> None:
    class Missing:
        @hookimpl
        def rlhub_callbacks(self) -> Any:
            yield CallbackSpec("late/x", "no_such_module:X", "")

    with pytest.raises(
        PluginError,
        match=r"Plugin 'late' is installed but could not be loaded: ModuleNotFoundError: no_such_module\. Try: ",
    ):
        private(late=Missing()).load("callback", "late/x")


def test_a_target_that_knows_its_own_cure_says_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = (
        "from rlhub_core import PluginError\nraise PluginError(\"It needs more. Try: pip install 'late[more]'.\")\n"
    )
    (tmp_path / "needs_more.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    class Late:
        @hookimpl
        def rlhub_callbacks(self) -> Any:
            yield CallbackSpec("late/x", "needs_more:X", "")

    with pytest.raises(PluginError) as error:
        private(late=Late()).load("callback", "late/x")
    assert str(error.value) == "It needs more. Try: pip install 'late[more]'."


Install = Callable[..., Path]
PLUGIN = """
from rlhub_core import CallbackSpec, hookimpl

@hookimpl
def rlhub_callbacks():
    yield CallbackSpec('{0}/x', 'a:b', '')
"""


def test_installed_plugins_are_found_by_their_entry_points(tmp_path: Path, install: Install, on_path: Any) -> None:
    install(tmp_path, "rlhub-one", "1.2", {"one_plugin.py": PLUGIN.format("one")}, {"one": "one_plugin"})
    install(tmp_path, "rlhub-two", "0.1", {"two_plugin.py": "import no_such_framework\n"}, {"two": "two_plugin"})
    on_path(tmp_path)
    plugins = Hub().plugins()
    assert (plugins["one"].distribution, plugins["one"].version, plugins["one"].status) == (
        "rlhub-one",
        "1.2",
        "loaded",
    )
    assert plugins["two"].error == "ModuleNotFoundError: no_such_framework"
    with pytest.raises(PluginError) as error:
        Hub().find("callback", "two/x")
    assert str(error.value) == (
        "Plugin 'two' (rlhub-two 0.1) is installed but could not be loaded: ModuleNotFoundError: no_such_framework. "
        "Try: pip install rlhub-two."
    )


def test_two_distributions_of_one_name_are_both_refused(tmp_path: Path, install: Install, on_path: Any) -> None:
    install(tmp_path, "rlhub-maze", "1.0", {"maze_a.py": PLUGIN.format("maze")}, {"maze": "maze_a"})
    install(tmp_path, "other-maze", "2.0", {"maze_b.py": PLUGIN.format("maze")}, {"maze": "maze_b"})
    on_path(tmp_path)
    with pytest.raises(
        PluginError, match=r"two distributions claim the name 'maze': other-maze 2\.0 and rlhub-maze 1\.0"
    ):
        Hub().find("callback", "maze/x")


def test_a_plugin_for_another_core_is_refused_before_it_is_imported(
    tmp_path: Path, install: Install, on_path: Any
) -> None:
    install(
        tmp_path,
        "rlhub-old",
        "1.0",
        {"old_plugin.py": "raise SystemExit\n"},
        {"old": "old_plugin"},
        requires=["rlhub-core>=99"],
    )
    on_path(tmp_path)
    assert "it needs rlhub-core>=99; rlhub-core " in Hub().plugins()["old"].error


def test_a_disabled_plugin_is_not_imported(tmp_path: Path, install: Install, on_path: Any, monkeypatch: Any) -> None:
    install(tmp_path, "rlhub-one", "1.0", {"one_marked.py": "import marker_of_one\n"}, {"one": "one_marked"})
    on_path(tmp_path)
    monkeypatch.setenv("RLHUB_DISABLE", "one, other")
    assert "one" not in Hub().plugins()
    assert "one_marked" not in sys.modules


def test_a_plugin_that_exits_at_import_does_not_take_the_hub_with_it() -> None:
    hub = Hub(discover=False)
    from rlhub_core.hub import Plugin

    def leave() -> Any:
        raise SystemExit(3)

    hub._plugins["rude"] = Plugin("rude", load=leave)
    assert hub.plugins()["rude"].error == "SystemExit: 3"


def test_two_threads_find_the_same() -> None:
    class Slow:
        """Offers a callback, after a while."""

        @hookimpl
        def rlhub_callbacks(self) -> list[CallbackSpec]:
            time.sleep(0.05)
            return [CallbackSpec("slow/nothing", "rlhub_core.protocol:Callback", "does nothing")]

    hub = Hub({"slow": Slow()}, discover=False)
    found: list[list[str]] = []
    threads = [threading.Thread(target=lambda: found.append(list(hub.offers("callback")))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [["slow/nothing"], ["slow/nothing"]]
