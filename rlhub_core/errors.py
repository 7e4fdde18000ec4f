"""The errors a user can meet. Each message says what was asked, what there is, and what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class RlhubError(Exception):
    """The root of every error that rlhub raises for a reason a user can act on."""


class NotFoundError(RlhubError):
    """A name that nothing installed bears, or that several things bear."""


class PluginError(RlhubError):
    """An installed plugin that cannot be used, with cause and cure."""


class ConfigError(RlhubError):
    """A hyper-parameter or option of a wrong name, type or range."""


class SpaceError(RlhubError):
    """An algorithm and an environment whose spaces do not fit."""


class EnvironmentContractError(RlhubError):
    """An environment that does not keep Gymnasium's contract."""


class RunError(RlhubError):
    """A run folder that cannot be used as asked."""


class CheckpointError(RlhubError):
    """A checkpoint that is damaged, or that does not fit what it is loaded into."""


def did_you_mean(asked: str, available: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the closest available name, or nothing."""
    close = difflib.get_close_matches(asked, list(available), n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


def squeezed(space: object) -> str:
    """Return a space as one line without numpy's padding."""
    return " ".join(str(space).split())


def listed(names: Iterable[str], most: int = 12) -> str:
    """Return the names in order, comma-separated, cut with "…" where there are many."""
    ordered = sorted(names)
    return ", ".join([*ordered[:most], *(["…"] if len(ordered) > most else [])]) or "none"
