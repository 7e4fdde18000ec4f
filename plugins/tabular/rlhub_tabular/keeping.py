"""Callbacks that keep what is learnt: as numbers, and as pictures on the world's board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from gymnasium.vector import AsyncVectorEnv
from numpy.typing import NDArray

from rlhub_core import Callback, ConfigError, Progress, Run, option, state
from rlhub_core.playing.film import Film
from rlhub_tabular.board import Board
from rlhub_tabular.canvas import Range
from rlhub_tabular.pictures import q_map, value_map, visit_map

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES: dict[str, Callable[..., Image]] = {"values": value_map, "q_values": q_map, "visits": visit_map}
MOST_TABLES, MOST_BYTES = 1_000, 2**28  # that a history keeps unasked
MOST_FRAMES, MOST_TILES = 100, 1_000_000  # that a film has unasked
FRAME = 640  # pixels of its longer side, about


class Keeping(Callback):
    """Keeps a table of the algorithm at the start of a run and as it changes.

    After a run `steps` [N] and `tables` [N, S, A] hold what was seen. Where no interval was asked for, every second
    one is dropped, and the interval doubled, each time there are too many.

    Args:
        table: "q_values" or "visits".
        every: steps between two tables, or None.
    """

    def __init__(self, table: str, every: int | None) -> None:
        self.table, self._asked = table, every
        self._steps: list[int] = []
        self._tables: list[NDArray[Any]] = []
        self._interval = every or 1  # steps

    @property
    def steps(self) -> NDArray[np.int64]:
        """[N] the steps at which a table was kept."""
        return np.array(self._steps, np.int64)

    @property
    def tables(self) -> NDArray[Any]:
        """[N, S, A] what the table was."""
        return np.array(self._tables)

    def on_start(self, run: Run) -> None:
        """Keep the table that training begins with, but for a run that goes on.

        Raises:
            ConfigError: where the algorithm has no such table.
        """
        if not isinstance(getattr(run.algorithm, self.table, None), np.ndarray):
            raise ConfigError(
                f"{run.experiment.algorithm} has no table of {self.table.replace('_', '-')} to keep; the algorithms of "
                f"rlhub-tabular that {'learn' if self.table == 'visits' else 'plan or learn'} have one."
            )
        if run.restored is None:
            self._steps, self._tables, self._interval = [], [], self._asked or 1
            self._keep(run, run.steps)

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Keep the table where it is due."""
        if progress.steps // self._interval > self._steps[-1] // self._interval:
            self._keep(run, progress.steps)
            if self._asked is None and len(self._steps) > self.most(self._tables[-1]):
                self._steps, self._tables, self._interval = self._steps[::2], self._tables[::2], 2 * self._interval

    def most(self, table: NDArray[Any]) -> int:
        """Return how many tables like this one are kept unasked."""
        raise NotImplementedError

    def save(self, folder: Path) -> None:
        """Write what was kept so far."""
        state.save(folder, "kept", {"steps": self.steps, "tables": self.tables, "interval": self._interval})

    def load(self, folder: Path) -> None:
        """Read what was kept."""
        kept = state.load(folder, "kept")
        self._steps, self._tables, self._interval = kept["steps"].tolist(), list(kept["tables"]), kept["interval"]

    def _keep(self, run: Run, step: int) -> None:
        self._steps.append(step)
        self._tables.append(getattr(run.algorithm, self.table).copy())


@dataclass
class History(Keeping):
    """Keeps the Q-values as they change, in memory and as `tables/history.safetensors` in the run folder."""

    every: int | None = option(
        None, "steps between two tables; where none, as many as make 500 to 1,000, or fewer large ones", minimum=1
    )

    def __post_init__(self) -> None:
        super().__init__("q_values", self.every)

    def most(self, table: NDArray[Any]) -> int:
        """Return a thousand, or what takes a quarter of a gigabyte."""
        return max(10, min(MOST_TABLES, MOST_BYTES // table.nbytes))

    def on_end(self, run: Run) -> None:
        """Write what was kept."""
        if self._steps:
            folder = run.folder / "tables"
            folder.mkdir(exist_ok=True)
            state.save(folder, "history", {"steps": self.steps, "q_values": self.tables})


@dataclass
class ValueMap(Keeping):
    """Draws what is learnt on the world's board: `plots/values.png` at the end, `plots/values.gif` of all training."""

    of: Literal["values", "q_values", "visits"] = option(
        "values", "values with the greedy actions, the values of all actions, or how often each state was acted in"
    )
    every: int | None = option(
        None, "steps between two frames; where none, as many as make 50 to 100, or fewer of large worlds", minimum=1
    )
    gif: bool = option(True, "also leave a film of all frames")
    fps: float = option(10.0, "frames a second of the film", minimum=0.1)

    def __post_init__(self) -> None:
        super().__init__("visits" if self.of == "visits" else "q_values", self.every)

    def most(self, table: NDArray[Any]) -> int:
        """Return a hundred, or fewer where it would take minutes to draw them."""
        return max(10, min(MOST_FRAMES, MOST_TILES // len(table)))

    def on_end(self, run: Run) -> None:
        """Draw the last table and, where wanted, the film."""
        if run.collector is None or not self._steps:
            return
        board, draw = Board.of(_world(run)), PICTURES[self.of]
        title, folder = f"{run.experiment.algorithm} on {run.environment.name}", run.folder / "plots"
        folder.mkdir(exist_ok=True)
        last = getattr(run.algorithm, self.table)
        still = draw(board, last, title=f"{title} · step {run.steps:,}")
        still.quantize(256).save(folder / f"{self.of}.png", optimize=True)
        if self.gif:
            film, limits = Film(), self._limits(board, last)
            for step, table in [*zip(self._steps, self._tables, strict=True), (run.steps, last)]:
                frame = draw(board, table, title=f"{title} · step {step:,}", limits=limits, longest=FRAME)
                film.add(np.asarray(frame))
            film.cut()
            film.write(folder / f"{self.of}.gif", self.fps)

    def _limits(self, board: Board, last: NDArray[Any]) -> Range | None:
        """Return the ends of one scale of colours for all frames."""
        tables = np.array([*self._tables, last])[:, board.standing]
        if self.of == "visits":
            return 1.0, max(2.0, float(tables.sum(2).max()))
        finite = np.isfinite(tables)
        shown = tables.max(2, initial=-np.inf, where=finite) if self.of == "values" else tables
        shown = shown[np.isfinite(shown)]
        return (float(shown.min()), float(shown.max())) if shown.size else None


def _world(run: Run) -> Any:
    """Return an environment that tells of its world: worlds in other processes cannot be asked."""
    assert run.collector is not None
    env = run.collector.env
    return run.environment.make() if isinstance(env.unwrapped, AsyncVectorEnv) else env
