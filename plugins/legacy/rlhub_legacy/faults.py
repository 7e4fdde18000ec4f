"""How an adapter says which method of the user's class returned what, and what was expected."""

from __future__ import annotations

from typing import Any

import numpy as np

from rlhub_core import EnvironmentContractError


def wrong(env: Any, method: str, got: Any, expected: str) -> EnvironmentContractError:
    """Return the error for a value that a method of a foreign environment returned.

    Args:
        env: the foreign environment.
        method: with its parentheses, as a reader would write the call: "step(1)".
        got: what it returned.
        expected: what it should have been, with an article.
    """
    return EnvironmentContractError(
        f"{type(env).__qualname__}.{method} returned {described(got)}; expected {expected}."
    )


def described(value: Any) -> str:
    """Return a value in a few words: its type, with its shape or length, and the value where it is short."""
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape} and type {value.dtype}"
    if isinstance(value, tuple | list):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None:
        return "None"
    text = repr(value)
    return f"{text if len(text) <= 40 else text[:37] + '...'} ({type(value).__name__})"
