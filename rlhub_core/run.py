"""A run: its recipe, its parts, its records, and what a checkpoint of it holds."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, cast

from rlhub_core import checkpoint, config, finite, memory, schedules, state
from rlhub_core.collector import Collector
from rlhub_core.envs import EnvironmentSource
from rlhub_core.errors import CheckpointError, ConfigError, RlhubError, RunError, listed, printable
from rlhub_core.evaluation import Evaluation
from rlhub_core.experiment import Experiment
from rlhub_core.normalization import Normalization
from rlhub_core.parts import Parts, algorithm_spec, check_fit
from rlhub_core.progress import ProgressBar
from rlhub_core.protocol import Actor, Algorithm, Callback, Episode
from rlhub_core.provenance import provenance
from rlhub_core.records import Records, read_episodes, read_evaluations
from rlhub_core.seeding import stream
from rlhub_core.stopwatch import CHECKPOINTING, Stopwatch


class Run:
    """A run: its recipe, its folder, its algorithm, and what it has recorded.

    Attributes:
        experiment: the recipe, resolved.
        folder: where everything is.
        algorithm: the learner itself.
        observation_space, action_space: of one environment, as it is.
        normalization: of what the algorithm sees, with its statistics; None where nothing is normalised.
        collector: the environments it learns from (None for a run that was loaded to act).
        restored: "exact", "warm" or None: how the last resume went.
        stopped: why training ended before its last step, or "".
        checkpoint_due: set by a callback to have a checkpoint written once every callback has seen this progress.
        checkpoints_kept: newest checkpoints that are not deleted.
        best_evaluation: set by a callback whose checkpoint is not deleted either.
        snapshots: steps whose checkpoints are not deleted either, as `keep_checkpoint` chose them.
        stopwatch: set by a callback that wants to know where the time goes, or None.
    """

    def __init__(self, experiment: Experiment, parts: Parts, folder: Path, *, for_acting: bool = False) -> None:
        self.experiment, self.environment, self.folder = experiment, parts.environment, folder
        self.restored: str | None = None
        self.stopped = ""
        self.last_checkpoint, self.checkpoint_due = 0, False
        self.last_evaluation: Evaluation | None = None
        self.best_evaluation: Evaluation | None = None
        self.snapshots: tuple[int, ...] = ()
        self.stopwatch: Stopwatch | None = None
        self._evaluated: list[Evaluation] = []
        self._parts, self.callbacks = parts, parts.callbacks
        self._scheduled: list[config.Parameter] = []
        self.checkpoints_kept = 2
        self._earlier_seconds = 0.0
        self.collector: Collector | None = None
        self.normalization: Normalization | None = None
        if for_acting:
            env = parts.environment.make()
            spaces, self._facts = (env.observation_space, env.action_space), env.metadata.get("provenance", {})
            if not parts.environment.is_instance:
                env.close()
            self._normalize(spaces[0])
        else:
            workers = self._workers()
            memory.check_run(workers, experiment.algorithm + " on " + self.environment.name)
            vec = parts.environment.make_vec(experiment.num_envs, experiment.vectorization_mode)
            spaces, self._facts = (
                (vec.single_observation_space, vec.single_action_space),
                vec.metadata.get("provenance", {}),
            )
            with self._closing_if_refused(vec):
                self._normalize(spaces[0])
                self.collector = Collector(
                    vec,
                    stream(experiment.seed, "environments"),
                    reseed_every=experiment.reseed_every,
                    reward_clip=experiment.reward_clip,
                    terminal_on_life_loss=experiment.terminal_on_life_loss,
                    normalization=self.normalization,
                )
        self.observation_space, self.action_space = spaces
        seen = spaces[0] if self.normalization is None else self.normalization.observation_space
        with self._closing_if_refused(None if self.collector is None else self.collector.env):
            self.algorithm: Algorithm = self._build(seen, spaces[1])
            self.memory = {} if self.collector is None else self._memory()
        self.records = Records(folder, experiment.log_every, self._in_force, lambda: self.seconds)
        self._begun = time.monotonic()  # what was built until here is no training

    def __repr__(self) -> str:
        recipe = self.experiment
        what = f"{recipe.algorithm} on {self.environment.name}"
        return f"Run({what}, {self.steps:,} of {recipe.steps:,} steps, {self.folder})"

    @property
    def steps(self) -> int:
        """Env steps that the algorithm has seen."""
        return self.algorithm.steps

    @property
    def seconds(self) -> float:
        """Wall seconds of training, earlier sessions included."""
        return self._earlier_seconds + time.monotonic() - self._begun

    @property
    def episodes(self) -> list[Episode]:
        """The training episodes so far, as `episodes.csv` holds them."""
        self.records.flush()
        return read_episodes(self.folder)

    @property
    def evaluations(self) -> list[Evaluation]:
        """The evaluations so far, as `evaluations.jsonl` holds them."""
        return read_evaluations(self.folder)

    @property
    def plans(self) -> bool:
        """Whether its steps are sweeps of an algorithm that ends by itself."""
        spec = algorithm_spec(self._parts.hub, self.experiment.algorithm)
        return spec is not None and spec.plans

    def actor(self, *, explore: bool = False) -> Actor:
        """Return a new actor of the algorithm, greedy or exploring as in training.

        It takes observations as the environment gives them, and normalises them where the algorithm learnt from
        normalised ones: with the statistics that the run has at the time.
        """
        actor = self.algorithm.actor(explore=explore)
        return actor if self.normalization is None else self.normalization.around(actor)

    def separate_environment(self) -> EnvironmentSource:
        """Return the source of environments of the same kind that share nothing with those of training.

        Raises:
            ConfigError: where training uses one live object, which cannot be made twice.
        """
        if self.environment.is_instance:
            raise ConfigError(
                f"Evaluating during training needs a second {self.environment.name}. Pass its class or a factory "
                "instead of one environment object."
            )
        return self.environment

    def record_evaluation(self, evaluation: Evaluation) -> None:
        """Write an evaluation into the run's records."""
        self.records.evaluation(evaluation)
        self.last_evaluation = evaluation
        self._evaluated.append(evaluation)

    def evaluated(self) -> list[Evaluation]:
        """Return the evaluations that were recorded since this was last asked."""
        if not self._evaluated:
            return []
        evaluated, self._evaluated = self._evaluated, []
        return evaluated

    def keep_checkpoint(self) -> None:
        """Have a checkpoint written once every callback has seen this progress, and never deleted."""
        self.snapshots = (*self.snapshots, self.steps)
        self.checkpoint_due = True

    def close(self) -> None:
        """Close the records and the environments, but not an environment that the user made."""
        self.records.close()
        if self.collector is not None and not self.environment.is_instance:
            self.collector.close()

    @contextlib.contextmanager
    def _closing_if_refused(self, env: Any) -> Iterator[None]:
        """Close environments that were made for a run that is not to be; processes of their own would stay."""
        try:
            yield
        except BaseException:
            if env is not None and not self.environment.is_instance:
                with contextlib.suppress(Exception):  # which tells less than what is under way
                    env.close()
            raise

    def _normalize(self, observation_space: Any) -> None:
        settings = self.experiment.normalize
        if settings is not None:
            self.normalization = Normalization(settings, observation_space, self.experiment.num_envs)

    def _build(self, observation_space: Any, action_space: Any) -> Algorithm:
        maker: Any = self._parts.algorithm
        experiment = self.experiment
        if not self._parts.makes_algorithm:
            return cast(Algorithm, maker)  # the user made it
        check_fit(self._parts.hub, experiment.algorithm, self.observation_space, action_space, self.environment.name)
        settings = config.bind(maker.Config, experiment.hyper_parameters, experiment.algorithm, kind="hyper-parameter")
        maker.Config(**settings)  # which may object to a schedule without length, before it is given one
        settings = {name: schedules.resolve(value, experiment.steps) for name, value in settings.items()}
        self.experiment = dataclasses.replace(experiment, hyper_parameters=settings)
        known = config.parameters(maker.Config)
        self._scheduled = [known[name] for name, value in settings.items() if known[name].scheduled and callable(value)]
        for step in (0, experiment.steps):
            self._read_schedules(step)
        algorithm: Algorithm = maker(
            observation_space,
            action_space,
            maker.Config(**settings),
            seed=stream(experiment.seed, "algorithm"),
            total_steps=experiment.steps,
            device=experiment.device,
        )
        return algorithm

    def _workers(self) -> list[memory.Held]:
        if (self.experiment.vectorization_mode or "").partition(":")[0] != "async":
            return []
        return [memory.Held("worker processes", memory.WORKER * self.experiment.num_envs, "num_envs")]

    def _memory(self) -> dict[str, int]:
        """Return what the run will hold, in bytes, by what it is; ConfigError where that does not fit.

        An algorithm that does not say is not counted, and not refused.
        """
        tell = getattr(self.algorithm, "memory_needed", None)
        held = list(tell(self.experiment.num_envs)) if callable(tell) else []
        memory.check_run(held, f"{self.experiment.algorithm} on {self.environment.name}")
        return {"process": memory.resident()} | {part.what: part.size for part in (*held, *self._workers())}

    def _in_force(self, step: int) -> dict[str, float]:
        """Return the scheduled hyper-parameters at an env step, or at what else the algorithm's `clock` counts."""
        return self._read_schedules(getattr(self.algorithm, "clock", step))

    def _read_schedules(self, step: int) -> dict[str, float]:
        """Return the scheduled hyper-parameters at a step; ConfigError where one has left its range."""
        values = {}
        for parameter in self._scheduled:
            in_force = schedules.whole if parameter.counts else schedules.value
            values[parameter.name] = in_force(self.experiment.hyper_parameters[parameter.name], step)
            parameter.check_range(values[parameter.name], self.experiment.algorithm)
        return values

    def save(self, *, whole: bool = True) -> None:
        """Write a checkpoint and prune older ones; only where the algorithm's iterator has just yielded.

        Args:
            whole: False where a callback has failed half way: then a resume from here is `warm`.

        Raises:
            NonFiniteError: where the algorithm holds a number that is not finite; the checkpoints before this one stay.
        """

        saved = checkpoint.steps(self.folder / "checkpoints")[-1:]
        before = f"the run has that of step {saved[0]:,}" if saved else "it was the first, so nothing is saved"

        def fill(folder: Path) -> dict[str, Any]:
            for name in ("algorithm", "collector", "callbacks"):
                (folder / name).mkdir()
            self.algorithm.save(folder / "algorithm")
            finite.check_saved(folder / "algorithm", getattr(self.algorithm, "may_be_infinite", ()))
            if self.collector is not None:
                self.collector.save(folder / "collector")
            for name, callback in self._stateful():
                (folder / "callbacks" / name).mkdir()
                with naming(callback, "while a checkpoint was written; " + before):
                    callback.save(folder / "callbacks" / name)
            state.save(
                folder,
                "run",
                {
                    "seconds": self.seconds,
                    "records": self.records.state(),
                    "last_evaluation": _tree(self.last_evaluation),
                    "best_evaluation": _tree(self.best_evaluation),
                    "snapshots": self.snapshots,
                },
            )
            return {
                "plans": self.plans,
                "resume": "exact" if whole and self._exact() else "warm",
                "stopped": self.stopped,
                "provenance": self.provenance,
                "callbacks": [name for name, _ in self._stateful()],
            }

        checkpoint.write(self.folder / "checkpoints", self.steps, fill)
        best = (self.best_evaluation.step,) if self.best_evaluation else ()
        checkpoint.prune(self.folder / "checkpoints", self.checkpoints_kept, (*best, *self.snapshots))
        self.last_checkpoint, self.checkpoint_due = self.steps, False
        if self.stopwatch is not None:
            self.stopwatch.lap(CHECKPOINTING)

    def restore(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        """Become the run that a verified checkpoint holds; `restored` says whether exactly.

        Raises:
            CheckpointError: where the checkpoint does not fit.
        """
        with _fitting(folder):
            self._restore(folder, manifest)

    def _restore(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.algorithm.load(folder / "algorithm")
        if state.whole(self.steps, "The algorithm's steps") != manifest["step"]:
            raise CheckpointError(f"{folder} is of step {manifest['step']}, and its algorithm of {self.steps}.")
        saved = state.load(folder, "run")
        seconds = state.same_kind(saved["seconds"], 0.0, "run.json: seconds")
        if not 0 <= seconds < math.inf:
            raise CheckpointError(f"run.json: seconds must be a number from 0 on; the checkpoint has {seconds}.")
        exact = manifest["resume"] == "exact"
        if self.collector is not None:
            if not self.collector.load(folder / "collector"):
                exact = False
                print(
                    "The environments did not come back to where they were; they go on with new episodes.",
                    file=sys.stderr,
                )
            self._restore_callbacks(folder / "callbacks", manifest["callbacks"])
            self.records.restore(saved["records"])
            exact = self._same_ground(manifest["provenance"]) and exact
        elif self.normalization is not None:
            self.normalization.load(folder / "collector")
        self._earlier_seconds, self._begun = seconds, time.monotonic()
        self.last_evaluation, self.best_evaluation = (
            Evaluation(**saved[name]) if saved[name] else None for name in ("last_evaluation", "best_evaluation")
        )
        self.snapshots = tuple(state.whole(step, "run.json: snapshots") for step in saved.get("snapshots", ()))
        self.last_checkpoint = manifest["step"]
        self.restored = "exact" if exact else "warm"

    def _stateful(self) -> list[tuple[str, Callback]]:
        """Return the callbacks of the recipe with the name of their folder in a checkpoint."""
        recorded = (callback for callback in self.callbacks if not isinstance(callback, ProgressBar))
        return [(f"{index}-{type(callback).__name__}", callback) for index, callback in enumerate(recorded)]

    def _restore_callbacks(self, folder: Path, theirs: Sequence[str]) -> None:
        ours = [name for name, _ in self._stateful()]
        if sorted(ours) != sorted(theirs):
            raise RunError(
                f"The run was saved with callbacks {listed(theirs)}, not {listed(ours)}. Pass the same ones."
            )
        for name, callback in self._stateful():
            callback.load(folder / name)

    def _exact(self) -> bool:
        spec = algorithm_spec(self._parts.hub, self.experiment.algorithm)
        on_gpu = str(getattr(self.algorithm, "device", "")).startswith("cuda")  # whose sums depend on their order
        return not on_gpu and (spec.exact_resume if spec else True)

    @cached_property
    def provenance(self) -> dict[str, Any]:
        """Return what the run is made with: versions, platform, threads, facts of the environment."""
        recipe = self.experiment
        names = (recipe.algorithm, recipe.environment, *recipe.callbacks, *recipe.wrappers)
        plugins = [plugin for name in names if (plugin := self._parts.hub.provider(name))]
        facts = provenance([plugin.distribution for plugin in plugins], dict(self._facts))
        return facts | {"device": str(getattr(self.algorithm, "device", recipe.device))}

    def _same_ground(self, before: Mapping[str, Any]) -> bool:
        """Return whether versions and threads are those of the checkpoint; say which are not."""
        now = self.provenance
        names = ["python", "torch_threads", "device", "environment"]
        names += ["blas_threads"] if "blas_threads" in before else []  # golden runs were made before it was noted
        changed = [f"{name} {before[name]} -> {now[name]}" for name in names if before[name] != now[name]]
        changed += [
            f"{name} {version} -> {now['distributions'].get(name)}"
            for name, version in before["distributions"].items()
            if now["distributions"].get(name) != version
        ]
        if changed:
            told = f"Since the checkpoint these changed, so the resumed run may differ: {listed(changed)}."
            print(printable(told), file=sys.stderr)
        return not changed


@contextlib.contextmanager
def naming(callback: Callback, when: str) -> Iterator[None]:
    """Note on an exception which callback raised it, and when."""
    try:
        yield
    except Exception as error:
        if not isinstance(error, RlhubError):  # which says itself what it is about
            error.add_note(f"raised by the callback {type(callback).__name__} {when}")
        raise


@contextlib.contextmanager
def _fitting(folder: Path) -> Iterator[None]:
    """Say in one sentence that what was read from a checkpoint is nothing that can be gone on from."""
    try:
        yield
    except RlhubError:
        raise
    except Exception as error:  # whatever those raise who are given other values than they have saved
        told = f"{type(error).__name__}: {error}".splitlines()[0].rstrip(".: ")
        raise CheckpointError(f"{folder} does not fit what it is loaded into: {told}.") from error


def _tree(evaluation: Evaluation | None) -> dict[str, Any] | None:
    return dataclasses.asdict(evaluation) if evaluation else None
