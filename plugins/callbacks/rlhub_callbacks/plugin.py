"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator

from rlhub_core import CallbackSpec, hookimpl


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """One callback a module."""
    yield CallbackSpec(
        "callbacks/video", "rlhub_callbacks.video:Video", "films episodes at chosen steps, on evaluations or new bests"
    )
