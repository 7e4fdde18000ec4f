"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rlhub_core import AdapterSpec, hookimpl


@hookimpl
def rlhub_adapters() -> Iterator[AdapterSpec]:
    """One adapter a dialect. Which is which is told by the names of an object's methods and attributes."""
    return iter(())


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
