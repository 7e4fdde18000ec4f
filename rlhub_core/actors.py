"""Actors that also tell what they think observations and actions are worth, for pictures of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core.protocol import Actor, ObsType

Values = Callable[[ObsType], Mapping[str, NDArray[Any]]]
"""`values(observations) -> {"action_values": [B, n]}` of Discrete actions, or `{"state_value": [B]}`."""

ACTION_VALUES, STATE_VALUE = "action_values", "state_value"


def with_values(actor: Actor, values: Values) -> Actor:
    """Return an actor that has a method `values(observations)`, which is asked only where somebody looks.

    Args:
        actor: any.
        values: observations [B, ...], as the actor takes them, to `{"action_values": [B, n]}`, in the order of the
            action space and -inf where an action is impossible, or to `{"state_value": [B]}`.
    """

    def act(observations: ObsType, first: NDArray[np.bool_], *masks: Any) -> Any:
        return actor(observations, first, *masks)

    act.masked = getattr(actor, "masked", False)  # type: ignore[attr-defined] # as the word Actor says
    act.values = values  # type: ignore[attr-defined]
    return act


def values_of(actor: Actor, observations: ObsType) -> dict[str, NDArray[np.float64]]:
    """Return what an actor thinks that observations [B, ...] are worth; nothing where it does not tell."""
    values = getattr(actor, "values", None)
    told = values(observations) if callable(values) else {}
    return {name: np.asarray(told[name], np.float64) for name in (ACTION_VALUES, STATE_VALUE) if name in told}
