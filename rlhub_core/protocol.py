"""The five words: what an algorithm, an actor, a callback and a progress are. Nothing here does anything."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from rlhub_core.collector import Collector
    from rlhub_core.evaluation import Evaluation
    from rlhub_core.run import Run

ObsType = Any  # an array [B, ...], or a dict or tuple of them
ActType = Any  # likewise

Actor = Callable[[ObsType, NDArray[np.bool_]], ActType]
"""`actor(observations, first) -> actions`, all with leading axis B.

`first` [B] is true where an observation is an episode's first: there a recurrent memory is cleared.
A plain function is an actor. One with a true attribute `masked` is called with a third argument, the possible actions
(`Collector.action_masks`), wherever the environment tells them. One with a method `values(observations)` also tells
what it thinks they are worth: `{"action_values": [B, n]}` or `{"state_value": [B]}` (`rlhub_core.actors.with_values`).
"""


class Transition(NamedTuple):
    """One step of B environments, as an algorithm learns from it. Every field has leading axis B."""

    observation: ObsType  # [B, ...] what was acted on
    action: ActType  # [B, ...]
    reward: NDArray[np.float64]  # [B]
    next_observation: ObsType  # [B, ...] the true successor, also where an episode ended
    terminated: NDArray[np.bool_]  # [B] the future is worth nothing: do not bootstrap
    truncated: NDArray[np.bool_]  # [B] the episode was cut off: bootstrap from next_observation
    info: dict[str, Any]  # as the vector environment gave it


class Episode(NamedTuple):
    """One finished episode, always the real one: raw rewards, whole games."""

    step: int  # env steps of all environments together when it ended
    return_: float  # undiscounted sum of raw rewards
    length: int  # steps
    env: int  # index of the environment


@dataclass(frozen=True)
class Progress:
    """What an algorithm shows the world each time its state is whole."""

    steps: int  # env steps so far, all environments together
    episodes: Sequence[Episode] = ()  # ended since the last Progress
    metrics: Mapping[str, float] = field(default_factory=dict)


@runtime_checkable
class Algorithm(Protocol):
    """Learns by being iterated: `for progress in algorithm.train(collector, until=steps)`.

    It is built as `Algorithm(observation_space, action_space, config, *, seed, total_steps, device)` with the spaces of
    a single environment; `config` is an instance of its `Config`, a frozen dataclass. Randomness comes only from
    generators of its own, seeded with `seed`.

    An algorithm whose schedules are read at something else than env steps says at what in an attribute `clock`.

    No checkpoint holds a number that is not finite: where `save` writes one, the run stops (`NonFiniteError`). Arrays
    that may rightly hold infinities are named in an attribute `may_be_infinite`, by file and place, with wildcards:
    ("learner/q",). Files whose name begins with "replay" are not looked at. An algorithm that finds a loss or gradient
    that is not finite raises `NonFiniteError(what, batch=…, found=…)`, its state as it was before the update; if it
    has a method `update_again(batch)`, which makes the update of such a batch once more and so raises the same error,
    `rlhub replay-update` reproduces it. If it also has `save_without_replay(folder)`, that is called in place of `save`
    for a post-mortem, which is to be small.
    """

    Config: ClassVar[type[Any]]
    steps: int  # env steps so far

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Learn until `steps` >= `until`, yielding whenever `save` would lose nothing.

        The caller may leave the iterator at any yield and call `train` again later.
        An algorithm that plans from a model takes no env step: its `steps` are sweeps over all states, and it returns
        when it has converged.
        """
        ...

    def actor(self, *, explore: bool = False) -> Actor:
        """Return a new actor: greedy, or with the exploration that training uses."""
        ...

    def save(self, folder: Path) -> None:
        """Write everything a later step needs into `folder`, as safetensors and JSON."""
        ...

    def load(self, folder: Path) -> None:
        """Become the algorithm that was saved in `folder`."""
        ...


class Callback:
    """Looks at a run each time its state is whole. Override what you need; every method does nothing.

    Attributes:
        evaluates: whether it records evaluations, which others may need.
    """

    evaluates: ClassVar[bool] = False

    def on_start(self, run: Run) -> None:
        """Called before the first step of a run, and again when it is resumed."""

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Called at each Progress; raise `StopTraining("why")` to end the run here, without an error."""

    def on_record(self, run: Run, record: Mapping[str, float | None]) -> None:
        """Called after a line of `metrics.jsonl` was written, with what it says; may raise `StopTraining` as well."""

    def on_evaluation(self, run: Run, evaluation: Evaluation) -> None:
        """Called after an evaluation was recorded; may raise `StopTraining` as well."""

    def on_end(self, run: Run) -> None:
        """Called when training ends, for whatever reason."""

    def save(self, folder: Path) -> None:
        """Write what a resumed run needs to go on as if nothing had happened."""

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""


class StopTraining(Exception):
    """Raised by a callback to end a run; the text is the reason."""
