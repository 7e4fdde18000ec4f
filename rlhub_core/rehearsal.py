"""Imports plugins in another process first: one that ends, kills or hangs its process cannot be survived in one's own.

The other process also has no past, so that what an import changes for everybody can be told.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import select
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from rlhub_core.hub import KINDS, Hub
from rlhub_core.specs import load_target

PATIENCE = 60.0  # seconds for one import
START = 120.0  # seconds until the other process is ready: a busy machine is no fault of a plugin
PLAY = "import sys; from rlhub_core.rehearsal import play; play(*sys.argv[1:])"


class Outcome(NamedTuple):
    """What became of the process in which a plugin, or the target of one of its offers, was imported."""

    plugin: str  # its name
    target: str  # the full name of the offer; "" for the plugin itself
    fate: str  # how the process ended, "ended with exit code 3"; "" where it goes on
    changed: tuple[str, ...]  # what of the process is no longer as it was before


def rehearse(names: Sequence[str], *, deep: bool = False) -> Iterator[Outcome]:
    """Import plugins one after another in another process; where one ends it, a new one goes on with the rest.

    Args:
        names: of plugins.
        deep: import the target of every offer as well.
    """
    begun: list[tuple[str, str]] = []
    fatal: list[str] = []
    whole = False
    while not whole:
        current: tuple[str, str] | None = None
        for said in _said(json.dumps({"names": list(names), "begun": begun, "fatal": fatal, "deep": deep})):
            if "begin" in said:
                current = (said["begin"][0], said["begin"][1])
                begun.append(current)
            elif "changed" in said and current is not None:
                yield Outcome(*current, "", tuple(said["changed"]))
                current = None
            elif "ready" in said:
                continue
            elif current is not None:
                yield Outcome(*current, said["fate"], ())
                fatal += [] if current[1] else [current[0]]
            else:  # it came to its end, or has ended where nothing was imported
                whole = True


def play(plan: str, descriptor: str) -> None:
    """Import what is left to do, and say so line by line: the other process.

    Args:
        plan: as JSON what `rehearse` knows.
        descriptor: of the pipe to it.
    """
    asked = json.loads(plan)
    hub, begun = Hub(strict=False), {tuple(item) for item in asked["begun"]}
    names = [name for name in asked["names"] if name in hub.discovered() and name not in asked["fatal"]]
    with os.fdopen(int(descriptor), "w") as line:
        print(json.dumps({"ready": True}), file=line, flush=True)

        def perform(item: tuple[str, str], act: Callable[[], Any]) -> None:
            if item in begun:
                return
            before = _world()
            print(json.dumps({"begin": item}), file=line, flush=True)
            with contextlib.suppress(Exception, SystemExit):  # that one is told where it is imported in earnest
                act()
            after = _world()
            changed = [what for what, was in before.items() if after[what] != was]
            print(json.dumps({"changed": changed}), file=line, flush=True)

        for name in names:
            perform((name, ""), lambda name=name: hub.plugin(name))  # type: ignore[misc]
        for name in names if asked["deep"] else ():
            for kind in KINDS:
                for full, spec in (hub.plugin(name).offers or {})[kind].items():
                    perform((name, full), lambda spec=spec: _import(spec))  # type: ignore[misc]
    os._exit(0)  # threads that a plugin has left behind do not hold it


def _import(spec: Any) -> None:
    for target in (spec.entry_point, getattr(spec, "vector_entry_point", None)):
        if isinstance(target, str):
            load_target(target)


def _said(plan: str) -> Iterator[dict[str, Any]]:
    """Yield what the other process says, at last how it ended."""
    reading, writing = os.pipe()
    command = [sys.executable, "-c", PLAY, plan, str(writing)]
    paths = os.pathsep.join(path for path in sys.path if path)
    process = subprocess.Popen(
        command,
        pass_fds=[writing],
        env=os.environ | {"PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    rest, late, patience = b"", False, START
    try:
        while not late:
            late = not select.select([reading], [], [], patience)[0]
            chunk = b"" if late else os.read(reading, 1 << 16)
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            patience = PATIENCE
            yield from map(json.loads, lines)
    finally:
        os.close(reading)
        if not late:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)  # it has closed its end, so it is about to end
        process.kill()
        process.wait()
    yield {"fate": f"takes longer than {PATIENCE:.0f} s" if late else _fate(process.returncode)}


def _fate(code: int) -> str:
    return f"kills the process ({signal.Signals(-code).name})" if code < 0 else f"ends the process (exit code {code})"


def _world() -> dict[str, Any]:
    """Return what all code in a process shares and an import should leave alone."""
    _, keys, place, *_ = np.random.get_state(legacy=True)
    return {
        "environments in Gymnasium's registry": {name: id(spec) for name, spec in gymnasium.registry.items()},
        "gymnasium.make": (id(gymnasium.make), id(gymnasium.make_vec), id(gymnasium.register)),
        "Python's random generator": random.getstate(),
        "numpy's random generator": (np.asarray(keys).tobytes(), place),
        "numpy's error handling": np.geterr(),
        "the filters of warnings": list(warnings.filters),
        "the working directory": os.getcwd(),
        "signal handlers": [signal.getsignal(each) for each in signal.valid_signals()],
        "environment variables": dict(os.environ),
        "running threads": {thread.ident for thread in threading.enumerate()},
        "the root logger": (logging.root.level, list(logging.root.handlers)),
        "sys.excepthook": id(sys.excepthook),
    }
