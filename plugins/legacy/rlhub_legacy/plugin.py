"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rlhub_core import AdapterSpec, CallbackSpec, hookimpl


@hookimpl
def rlhub_adapters() -> Iterator[AdapterSpec]:
    """One adapter a dialect. Which is which is told by the names of an object's methods and attributes."""
    yield _dialect(
        "renom",
        "renom:ReNomEnv",
        "environments of ReNom RL (3-tuple steps, shapes instead of spaces), with their hooks and stop rules",
        methods=("reset", "step", "sample"),
        attributes=("action_shape", "state_shape"),
    )


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """What trains as the old libraries did."""
    yield CallbackSpec(
        "legacy/renom_epochs", "rlhub_legacy.renom.epochs:Epochs", "runs training in ReNom's epochs, with its hooks"
    )
    yield CallbackSpec(
        "legacy/terminate", "rlhub_legacy.renom.stopping:Terminate", "ends a run where terminate() of ReNom says so"
    )


def _dialect(
    name: str,
    target: str,
    description: str,
    *,
    methods: Sequence[str],
    attributes: Sequence[str] = (),
    without: Sequence[str] = (),
) -> AdapterSpec:
    """Return the adapter of objects that have all the methods and attributes, and none that tell another dialect."""

    def lacks(thing: object) -> list[str]:
        missing = [f"{method}()" for method in methods if not callable(getattr(thing, method, None))]
        return missing + [attribute for attribute in attributes if not hasattr(thing, attribute)]

    def matches(thing: object) -> bool:
        return not lacks(thing) and not any(hasattr(thing, other) for other in without)

    return AdapterSpec(f"legacy/{name}", f"rlhub_legacy.{target}", matches, description, lacks=lacks)
