"""Experience replay that stores every frame once; uniform or prioritised, n-step returns made when it is sampled.

Each environment has a ring of frames. An episode is written as the frames of its first observation (all of its
stack), then the newest frame of every successor, the last one included. So the observation whose newest frame is f is
the frames f-k+1..f, and its successor is f-k+2..f+1: no window crosses an episode's edge, and what followed a
truncation is kept. Where a successor turns out not to continue its observation (a wrapper let time pass, or the frames
are no stack after all), its whole stack is written and it ends in f+k. Observations that are no stack are the case
k = 1. Against a buffer of whole stacks and successors this takes an eighth of the memory.

Every leaf of a `Dict` observation has a k and a ring of its own. They count frames together: writing an observation
whole takes as many as the largest k.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from numpy.typing import ArrayLike, DTypeLike, NDArray

from rlhub_core import state
from rlhub_core.errors import CheckpointError, ConfigError, SpaceError
from rlhub_core.memory import check_fits
from rlhub_core.protocol import ActType, ObsType, Transition
from rlhub_core.segments import Segments
from rlhub_core.sum_tree import SumTree

FIELDS: dict[str, DTypeLike] = {"rewards": np.float32, "terminated": np.bool_, "jump": np.bool_, "usable": np.bool_}
ROWS = ("rewards", "terminated", "jump")  # which change no more once the next frame has come

Index: TypeAlias = NDArray[np.int64] | slice | int  # of environments, or of places


class Batch(NamedTuple):
    """Transitions drawn from the replay, leading axis N."""

    observation: ObsType  # [N, ...] an array, or a dict of them
    action: NDArray[Any]  # [N, ...] int64 where actions are Discrete
    reward: NDArray[np.float32]  # [N] discounted sum of the rewards of up to n steps
    next_observation: ObsType  # [N, ...] after those steps
    discount: NDArray[np.float32]  # [N] what its value is worth: γ^m after m steps, 0 where the episode terminated
    index: NDArray[np.int64]  # type: ignore[assignment] # [N] place in the replay, for `prioritize`
    weight: NDArray[np.float32]  # [N] (P·size)^-β divided by their maximum; 1 where sampling is uniform


class Replay:
    """A ring of frames for each of B environments.

    Args:
        capacity: frames, all environments together.
        num_envs: B.
        space: of one observation: Box, Discrete, MultiDiscrete, MultiBinary, or a Dict of them.
        stack: k, the frames that an observation stacks along its first axis, 1 where it is no stack; None: as its
            shape suggests.
        action_space: of one action; None: Discrete, however many.
        prioritized: draw in proportion to priorities (Schaul et al., "Prioritized Experience Replay", ICLR 2016,
            section 3.3); a new transition has the highest so far.

    Raises:
        ConfigError: for a capacity that cannot hold one transition an environment, or that does not fit in memory.
        SpaceError: for observations of another kind.
    """

    def __init__(
        self,
        capacity: int,
        num_envs: int,
        space: Space[Any],
        *,
        stack: int | None = None,
        action_space: Space[Any] | None = None,
        prioritized: bool = False,
    ) -> None:
        leaves = list(_leaves(space, stack))
        self.stack = max(leaf.stack for leaf in leaves)
        self.num_envs, self.length = num_envs, -(-capacity // num_envs)  # frames an environment
        if self.length < 2 * self.stack + 1:
            least = (2 * self.stack + 1) * num_envs
            raise ConfigError(f"buffer_size {capacity} is too small for {num_envs} environments: at least {least}.")
        if stack not in (None, self.stack):
            raise ConfigError(f"frame_stack: no part of the observations stacks {stack} frames.")
        arguments: dict[str, Any] = {"stack": stack, "action_space": action_space, "prioritized": prioritized}
        check_fits("buffer_size", capacity, lambda size: bytes_needed(size, num_envs, space, **arguments))
        places = num_envs * self.length  # frame f of environment e has place e·length + f mod length
        self._rings = [(leaf, np.zeros((places, *leaf.shape), leaf.dtype)) for leaf in leaves]
        self._returned, stored, shape = _action_types(action_space)
        self.actions = np.zeros((places, *shape), stored)  # taken at the observation that ends in this frame
        self.rewards = np.zeros(places, FIELDS["rewards"])
        self.terminated = np.zeros(places, FIELDS["terminated"])
        self.jump = np.zeros(places, FIELDS["jump"])  # does the successor end k frames on, not one?
        self.usable = np.zeros(places, FIELDS["usable"])  # does an observation acted on end here?
        self.written = np.zeros(num_envs, np.int64)  # frames so far
        self._starts = np.arange(num_envs) * self.length
        self._everywhere: Index = slice(None) if num_envs > 1 else 0  # numpy takes a tenth of the time for one element
        self._newest: Index = 0  # places
        self._size = 0
        self._segments = Segments()
        self.tree = SumTree(places) if prioritized else None
        self.max_priority = 1.0
        self._in_tree = np.zeros(num_envs, np.int64)  # `written` when the tree was last brought up to date

    def __len__(self) -> int:
        """Return how many transitions can be sampled."""
        return self._size

    @property
    def nbytes(self) -> int:
        """Bytes of all that grows with the capacity."""
        arrays = [*(frames for _, frames in self._rings), self.actions, *(getattr(self, name) for name in FIELDS)]
        return sum(int(array.nbytes) for array in arrays) + (self.tree.nbytes if self.tree else 0)

    def add(self, transition: Transition, action: ActType, first: NDArray[np.bool_]) -> None:
        """Store one step of every environment.

        Args:
            transition: of the step.
            action: [B, ...] what is to be stored for its action.
            first: [B] whether `transition.observation` was the first of an episode.
        """
        if self._size == 0:
            first = np.ones(self.num_envs, np.bool_)  # the replay may begin amid an episode
        if np.count_nonzero(first):  # a fifth of the time of first.any()
            self._write_whole(np.flatnonzero(first), transition.observation)
        newest = self._newest
        self.actions[newest] = action
        self.rewards[newest] = transition.reward
        self.terminated[newest] = transition.terminated
        self.usable[newest] = True
        self._size += self.num_envs
        successor = transition.next_observation
        if self.stack == 1:
            self._write(self._everywhere, successor)
            return
        follows = self._follows(transition)
        self.jump[newest] = ~follows
        if follows.all():
            self._write(self._everywhere, successor)
            return
        if follows.any():
            self._write(np.flatnonzero(follows), successor)
        self._write_whole(np.flatnonzero(~follows), successor)

    def sample(
        self, size: int, rng: np.random.Generator, *, n_step: int = 1, discount: float = 0.99, beta: float = 1.0
    ) -> Batch:
        """Draw transitions with replacement.

        Args:
            size: N.
            rng: drawn from.
            n_step: steps that a transition reaches over; fewer where its episode ends, or is not played further yet.
            discount: γ.
            beta: β, how far the weights correct for what priorities prefer.

        Raises:
            ValueError: where nothing was added yet.
        """
        if self._size == 0:
            raise ValueError("The replay is empty: add a transition before sampling.")
        index, weight = self._draw(size, rng, beta)
        last, steps = index, np.ones(size, np.int64)
        reward = self.rewards[index].astype(np.float64)
        for step in range(1, n_step):
            following = self._successor(last)
            goes_on = self.usable[following] & ~self.terminated[last]
            reward += np.where(goes_on, discount**step * self.rewards[following].astype(np.float64), 0.0)
            steps += goes_on
            last = np.where(goes_on, following, last)
        return Batch(
            self._observations(index),
            self.actions[index].astype(self._returned, copy=False),
            reward.astype(np.float32),
            self._observations(self._successor(last)),
            np.where(self.terminated[last], 0.0, discount**steps).astype(np.float32),
            index,
            weight,
        )

    def prioritize(self, index: ArrayLike, priority: ArrayLike) -> None:
        """Change the priorities of transitions that were drawn since the last `add`; nothing where sampling is uniform.

        Args:
            index: [N] as in the batch; where one stands twice, its last priority counts.
            priority: [N] above 0, exponentiated already.

        Raises:
            ValueError: for a priority that is no finite number above 0.
        """
        if self.tree is None:
            return
        index, priority = np.asarray(index), np.asarray(priority, np.float64)
        wrong = ~((priority > 0) & (priority < np.inf))
        if wrong.any():
            raise ValueError(f"Priorities must be finite and above 0, not {priority[wrong][0]}.")
        self._update_tree()
        there = self.usable[index]
        self.tree[index[there]] = priority[there]
        self.max_priority = float(priority.max(initial=self.max_priority))

    def save(self, folder: Path, name: str = "replay") -> None:
        """Write all that a later step needs; frames that an earlier checkpoint has are linked from there."""
        rows = self._segments.save(folder, name, self._rows(), self.written)
        state.save(folder, name, {**self._changing(), "rows": rows})

    def load(self, folder: Path, name: str = "replay") -> None:
        """Become the replay that was saved.

        Raises:
            CheckpointError: where it was one of another size, or a file is missing or damaged.
        """
        saved = state.load(folder, name)
        if "rows" not in saved:  # as checkpoints of format 1 have it
            self.restore(saved)
            return
        self._check_size(saved)
        self._go_on(saved | {"written": self._segments.load(folder, saved["rows"], self._rows())})

    def state(self) -> dict[str, Any]:
        """Return the filled part, as `restore` takes it: views, which the next `add` changes."""
        return {
            **self._changing(),
            "frames": [self._filled(frames) for _, frames in self._rings],
            **{name: self._filled(getattr(self, name)) for name in ("actions", *ROWS)},
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Become the replay whose `state` was taken.

        Raises:
            CheckpointError: where it was one of another size.
        """
        self._check_size(state)
        self._segments = Segments()
        filled = min(int(state["written"].max()), self.length)
        for (_, frames), values in zip(self._rings, state["frames"], strict=True):
            self._by_env(frames)[:, :filled] = values
        for name in ("actions", *ROWS):
            self._by_env(getattr(self, name))[:, :filled] = state[name]
        self._go_on(state)

    def _changing(self) -> dict[str, Any]:
        """Return what is not written once a frame."""
        changing = {"length": self.length, "written": self.written, "usable": self._filled(self.usable)}
        if self.tree is not None:
            self._update_tree()
            changing |= {"priorities": self._filled(self.tree[:]), "max_priority": self.max_priority}
        return changing

    def _rows(self) -> dict[str, NDArray[Any]]:
        """Return what is written once a frame, [B, length, ...]: when it comes, or with the action that follows it."""
        frames = {f"frames/{number}": self._by_env(frames) for number, (_, frames) in enumerate(self._rings)}
        return frames | {name: self._by_env(getattr(self, name)) for name in ("actions", *ROWS)}

    def _check_size(self, saved: Mapping[str, Any]) -> None:
        theirs, own = (len(saved["written"]), saved["length"]), (self.num_envs, self.length)
        if theirs != own:
            raise CheckpointError("The replay was saved with {} × {} frames, not {} × {}.".format(*theirs, *own))

    def _go_on(self, saved: Mapping[str, Any]) -> None:
        """Take over what `_changing` returned."""
        self.usable[:] = False
        self.written[:] = self._in_tree[:] = saved["written"]
        self._newest = self._places(self._everywhere, -1)
        self._filled(self.usable)[:] = saved["usable"]
        self._size = int(np.count_nonzero(self.usable))
        if self.tree is not None:
            priorities = np.zeros(len(self.usable))
            self._filled(priorities)[:] = saved["priorities"]
            self.tree.fill(priorities)
            self.max_priority = saved["max_priority"]

    def _filled(self, array: NDArray[Any]) -> NDArray[Any]:
        """Return of an array [B·length, ...] what has been written, [B, filled, ...]."""
        return self._by_env(array)[:, : int(self.written.max())]

    def _by_env(self, array: NDArray[Any]) -> NDArray[Any]:
        return array.reshape(self.num_envs, self.length, *array.shape[1:])

    def _draw(self, size: int, rng: np.random.Generator, beta: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Return places and weights, uniform or by priority."""
        if self.tree is None:
            return self._draw_uniformly(size, rng), np.ones(size, np.float32)
        self._update_tree()
        index = self.tree.draw(size, rng)
        weight = (self.tree[index] / self.tree.total * self._size) ** -beta
        return index, (weight / weight.max()).astype(np.float32)

    def _draw_uniformly(self, size: int, rng: np.random.Generator) -> NDArray[np.int64]:
        filled = min(int(self.written.max()), self.length)
        chosen = np.empty(0, np.int64)
        while len(chosen) < size:
            drawn = rng.integers(self.num_envs * filled, size=2 * (size - len(chosen)))
            drawn += drawn // filled * (self.length - filled)
            chosen = np.concatenate([chosen, drawn[self.usable[drawn]]])
        return chosen[:size]

    def _update_tree(self) -> None:
        """Bring the tree up to date: a step costs nothing there, and the steps between two readings are one change."""
        assert self.tree is not None
        if np.array_equal(self._in_tree, self.written):
            return
        before = self._in_tree[:, None] - 1  # the newest observation then, not acted on yet
        changed = np.minimum(self.written - before[:, 0] + self.stack - 1, self.length)[:, None]
        offset = np.arange(changed.max())
        places = ((before + offset) % self.length + self._starts[:, None])[offset < changed]
        self.tree[places] = np.where(self.usable[places], self.max_priority, 0.0)
        self._in_tree[:] = self.written

    def _successor(self, place: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return where the successors of the observations that end here end."""
        return self._ahead(place, 1 if self.stack == 1 else np.where(self.jump[place], self.stack, 1))

    def _ahead(self, place: NDArray[np.int64], frames: NDArray[np.int64] | int) -> NDArray[np.int64]:
        """Return the places so many frames on in the same ring."""
        slot = place % self.length
        ahead: NDArray[np.int64] = place - slot + (slot + frames) % self.length
        return ahead

    def _observations(self, newest: NDArray[np.int64]) -> ObsType:
        """Return the observations [N, ...] that end in these frames."""
        observation: dict[str, Any] = {}
        for leaf, frames in self._rings:
            window = newest if leaf.stack == 1 else self._ahead(newest[:, None], np.arange(1 - leaf.stack, 1))
            values = frames.take(window, axis=0)
            if not leaf.path:
                return values
            within = observation
            for key in leaf.path[:-1]:
                within = within.setdefault(key, {})
            within[leaf.path[-1]] = values
        return observation

    def _follows(self, transition: Transition) -> NDArray[np.bool_]:
        """Return [B] whether the stacks of the successor are those of the observation, moved on by one frame."""
        follows = np.ones(self.num_envs, np.bool_)
        for leaf, _ in self._rings:
            if leaf.stack > 1:
                same = leaf.of(transition.observation)[:, 1:] == leaf.of(transition.next_observation)[:, :-1]
                follows &= same.reshape(self.num_envs, -1).all(axis=1)
        return follows

    def _write_whole(self, envs: Index, observation: ObsType) -> None:
        """Write all frames of the observations [B, ...] of some environments."""
        for back in reversed(range(self.stack)):
            self._write(envs, observation, back)

    def _write(self, envs: Index, observation: ObsType, back: int = 0) -> None:
        """Write a frame of the observations [B, ...] of some environments, at least one: `back` before the newest."""
        place = self._places(envs, 0)
        for leaf, frames in self._rings:
            if back < leaf.stack:
                stacked = leaf.of(observation)
                frames[place] = stacked[envs] if leaf.stack == 1 else stacked[envs, -1 - back]
        cut = place if self.stack == 1 else self._places(envs, self.stack - 1)  # its oldest frame was just overwritten
        self._size -= int(np.count_nonzero(self.usable[cut]))
        self.usable[cut] = False
        self.written[envs] += 1
        self._newest = place if envs is self._everywhere else self._places(self._everywhere, -1)

    def _places(self, envs: Index, ahead: int) -> Index:
        """Return where frame `written + ahead` of some environments stands."""
        if self.num_envs == 1:  # numpy writes a slice in a tenth of the time that an array of one index takes
            place = (self.written.item(0) + ahead) % self.length
            return slice(place, place + 1)
        places: NDArray[np.int64] = self._starts[envs] + (self.written[envs] + ahead) % self.length
        return places


class _Leaf(NamedTuple):
    """An array within an observation."""

    path: tuple[str, ...]  # of keys, from a Dict to it
    stack: int  # k, the frames it stacks along its first axis
    shape: tuple[int, ...]  # of a frame
    dtype: DTypeLike

    def of(self, observation: ObsType) -> NDArray[Any]:
        """Return its array [B, ...]."""
        for key in self.path:
            observation = observation[key]
        array: NDArray[Any] = observation
        return array


def _leaves(space: Space[Any], stack: int | None, path: tuple[str, ...] = ()) -> Iterator[_Leaf]:
    if isinstance(space, Dict):
        for key, inner in space.items():
            yield from _leaves(inner, stack, (*path, key))
        return
    if not isinstance(space, (Box, Discrete, MultiDiscrete, MultiBinary)):
        raise SpaceError(f"A replay stores Box, Discrete, MultiDiscrete and MultiBinary observations, not {space}.")
    shape = space.shape or ()
    beside = path and stack is not None and (len(shape) < 2 or shape[0] != stack)  # stacks, and none itself
    k = 1 if beside else frame_stack(space, stack)
    yield _Leaf(path, k, shape if k == 1 else shape[1:], space.dtype)


def _action_types(space: Space[Any] | None) -> tuple[Any, Any, tuple[int, ...]]:
    """Return the dtype that actions are returned as, the one they are stored as, and their shape."""
    if space is None:
        return np.int64, np.int64, ()
    if isinstance(space, Discrete):  # counted from `start` or from 0
        least, most = min(0, int(space.start)), int(space.n) - 1 + max(0, int(space.start))
        return np.int64, np.min_scalar_type(min(least, -1 - most) if least < 0 else most), ()
    return space.dtype, space.dtype, space.shape or ()


def bytes_needed(
    capacity: int,
    num_envs: int,
    space: Space[Any],
    *,
    stack: int | None = None,
    action_space: Space[Any] | None = None,
    prioritized: bool = False,
) -> int:
    """Return how many bytes a replay of these arguments takes."""
    places = -(-capacity // num_envs) * num_envs
    _, stored, shape = _action_types(action_space)
    entries = [(leaf.shape, leaf.dtype) for leaf in _leaves(space, stack)] + [(shape, stored)]
    entries += [((), dtype) for dtype in FIELDS.values()]
    of_a_place: int = sum(math.prod(shape) * np.dtype(dtype).itemsize for shape, dtype in entries)
    return places * of_a_place + (SumTree.bytes_needed(places) if prioritized else 0)


def frame_stack(space: Space[Any], given: int | None) -> int:
    """Return how many frames an observation stacks along its first axis: as given, or as its shape suggests.

    Raises:
        ConfigError: where the space has another number of them.
    """
    shape = space.shape or ()
    image = shape[1:] if len(shape) == 3 else sorted(shape[1:])[1:]  # without its channels
    looks_stacked = isinstance(space, Box) and len(shape) in (3, 4) and 1 < shape[0] < min(image)
    if given is None:
        return int(shape[0]) if looks_stacked else 1
    if given > 1 and (not shape or shape[0] != given):
        raise ConfigError(f"frame_stack: observations have shape {shape}, so their first axis is no stack of {given}.")
    return given
