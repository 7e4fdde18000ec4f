"""Callbacks that keep what is learnt: as numbers, and as pictures on the world's board."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from rlhub_core import Callback, ConfigError, Progress, Run, option, state
from rlhub_core.film import Film
from rlhub_tabular.board import Board
from rlhub_tabular.pictures import Range, q_map, value_map, visit_map

if TYPE_CHECKING:
    from PIL.Image import Image

PICTURES: dict[str, Callable[..., Image]] = {"values": value_map, "q_values": q_map, "visits": visit_map}
MOST_FRAMES = 100  # then every second one is dropped
FRAME = 520  # pixels of its longer side, about


class Keeping(Callback):
    """Keeps a table of the algorithm at the start of a run and as it changes.

    After a run `steps` [N] and `tables` [N, S, A] hold what was seen.
    """

    table: ClassVar[str] = "q_values"

    def __init__(self) -> None:
        self._steps: list[int] = []
        self._tables: list[NDArray[Any]] = []
        self._interval = 1  # steps

    @property
    def steps(self) -> NDArray[np.int64]:
        """[N] the steps at which a table was kept."""
        return np.array(self._steps, np.int64)

    @property
    def tables(self) -> NDArray[Any]:
        """[N, S, A] what the table was."""
        return np.stack(self._tables)

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
            self._steps, self._tables, self._interval = [], [], 1
            self._keep(run, run.steps)

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Keep the table where it is due."""
        if progress.steps // self._interval > self._steps[-1] // self._interval:
            self._keep(run, progress.steps)

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

    every: int = option(1, "steps between two tables that are kept", unit="steps", minimum=1)

    def __post_init__(self) -> None:
        super().__init__()

    def on_start(self, run: Run) -> None:
        """Keep the table that training begins with."""
        super().on_start(run)
        self._interval = self.every

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
    every: int | None = option(None, "steps between two frames; as many as make 50 to 100 where none", minimum=1)
    gif: bool = option(True, "also leave a film of all frames")
    fps: float = option(10.0, "frames a second of the film", minimum=0.1)

    def __post_init__(self) -> None:
        super().__init__()
        self.table = "visits" if self.of == "visits" else "q_values"  # type: ignore[misc]

    def on_start(self, run: Run) -> None:
        """Keep the table that training begins with."""
        super().on_start(run)
        self._interval = self.every or self._interval

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Keep a frame where it is due; of too many keep every second."""
        super().on_progress(run, progress)
        if self.every is None and len(self._steps) > MOST_FRAMES:
            self._steps, self._tables, self._interval = self._steps[::2], self._tables[::2], 2 * self._interval

    def on_end(self, run: Run) -> None:
        """Draw the last table and, where wanted, the film."""
        if run.collector is None or not self._steps:
            return
        board, draw = Board.of(run.collector.env), PICTURES[self.of]
        title, folder = f"{run.experiment.algorithm} on {run.environment.name}", run.folder / "plots"
        folder.mkdir(exist_ok=True)
        last = getattr(run.algorithm, self.table)
        still = draw(board, last, title=f"{title} · step {run.steps:,}")
        still.quantize(256).save(folder / f"{self.of}.png", optimize=True)
        if self.gif:
            film, limits = Film(), self._limits(last)
            for step, table in [*zip(self._steps, self._tables, strict=True), (run.steps, last)]:
                frame = draw(board, table, title=f"{title} · step {step:,}", limits=limits, longest=FRAME)
                film.add(np.asarray(frame))
            film.cut()
            film.write(folder / f"{self.of}.gif", self.fps)

    def _limits(self, last: NDArray[Any]) -> Range:
        """Return the ends of one scale of colours for all frames."""
        tables = np.stack([*self._tables, last])
        if self.of == "visits":
            return 1.0, max(2.0, float(tables.sum(2).max()))
        shown = tables.max(2) if self.of == "values" else tables
        shown = shown[np.isfinite(shown)]
        return float(shown.min()), float(shown.max())
