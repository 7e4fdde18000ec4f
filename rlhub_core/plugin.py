"""The core's own callbacks, offered through the same hooks as anyone's."""

from collections.abc import Iterable

from rlhub_core.hookspecs import hookimpl
from rlhub_core.specs import CallbackSpec


@hookimpl
def rlhub_callbacks() -> Iterable[CallbackSpec]:
    """Offer `core/…`."""
    target = "rlhub_core.callbacks:"
    yield CallbackSpec(
        "core/evaluate", target + "Evaluate", "plays greedy episodes now and then and records their scores"
    )
    yield CallbackSpec("core/checkpoint", target + "Checkpoint", "saves the whole run now and then")
    yield CallbackSpec(
        "core/progress", "rlhub_core.progress:ProgressBar", "shows steps, steps/s, returns, schedules and the time left"
    )
    yield CallbackSpec("core/stop_after", target + "StopAfter", "ends the run after so many training episodes")
    yield CallbackSpec("core/stop_on_return", target + "StopOnReturn", "ends the run when a return is reached")
