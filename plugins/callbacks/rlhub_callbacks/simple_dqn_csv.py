"""The statistics file of Simple-DQN: sixteen columns, a row for each phase."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhub_callbacks.epochs import epochs_of
from rlhub_callbacks.files import Growing, alone
from rlhub_callbacks.phases import Phase, epsilon, loss_name
from rlhub_core import Callback, Progress, Run, state
from rlhub_core.evaluation import Evaluation

FILE = "simple_dqn.csv"
COLUMNS = (
    "epoch",
    "phase",
    "steps",
    "nr_games",
    "average_reward",
    "min_game_reward",
    "max_game_reward",
    "last_exploration_rate",
    "total_train_steps",
    "replay_memory_count",
    "meanq",
    "meancost",
    "weight_updates",
    "total_time",
    "epoch_time",
    "steps_per_second",
)


@dataclass
class SimpleDqnCsv(Callback):
    """Writes Simple-DQN's statistics: for each epoch of `callbacks/epochs` a row for its training and one for its test.

    What a run does not measure is left empty; `meanq` needs an algorithm that follows the values of held-out
    observations (deep/dqn: diagnostics=true).
    """

    _phase: Phase = field(default_factory=Phase, init=False, repr=False)
    _cut: Any = field(default=None, init=False, repr=False)
    _rows: Growing | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Write the header, or cut the file of a resumed run back to its checkpoint.

        Raises:
            ConfigError: where there are no epochs, or where there are two.
        """
        self._epochs = epochs_of(run.callbacks, "callbacks/simple_dqn_csv")
        alone(run, self, "callbacks/simple_dqn_csv")
        self._rows = Growing(run.folder / FILE)
        self._rows.cut_back(self._cut if run.restored is not None and self._cut else {"size": 0})
        if run.restored is None:
            self._phase = Phase(begun_step=run.steps, begun_second=run.seconds)
        if not self._rows.state()["size"]:
            self._rows.write(",".join(COLUMNS) + "\n")

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Count."""
        self._phase.add(progress)

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Write two rows where an epoch has ended."""
        if evaluation is not self._epochs.last or self._rows is None:
            return
        seconds = run.seconds - self._epochs.test_seconds
        training = self._row(run, "train", evaluation.step - self._phase.begun_step, self._phase)
        training |= {"last_exploration_rate": epsilon(run, self._phase), "meancost": self._phase.mean(self._loss)}
        test = self._row(run, "test", sum(evaluation.lengths), Phase.of_games(evaluation.returns))
        test["last_exploration_rate"] = self._epochs.epsilon
        self._write(training, seconds, seconds - self._phase.begun_second)
        self._write(test, seconds + self._epochs.test_seconds, self._epochs.test_seconds)
        self._phase = self._phase.next(run, evaluation.step)

    def on_end(self, run: Run) -> None:
        """Close the file."""
        if self._rows is not None:
            self._rows.close()

    def save(self, folder: Path) -> None:
        """Write what was counted, and how long the file is."""
        rows = self._rows.state() if self._rows else self._cut
        state.save(folder, "simple_dqn_csv", {"rows": rows, "phase": self._phase.state()})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "simple_dqn_csv")
        self._cut, self._phase = saved["rows"], Phase.of(saved["phase"])

    @property
    def _loss(self) -> str:
        return loss_name(self._phase) or ""

    def _row(self, run: Run, phase: str, steps: int, played: Phase) -> dict[str, Any]:
        """Return what the two phases of an epoch have in common."""
        buffer = run.experiment.hyper_parameters.get("buffer_size")
        row: dict[str, Any] = {"epoch": self._epochs.number, "phase": phase, "steps": steps}
        row |= {"nr_games": played.games, "average_reward": played.average}
        row |= {"min_game_reward": played.lowest, "max_game_reward": played.highest}
        return row | {
            "total_train_steps": run.steps,
            "replay_memory_count": min(run.steps, buffer) if isinstance(buffer, int) else None,
            "meanq": self._phase.mean("held_out_q"),
            "weight_updates": _whole(self._phase.newest.get("updates")),
        }

    def _write(self, row: Mapping[str, Any], total: float, seconds: float) -> None:
        assert self._rows is not None
        timed = {"total_time": round(total, 3), "epoch_time": round(seconds, 3)}
        timed["steps_per_second"] = round(row["steps"] / max(1e-9, seconds), 3)
        cells = ("" if value is None else str(value) for value in map((dict(row) | timed).get, COLUMNS))
        self._rows.write(",".join(cells) + "\n")


def _whole(number: float | None) -> int | None:
    return None if number is None else int(number)
