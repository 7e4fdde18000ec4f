"""A sum tree: numbers that are drawn in proportion to their size, and changed, in O(log n)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray


class SumTree:
    """Priorities of `size` places, all 0 at first.

    A complete binary tree in one array: node 1 is the root, the children of node i are 2i and 2i + 1, the leaves are
    the priorities, and every other node is the sum of its two children. A node is never changed by a difference, only
    computed anew from its children, so equal priorities make equal trees, bit for bit, whatever happened before.

    Schaul et al., "Prioritized Experience Replay", ICLR 2016, appendix B.2.1.
    """

    def __init__(self, size: int) -> None:
        self._size, self._depth = size, (size - 1).bit_length()
        self._first = 1 << self._depth  # the leaf of place 0
        self._nodes = np.zeros(2 * self._first)

    @staticmethod
    def bytes_needed(size: int) -> int:
        """Return how many bytes a tree of so many places takes."""
        return 16 << (size - 1).bit_length()

    @property
    def nbytes(self) -> int:
        """The bytes it takes."""
        return self._nodes.nbytes

    @property
    def total(self) -> float:
        """The sum of all priorities."""
        return float(self._nodes[1])

    def __getitem__(self, place: Any) -> Any:
        """Return the priorities of some places."""
        return self._nodes[self._first : self._first + self._size][place]

    def __setitem__(self, place: ArrayLike, priority: ArrayLike) -> None:
        """Change the priorities of some places [N]; where a place is named twice its last one counts."""
        nodes, node = self._nodes, np.asarray(place) + self._first
        nodes[node] = priority
        for _ in range(self._depth):
            family = nodes[node] + nodes[node ^ 1]  # with its sibling
            node = node >> 1
            nodes[node] = family

    def fill(self, priority: NDArray[np.float64]) -> None:
        """Change the priorities of all places."""
        self._nodes[self._first : self._first + self._size] = priority
        for depth in reversed(range(self._depth)):
            start = 1 << depth
            self._nodes[start : 2 * start] = (
                self._nodes[2 * start : 4 * start : 2] + (self._nodes[2 * start + 1 : 4 * start : 2])
            )

    def draw(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw places [size] in proportion to their priorities, one from each of `size` equal parts of the total."""
        return self.find((np.arange(size) + rng.random(size)) * (self.total / size))

    def find(self, mass: NDArray[np.float64]) -> NDArray[np.int64]:
        """Return the places [N] where the running sum of the priorities passes these masses [N].

        It is a place with a priority above 0 whatever is asked and however sums were rounded, as long as there is one.
        """
        nodes, node, mass = self._nodes, np.ones(len(mass), np.int64), mass.copy()
        for _ in range(self._depth):
            node <<= 1
            left = nodes[node]
            goes_right = (mass >= left) & (nodes[node + 1] > 0)
            mass -= left * goes_right
            node += goes_right
        return node - self._first
