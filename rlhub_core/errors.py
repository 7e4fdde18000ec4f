"""The errors a user can meet. Each message says what was asked, what there is, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any


class RlhubError(Exception):
    """The root of every error that rlhub raises for a reason a user can act on."""

    def __str__(self) -> str:
        return printable(super().__str__())


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


class ArtefactError(RunError):
    """A file that is not what rlhub writes, or that reaches out of its folder."""


class TrustError(RunError):
    """A recipe that names code, which nobody has allowed to be imported."""


class TrainingError(RlhubError):
    """Training that cannot go on; an algorithm raises it while its state is whole, and the run is saved."""


class NonFiniteError(TrainingError):
    """A loss, gradient, parameter or fitness that is no finite number; the run stops before a checkpoint holds it.

    An algorithm that says what its update was made of raises this with its state as it was before the update, and has
    a method `update_again(batch)` (see `rlhub_core.protocol.Algorithm`); then the run leaves a post-mortem that
    `rlhub replay-update` reproduces.

    Args:
        what: is not finite, "the gradient's norm is nan".
        batch: what the update was made of: a tree that `rlhub_core.state` can save; None where that is not known.
        found: name -> number or array: what the update had worked out until then. `td_error` [N] ranks the batch.

    Attributes:
        where: the algorithm and the step, which the run adds.
        advice: what to try, likewise.
    """

    def __init__(self, what: str, *, batch: Mapping[str, Any] | None = None, found: Mapping[str, Any] | None = None):
        super().__init__(what)
        self.what, self.batch, self.found = what, batch, dict(found or {})
        self.where = self.advice = ""

    def __str__(self) -> str:
        """Return the whole sentence."""
        said = f"{self.where}: {self.what}." if self.where else f"{self.what[:1].upper()}{self.what[1:]}."
        return f"{said} {self.advice}".rstrip()


class CheckpointError(RlhubError):
    """A checkpoint that is damaged, or that does not fit what it is loaded into."""


class StorageError(RlhubError):
    """A disk that is full, or a quota that is used up; what was saved before is whole, and the run can be resumed."""


def printable(text: str, most: int = 4_000) -> str:
    """Return a text in which what drives a terminal is spelled out, cut where it is very long.

    Names in messages may come from other people's files: escape sequences, marks that turn the direction of writing.
    """
    shown = text if len(text) <= most else f"{text[:most]}…"
    if shown.isascii() and shown.isprintable():
        return shown
    spelled = (each if each.isprintable() or each in "\n\t" else repr(each)[1:-1] for each in shown)
    return "".join(spelled)


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


def need(module: str, extra: str, what: str = "Pictures need") -> None:
    """Raise RlhubError where a module of one of the core's extras is not installed."""
    if find_spec(module) is None:
        raise RlhubError(f"{what} {module}, which is not installed. Try: pip install 'rlhub-core[{extra}]'.")


@contextmanager
def written(what: str, path: Path) -> Iterator[None]:
    """Say in one sentence that a file cannot be written, and why; its folder is made where it is not there."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise RlhubError(f"{what} cannot be written to {path}: {error.strerror or error}.") from error
