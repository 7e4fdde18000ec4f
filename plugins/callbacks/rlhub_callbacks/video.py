"""Films of the agent while it trains, in an environment and with seeds of their own."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from rlhub_core import Callback, ConfigError, Evaluation, Progress, Run, option, state
from rlhub_core.playing.film import UNFINISHED, check_path
from rlhub_core.playing.recording import filmed
from rlhub_core.playing.stage import Stage
from rlhub_core.playing.views import check_view
from rlhub_core.seeding import stream

FOLDER = "videos"
On = Literal["steps", "evaluation", "best"]


@dataclass
class Video(Callback):
    """Films greedy episodes into `videos/` of the run: every so many steps, at evaluations, or at every new best one.

    Files are called after what they were made on and the step, `best-000000050000.mp4`. Nothing of the training is
    changed, and a resumed run has the films of one that was never stopped.
    """

    on: On = option("steps", "what they are made on; evaluation and best need core/evaluate")
    every: int = option(100_000, "env steps between two films, with on=steps", unit="env steps", minimum=1)
    episodes: int = option(1, "episodes a film, one after another", minimum=1)
    max_steps: int = option(1_000, "steps after which an episode is cut off", unit="steps", minimum=1)
    view: Literal["environment", "agent"] = option("environment", "agent: beside it what the agent sees")
    format: Literal["mp4", "gif"] = option("mp4", "of the file; mp4 needs rlhub-core[video]")
    _next: int = field(default=0, init=False, repr=False)
    _best: float | None = field(default=None, init=False, repr=False)
    _stage: Stage | None = field(default=None, init=False, repr=False)

    def on_start(self, run: Run) -> None:
        """Make the environment to film in, draw one picture of it, and remove films of steps that are to come again.

        Raises:
            ConfigError: where it cannot be made twice, or renders no pixels; where there are no evaluations to film at;
                where two of these would write the same files.
            RlhubError: where what draws or writes is not installed.
        """
        check_path(Path(f"x.{self.format}"))
        check_view(self.view)
        self._check_company(run)
        if run.environment.is_instance:
            raise ConfigError(
                f"callbacks/video films in a second {run.environment.name}. Pass its class or a factory instead of one "
                "environment object."
            )
        if run.restored is None:
            self._next, self._best = self.every, None
        self._stage = Stage(run, values=self.view == "agent")
        try:
            next(self._stage.episode(stream(run.experiment.seed, "video"), 1))  # what it renders with may be missing
        except BaseException:
            self.on_end(run)
            raise
        self._clean(run)

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Film where it is due."""
        if self.on == "steps" and progress.steps >= self._next:
            self._film(run, progress.steps)
            self._next = (progress.steps // self.every + 1) * self.every

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Film where evaluations are filmed, or this is the best so far."""
        better = evaluation.beats(self._best)
        if better:
            self._best = evaluation.mean
        if self.on == "evaluation" or (self.on == "best" and better):
            self._film(run, evaluation.step)

    def on_end(self, run: Run) -> None:
        """Close the environment."""
        if self._stage is not None:
            self._stage.close()
            self._stage = None

    def save(self, folder: Path) -> None:
        """Write when the next film is due, and what there is to beat."""
        state.save(folder, "video", {"next": self._next, "best": self._best})

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "video")
        self._next, self._best = saved["next"], saved["best"]

    def _film(self, run: Run, step: int) -> None:
        assert self._stage is not None
        self._stage.act_anew()
        seed = stream(run.experiment.seed, "video", step)
        film = filmed(self._stage, self.episodes, seed, self.max_steps, self.view)
        film.write(run.folder / FOLDER / f"{self.on}-{step:012d}.{self.format}", self._stage.fps)

    def _check_company(self, run: Run) -> None:
        evaluates = any(each.evaluates for each in run.callbacks)
        if self.on != "steps" and not evaluates:
            raise ConfigError(f"callbacks/video:on={self.on} needs core/evaluate among the callbacks.")
        alike = [each for each in run.callbacks if isinstance(each, Video) and each._files == self._files]
        if len(alike) > 1:
            raise ConfigError(
                f"callbacks/video stands twice with on={self.on},format={self.format}: one would overwrite the other's "
                "files. Choose another format, or leave one out."
            )

    @property
    def _files(self) -> tuple[Any, ...]:
        return self.on, self.format

    def _clean(self, run: Run) -> None:
        """Remove what a killed run left half written, and films of steps after the checkpoint that it goes on from."""
        name = re.compile(rf"\.?{self.on}-(\d{{12}})\.{self.format}({re.escape(UNFINISHED)})?")
        for path in sorted((run.folder / FOLDER).glob("*")):
            found = name.fullmatch(path.name)
            if found and (found[2] or int(found[1]) > run.steps):
                path.unlink()
