"""What a run leaves that stopped at a number that is not finite, and making that update once more.

`postmortem/<step>/` in the run, hashed like a checkpoint: the learner as it was before the update, its random
generator included (`algorithm/`), the batch, what the update had found, and the last transitions. One is kept.
"""

from __future__ import annotations

import contextlib
import inspect
import math
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import checkpoint, config, finite, recorded_spaces, schedules, state, threads
from rlhub_core.collector import RECENT
from rlhub_core.errors import CheckpointError, ConfigError, NonFiniteError, RunError, SpaceError, listed
from rlhub_core.experiment import Experiment
from rlhub_core.hub import Hub, default_hub
from rlhub_core.parts import find_algorithm, imported, with_live_values
from rlhub_core.protocol import Algorithm, Transition
from rlhub_core.provenance import provenance
from rlhub_core.run import Run
from rlhub_core.seeding import stream

FOLDER = "postmortem"
FORMAT = 1
WORST = 5  # rows of a batch that are shown
LARGEST = 8  # arrays of the learner that are shown
CURES = {  # hyper-parameter -> what to do about it
    "learning_rate": "a smaller learning_rate",
    "max_grad_norm": "a smaller max_grad_norm",
    "sigma": "a smaller sigma",
}


@dataclass(frozen=True)
class Numbers:
    """What there is to say about an array.

    Attributes:
        name: of the array.
        shape: of it.
        nan, infinite: how many of its numbers are so.
        largest: the largest absolute value of the finite ones.
        at: index of the first number that is not finite, or else of the largest.
    """

    name: str
    shape: tuple[int, ...]
    nan: int
    infinite: int
    largest: float
    at: tuple[int, ...]

    @classmethod
    def of(cls, name: str, array: NDArray[Any]) -> Numbers:
        """Look at an array that is not empty."""
        sizes = np.abs(np.asarray(array, np.float64))
        sound = np.isfinite(sizes)
        place = int(np.argmin(sound)) if not sound.all() else int(np.argmax(sizes))
        return cls(
            name,
            sizes.shape,
            int(np.isnan(sizes).sum()),
            int(np.isinf(sizes).sum()),
            float(sizes[sound].max(initial=0.0)),
            tuple(int(each) for each in np.unravel_index(place, sizes.shape)),
        )

    def __str__(self) -> str:
        """Return it as a line."""
        odd = [f"{count:,} {what}" for count, what in ((self.nan, "nan"), (self.infinite, "infinite")) if count]
        size = int(np.prod(self.shape))
        where = f" at {', '.join(map(str, self.at))}" if self.shape else ""
        told = f"{' and '.join(odd)} of {size:,}, the first{where}; else" if odd else "finite,"
        return f"{self.name}: {told} at most {self.largest:g}{'' if odd else where}"


@dataclass(frozen=True)
class PostMortem:
    """What `replay_update` has found.

    Attributes:
        folder: of the post-mortem.
        step: env steps.
        error: why the run stopped.
        terms: name -> number that the update had worked out: losses, the norm of the gradient.
        arrays: of what the update had worked out, the batch and the learner, in this order; the worst first.
        worst: rows of the batch with the largest error (or else reward), each name -> number, "row" among them.
        transitions: of the last ones: those with the largest rewards, name -> number.
        reproduced: whether the update gave the same numbers bit for bit; None where it cannot be made again.
        differences: names of the numbers that differ, or why it cannot be made again.
        changes: of versions and threads since.
    """

    folder: Path
    step: int
    error: str
    terms: Mapping[str, float]
    arrays: Sequence[Numbers]
    worst: Sequence[Mapping[str, float]]
    transitions: Sequence[Mapping[str, float]]
    reproduced: bool | None
    differences: Sequence[str]
    changes: Sequence[str]

    def __str__(self) -> str:
        """Return it as the command line shows it."""
        return "\n".join(_lines(self))


# writing


def explain(error: NonFiniteError, run: Run) -> None:
    """Say where and why a run stopped and what to try; write the post-mortem."""
    error.where = f"{run.experiment.algorithm} at step {run.steps:,}"
    known = config.parameters(type(run.algorithm).Config) if hasattr(type(run.algorithm), "Config") else {}
    cures = [cure for name, cure in CURES.items() if name in known]
    error.advice = f"Try {', '.join([*cures, 'reward_clip'])} or normalize=observations,rewards."
    name = shlex.quote(str(run.folder))
    good = checkpoint.steps(run.folder / "checkpoints")
    error.add_note(
        f"The checkpoint of step {good[-1]:,} stays: rlhub resume {name} goes on from it."
        if good
        else "There is no checkpoint yet: it was so from the beginning."
    )
    try:
        written = write(error, run)
    except Exception as failure:  # a full disk, a state that cannot be saved: the error itself is not to be lost
        error.add_note(f"A post-mortem could not be written: {type(failure).__name__}: {failure}.")
        return
    error.add_note(f"What led to it is in {written}: rlhub replay-update {name}")


def write(error: NonFiniteError, run: Run) -> Path:
    """Write the post-mortem of an error in place of any before, and return its folder."""
    parent, again = run.folder / FOLDER, error.batch is not None and hasattr(run.algorithm, "update_again")
    seen = run.observation_space if run.normalization is None else run.normalization.observation_space

    def fill(folder: Path) -> dict[str, Any]:
        if again:
            (folder / "algorithm").mkdir()
            getattr(run.algorithm, "save_without_replay", run.algorithm.save)(folder / "algorithm")
            state.save(folder, "batch", error.batch)
        spaces = None
        with contextlib.suppress(SpaceError):  # of a kind of its own: such an update cannot be made again
            spaces = [recorded_spaces.to_tree(space) for space in (seen, run.action_space)]
        state.save(folder, "found", {name: np.asarray(value) for name, value in error.found.items()})
        state.save(folder, "transitions", _transitions(run.collector.recent if run.collector is not None else ()))
        told = {"error": str(error), "what": error.what, "again": again, "spaces": spaces}
        state.save(folder, "fault", told | {"format": FORMAT, "total_steps": run.experiment.steps})
        return {"provenance": run.provenance}

    for before in parent.glob("*"):
        shutil.rmtree(before, ignore_errors=True)
    return checkpoint.write(parent, run.steps, fill)


def _transitions(recent: Sequence[Transition] | Any) -> dict[str, Any]:
    """Return the last transitions as arrays with leading axis N, what cannot be saved left out."""
    steps = list(recent)
    if not steps:
        return {}
    named = {name: _joined([getattr(step, name) for step in steps]) for name in Transition._fields if name != "info"}
    return {name: value for name, value in named.items() if value is not None}


def _joined(parts: list[Any]) -> Any:
    """Return parts [B, ...] of T steps as one [T B, ...], the last of them, or None where that cannot be saved."""
    if isinstance(parts[0], Mapping):
        return {str(name): _joined([part[name] for part in parts]) for name in parts[0]}
    if isinstance(parts[0], tuple):
        return [_joined(list(each)) for each in zip(*parts, strict=True)]
    joined = np.concatenate([np.asarray(part) for part in parts])[-RECENT:]
    return joined if joined.dtype.kind in "biuf" else None


# reading


def replay_update(
    folder: str | Path, *, algorithm: Any = None, config: Mapping[str, Any] | None = None, hub: Hub | None = None
) -> PostMortem:
    """Make the update again at which a run met a number that is not finite; nothing in its folder is changed.

    No environment is needed: what the algorithm must know of it is recorded.

    Args:
        folder: of the run.
        algorithm, config: the live objects the run was started with, where it was.
        hub: where names are looked up.

    Raises:
        RunError: where the folder is no run or has no post-mortem, or a live object was not passed again.
        CheckpointError: where the post-mortem is damaged.
    """
    folder = Path(folder)
    experiment = Experiment.read(folder)
    place, manifest = _newest(folder)
    fault = state.load(place, "fault")
    if fault.get("format") != FORMAT:
        raise CheckpointError(f"{place} has format {fault.get('format')}; this rlhub reads {FORMAT}.")
    found = state.load(place, "found")
    batch = state.load(place, "batch") if fault["again"] else {}
    before = manifest["provenance"]
    changes = _changes(before)
    reproduced, why = None, []
    if not fault["again"]:
        why = [f"{experiment.algorithm} does not say what its update was made of, or was in none"]
    elif fault["spaces"] is None:
        why = ["the spaces are of a kind that cannot be recorded"]
    else:
        learner = _built(experiment, fault, {"algorithm": algorithm, "config": config}, hub or default_hub())
        learner.load(place / "algorithm")
        with threads.settled(experiment.threads, before.get("torch_threads"), before.get("blas_threads")):
            changes = _changes(before)
            try:
                learner.update_again(batch)  # type: ignore[attr-defined]
                why = ["the update went well this time"]
            except NonFiniteError as error:
                why = _differences(found | {"error": fault["what"]}, error.found | {"error": error.what})
        reproduced = not why
    learnt = sorted((Numbers.of(name, array) for name, array in finite.arrays(place) if _is_learnt(name)), key=_order)
    worked_out = {name: array for name, array in found.items() if array.ndim and array.size}
    return PostMortem(
        place,
        manifest["step"],
        fault["error"],
        {name: float(array) for name, array in found.items() if not array.ndim},
        [
            *sorted((Numbers.of(name, array) for name, array in worked_out.items()), key=_order)[:LARGEST],
            *sorted((Numbers.of(f"batch/{name}", array) for name, array in _floats(batch)), key=_order)[:LARGEST],
            *learnt[:LARGEST],
        ],
        _worst(batch, found),
        _largest_rewards(state.load(place, "transitions")),
        reproduced,
        why,
        changes,
    )


def _newest(folder: Path) -> tuple[Path, dict[str, Any]]:
    known = checkpoint.steps(folder / FOLDER)
    if not known:
        raise RunError(f"{folder} has no post-mortem: it met no number that is not finite.")
    place = folder / FOLDER / f"{known[-1]:012d}"
    return place, checkpoint.verify(place)


def _built(experiment: Experiment, fault: Mapping[str, Any], live: Mapping[str, Any], hub: Hub) -> Algorithm:
    """Return the algorithm of a recipe, made for the spaces that were recorded."""
    needed = [part for argument, part in experiment.mentions() if argument in live and live[argument] is None]
    if needed:
        raise RunError(
            f"The recipe only mentions these live objects; pass them again: {listed(needed)}. On the command line that "
            f"cannot be done: rlhub_core.replay_update(folder, {', '.join(f'{each}' for each in needed)})."
        )
    given = experiment.algorithm if live["algorithm"] is None else live["algorithm"]
    maker: Any = find_algorithm(hub, given)[1]
    if not inspect.isclass(given := maker):
        return given  # type: ignore[no-any-return] # an object, which becomes what was saved
    experiment = with_live_values(experiment, imported(maker, live["config"]))
    settings = config.bind(maker.Config, experiment.hyper_parameters, experiment.algorithm, kind="hyper-parameter")
    total = fault["total_steps"]
    made: Algorithm = maker(
        *map(recorded_spaces.of_tree, fault["spaces"]),
        maker.Config(**{name: schedules.resolve(value, total) for name, value in settings.items()}),
        seed=stream(experiment.seed, "algorithm"),
        total_steps=total,
        device=experiment.device,
    )
    if not hasattr(made, "update_again"):
        raise ConfigError(f"{experiment.algorithm} had a method update_again when the run stopped; it has none now.")
    return made


def _is_learnt(place: str) -> bool:
    return place.startswith("algorithm/")


def _order(numbers: Numbers) -> tuple[bool, float]:
    """Return what puts the worst first."""
    return numbers.nan + numbers.infinite == 0, -numbers.largest


def _floats(tree: Any, where: str = "") -> Iterator[tuple[str, NDArray[Any]]]:
    """Yield the arrays of floats in a tree, and where they stand."""
    if isinstance(tree, np.ndarray):
        if tree.dtype.kind == "f" and tree.size:
            yield where, tree
    elif isinstance(tree, (Mapping, list, tuple)):
        for name, part in tree.items() if isinstance(tree, Mapping) else enumerate(tree):
            yield from _floats(part, f"{where}/{name}".lstrip("/"))


def _worst(batch: Mapping[str, Any], found: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the rows with the largest error, of what is one number a row."""
    columns = {
        name: each
        for name, each in {**batch, **found}.items()
        if isinstance(each, np.ndarray) and not name.startswith("gradient/")  # which may happen to be as long
    }
    by = next((name for name in ("td_error", "reward", "returns", "target") if name in columns), None)
    if by is None or columns[by].ndim != 1:
        return []
    rows = len(columns[by])
    return _ranked(
        {name: each for name, each in columns.items() if each.shape == (rows,) and each.dtype.kind in "biuf"}, by
    )


def _largest_rewards(transitions: Mapping[str, Any]) -> list[dict[str, float]]:
    """Return the transitions with the largest rewards; row -1 is the last one."""
    rewards = transitions.get("reward")
    if rewards is None:
        return []
    names = [name for name in ("reward", "terminated", "truncated") if name in transitions]
    rows = _ranked({name: np.asarray(transitions[name]) for name in names}, "reward")
    return [row | {"row": row["row"] - len(rewards)} for row in rows]


def _ranked(columns: Mapping[str, NDArray[Any]], by: str) -> list[dict[str, float]]:
    sizes = np.abs(columns[by].astype(np.float64))
    order = np.argsort(np.where(np.isnan(sizes), np.inf, sizes), kind="stable")[::-1][:WORST]
    return [{"row": int(row)} | {name: each[row].item() for name, each in columns.items()} for row in order]


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return the names of the numbers that are not the same bit for bit."""

    def bits(value: Any) -> tuple[Any, ...]:
        array = np.asarray(value)
        return array.dtype.str, array.shape, array.tobytes()

    return sorted(
        name
        for name in before.keys() | now.keys()
        if name not in before or name not in now or bits(before[name]) != bits(now[name])
    )


def _changes(before: Mapping[str, Any]) -> list[str]:
    """Return what of versions and threads has changed."""
    now = provenance(list(before["distributions"]), {})
    changed = [
        f"{name} {before[name]} -> {now[name]}"
        for name in ("python", "platform", "torch_threads", "git_commit")
        if before[name] != now[name]
    ]
    versions = now["distributions"]
    return changed + [
        f"{name} {version} -> {versions.get(name)}"
        for name, version in before["distributions"].items()
        if versions.get(name) != version
    ]


# showing


def plain(tree: Any) -> Any:
    """Return what JSON can hold: strings for paths and for numbers that are not finite ("nan", "-inf")."""
    if isinstance(tree, Mapping):
        return {str(name): plain(each) for name, each in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [plain(each) for each in tree]
    if isinstance(tree, Path) or (isinstance(tree, float) and not math.isfinite(tree)):
        return str(tree)
    return tree


def _lines(found: PostMortem) -> Iterator[str]:
    yield found.error
    if found.reproduced is None:
        yield f"The update cannot be made again: {listed(found.differences)}. This is what was kept:"
    elif found.reproduced:
        yield "The update was made again: every number is the same, bit for bit."
    else:
        yield f"The update was made again, and these differ: {listed(found.differences)}."
        cause = listed(found.changes) if found.changes else "nothing that is recorded; was the GPU in use?"
        yield f"Since then these changed: {cause}"
    if found.terms:
        yield "What the update had worked out:"
        yield from (f"  {name} = {number:g}" for name, number in sorted(found.terms.items()))
    sections: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("The worst of its gradients, of the batch and of the learner:", lambda: map(str, found.arrays)),
        ("Rows of the batch with the largest errors:", lambda: map(_row, found.worst)),
        (
            "Of the last transitions, those with the largest rewards (-1 is the last):",
            lambda: map(_row, found.transitions),
        ),
    ]
    for title, lines in sections:
        shown = list(lines())
        if shown:
            yield title
            yield from (f"  {line}" for line in shown)
    yield f"All of it: {found.folder}"


def _row(row: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {number:g}" for name, number in row.items())
