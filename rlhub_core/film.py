"""Frames in, an animated GIF out. Needs Pillow, imported only when a film is written."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import EnvironmentContractError

if TYPE_CHECKING:
    from PIL import Image

Frame = NDArray[np.uint8]  # [height, width, 3]

LAST_FRAME = 600  # ms that the last frame of an episode stays
WIDE_ENOUGH = 320  # pixels; smaller frames are enlarged


class Film:
    """Frames, kept compressed: a thousand of 600 × 400 pixels would be 720 MB."""

    def __init__(self) -> None:
        self._frames: list[tuple[bytes, tuple[int, ...]]] = []
        self._last: set[int] = set()  # indices of the last frames of episodes

    def add(self, frame: Any) -> None:
        """Add one frame, uint8 [height, width, 3]."""
        pixels = np.asarray(frame)
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            rendered = f"{pixels.dtype} {list(pixels.shape)}"
            raise EnvironmentContractError(f"A frame is uint8 [height, width, 3]; the environment renders {rendered}.")
        self._frames.append((zlib.compress(np.ascontiguousarray(pixels).tobytes(), 1), pixels.shape))

    def cut(self) -> None:
        """Note that an episode ends here."""
        self._last.add(len(self._frames) - 1)

    def write(self, path: Path, fps: float) -> None:
        """Write the frames as an animated GIF, with one palette for all, so that no colour flickers."""
        palette = self._palette()
        images = (_indexed(frame, palette) for frame in self._pixels(range(len(self._frames))))
        next(images).save(
            path, save_all=True, append_images=images, duration=self._durations(fps), loop=0, optimize=False
        )

    def _durations(self, fps: float) -> list[int]:
        """Return the ms of each frame: GIF counts in 10 ms, so neighbours differ where fps does not divide 100."""
        ends = [round(100 / fps * (index + 1)) * 10 for index in range(len(self._frames))]
        each = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        return [time + LAST_FRAME * (index in self._last) for index, time in enumerate(each)]

    def _palette(self) -> Image.Image:
        """Return up to 256 colours: all there are, or the best for 32 frames, where rare colours count for more."""
        from PIL import Image

        sample = np.linspace(0, len(self._frames) - 1, min(32, len(self._frames))).astype(int)
        pixels = np.concatenate([frame.reshape(-1, 3) for frame in self._pixels(sample.tolist())])
        packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        packed, counts = np.unique(packed, return_counts=True)
        colours = np.stack([packed >> 16, packed >> 8, packed], axis=1).astype(np.uint8)
        if len(colours) <= 256:
            exact = Image.new("P", (1, 1))
            exact.putpalette(np.resize(colours, (256, 3)).tobytes())
            return exact
        weighted = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
        return Image.fromarray(weighted[None]).quantize(256)

    def _pixels(self, indices: Sequence[int]) -> Iterator[Frame]:
        for index in indices:
            data, shape = self._frames[index]
            yield np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)


def _indexed(frame: Frame, palette: Image.Image) -> Image.Image:
    from PIL import Image

    times = max(1, round(WIDE_ENOUGH / max(frame.shape[:2])))
    image = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
