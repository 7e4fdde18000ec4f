"""Screens of games, made grey and small."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
from numpy.typing import NDArray

LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # of red, green and blue, ITU-R BT.601

Screen = NDArray[np.uint8]


class NoScreen(Exception):
    """A value that is no picture; its text says what would be."""


def grey(picture: Any, height: int, width: int) -> Screen:
    """Return a picture as uint8 [height, width]; each pixel is the mean of the area it covers.

    Args:
        picture: whole numbers from 0 to 255, [h, w], [h, w, 1] or [h, w, 3] in RGB.
        height, width: of the result.

    Raises:
        NoScreen: for anything else.
    """
    array = np.asarray(picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    in_colour = array.ndim == 3 and array.shape[2] == 3
    if array.dtype.kind not in "biu" or not (in_colour or array.ndim == 2) or not array.size:
        raise NoScreen("a screen: whole numbers from 0 to 255 of shape (height, width) or (height, width, 3)")
    if array.dtype != np.uint8 and (array.min() < 0 or array.max() > 255):
        raise NoScreen(f"a screen: whole numbers from 0 to 255, not from {array.min()} to {array.max()}")
    if array.shape == (height, width):
        return array.astype(np.uint8)  # a copy
    luminance = array @ LUMA if in_colour else array.astype(np.float32)  # [h, w]
    small = _areas(array.shape[0], height) @ luminance @ _areas(array.shape[1], width).T
    return np.rint(small).astype(np.uint8)


def coloured(picture: Any) -> Screen:
    """Return a screen that `grey` takes as uint8 [h, w, 3]."""
    array = np.asarray(picture).astype(np.uint8)
    array = array[:, :, None] if array.ndim == 2 else array
    return np.repeat(array, 3, axis=2) if array.shape[2] == 1 else array


@functools.cache
def _areas(source: int, target: int) -> NDArray[np.float32]:
    """Return the share of each of `source` pixels in each of `target` equal cells, [target, source]."""
    cell = source / target
    starts = np.arange(target)[:, None] * cell
    pixels = np.arange(source)
    overlap = np.minimum(starts + cell, pixels + 1) - np.maximum(starts, pixels)
    shares: NDArray[np.float32] = (np.clip(overlap, 0, None) / cell).astype(np.float32)
    return shares
