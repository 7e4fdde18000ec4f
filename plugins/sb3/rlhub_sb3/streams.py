"""The process-wide random generators, lent to one algorithm at a time.

Stable-Baselines3 seeds and draws from the global generators of `random`, `numpy` and `torch`. Here each algorithm has
its own: they are in force inside `with streams:`, and everyone else's are outside, so that neither disturbs the other.
"""

from __future__ import annotations

import random
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.random import mtrand

LEGACY_GAUSS = ("has_gauss", "gauss")  # the normal draw that numpy's global generator keeps beside its bit generator


class _Held(NamedTuple):
    random: tuple[Any, ...]
    numpy: Any  # the bit generator itself: exchanging it is ten times faster than reading and writing its state
    gauss: dict[str, Any] | None  # the whole state where a normal draw is kept, which an exchange would drop
    torch: th.Tensor
    cuda: th.Tensor | None


class Streams:
    """An algorithm's own global generators; use as a context manager.

    Args:
        seed: of all of them.
        device: where the algorithm computes; a CUDA device's generator is exchanged, too.
    """

    def __init__(self, seed: int, device: th.device) -> None:
        self._cuda = device if device.type == "cuda" else None
        self._own = _Held(
            random.Random(seed).getstate(),
            np.random.MT19937(seed),
            None,
            th.Generator().manual_seed(seed).get_state(),
            None if self._cuda is None else th.Generator(self._cuda).manual_seed(seed).get_state(),
        )
        self._others: _Held | None = None

    def __enter__(self) -> None:
        self._others = self._taken()
        self._put(self._own)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        assert self._others is not None
        self._own = self._taken()
        self._put(self._others)
        self._others = None

    def state(self) -> dict[str, Any]:
        """Return the states as plain values and arrays; outside the context only."""
        version, numbers, gauss = self._own.random
        legacy = self._own.gauss or {"has_gauss": 0, "gauss": 0.0}
        return {
            "random": {"version": version, "numbers": np.array(numbers, np.int64), "gauss": gauss},
            "numpy": self._own.numpy.state | {name: legacy[name] for name in LEGACY_GAUSS},
            "torch": self._own.torch.numpy(),
            "cuda": None if self._own.cuda is None else self._own.cuda.numpy(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from what `state` returned (a CUDA generator's only where both are on CUDA), inside or outside."""
        bits = np.random.MT19937()
        bits.state = {  # type: ignore[assignment]
            name: value for name, value in state["numpy"].items() if name not in LEGACY_GAUSS
        }
        before = state["random"]
        own = _Held(
            (before["version"], tuple(before["numbers"].tolist()), before["gauss"]),
            bits,
            state["numpy"] if state["numpy"]["has_gauss"] else None,
            th.tensor(state["torch"]),
            self._own.cuda if self._cuda is None or state["cuda"] is None else th.tensor(state["cuda"]),
        )
        if self._others is None:
            self._own = own
        else:
            self._put(own)

    def _taken(self) -> _Held:
        legacy: dict[str, Any] = np.random.get_state(legacy=False)
        return _Held(
            random.getstate(),
            mtrand.get_bit_generator(),
            legacy if legacy["has_gauss"] else None,
            th.get_rng_state(),
            None if self._cuda is None else th.cuda.get_rng_state(self._cuda),
        )

    def _put(self, held: _Held) -> None:
        random.setstate(held.random)
        mtrand.set_bit_generator(held.numpy)
        if held.gauss is not None:
            np.random.set_state(held.gauss)
        th.set_rng_state(held.torch)
        if held.cuda is not None:
            assert self._cuda is not None
            th.cuda.set_rng_state(held.cuda, self._cuda)
