"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator

from rlhub_core import CallbackSpec, hookimpl


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """One callback a module."""
    return iter(())
