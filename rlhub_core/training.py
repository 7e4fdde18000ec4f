"""Training: a recipe becomes a run, and a run is a folder that can be left at any moment and resumed exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import signal
import socket
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import FrameType
from typing import Any

from rlhub_core import checkpoint, config, schedules, state
from rlhub_core.callbacks import Checkpoint, ProgressBar
from rlhub_core.collector import Collector
from rlhub_core.envs import EnvironmentSource
from rlhub_core.errors import CheckpointError, ConfigError, RunError, SpaceError, listed
from rlhub_core.evaluation import Evaluation
from rlhub_core.experiment import FILE, Experiment, with_preset
from rlhub_core.hub import Hub, default_hub
from rlhub_core.protocol import Actor, Algorithm, Callback, Episode, Progress, StopTraining
from rlhub_core.provenance import provenance
from rlhub_core.records import Records, read_episodes, read_evaluations
from rlhub_core.seeding import stream
from rlhub_core.specs import AlgorithmSpec


@dataclass(frozen=True)
class Parts:
    """The live objects that a recipe names, or that were passed instead of names."""

    environment: EnvironmentSource
    algorithm: Any  # the class, or an algorithm made by the user
    callbacks: tuple[Callback, ...]
    hub: Hub


class Run:
    """A run: its recipe, its folder, its algorithm, and what it has recorded.

    Attributes:
        experiment: the recipe, resolved.
        folder: where everything is.
        algorithm: the learner itself.
        collector: the environments it learns from (None for a run that was loaded to act).
        restored: "exact", "warm" or None: how the last resume went.
        stopped: why training ended before its last step, or "".
    """

    def __init__(self, experiment: Experiment, parts: Parts, folder: Path, *, for_acting: bool = False) -> None:
        self.experiment, self.environment, self.folder = experiment, parts.environment, folder
        self.restored: str | None = None
        self.stopped = ""
        self.last_checkpoint = 0
        self.last_evaluation: Evaluation | None = None
        self._parts, self._callbacks = parts, parts.callbacks
        self._scheduled: list[config.Parameter] = []
        self._wanted: int | None = None  # checkpoints to keep, once one is asked for
        self._earlier_seconds, self._begun = 0.0, time.monotonic()
        self.collector: Collector | None = None
        if for_acting:
            env = parts.environment.make()
            spaces, self._facts = (env.observation_space, env.action_space), env.metadata.get("provenance", {})
            if not parts.environment.is_instance:
                env.close()
        else:
            vec = parts.environment.make_vec(experiment.num_envs, experiment.vectorization_mode)
            spaces, self._facts = (vec.single_observation_space, vec.single_action_space), vec.metadata.get("provenance", {})
            self.collector = Collector(
                vec,
                stream(experiment.seed, "environments"),
                reseed_every=experiment.reseed_every,
                reward_clip=experiment.reward_clip,
                terminal_on_life_loss=experiment.terminal_on_life_loss,
            )
        self.algorithm: Algorithm = self._build(*spaces)
        self.records = Records(folder, experiment.log_every, self._in_force, lambda: self.seconds)

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

    def actor(self, *, explore: bool = False) -> Actor:
        """Return a new actor of the algorithm: greedy, or exploring as in training."""
        return self.algorithm.actor(explore=explore)

    def separate_environment(self) -> EnvironmentSource:
        """Return the source of environments of the same kind that share nothing with those of training.

        Raises:
            ConfigError: where training uses one live object, which cannot be made twice.
        """
        if self.environment.is_instance:
            raise ConfigError(
                f"Evaluating during training needs a second {self.environment.name}. Pass its class or a factory instead "
                "of one environment object."
            )
        return self.environment

    def record_evaluation(self, evaluation: Evaluation) -> None:
        """Write an evaluation into the run's records."""
        self.records.evaluation(evaluation)
        self.last_evaluation = evaluation

    def request_checkpoint(self, keep: int = 2) -> None:
        """Have a checkpoint written once every callback has seen this progress."""
        self._wanted = keep

    def _build(self, observation_space: Any, action_space: Any) -> Algorithm:
        maker, experiment = self._parts.algorithm, self.experiment
        if not isinstance(maker, type):
            return maker  # type: ignore[no-any-return] - made by the user
        check_fit(self._parts.hub, experiment.algorithm, observation_space, action_space, self.environment.name)
        settings = config.bind(maker.Config, experiment.hyper_parameters, experiment.algorithm, kind="hyper-parameter")
        settings = {name: schedules.resolve(value, experiment.steps) for name, value in settings.items()}
        self.experiment = dataclasses.replace(experiment, hyper_parameters=settings)
        known = config.parameters(maker.Config)
        self._scheduled = [known[name] for name, value in settings.items() if known[name].scheduled and callable(value)]
        for step in (0, experiment.steps):
            self._in_force(step)
        algorithm: Algorithm = maker(
            observation_space,
            action_space,
            maker.Config(**settings),
            seed=stream(experiment.seed, "algorithm"),
            total_steps=experiment.steps,
            device=experiment.device,
        )
        return algorithm

    def _in_force(self, step: int) -> dict[str, float]:
        """Return the scheduled hyper-parameters at an env step; ConfigError where one has left its range."""
        values = {}
        for parameter in self._scheduled:
            values[parameter.name] = self.experiment.hyper_parameters[parameter.name](step)
            parameter.check_range(values[parameter.name], self.experiment.algorithm)
        return values

    # what a checkpoint holds

    def _save(self, keep: int) -> None:
        def fill(folder: Path) -> dict[str, Any]:
            for name in ("algorithm", "collector", "callbacks"):
                (folder / name).mkdir()
            self.algorithm.save(folder / "algorithm")
            if self.collector is not None:
                self.collector.save(folder / "collector")
            for index, callback in enumerate(self._callbacks):
                part = folder / "callbacks" / f"{index}-{type(callback).__name__}"
                part.mkdir()
                callback.save(part)
            evaluation = self.last_evaluation
            state.save(
                folder,
                "run",
                {
                    "seconds": self.seconds,
                    "records": self.records.state(),
                    "last_evaluation": dataclasses.asdict(evaluation) if evaluation else None,
                },
            )
            return {"resume": "exact" if self._exact() else "warm", "stopped": self.stopped, "provenance": self._provenance()}

        checkpoint.write(self.folder / "checkpoints", self.steps, fill)
        checkpoint.prune(self.folder / "checkpoints", keep)
        self.last_checkpoint = self.steps

    def _restore(self, folder: Path, manifest: Mapping[str, Any]) -> None:
        self.algorithm.load(folder / "algorithm")
        saved = state.load(folder, "run")
        exact = manifest["resume"] == "exact"
        if self.collector is not None:
            exact = self.collector.load(folder / "collector") and exact
            for index, callback in enumerate(self._callbacks):
                part = folder / "callbacks" / f"{index}-{type(callback).__name__}"
                if part.is_dir():
                    callback.load(part)
            self.records.restore(saved["records"])
            exact = self._same_ground(manifest["provenance"]) and exact
        self._earlier_seconds, self._begun = saved["seconds"], time.monotonic()
        if saved["last_evaluation"]:
            self.last_evaluation = Evaluation(**saved["last_evaluation"])
        self.last_checkpoint = manifest["step"]
        self.restored = "exact" if exact else "warm"

    def _exact(self) -> bool:
        spec = algorithm_spec(self._parts.hub, self.experiment.algorithm)
        return spec.exact_resume if spec else True

    def _provenance(self) -> dict[str, Any]:
        names = (self.experiment.algorithm, self.experiment.environment, *self.experiment.callbacks)
        plugins = [plugin for name in names if (plugin := self._parts.hub.provider(name))]
        return provenance([plugin.distribution for plugin in plugins], dict(self._facts))

    def _same_ground(self, before: Mapping[str, Any]) -> bool:
        """Return whether versions and threads are those of the checkpoint; say which are not."""
        now = self._provenance()
        names = ("python", "torch_threads", "environment")
        changed = [f"{name} {before[name]} -> {now[name]}" for name in names if before[name] != now[name]]
        changed += [
            f"{name} {version} -> {now['distributions'].get(name)}"
            for name, version in before["distributions"].items()
            if now["distributions"].get(name) != version
        ]
        if changed:
            _say(f"Since the checkpoint these changed, so the resumed run may differ: {listed(changed)}.")
        return not changed


def train(
    algorithm: Any,
    env: Any,
    *,
    steps: int | None = None,
    num_envs: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    config: Mapping[str, Any] | Any = None,  # noqa: A002, F811 - the name users expect
    env_options: Mapping[str, Any] | None = None,
    wrappers: Sequence[Any] = (),
    vectorization_mode: str | None = None,
    reward_clip: float | None = None,
    terminal_on_life_loss: bool | None = None,
    callbacks: Sequence[Any] = (),
    log_every: int | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    progress: bool | None = None,
    hub: Hub | None = None,
) -> Run:
    """Train an algorithm on an environment and return the run.

    Args:
        algorithm: a name ("deep/dqn"), a class, or an algorithm object.
        env: a name ("CartPole-v1", "atari/Pong-v0"), a class, a factory, or an environment.
        steps: env steps, all environments together.
        num_envs: environments side by side (default 1, or the preset's).
        seed: makes everything: environments, algorithm, exploration, evaluation, callbacks.
        preset: a named configuration that the algorithm ships for this environment; what is given here wins.
        config: hyper-parameters, as a mapping or as the algorithm's `Config`.
        env_options: keyword arguments of the environment.
        wrappers: names or callables, innermost first.
        vectorization_mode: as for `make_vec`.
        reward_clip: learn from rewards clipped to [-reward_clip, reward_clip]; scores stay raw.
        terminal_on_life_loss: learn as if a lost life ended the game; it goes on, and scores are of whole games.
        callbacks: names with arguments ("core/evaluate:every=5000") or objects. `core/checkpoint` is added, ten times a
            run, unless given.
        log_every: env steps between two lines of `metrics.jsonl` (default: a thousandth of the run, at least 100).
        folder: of the run; by default a new one under `runs/`.
        device: "auto", "cpu", "cuda", …
        progress: show a progress bar (default: where standard error is a terminal).
        hub: where names are looked up.

    Raises:
        RlhubError: for anything that cannot be as asked, before the first step.
        KeyboardInterrupt, SystemExit: after SIGINT or SIGTERM, once a checkpoint is written.
    """
    hub = hub or default_hub()
    name, maker, spec = _algorithm(hub, algorithm)
    source = EnvironmentSource.of(env, env_options, wrappers, hub)
    settings: dict[str, Any] = {
        "steps": steps,
        "num_envs": num_envs,
        "reward_clip": reward_clip,
        "terminal_on_life_loss": terminal_on_life_loss,
        "log_every": log_every,
        "environment_options": dict(source.options),
        "hyper_parameters": _as_mapping(config),
    }
    if preset is not None:
        settings = with_preset(settings, preset, presets(spec), name, source.name)
        source = EnvironmentSource(source.origin, settings["environment_options"], source.wrappers, hub)
    if settings["steps"] is None:
        raise ConfigError("Say how long to train: steps=… (env steps, all environments together).")
    settings = {key: value for key, value in settings.items() if value is not None}
    if isinstance(settings["steps"], int):
        settings.setdefault("log_every", max(100, settings["steps"] // 1000))
        if not any(_names_checkpoint(callback) for callback in callbacks):
            callbacks = (*callbacks, Checkpoint(every=max(1, settings["steps"] // 10)))
    made, written = _callbacks(hub, callbacks)
    experiment = Experiment(
        algorithm=name,
        environment=source.origin if isinstance(source.origin, str) else _mention(source.origin),
        seed=seed,
        vectorization_mode=vectorization_mode,
        wrappers=tuple(wrapper if isinstance(wrapper, str) else _mention(wrapper) for wrapper in source.wrappers),
        preset=preset,
        callbacks=written,
        device=device,
        **settings,
    )
    return start(experiment, Parts(source, maker, made, hub), folder, progress)


def start(experiment: Experiment, parts: Parts, folder: str | Path | None = None, progress: bool | None = None) -> Run:
    """Start a run of an experiment whose parts are at hand, and train it to its end."""
    folder = Path(folder) if folder is not None else _free_folder(experiment)
    if (folder / FILE).exists() or (folder / "checkpoints").exists():
        raise RunError(
            f"{folder} holds another run. Resume it (rlhub resume {folder}), or choose another folder."
        )
    created = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        run = Run(experiment, parts, folder)
    except BaseException:
        if created:
            folder.rmdir()
        raise
    with _only_writer(folder):
        run.experiment.write(folder)
        (folder / "provenance.json").write_text(json.dumps(run._provenance(), indent=1))
        return _train(run, progress)


def run_experiment(
    experiment: Experiment, folder: str | Path | None = None, *, progress: bool | None = None, hub: Hub | None = None
) -> Run:
    """Train what a recipe says (`rlhub train experiment.toml`)."""
    return start(experiment, _parts(experiment, hub or default_hub(), {}), folder, progress)


def resume(
    folder: str | Path,
    *,
    steps: int | None = None,
    algorithm: Any = None,
    env: Any = None,
    callbacks: Sequence[Any] | None = None,
    wrappers: Sequence[Any] | None = None,
    config: Mapping[str, Any] | None = None,  # noqa: F811
    progress: bool | None = None,
    hub: Hub | None = None,
) -> Run:
    """Go on with a run from its newest checkpoint, exactly where the manifest says so, and return it at its end.

    Args:
        folder: of the run.
        steps: a new last step, to train longer than the recipe says.
        algorithm, env, callbacks, wrappers, config: the live objects the run was started with, where it was; names
            need not be passed again.
        progress: as for `train`.
        hub: where names are looked up.

    Raises:
        RunError: where the folder is no run, has no checkpoint yet, or is being written.
        CheckpointError: where no checkpoint is whole.
    """
    folder = Path(folder)
    experiment = Experiment.read(folder)
    if steps is not None:
        experiment = dataclasses.replace(experiment, steps=steps)
    live = {"algorithm": algorithm, "env": env, "callbacks": callbacks, "wrappers": wrappers, "config": config}
    parts = _parts(experiment, hub or default_hub(), live)
    with _only_writer(folder):
        newest, manifest = _newest(folder)
        experiment = dataclasses.replace(
            experiment, hyper_parameters={**experiment.hyper_parameters, **(config or {})}
        )
        run = Run(experiment, parts, folder)
        run._restore(newest, manifest)
        if steps is not None:
            run.experiment.write(folder)
        if run.restored == "warm":
            _say(f"{folder} resumes warm, not exact: it goes on from step {run.steps:,} with new episodes.")
        return _train(run, progress)


def load(
    folder: str | Path,
    *,
    step: int | None = None,
    algorithm: Any = None,
    env: Any = None,
    config: Mapping[str, Any] | None = None,  # noqa: F811
    hub: Hub | None = None,
) -> Run:
    """Load a run to act, evaluate or record with it; nothing in its folder is changed.

    Args:
        folder: of the run.
        step: of the checkpoint to load (default: the newest).
        algorithm, env, config: the live objects the run was started with, where it was.
        hub: where names are looked up.

    Raises:
        RunError, CheckpointError: as `resume`.
    """
    folder = Path(folder)
    experiment = Experiment.read(folder)
    parts = _parts(experiment, hub or default_hub(), {"algorithm": algorithm, "env": env, "callbacks": (), "config": config})
    chosen, manifest = _newest(folder, step)
    experiment = dataclasses.replace(experiment, hyper_parameters={**experiment.hyper_parameters, **(config or {})})
    run = Run(experiment, parts, folder, for_acting=True)
    run._restore(chosen, manifest)
    return run


def check_fit(hub: Hub, algorithm: str, observation_space: Any, action_space: Any, environment: str) -> None:
    """Raise SpaceError where an algorithm does not accept the spaces, naming those that do."""
    spec = algorithm_spec(hub, algorithm)
    misfit = spec and spec.misfit(observation_space, action_space)
    if misfit:
        has = observation_space if misfit.endswith("observation space") else action_space
        fitting = [name for name, other in hub.offers("algorithm").items() if not other.misfit(observation_space, action_space)]
        raise SpaceError(f"{algorithm} needs {misfit}; {environment} has {has}. Algorithms that fit: {listed(fitting)}.")


def algorithm_spec(hub: Hub, name: str) -> AlgorithmSpec | None:
    """Return the spec of a named algorithm; None for a live object."""
    return None if name.startswith("object:") else hub.find("algorithm", name)


def presets(spec: AlgorithmSpec | None) -> dict[str, Any]:
    """Return the presets an algorithm ships: name -> environment -> settings."""
    if spec is None or spec.presets is None:
        return {}
    package, _, file = spec.presets.partition(":")
    return tomllib.loads(files(package).joinpath(file).read_text())


# the loop


def _train(run: Run, show_progress: bool | None) -> Run:
    if show_progress if show_progress is not None else sys.stderr.isatty():
        run._callbacks = (*run._callbacks, ProgressBar())
    observers = [c for c in run._callbacks if type(c).on_progress is not Callback.on_progress]
    with _signals() as received, contextlib.closing(run.records), contextlib.closing(_closer(run)):
        for callback in run._callbacks:
            callback.on_start(run)
        try:
            _loop(run, observers, received)
        finally:
            for callback in run._callbacks:
                callback.on_end(run)
    if received:
        _say(f"Stopped at step {run.steps:,} by {signal.Signals(received[0]).name}. Go on with: rlhub resume {run.folder}")
        if received[0] == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + received[0])
    return run


def _loop(run: Run, observers: Sequence[Callback], received: list[int]) -> None:
    saved_at = run.steps if run.restored else None
    assert run.collector is not None
    try:
        for progress in run.algorithm.train(run.collector, run.experiment.steps):
            run.records.add(progress)
            saved_at = None
            stop = _tell(run, observers, progress)
            if stop is not None:
                run.stopped = str(stop)
                break
            if received:
                break
            if run._wanted is not None:
                run._save(run._wanted)
                run._wanted, saved_at = None, run.steps
    except _CallbackFailed as failure:
        run._save(keep=2)
        raise failure.error from None
    if saved_at is None:
        run._save(run._wanted or 2)


def _tell(run: Run, observers: Sequence[Callback], progress: Progress) -> StopTraining | None:
    """Show a progress to every callback, also when one of them wants to stop."""
    stop = None
    for callback in observers:
        try:
            callback.on_progress(run, progress)
        except StopTraining as request:
            stop = request
        except Exception as error:
            error.add_note(f"raised by the callback {type(callback).__name__} at step {progress.steps}; the run is saved")
            raise _CallbackFailed(error) from error
    return stop


class _CallbackFailed(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, error: Exception) -> None:
        self.error = error


def _closer(run: Run) -> Any:
    """Return what closes the environments of a run, but not one that the user made."""

    class Closer:
        def close(self) -> None:
            if run.collector is not None and not run.environment.is_instance:
                run.collector.close()

    return Closer()


@contextlib.contextmanager
def _signals() -> Iterator[list[int]]:
    """Yield a list to which the first SIGINT or SIGTERM is added; a second one acts at once, as without us."""
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before: dict[int, Any] = {}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        for each in before:
            signal.signal(each, signal.default_int_handler if each == signal.SIGINT else signal.SIG_DFL)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """Hold the run's lock for the life of the block; the lock of a dead process is free.

    Raises:
        RunError: naming process and host that hold it.
    """
    with (folder / ".lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise RunError(f"{folder} is being written by {lock.read() or 'another process'}.") from None
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        yield


# from names to parts and back


def _parts(experiment: Experiment, hub: Hub, live: Mapping[str, Any]) -> Parts:
    missing = [
        part
        for part in experiment.unwritten()
        if live.get({"callback": "callbacks", "wrapper": "wrappers", "hyper-parameter": "config"}.get(word := part.split()[0], word))
        is None
    ]
    if missing:
        raise RunError(f"The recipe only mentions these live objects; pass them again: {listed(missing)}.")
    algorithm = live.get("algorithm") if live.get("algorithm") is not None else experiment.algorithm
    _, maker, _ = _algorithm(hub, algorithm)
    env = live.get("env") if live.get("env") is not None else experiment.environment
    wrappers = live.get("wrappers") if live.get("wrappers") is not None else experiment.wrappers
    source = EnvironmentSource.of(env, experiment.environment_options, wrappers or (), hub)
    callbacks = live.get("callbacks") if live.get("callbacks") is not None else experiment.callbacks
    if live.get("callbacks"):  # objects are passed again; names in the recipe need not be
        named = [text for text in experiment.callbacks if not config.is_unwritable(text)]
        callbacks = _in_order(experiment.callbacks, list(live["callbacks"]), named)
    made, _ = _callbacks(hub, callbacks or ())
    return Parts(source, maker, made, hub)


def _in_order(written: Sequence[str], given: list[Any], named: list[str]) -> list[Any]:
    """Return the callbacks as the recipe orders them, objects in the places where it mentions objects."""
    objects = [callback for callback in given if not isinstance(callback, str)]
    return [objects.pop(0) if config.is_unwritable(text) and objects else text for text in written if text in named or objects]


def _algorithm(hub: Hub, algorithm: Any) -> tuple[str, Any, AlgorithmSpec | None]:
    if isinstance(algorithm, str):
        spec = hub.find("algorithm", algorithm)
        return spec.name, hub.load("algorithm", spec.name), spec
    if isinstance(algorithm, type) and not hasattr(algorithm, "Config"):
        raise ConfigError(f"{algorithm.__qualname__} is no algorithm: it has no Config, a frozen dataclass.")
    if not isinstance(algorithm, type) and not isinstance(algorithm, Algorithm):
        raise ConfigError(
            f"{algorithm!r} is no algorithm: pass a name, a class with Config, train, actor, save and load, or such an object."
        )
    return _mention(algorithm), algorithm, None


def _callbacks(hub: Hub, given: Sequence[Any]) -> tuple[tuple[Callback, ...], tuple[str, ...]]:
    """Return callbacks as objects, and as the recipe writes them."""
    made: list[Callback] = []
    written: list[str] = []
    for callback in given:
        if isinstance(callback, str):
            name, arguments = config.split_name(callback)
            spec = hub.find("callback", name)
            target = hub.load("callback", spec.name)
            made.append(target(**config.bind(target, arguments, spec.name)))
            written.append(config.join_name(spec.name, arguments))
        elif isinstance(callback, Callback):
            made.append(callback)
            written.append(_as_written(hub, callback))
        else:
            raise ConfigError(f"{callback!r} is no callback: pass a name or an rlhub_core.Callback object.")
    return tuple(made), tuple(written)


def _as_written(hub: Hub, callback: Callback) -> str:
    """Return the name and arguments of a callback object whose class is on offer, else a mere mention."""
    target = f"{type(callback).__module__}:{type(callback).__qualname__}"
    for name, spec in hub.offers("callback").items():
        if spec.entry_point == target and dataclasses.is_dataclass(callback):
            arguments = {
                field.name: getattr(callback, field.name)
                for field in dataclasses.fields(callback)
                if field.init and getattr(callback, field.name) != field.default
            }
            return config.join_name(name, arguments)
    return _mention(callback)


def _names_checkpoint(callback: Any) -> bool:
    return isinstance(callback, Checkpoint) or (isinstance(callback, str) and config.split_name(callback)[0] == "core/checkpoint")


def _mention(thing: Any) -> str:
    named = thing if hasattr(thing, "__qualname__") else type(thing)
    return f"object:{named.__module__}.{named.__qualname__}"


def _as_mapping(given: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {field.name: getattr(given, field.name) for field in dataclasses.fields(given)}
    return dict(given or {})


def _free_folder(experiment: Experiment) -> Path:
    def tidy(name: str) -> str:
        return name.removeprefix("object:").replace("/", "-").replace(":", "-").lower()

    stem = f"{tidy(experiment.environment)}-{tidy(experiment.algorithm)}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder


def _newest(folder: Path, step: int | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the newest whole checkpoint (or the one of a step) and its manifest; say which were damaged."""
    parent = folder / "checkpoints"
    known = checkpoint.steps(parent)
    if step is not None and step not in known:
        raise RunError(f"{folder} has no checkpoint of step {step}. It has: {', '.join(map(str, known)) or 'none'}.")
    if not known:
        raise RunError(f"{folder} has no checkpoint yet: it was stopped before its first. Start it again in another folder.")
    damage: list[str] = []
    for each in [step] if step is not None else reversed(known):
        path = parent / f"{each:012d}"
        try:
            return path, checkpoint.verify(path)
        except CheckpointError as error:
            damage.append(str(error))
            _say(str(error))
    raise CheckpointError(" ".join(damage))


def _say(text: str) -> None:
    print(text, file=sys.stderr)


