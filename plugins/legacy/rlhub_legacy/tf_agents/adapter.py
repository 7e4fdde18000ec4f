"""TF-Agents' environments as Gymnasium environments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np

from rlhub_core import EnvironmentContractError
from rlhub_legacy.array_specs import is_leaf
from rlhub_legacy.time_steps import TimeStepEnv


class TfAgentsEnv(TimeStepEnv):
    """An environment of TF-Agents, as a Gymnasium environment; arguments and errors as for `TimeStepEnv`.

    One that is a batch of one is taken out of it. What `get_info` tells, where it is a dict, is told in `info`.

    Raises:
        EnvironmentContractError: also for a batch of several.
    """

    def __init__(self, theirs: Any, *, render_mode: Literal["rgb_array", "auto"] | None = "auto") -> None:
        super().__init__(theirs, render_mode=render_mode)
        self._of_one = bool(getattr(theirs, "batched", False))
        if self._of_one and theirs.batch_size != 1:
            raise EnvironmentContractError(
                f"{type(theirs).__qualname__} is a batch of {theirs.batch_size} environments. Adapt a single one; "
                f"num_envs={theirs.batch_size} makes as many of it."
            )

    def _renderer(self) -> Any:
        method = super()._renderer()
        only_raises = (
            getattr(method, "__qualname__", "") == "PyEnvironment.render"
        )  # which is the base's, here and there
        return None if only_raises else method

    def _pixels(self, renderer: Any) -> Any:
        pixels = renderer("rgb_array")
        return np.asarray(pixels)[0] if self._of_one and np.ndim(pixels) == 4 else pixels

    def _info(self) -> dict[str, Any]:
        method = getattr(self.theirs, "get_info", None)
        if not callable(method):
            return {}
        try:
            with self._randomness():
                told = method()
        except NotImplementedError:
            return {}
        return dict(told) if isinstance(told, Mapping) else {}

    def _batched(self, action: Any) -> Any:
        return _each(self._action_spec, action, lambda part: np.asarray(part)[None]) if self._of_one else action

    def _unbatched(self, observation: Any) -> Any:
        return _each(self._observation_spec, observation, _first) if self._of_one else observation


def _first(batch: Any) -> Any:
    """Return what a batch of one holds; what is no batch is left for who compares it with the specification."""
    return batch[0] if isinstance(batch, np.ndarray | list | tuple) and len(batch) == 1 else batch


def _each(spec: Any, nest: Any, change: Any) -> Any:
    """Return a dict or tuple of arrays, nested as their specification, with every array changed."""
    if isinstance(spec, Mapping) and isinstance(nest, Mapping):
        return {key: _each(spec[key], part, change) if key in spec else part for key, part in nest.items()}
    if not is_leaf(spec) and isinstance(nest, tuple | list) and len(nest) == len(spec):
        parts = [_each(*each, change) for each in zip(spec, nest, strict=True)]
        return type(nest)(*parts) if hasattr(nest, "_fields") else tuple(parts)
    return change(nest)
