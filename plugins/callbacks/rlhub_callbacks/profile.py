"""Where the wall time of a run goes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhub_callbacks.files import alone, replaced
from rlhub_core import Callback, Run, option, state
from rlhub_core.stopwatch import ACTING, CALLBACKS, CHECKPOINTING, ENVIRONMENT, LEARNING, OTHER, Stopwatch

FILE = "profile.json"
ACCOUNTS = (ENVIRONMENT, ACTING, LEARNING, "callbacks", CHECKPOINTING, OTHER)


@dataclass
class Profile(Callback):
    """Measures where the time goes: environment, acting, learning, callbacks, checkpoints; a table at the end.

    `profile.json` in the run folder holds the wall seconds of all sessions; it is written with each checkpoint.
    """

    show: bool = option(True, "print the table when training ends")
    _earlier: dict[str, float] = field(default_factory=dict, init=False, repr=False)
    _run: Run | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Start the watch.

        Raises:
            ConfigError: where there are two.
        """
        alone(run, self, "callbacks/profile")
        if run.restored is None:
            self._earlier = {}
        self._run, run.stopwatch = run, Stopwatch(self._earlier)
        if run.collector is not None:
            run.stopwatch.watch(run.collector)

    def on_end(self, run: Run) -> None:
        """Write the file and print the table."""
        result = self._write(run)
        if self.show and run.steps:
            print(table(result))

    def save(self, folder: Path) -> None:
        """Write the seconds so far."""
        seconds: Mapping[str, float] = self._earlier
        if self._run is not None and self._run.stopwatch is not None:
            seconds = self._run.stopwatch.seconds
            self._write(self._run)
        state.save(folder, "profile", {"accounts": list(seconds), "seconds": list(seconds.values())})

    def load(self, folder: Path) -> None:
        """Read the seconds of earlier sessions."""
        saved = state.load(folder, "profile")
        self._earlier = dict(zip(saved["accounts"], saved["seconds"], strict=True))

    def _write(self, run: Run) -> dict[str, Any]:
        assert run.stopwatch is not None
        result = summary(run.stopwatch.seconds, run.steps)
        replaced(run.folder / FILE, json.dumps(result, indent=1) + "\n")
        return result


def summary(seconds: Mapping[str, float], steps: int) -> dict[str, Any]:
    """Return what `profile.json` holds: env steps, wall seconds in all, by account, and by callback."""
    callbacks = {
        account.removeprefix(CALLBACKS): spent for account, spent in seconds.items() if account.startswith(CALLBACKS)
    }
    accounts = dict(seconds) | {"callbacks": sum(callbacks.values())}
    return {
        "steps": steps,
        "seconds_in_all": round(sum(seconds.values()), 6),
        "seconds": {name: round(accounts.get(name, 0.0), 6) for name in ACCOUNTS},
        "seconds_of_callbacks": {name: round(spent, 6) for name, spent in sorted(callbacks.items())},
    }


def table(result: Mapping[str, Any]) -> str:
    """Return the table of a `summary`: seconds, share, and microseconds an env step."""
    whole, steps = max(1e-9, result["seconds_in_all"]), max(1, result["steps"])

    def row(name: str, spent: float) -> str:
        return f"{name:<24}{spent:>12,.2f}{spent / whole:>9.1%}{spent / steps * 1e6:>16,.1f}"

    rows = [f"{'where the time goes':<24}{'seconds':>12}{'share':>9}{'µs an env step':>16}"]
    for name in ACCOUNTS:
        rows.append(row(name, result["seconds"][name]))
        if name == "callbacks":
            rows += [row(f"  {each}", spent) for each, spent in result["seconds_of_callbacks"].items()]
    return "\n".join([*rows, row("in all", result["seconds_in_all"])])
