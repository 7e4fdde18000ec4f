"""A sparse matrix times a vector, in numpy."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


class Sparse:
    """A matrix of which only N entries are kept; entries of the same place are summed.

    The first few entries of every row stand in a table, the same number for all, which multiplies twice as fast as
    rows of their own lengths do; the rest of the longer rows follows as a list. Table and list hold at most 3 N numbers
    of a kind.

    Args:
        row, column: [N] places.
        weight: [N] entries.
        shape: rows and columns.

    Attributes:
        row, column, weight: [N] the entries in order, each place once.
    """

    def __init__(self, row: Integers, column: Integers, weight: Floats, shape: tuple[int, int]) -> None:
        self.shape = shape
        place, where = np.unique(row * shape[1] + column, return_inverse=True)
        self.row, self.column = np.divmod(place, shape[1])
        self.weight = np.bincount(where, weight, len(place))
        counts = np.bincount(self.row, minlength=shape[0])
        position = np.arange(len(place)) - (counts.cumsum() - counts)[self.row]  # [N] of an entry in its row
        width = min(int(counts.max()), max(1, 2 * len(place) // shape[0]))
        first, rest = position < width, position >= width
        self._columns, self._weights = np.zeros((width, shape[0]), np.int64), np.zeros((width, shape[0]))
        self._columns[position[first], self.row[first]] = self.column[first]
        self._weights[position[first], self.row[first]] = self.weight[first]
        self._rest = (self.row[rest], self.column[rest], self.weight[rest]) if rest.any() else None

    def __matmul__(self, vector: Floats) -> Floats:
        """Return [rows] the product with a vector [columns]."""
        product: Floats = np.zeros(self.shape[0])
        for column, weight in zip(self._columns, self._weights, strict=True):
            terms = vector.take(column)
            terms *= weight
            product += terms
        if self._rest is not None:
            row, columns, weights = self._rest
            product += np.bincount(row, vector.take(columns) * weights, self.shape[0])
        return product

    def dense(self) -> Floats:
        """Return the matrix with all its zeros."""
        full = np.zeros(self.shape)
        full[self.row, self.column] = self.weight
        return full
