"""The errors a user can meet. Each message says what was asked, what there is, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path


class RlhubError(Exception):
    """The root of every error that rlhub raises for a reason a user can act on."""


class NotFoundError(RlhubError):
    """A name that nothing installed bears, or that several things bear."""


class PluginError(RlhubError):
    """An installed plugin that cannot be used, with cause and cure."""


class MissingExtraError(PluginError):
    """A part of a plugin whose optional dependency is not installed, which is nobody's fault.

    Args:
        needed: the distribution that is missing, "sb3-contrib".
        extra: what brings it, "rlhub-sb3[contrib]".
    """

    def __init__(self, needed: str, extra: str) -> None:
        self.problem, self.cure = f"needs {needed}, which is not installed", f"pip install '{extra}'"
        super().__init__(f"This {self.problem}. Try: {self.cure}.")


class ConfigError(RlhubError):
    """A hyper-parameter or option of a wrong name, type or range."""


class SpaceError(RlhubError):
    """An algorithm and an environment whose spaces do not fit."""


class EnvironmentFault(RlhubError):
    """An environment that misbehaves: it raises, hangs, dies, or gives what its spaces do not hold.

    Where an exception of the environment is the reason, that is the `__cause__`; of one in a worker process it is the
    `WorkerTraceback`.

    Args:
        problem: what is wrong, in one sentence.
        index: of the environment among those of its vector environment, where it is known.
        cure: what to do, in one sentence.

    Attributes:
        environment: its name; "" as long as nobody has said where the fault is.
        offered_by: the distribution that it comes from, with its version, or "".
        during: "reset", "step", "close", …
        step: env steps so far, all environments together.
        seed: of the reset from which on its actions lead to the fault; None where the index is not known.
        since_seed: its steps since then.
    """

    def __init__(self, problem: str, *, index: int | None = None, cure: str = "") -> None:
        super().__init__(problem)
        self.problem, self.index, self.cure = problem, index, cure
        self.environment = self.offered_by = self.during = ""
        self.num_envs = 1
        self.step: int | None = None
        self.seed: int | None = None
        self.since_seed: int | None = None

    def locate(
        self,
        environment: str,
        offered_by: str,
        during: str,
        num_envs: int,
        *,
        step: int | None = None,
        seed: int | None = None,
        since_seed: int | None = None,
    ) -> None:
        """Say where it is; who says it first knows best."""
        if not self.environment:
            self.environment, self.offered_by, self.during = environment, offered_by, during
            self.num_envs, self.step, self.seed, self.since_seed = num_envs, step, seed, since_seed

    def __str__(self) -> str:
        return " ".join(filter(None, (self.problem, self._place(), self.cure)))

    def _place(self) -> str:
        if not self.environment:
            return ""
        which = "one" if self.index is None else f"number {self.index}"
        offered = f", offered by {self.offered_by}" if self.offered_by else ""
        at = "" if self.step is None else f" at env step {self.step:,}"
        seeded = "" if self.seed is None else f", {self.since_seed:,} steps after its reset with seed {self.seed}"
        return f"That is {which} of {self.num_envs} × {self.environment}{offered}, in {self.during}{at}{seeded}."


class EnvironmentContractError(EnvironmentFault):
    """An environment that does not keep Gymnasium's contract, or lacks what is asked of it."""


class WorkerTraceback(Exception):
    """The traceback of an exception in a worker process, as text."""

    def __str__(self) -> str:
        return "\n" + str(self.args[0])


class RunError(RlhubError):
    """A run folder that cannot be used as asked."""


class TrainingError(RlhubError):
    """Training that cannot go on; an algorithm raises it while its state is whole, and the run is saved."""


class CheckpointError(RlhubError):
    """A checkpoint that is damaged, or that does not fit what it is loaded into."""


def did_you_mean(asked: str, available: Iterable[str], most: int = 1) -> str:
    """Return " Did you mean 'x'?" for the closest available names, or for one they abbreviate ("lr"), or nothing."""
    names = list(available)
    close = difflib.get_close_matches(asked, names, n=most, cutoff=0.6)
    close = close or [name for name in names if "".join(word[:1] for word in name.split("_")) == asked][:most]
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""


def squeezed(space: object) -> str:
    """Return a space as one line without numpy's padding."""
    return " ".join(str(space).split())


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return the names in order, comma-separated, cut with "…" where there are many."""
    ordered = sorted(names)
    return ", ".join([*ordered[:most], *(["…"] if len(ordered) > most else [])]) or "none"


@contextmanager
def written(what: str, path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written, and why; its folder is made where it is not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RlhubError(f"{what} cannot be written to {path}: {error.strerror or error}.") from error
