"""Training: a recipe becomes a run, and a run is a folder that can be left at any moment and resumed exactly."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
import shlex
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from rlhub_core import checkpoint, state, storage
from rlhub_core.callbacks import Checkpoint
from rlhub_core.config import mention
from rlhub_core.envs import EnvironmentSource
from rlhub_core.errors import CheckpointError, ConfigError, RlhubError, RunError, TrainingError
from rlhub_core.experiment import FILE, Experiment, with_preset
from rlhub_core.hub import Hub, default_hub
from rlhub_core.loop import LOCK, drive, only_writer
from rlhub_core.parts import (
    Parts,
    find_algorithm,
    find_parts,
    imported,
    make_callbacks,
    presets,
    with_live_values,
    with_named_code,
)
from rlhub_core.run import Run
from rlhub_core.threads import settled

PROVENANCE = "provenance.json"
READINGS = 10  # of the newest checkpoint of a run that is being trained, each of which may be deleted meanwhile
_LONGEST_NAME = 80  # of an environment or algorithm, in the name of a folder
MOST_SWEEPS = 1_000_000  # of an algorithm that plans, which ends by itself


def train(
    algorithm: Any,
    env: Any,
    *,
    steps: int | None = None,
    num_envs: int | None = None,
    seed: int = 0,
    preset: str | None = None,
    config: Mapping[str, Any] | Any = None,
    env_options: Mapping[str, Any] | None = None,
    wrappers: Sequence[Any] = (),
    vectorization_mode: str | None = None,
    reward_clip: float | None = None,
    terminal_on_life_loss: bool | None = None,
    normalize: Any = None,
    callbacks: Sequence[Any] = (),
    log_every: int | None = None,
    folder: str | Path | None = None,
    device: str = "auto",
    threads: int | None = None,
    progress: bool | None = None,
    hub: Hub | None = None,
) -> Run:
    """Train an algorithm on an environment and return the run.

    Args:
        algorithm: a name ("deep/dqn"), a class, or an algorithm object.
        env: a name ("CartPole-v1", "atari/Pong-v0"), a class, a factory, or an environment.
        steps: env steps, all environments together; of an algorithm that plans, at most so many sweeps.
        num_envs: environments side by side (default 1, or the preset's).
        seed: makes everything: environments, algorithm, exploration, evaluation, callbacks.
        preset: a named configuration that the algorithm ships for this environment; what is given here wins.
        config: hyper-parameters, as a mapping or as the algorithm's `Config`.
        env_options: keyword arguments of the environment.
        wrappers: names or callables, innermost first.
        vectorization_mode: as for `make_vec`.
        reward_clip: learn from rewards clipped to [-reward_clip, reward_clip]; scores stay raw.
        terminal_on_life_loss: learn as if a lost life ended the game; it goes on, and scores are of whole games.
        normalize: "observations", "rewards" or both, "observations,rewards", with settings as in
            "observations,rewards,discount=0.995", or a `Normalize`; scores stay raw, and the run's actor normalises
            what it sees with the statistics of the training.
        callbacks: names with arguments ("core/evaluate:every=5000") or objects. `core/checkpoint` is added unless it is
            given: every tenth of the run, but every 1,000 to 100,000 steps.
        log_every: env steps between two lines of `metrics.jsonl` (default: a thousandth of the run, but 100 to 10,000).
        folder: of the run; by default a new one under `runs/`.
        device: "auto", "cpu", "cuda", …
        threads: that torch, BLAS and native environments compute with (default: as many as CPUs may be used, or as
            OMP_NUM_THREADS says); a resumed run keeps its number, because results depend on it.
        progress: show a progress bar (default: on a terminal, and in a notebook).
        hub: where names are looked up.

    Raises:
        RlhubError: for anything that cannot be as asked, before the first step.
        KeyboardInterrupt, SystemExit: after SIGINT or SIGTERM, once a checkpoint is written.
    """
    hub = hub or default_hub()
    name, maker, spec = find_algorithm(hub, algorithm)
    if not isinstance(maker, type) and config is not None:
        raise ConfigError("An algorithm object has its hyper-parameters already; pass its class to choose others.")
    source = EnvironmentSource.of(env, env_options, wrappers, hub)
    settings: dict[str, Any] = {
        "steps": steps,
        "num_envs": num_envs,
        "reward_clip": reward_clip,
        "terminal_on_life_loss": terminal_on_life_loss,
        "normalize": normalize,
        "log_every": log_every,
        "environment_options": dict(source.options),
        "hyper_parameters": imported(maker, config),
        "callbacks": tuple(callbacks) or None,
    }
    if preset is not None:
        settings = with_preset(settings, preset, presets(spec), name, source.name)
        source = EnvironmentSource(source.origin, settings["environment_options"], source.wrappers, hub)
    plans = spec is not None and spec.plans
    if settings["steps"] is None and plans:
        settings["steps"] = MOST_SWEEPS
    if settings["steps"] is None:
        raise ConfigError("Say how long to train: steps=… (env steps, all environments together).")
    settings = {key: value for key, value in settings.items() if value is not None}
    callbacks = settings.pop("callbacks", ())
    if isinstance(settings["steps"], int):
        settings.setdefault("log_every", 1 if plans else min(10_000, max(100, settings["steps"] // 1000)))
    made, written = make_callbacks(hub, callbacks)
    if isinstance(settings["steps"], int) and not any(isinstance(callback, Checkpoint) for callback in made):
        every = min(100_000, max(1_000, settings["steps"] // 10))
        made, written = make_callbacks(hub, (*callbacks, Checkpoint(every=every)))
    experiment = Experiment(
        algorithm=name,
        environment=source.origin if isinstance(source.origin, str) else mention(source.origin),
        seed=seed,
        vectorization_mode=vectorization_mode,
        wrappers=tuple(wrapper if isinstance(wrapper, str) else mention(wrapper) for wrapper in source.wrappers),
        preset=preset,
        callbacks=written,
        device=device,
        threads=threads,
        **settings,
    )
    return start(experiment, Parts(source, maker, made, hub), folder, progress)


def start(experiment: Experiment, parts: Parts, folder: str | Path | None = None, progress: bool | None = None) -> Run:
    """Start a run of an experiment whose parts are at hand, and train it to its end."""
    with settled(experiment.threads), _new_run(experiment, parts, folder) as run:
        return drive(run, progress)


def adopt(experiment: Experiment, parts: Parts, folder: str | Path | None, become: Callable[[Run], None]) -> Run:
    """Make the run of an algorithm that learned elsewhere: it takes no step and is a checkpoint from the beginning.

    Args:
        experiment: the recipe.
        parts: what it names.
        folder: of the run; by default a new one under `runs/`.
        become: makes the algorithm of the new run what it learned elsewhere.
    """
    with settled(experiment.threads), _new_run(experiment, parts, folder) as run:
        try:
            become(run)
            if run.collector is not None:
                run.collector.steps = run.steps
            run.save()
        finally:
            run.close()
    return run


def _holds_run(folder: Path) -> bool:
    try:
        return (folder / FILE).exists() or (folder / "checkpoints").exists()
    except (OSError, ValueError) as error:  # of a name that is too long
        raise RunError(f"A run cannot be written to {folder}: {error}.") from error


@contextlib.contextmanager
def _new_run(experiment: Experiment, parts: Parts, folder: str | Path | None) -> Iterator[Run]:
    """Make a run and its folder; where it is refused before its first step, the folder is free again."""
    folder = Path(folder) if folder is not None else _free_folder(experiment)
    if _holds_run(folder):
        raise RunError(f"{folder} holds another run. Resume it (rlhub resume {folder}), or choose another folder.")
    created = not folder.exists()
    try:
        storage.make_folder(folder)
    except (OSError, ValueError) as error:  # the last: NUL in its name
        raise RunError(f"A run cannot be written to {folder}: {getattr(error, 'strerror', None) or error}.") from error
    try:
        run = Run(experiment, parts, folder)
    except BaseException:
        if created:
            folder.rmdir()
        raise
    with only_writer(folder):
        if (folder / FILE).exists():
            raise RunError(f"{folder} holds another run by now. Choose another folder.")
        try:
            with storage.room_for(folder, "Free some space, then start again."):
                run.experiment.write(folder)
                storage.replace(folder / PROVENANCE, json.dumps(run.provenance | {"memory": run.memory}, indent=1))
            yield run
        except BaseException as error:
            begun = run.steps or (run.collector is not None and run.collector.steps)
            refused = isinstance(error, RlhubError) and not isinstance(error, TrainingError) and not begun
            if refused or not checkpoint.steps(folder / "checkpoints"):
                _free(folder)
                if created:
                    with contextlib.suppress(OSError):  # a callback has written there
                        folder.rmdir()
            raise


def run_experiment(
    experiment: Experiment,
    folder: str | Path | None = None,
    *,
    progress: bool | None = None,
    trust: bool = False,
    hub: Hub | None = None,
) -> Run:
    """Train what a recipe says (`rlhub train experiment.toml`).

    Args:
        experiment: the recipe.
        folder, progress, hub: as for `train`.
        trust: import the code that the recipe names, which can do anything.

    Raises:
        TrustError: where it names code, and that is not allowed; otherwise as `train`.
    """
    parts = find_parts(experiment, hub or default_hub(), {}, trust=trust)
    return start(with_named_code(experiment, parts.algorithm, trust=trust), parts, folder, progress)


def resume(
    folder: str | Path,
    *,
    steps: int | None = None,
    algorithm: Any = None,
    env: Any = None,
    callbacks: Sequence[Any] | None = None,
    wrappers: Sequence[Any] | None = None,
    config: Mapping[str, Any] | None = None,
    progress: bool | None = None,
    trust: bool = False,
    hub: Hub | None = None,
) -> Run:
    """Go on with a run from its newest checkpoint, exactly where the manifest says so, and return it at its end.

    Args:
        folder: of the run.
        steps: a new last step, to train longer than the recipe says.
        algorithm, env, callbacks, wrappers, config: the live objects the run was started with, where it was; what the
            recipe names need not be passed again, and nothing else can be changed.
        progress: as for `train`.
        trust: import the code that the recipe names, which can do anything: only where you trust who made the run.
        hub: where names are looked up.

    Raises:
        RunError: where the folder is no run, has no checkpoint yet, or is being written.
        TrustError: where the recipe names code, and that is not allowed.
        CheckpointError: where no checkpoint is whole.
    """
    folder = Path(folder)
    experiment = Experiment.read(folder)
    if steps is not None:
        experiment = dataclasses.replace(experiment, steps=steps)
    live = {"algorithm": algorithm, "env": env, "callbacks": callbacks, "wrappers": wrappers, "config": config}
    parts = find_parts(experiment, hub or default_hub(), live, trust=trust)
    experiment = with_live_values(experiment, imported(parts.algorithm, config))
    experiment = with_named_code(experiment, parts.algorithm, trust=trust)
    onward = f"Free some space, then go on: rlhub resume {shlex.quote(str(folder))}."
    with only_writer(folder):
        with storage.room_for(folder / "checkpoints", onward):
            checkpoint.recover(folder / "checkpoints")
            newest, manifest = _chosen(folder)
            checkpoint.set_aside_after(folder / "checkpoints", manifest["step"])
        kept = manifest.get("provenance", {})
        with settled(experiment.threads, kept.get("torch_threads"), kept.get("blas_threads")):
            run = Run(experiment, parts, folder)
            try:
                run.restore(newest, manifest)
            except BaseException:
                run.close()
                raise
            if steps is not None:
                with storage.room_for(folder, onward):
                    run.experiment.write(folder)
            if run.restored == "warm":
                print(f"{folder} resumes warm, not exact, from step {run.steps:,}.", file=sys.stderr)
            return drive(run, progress)


def load(
    folder: str | Path,
    *,
    step: int | Literal["best"] | None = None,
    algorithm: Any = None,
    env: Any = None,
    wrappers: Sequence[Any] | None = None,
    config: Mapping[str, Any] | None = None,
    trust: bool = False,
    hub: Hub | None = None,
) -> Run:
    """Load a run to act, evaluate or record with it; nothing in its folder is changed.

    Args:
        folder: of the run.
        step: of the checkpoint to load (default: the newest), or "best": what `core/evaluate:keep_best=true` kept.
        algorithm, env, wrappers, config: the live objects the run was started with, where it was.
        trust: as for `resume`.
        hub: where names are looked up.

    Raises:
        RunError, TrustError, CheckpointError: as `resume`.
    """
    folder = Path(folder)
    experiment = Experiment.read(folder)
    acting = dataclasses.replace(experiment, callbacks=())
    live = {"algorithm": algorithm, "env": env, "wrappers": wrappers, "config": config}
    parts = find_parts(acting, hub or default_hub(), live, trust=trust)
    experiment = with_live_values(experiment, imported(parts.algorithm, config))
    experiment = with_named_code(experiment, parts.algorithm, trust=trust)
    for again in reversed(range(READINGS)):
        before = checkpoint.standing(folder / "checkpoints")
        try:
            chosen, manifest = _chosen(folder, _best(folder) if step == "best" else step)
            run = Run(experiment, parts, folder, for_acting=True)
            run.restore(chosen, manifest)
            break
        except CheckpointError:  # which a run that is being trained deletes while we read it
            if not again or checkpoint.standing(folder / "checkpoints") == before:
                raise
    return run


def _free(folder: Path) -> None:
    """Remove the beginnings of a run that took no step, so that another may have its folder."""
    shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    for name in (FILE, PROVENANCE, LOCK):
        (folder / name).unlink(missing_ok=True)


def _free_folder(experiment: Experiment) -> Path:
    def tidy(name: str) -> str:
        return re.sub(r"[^a-z0-9._-]+", "-", name.removeprefix("object:").lower()).strip(".-")[:_LONGEST_NAME]

    stem = f"{tidy(experiment.environment)}-{tidy(experiment.algorithm)}"
    number = 1
    while (folder := Path("runs") / f"{stem}-{number}").exists():
        number += 1
    return folder


def _best(folder: Path) -> int:
    """Return the step of the checkpoint that the best evaluation kept."""
    newest, _ = _chosen(folder)
    saved = state.load(newest, "run")
    best = saved.get("best_evaluation") if isinstance(saved, dict) else None
    if best is None:
        raise RunError(
            f"{folder} has kept no best checkpoint: train with core/evaluate:keep_best=true, or name a step."
        )
    return state.whole(best.get("step") if isinstance(best, dict) else best, "The step of the best evaluation")


def _chosen(folder: Path, step: int | None = None) -> tuple[Path, dict[str, Any]]:
    """Return the newest whole checkpoint (or the one of a step) and its manifest; say which were damaged."""
    parent = folder / "checkpoints"
    known = checkpoint.folders(parent)
    if step is not None and step not in known:
        raise RunError(f"{folder} has no checkpoint of step {step}. It has: {', '.join(map(str, known)) or 'none'}.")
    if not known:
        raise RunError(
            f"{folder} has no checkpoint yet: it was stopped before its first. Start it again in another folder."
        )
    damage: list[str] = []
    before = checkpoint.standing(parent)
    for path in [known[step]] if step is not None else reversed(known.values()):
        try:
            return path, checkpoint.verify(path)
        except checkpoint.NewerFormatError:
            raise  # it is whole: a resume from an older one would set it aside
        except CheckpointError as error:
            if checkpoint.standing(parent).get(path) == before.get(path):
                damage.append(str(error))
                print(error, file=sys.stderr)
            else:  # which is no damage: the process that trains the run did so
                damage.append(f"{path} was deleted while it was read.")
    raise CheckpointError(" ".join(damage))
