"""Frames in, an animated GIF or an MP4 out. Pillow and PyAV are imported only when a film is written."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core.errors import ConfigError, EnvironmentContractError, need, written

if TYPE_CHECKING:
    from PIL import Image

Frame = NDArray[np.uint8]  # [height, width, 3]

LAST_FRAME = 600  # ms that the last frame of an episode stays
WIDE_ENOUGH = 320  # pixels; smaller frames are enlarged
FASTEST_GIF, FASTEST_MP4 = 50.0, 120.0  # frames per second; viewers slow down what is faster
SLOWEST = 0.01
COLOURS = 255  # of a GIF's 256: one stands for "as before", which makes it a quarter as large
QUALITY = "20"  # of x264's constant rate factor, 0 to 51; lower is better
UNFINISHED = ".part"
NEEDS = {".gif": ("PIL", "media", "Pictures need"), ".mp4": ("av", "video", "An MP4 needs")}  # as `need` takes them


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
        if self._frames and pixels.shape != self._frames[0][1]:
            raise EnvironmentContractError(
                f"The frames of a film are of one size: the first was {list(self._frames[0][1])}, this one is "
                f"{list(pixels.shape)}."
            )
        self._frames.append((zlib.compress(np.ascontiguousarray(pixels).tobytes(), 1), pixels.shape))

    def __len__(self) -> int:
        return len(self._frames)

    def cut(self) -> None:
        """Note that an episode ends here."""
        self._last.add(len(self._frames) - 1)

    def write(self, path: Path, fps: float) -> None:
        """Write the frames as the path's ending says, under another name until all are written: a kill tears nothing.

        Args:
            path: ends in `.gif` or `.mp4`; its folder is made where it is not there.
            fps: frames per second, at most 50 of a GIF and 120 of an MP4.
        """
        fps = max(fps, SLOWEST)
        begun = path.with_name(f".{path.name}{UNFINISHED}")
        with written("A film", path):
            try:
                if path.suffix.lower() == ".mp4":
                    self._write_mp4(begun, min(fps, FASTEST_MP4))
                else:
                    self._write_gif(begun, min(fps, FASTEST_GIF))
                os.replace(begun, path)
            finally:
                begun.unlink(missing_ok=True)

    def _write_gif(self, path: Path, fps: float) -> None:
        """Write an animated GIF, with one palette for all frames, so that no colour flickers."""
        palette = self._palette()
        images = (_indexed(frame, palette) for frame in self._pixels(range(len(self._frames))))
        next(images).save(
            path, "GIF", save_all=True, append_images=images, duration=self._durations(fps), loop=0, optimize=True
        )

    def _write_mp4(self, path: Path, fps: float) -> None:
        """Write H.264 in 4:2:0, which every browser plays; the last frame of an episode is repeated to stay."""
        import av

        rate = Fraction(fps).limit_denominator(1000)
        stay = round(LAST_FRAME / 1000 * fps)
        height, width, _ = self._frames[0][1]
        times = _times((height, width))
        with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
            stream: Any = container.add_stream("libx264", rate=rate, options={"crf": QUALITY, "threads": "1"})
            stream.width, stream.height = (size * times + size * times % 2 for size in (width, height))
            stream.pix_fmt = "yuv420p"
            for index, frame in enumerate(self._pixels(range(len(self._frames)))):
                image = av.VideoFrame.from_ndarray(_even(_enlarged(frame, times)), format="rgb24")
                for _ in range(1 + stay * (index in self._last)):
                    image.pts = None
                    container.mux(stream.encode(image))
            container.mux(stream.encode())

    def _durations(self, fps: float) -> list[int]:
        """Return the ms of each frame: GIF counts in 10 ms, so neighbours differ where fps does not divide 100."""
        ends = [round(100 / fps * (index + 1)) * 10 for index in range(len(self._frames))]
        each = [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
        return [time + LAST_FRAME * (index in self._last) for index, time in enumerate(each)]

    def _palette(self) -> Image.Image:
        """Return up to 255 colours: all there are, or the best for 32 frames, where rare colours count for more."""
        from PIL import Image

        sample = np.linspace(0, len(self._frames) - 1, min(32, len(self._frames))).astype(int)
        pixels = np.concatenate([frame.reshape(-1, 3) for frame in self._pixels(sample.tolist())])
        packed = pixels.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32)
        packed, counts = np.unique(packed, return_counts=True)
        colours = np.stack([packed >> 16, packed >> 8, packed], axis=1).astype(np.uint8)
        if len(colours) <= COLOURS:
            exact = Image.new("P", (1, 1))
            exact.putpalette(colours.tobytes())
            return exact
        weighted = np.repeat(colours, np.ceil(np.sqrt(counts)).astype(int), axis=0)
        return Image.fromarray(weighted[None]).quantize(COLOURS)

    def _pixels(self, indices: Sequence[int]) -> Iterator[Frame]:
        for index in indices:
            data, shape = self._frames[index]
            yield np.frombuffer(zlib.decompress(data), np.uint8).reshape(shape)


def check_path(path: Path) -> None:
    """Raise ConfigError for a file that is no recording, RlhubError where what writes it is not installed."""
    ending = path.suffix.lower()
    if ending not in NEEDS:
        raise ConfigError(f"A recording is a .gif or .mp4, not {path.suffix or 'a file without ending'!r}: {path}.")
    need(*NEEDS[ending])


def _times(shape: Sequence[int]) -> int:
    return max(1, round(WIDE_ENOUGH / max(shape[:2])))


def _enlarged(frame: Frame, times: int) -> Frame:
    return frame if times == 1 else frame.repeat(times, 0).repeat(times, 1)


def _even(frame: Frame) -> Frame:
    """Return a frame of even height and width, as 4:2:0 has them, its last row and column repeated for it."""
    height, width, _ = frame.shape
    return np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), "edge") if height % 2 or width % 2 else frame


def _indexed(frame: Frame, palette: Image.Image) -> Image.Image:
    from PIL import Image

    times = _times(frame.shape)
    image = Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
    return image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
