"""The core's own callbacks, offered through the same hooks as anyone's."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from rlhub_core import state
from rlhub_core.config import option
from rlhub_core.envs import Vec
from rlhub_core.errors import ConfigError
from rlhub_core.evaluation import LONGEST_EPISODE, Evaluation, play
from rlhub_core.protocol import Callback, Progress, StopTraining
from rlhub_core.seeding import stream

if TYPE_CHECKING:
    from rlhub_core.run import Run


@dataclass
class Evaluate(Callback):
    """Plays greedy episodes in environments of its own and records their scores in `evaluations.jsonl`."""

    evaluates = True
    every: int = option(10_000, "env steps between two evaluations", unit="env steps", minimum=1)
    episodes: int = option(10, "episodes an evaluation", minimum=1)
    num_envs: int = option(8, "environments side by side, at most one an episode", minimum=1)
    longest_episode: int = option(LONGEST_EPISODE, "steps after which an episode is cut off", unit="steps", minimum=1)
    keep_best: bool = option(False, "keep a checkpoint of the highest mean return: load(run, step='best')")
    _next: int = field(default=0, init=False, repr=False)
    _env: Vec | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Set the first step to evaluate at.

        Raises:
            ConfigError: where training uses one live environment object, which cannot be made twice; where several
                evaluations would each keep a best one.
        """
        run.separate_environment()
        if sum(isinstance(callback, Evaluate) and callback.keep_best for callback in run.callbacks) > 1:
            raise ConfigError("core/evaluate:keep_best=true may stand once among the callbacks: a run has one best.")
        if run.restored is None:
            self._next = self.every

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Evaluate where it is due."""
        if progress.steps < self._next:
            return
        if self._env is None:
            self._env = run.separate_environment().make_vec(min(self.num_envs, self.episodes))
        seed = stream(run.experiment.seed, "evaluate", progress.steps)
        evaluation = play(
            run.actor(), self._env, self.episodes, seed, step=progress.steps, longest_episode=self.longest_episode
        )
        run.record_evaluation(evaluation)
        best = None if run.best_evaluation is None else run.best_evaluation.mean
        if self.keep_best and evaluation.beats(best):
            run.best_evaluation, run.checkpoint_due = evaluation, True
        self._next = (progress.steps // self.every + 1) * self.every

    def on_end(self, run: Run) -> None:
        """Close the environments."""
        if self._env is not None:
            self._env.close()
            self._env = None

    def save(self, folder: Path) -> None:
        """Write when the next evaluation is due."""
        state.save(folder, "evaluate", {"next": self._next})

    def load(self, folder: Path) -> None:
        """Read when the next evaluation is due."""
        self._next = state.whole(state.load(folder, "evaluate")["next"], "core/evaluate: next")


@dataclass
class Checkpoint(Callback):
    """Saves the whole run, so that it can be resumed exactly from there."""

    every: int = option(50_000, "env steps between two checkpoints", unit="env steps", minimum=1)
    keep: int = option(2, "newest checkpoints that are kept", minimum=1)

    def on_start(self, run: Run) -> None:
        """Say how many are kept."""
        run.checkpoints_kept = self.keep

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Ask for a checkpoint where it is due; the run writes it once every callback has seen this progress."""
        if progress.steps // self.every > run.last_checkpoint // self.every:
            run.checkpoint_due = True


@dataclass
class StopOnReturn(Callback):
    """Ends the run when a mean return is reached: of the last training episodes, or of an evaluation."""

    value: float = option(meaning="mean return to reach")
    of: Literal["training", "evaluation"] = option("training", "episodes that count; evaluations need core/evaluate")
    window: int = option(100, "training episodes in the mean", unit="episodes", minimum=1)
    _returns: deque[float] = field(default_factory=deque, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Begin with an empty window, but for a run that goes on.

        Raises:
            ConfigError: where evaluations count and there are none.
        """
        if run.restored is None:
            self._returns = deque()
        if self.of == "evaluation" and not any(callback.evaluates for callback in run.callbacks):
            raise ConfigError("core/stop_on_return:of=evaluation needs core/evaluate among the callbacks.")

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Stop where the mean, over a full window, is high enough."""
        if self.of == "evaluation":
            return
        for episode in progress.episodes:
            self._returns.append(episode.return_)
            if len(self._returns) > self.window:
                self._returns.popleft()
        if progress.episodes and len(self._returns) == self.window and np.mean(self._returns) >= self.value:
            raise StopTraining(f"return {self.value:g} reached over the last {self.window} episodes")

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Stop where the evaluation is good enough."""
        if self.of == "evaluation" and evaluation.mean >= self.value:
            raise StopTraining(f"return {self.value:g} reached in an evaluation")

    def save(self, folder: Path) -> None:
        """Write the returns in the window."""
        state.save(folder, "stop_on_return", {"returns": list(self._returns)})

    def load(self, folder: Path) -> None:
        """Read the returns in the window."""
        self._returns = deque(state.load(folder, "stop_on_return")["returns"])


@dataclass
class StopAfter(Callback):
    """Ends the run after so many training episodes."""

    episodes: int = option(meaning="training episodes", unit="episodes", minimum=1)
    _ended: int = field(default=0, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Begin to count, but for a run that goes on."""
        if run.restored is None:
            self._ended = 0

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Stop once there were enough."""
        self._ended += len(progress.episodes)
        if self._ended >= self.episodes:
            raise StopTraining(f"{self._ended:,} episodes played")

    def save(self, folder: Path) -> None:
        """Write how many there were."""
        state.save(folder, "stop_after", {"ended": self._ended})

    def load(self, folder: Path) -> None:
        """Read how many there were."""
        self._ended = state.whole(state.load(folder, "stop_after")["ended"], "core/stop_after: ended")
