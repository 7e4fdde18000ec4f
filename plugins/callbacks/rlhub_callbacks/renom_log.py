"""The log of ReNom RL: its keys, its two files, its messages."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import Formatter
from typing import Any, Literal

from rlhub_callbacks.epochs import Epochs, epochs_of
from rlhub_callbacks.files import Growing, alone
from rlhub_callbacks.phases import Phase, epsilon, loss_name
from rlhub_core import Callback, ConfigError, Episode, Progress, Run, option, state
from rlhub_core.errors import listed
from rlhub_core.evaluation import Evaluation

FILE, EPOCH_FILE = "renom.csv", "renom_e.csv"
KEYS = (
    *("total_step", "epoch_step", "max_step", "total_episode", "epoch_episode", "steps_per_episode"),
    *("epoch", "max_epoch", "loss", "sum_reward", "epsilon"),
)
EPOCH_KEYS = (
    *("total_episode", "epoch_episode", "epoch", "max_epoch", "test_reward"),
    *("loss", "sum_reward", "epsilon"),
)
MORE_KEYS = ("epoch_reward", "entropy", "kl")
MORE_EPOCH_KEYS = ("average_reward", "entropy", "kl")
COUNTS = {
    *("total_step", "epoch_step", "max_step", "total_episode", "epoch_episode", "steps_per_episode"),
    *("epoch", "max_epoch"),
}
MESSAGE = (
    "epoch {:04d} epsilon {:.4f} loss {:5.4f} rewards in epoch {:4.3f} episode {:04d} rewards in episode {:4.3f}.",
    ("epoch", "epsilon", "loss", "epoch_reward", "epoch_episode", "sum_reward"),
)
EPOCH_MESSAGE = (
    "epoch {:03d} avg_loss:{:6.4f} total reward in epoch: [train:{:4.3f} test:{:4.3f}] "
    "avg train reward in episode:{:4.3f} epsilon :{:4.3f}",
    ("epoch", "loss", "sum_reward", "test_reward", "average_reward", "epsilon"),
)
Row = dict[str, Any]


@dataclass
class RenomLog(Callback):
    """Writes ReNom RL's log: `renom.csv` with a row an episode, `renom_e.csv` with a row an epoch, and its messages.

    The epochs are those of `callbacks/epochs`. Numbers that an algorithm does not measure are left empty.
    """

    keys: tuple[str, ...] = option(KEYS, "columns of the rows of episodes")
    epoch_keys: tuple[str, ...] = option(EPOCH_KEYS, "columns of the rows of epochs")
    message: str | None = option(None, "text of an episode, a {} for each of keys; none: ReNom's own")
    epoch_message: str | None = option(None, "text of an epoch, a {} for each of epoch_keys; none: ReNom's own")
    show: Literal["nothing", "epochs", "episodes"] = option("epochs", "which messages are printed; episodes: all")
    _phase: Phase = field(default_factory=Phase, init=False, repr=False)
    _episodes: int = field(default=0, init=False, repr=False)
    _cut: Any = field(default=None, init=False, repr=False)
    _files: tuple[Growing, ...] = field(default=(), init=False, repr=False)

    def __post_init__(self) -> None:
        self._check("keys", self.keys, (*KEYS, *MORE_KEYS), "message", self.message)
        self._check("epoch_keys", self.epoch_keys, (*EPOCH_KEYS, *MORE_EPOCH_KEYS), "epoch_message", self.epoch_message)

    def on_start(self, run: Run) -> None:
        """Write the headers, or cut the files of a resumed run back to its checkpoint.

        Raises:
            ConfigError: where there are no epochs, or where there are two.
        """
        self._epochs: Epochs = epochs_of(run.callbacks, "callbacks/renom_log")
        alone(run, self, "callbacks/renom_log")
        self._files = Growing(run.folder / FILE), Growing(run.folder / EPOCH_FILE)
        if run.restored is None:
            self._phase, self._episodes, self._cut = Phase(begun_step=run.steps), 0, None
        for file, keys, cut in zip(
            self._files, (self.keys, self.epoch_keys), self._cut or [{"size": 0}] * 2, strict=True
        ):
            file.cut_back(cut)
            if not cut["size"]:
                file.write(",".join(keys) + "\n")

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Write a row for each episode that ended."""
        self._phase.add_metrics(progress)
        for episode in progress.episodes:
            self._episodes += 1
            self._phase.add_game(episode.return_)
            self._log(0, self._episode(run, episode))

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Write a row where an epoch has ended."""
        if evaluation is self._epochs.last:
            self._log(1, self._epoch(run, evaluation))
            self._phase = self._phase.next(run, evaluation.step)

    def on_end(self, run: Run) -> None:
        """Close the files."""
        for file in self._files:
            file.close()

    def save(self, folder: Path) -> None:
        """Write what was counted, and how long the files are."""
        cut = [file.state() for file in self._files] or self._cut
        state.save(folder, "renom_log", {"cut": cut, "episodes": self._episodes, "phase": self._phase.state()})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "renom_log")
        self._cut, self._episodes, self._phase = saved["cut"], saved["episodes"], Phase.of(saved["phase"])

    def result(self, *keys: str) -> dict[str, list[float | None]]:
        """Return columns of the rows of episodes, all where none is named; None where a cell is empty."""
        return _columns(self._files[0].path, keys)

    def result_epoch(self, *keys: str) -> dict[str, list[float | None]]:
        """Return columns of the rows of epochs, all where none is named; None where a cell is empty."""
        return _columns(self._files[1].path, keys)

    def _episode(self, run: Run, episode: Episode) -> Row:
        return self._measured(run, mean=False) | {
            "total_step": episode.step,
            "epoch_step": episode.step - self._phase.begun_step,
            "max_step": self._epochs.steps,
            "total_episode": self._episodes,
            "epoch_episode": self._phase.games,
            "steps_per_episode": episode.length,
            "epoch": self._epoch_of(episode.step),
            "sum_reward": episode.return_,
            "epoch_reward": self._phase.reward,
        }

    def _epoch(self, run: Run, evaluation: Evaluation) -> Row:
        return self._measured(run, mean=True) | {
            "total_episode": self._episodes,
            "epoch_episode": self._phase.games,
            "epoch": self._epochs.number,
            "test_reward": evaluation.mean,
            "sum_reward": self._phase.reward,
            "average_reward": self._phase.average,
        }

    def _measured(self, run: Run, mean: bool) -> Row:
        """Return what the algorithm has measured, last or on the mean of the epoch."""
        of = self._phase.mean if mean else self._phase.newest.get
        numbers = {"loss": of(loss_name(self._phase) or ""), "entropy": of("entropy"), "kl": of("kl")}
        last = -(-run.experiment.steps // self._epochs.steps)
        return numbers | {"epsilon": epsilon(run, self._phase), "max_epoch": last}

    def _epoch_of(self, step: int) -> int:
        return -(-step // self._epochs.steps)  # the step that ends an epoch belongs to it

    def _log(self, which: int, row: Row) -> None:
        keys = (self.keys, self.epoch_keys)[which]
        self._files[which].write(",".join("" if row[key] is None else str(row[key]) for key in keys) + "\n")
        if self.show == "episodes" or (self.show == "epochs" and which):
            given = (self.message, self.epoch_message)[which]
            text, shown = (MESSAGE, EPOCH_MESSAGE)[which] if given is None else (given, keys)
            print(text.format(*(math.nan if row[key] is None else row[key] for key in shown)), flush=True)

    def _check(self, option: str, keys: Sequence[str], known: Sequence[str], which: str, message: str | None) -> None:
        """Refuse keys that there are not, and a message that does not fit them."""
        unknown = [key for key in keys if key not in known]
        if unknown:
            raise ConfigError(
                f"callbacks/renom_log: {option} has no key {unknown[0]!r}: a run records no single steps. "
                f"It has: {listed(known, 20)}."
            )
        if not keys:
            raise ConfigError(f"callbacks/renom_log: {option} must name at least one of {listed(known, 20)}.")
        if message is not None and not _fits(message, keys):
            raise ConfigError(
                f"callbacks/renom_log: {which} must have one {{}} for each of {option}, such as {{:4.3f}} or, for "
                f"what is counted, {{:d}}, not {message!r}."
            )


def _fits(message: str, keys: Sequence[str]) -> bool:
    """Return whether a text has a place for each of the keys, of a kind that it can be written in."""
    try:
        fields = [(name, spec) for _, name, spec, _ in Formatter().parse(message) if name is not None]
        if any(re.search(r"\d{4}", spec or "") for _, spec in fields):  # a width that only fills the memory
            return False
        message.format(*(1 if key in COUNTS else math.nan for key in keys))
    except (IndexError, KeyError, ValueError, AttributeError):
        return False
    return len(fields) == len(keys)


def _columns(path: Path, keys: Sequence[str]) -> dict[str, list[float | None]]:
    with path.open(newline="") as file:
        rows: list[Mapping[str, str]] = list(csv.DictReader(file))
        names = list(keys) or path.read_text().partition("\n")[0].split(",")
    return {name: [float(row[name]) if row[name] else None for row in rows] for name in names}
