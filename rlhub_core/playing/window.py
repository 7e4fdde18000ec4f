"""A window of pygame's that shows frames and hears keys."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from rlhub_core.errors import RlhubError, need
from rlhub_core.playing.drawing import FAINT, INK, MUTED, Canvas, Pixels
from rlhub_core.playing.terminal import Pressed

TALL_ENOUGH = 420  # pixels; smaller frames are enlarged
BAR = 46  # pixels below the frame for two lines of text
POLL = 0.005  # s


class Window:
    """Shows frames in a window that may be resized; closing it is the key "escape".

    Raises:
        RlhubError: where pygame is not installed, or no window can be opened.
    """

    def __init__(self) -> None:
        need("pygame", "media", "A window needs")
        import pygame

        self._pygame: Any = pygame
        self._surface: Any = None
        self._held: set[str] = set()
        try:
            pygame.display.init()
        except pygame.error as error:
            raise RlhubError(f"No window can be opened: {error}. Watch in the terminal: --terminal.") from error

    def show(self, frame: Pixels, status: str, help: str) -> None:
        """Show a frame [height, width, 3] and two lines of text."""
        pygame = self._pygame
        times = max(1, round(TALL_ENOUGH / frame.shape[0]))
        frame = frame.repeat(times, 0).repeat(times, 1)
        canvas = Canvas(max(frame.shape[1], 460), frame.shape[0] + BAR)
        canvas.box(0, 0, 10**4, frame.shape[0], FAINT)
        canvas.paste(frame, max(0, (460 - frame.shape[1]) // 2), 0)
        canvas.text(12, frame.shape[0] + 15, status, INK, 13)
        canvas.text(12, frame.shape[0] + 33, help, MUTED, 11)
        pixels = np.ascontiguousarray(canvas.pixels())
        size = pixels.shape[1], pixels.shape[0]
        if self._surface is None:
            self._surface = pygame.display.set_mode(size, pygame.RESIZABLE)
            pygame.display.set_caption("rlhub watch")
        there = self._surface.get_size()
        scale = min(there[0] / size[0], there[1] / size[1])
        fitted = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
        image = pygame.transform.scale(pygame.image.frombuffer(pixels.tobytes(), size, "RGB"), fitted)
        self._surface.fill(FAINT)
        self._surface.blit(image, ((there[0] - fitted[0]) // 2, (there[1] - fitted[1]) // 2))
        pygame.display.flip()

    def wait(self, seconds: float) -> Pressed:
        """Return the keys that were pressed within some seconds, and those held at the end."""
        keys: list[str] = []
        end = time.monotonic() + seconds
        while True:
            keys += self._events()
            left = end - time.monotonic()
            if left <= 0:
                return Pressed(tuple(keys), frozenset(self._held))
            time.sleep(min(POLL, left))

    def close(self) -> None:
        """Close the window."""
        self._pygame.display.quit()

    def _events(self) -> list[str]:
        pygame, keys = self._pygame, []
        if not pygame.display.get_init():  # an environment that was closed took the display with it
            return ["escape"]
        for event in pygame.event.get():
            if event.type == pygame.QUIT:
                keys.append("escape")
            elif event.type == pygame.KEYDOWN:
                keys.append(self._name(event))
                self._held.add(keys[-1])
            elif event.type == pygame.KEYUP:
                self._held.discard(self._name(event))
            elif event.type == pygame.WINDOWFOCUSLOST:
                self._held.clear()  # their release will not be told
        return keys

    def _name(self, event: Any) -> str:
        name = str(self._pygame.key.name(event.key))
        return {"return": "enter"}.get(name, name.removeprefix("keypad "))
