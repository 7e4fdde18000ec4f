"""A model's state <-> plain values and arrays: all that a later step needs, and nothing that could run code."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr

from rlhub_core.errors import listed
from rlhub_sb3.frame_replay import FrameReplayBuffer
from rlhub_sb3.noise import noise_state, restore_noise

COUNTERS = (  # those that a model has are saved
    "num_timesteps", "_n_updates", "_episode_num", "_n_calls", "exploration_rate", "_current_progress_remaining"
)  # fmt: skip
NOISE = ("exploration_mat", "exploration_matrices")  # of state-dependent exploration


def model_state(model: BaseAlgorithm) -> dict[str, Any]:
    """Return everything but the replay buffer and the global generators."""
    return {
        "parameters": packed(model.get_parameters()),
        "tensors": {name: packed(recursive_getattr(model, name)) for name in model._get_torch_save_params()[1]},
        "counters": {name: packed(getattr(model, name)) for name in COUNTERS if hasattr(model, name)},
        "episode_starts": model._last_episode_starts,
        "action_space": model.action_space.np_random.bit_generator.state,
        "noise": packed(noise(model)),
        "action_noise": noise_state(model.action_noise),
    }


def restore_model(model: BaseAlgorithm, saved: Mapping[str, Any]) -> None:
    """Make a new model of the same configuration the one that was saved."""
    model.set_parameters(unpacked(saved["parameters"]), device=model.device)
    for name, tensor in saved["tensors"].items():
        if tensor is not None:
            recursive_setattr(model, f"{name}.data", unpacked(tensor, model.device))
    for name, number in saved["counters"].items():
        setattr(model, name, number)
    model._last_episode_starts = saved["episode_starts"]
    model.action_space.np_random.bit_generator.state = saved["action_space"]
    set_noise(model, {name: unpacked(matrix, model.device) for name, matrix in saved["noise"].items()})
    restore_noise(model.action_noise, saved["action_noise"])


def set_parameters(model: BaseAlgorithm, parameters: Mapping[str, Any]) -> None:
    """Give a model the state of its networks and optimisers, from another model.

    Raises:
        ValueError: for the state of others; RuntimeError by torch for other sizes.
    """
    wanted = model.get_parameters().keys()
    if wanted != parameters.keys():
        raise ValueError(f"there are {listed(parameters)}, and the model has {listed(wanted)}")
    model.set_parameters(dict(parameters), device=model.device)
    for name in wanted:
        optimizer = recursive_getattr(model, name)
        if isinstance(optimizer, th.optim.Optimizer):  # torch notices only at its first step
            lacking = optimizer.defaults.keys() - optimizer.param_groups[0].keys()
            if lacking:
                kind = type(optimizer).__name__
                raise ValueError(f"{name} is of another kind than {kind}: it has no {listed(lacking)}")


def replay_state(buffer: Any) -> dict[str, Any]:
    """Return the filled part of a replay buffer."""
    if isinstance(buffer, FrameReplayBuffer):
        return buffer.state()
    filled = buffer.buffer_size if buffer.full else min(buffer.pos + 1, buffer.buffer_size)  # a next observation may
    saved = {  # stand one place behind the last transition
        "pos": buffer.pos,
        "full": buffer.full,
        "arrays": {name: _cut(array, filled) for name, array in arrays(buffer)},
    }
    return saved | hindsight_state(buffer, filled) if isinstance(buffer, HerReplayBuffer) else saved


def restore_replay(buffer: Any, saved: Mapping[str, Any]) -> None:
    """Fill a new replay buffer of the same configuration."""
    if isinstance(buffer, FrameReplayBuffer):
        buffer.restore(saved)
        return
    buffer.pos, buffer.full = saved["pos"], saved["full"]
    for name, array in arrays(buffer):
        for part, values in _parts(array, saved["arrays"][name]):
            part[: len(values)] = values
    if isinstance(buffer, HerReplayBuffer):
        restore_hindsight(buffer, saved)


def hindsight_state(buffer: HerReplayBuffer, filled: int) -> dict[str, Any]:
    """Return what hindsight remembers beside its arrays, of as many rows as are filled."""
    infos = [packed(list(row)) for row in buffer.infos[:filled]] if buffer.copy_info_dict else []
    return {"episode_begun": buffer._current_ep_start, "infos": infos}


def restore_hindsight(buffer: HerReplayBuffer, saved: Mapping[str, Any]) -> None:
    """Put back what `hindsight_state` returned."""
    buffer._current_ep_start = saved["episode_begun"]
    for time, infos in enumerate(saved["infos"]):
        buffer.infos[time] = infos


def noise(model: BaseAlgorithm) -> dict[str, th.Tensor]:
    """Return the matrices that state-dependent exploration has drawn; nothing where it is off."""
    holder = _noise_holder(model)
    return {name: getattr(holder, name) for name in NOISE if hasattr(holder, name)}


def set_noise(model: BaseAlgorithm, matrices: Mapping[str, th.Tensor]) -> None:
    """Put back the matrices of state-dependent exploration."""
    for name, matrix in matrices.items():
        setattr(_noise_holder(model), name, matrix)


def packed(tree: Any) -> Any:
    """Return a tree with arrays for tensors, Python numbers for numpy's, and texts for the integer keys of dicts."""
    if isinstance(tree, th.Tensor):
        return tree.detach().cpu().numpy()
    if isinstance(tree, Mapping):
        return {str(key): packed(child) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(packed(child) for child in tree)
    return tree.item() if isinstance(tree, np.generic) else tree


def unpacked(tree: Any, device: th.device | str = "cpu") -> Any:
    """Return what `packed` was given, tensors on a device with memory of their own."""
    if isinstance(tree, np.ndarray):
        return th.tensor(tree, device=device)
    if isinstance(tree, Mapping):
        return {int(key) if key.isdecimal() else key: unpacked(child, device) for key, child in tree.items()}
    return type(tree)(unpacked(child, device) for child in tree) if isinstance(tree, (list, tuple)) else tree


def _noise_holder(model: BaseAlgorithm) -> Any:
    actor = getattr(model, "actor", None) or model.policy
    return getattr(actor, "action_dist", None) if model.use_sde else None


def arrays(buffer: Any) -> Iterator[tuple[str, Any]]:
    """Yield the names and arrays [buffer_size, ...] of a buffer; of dict observations a dict of them."""
    for name, value in vars(buffer).items():
        first: Any = next(iter(value.values()), None) if isinstance(value, dict) else value
        stored = isinstance(first, np.ndarray) and first.shape[:1] == (buffer.buffer_size,)
        if stored and not first.dtype.hasobject:  # hindsight's infos are objects
            yield name, value


def _cut(array: Any, size: int) -> Any:
    return {key: part[:size] for key, part in array.items()} if isinstance(array, dict) else array[:size]


def _parts(array: Any, saved: Any) -> list[tuple[NDArray[Any], NDArray[Any]]]:
    return [(array[key], saved[key]) for key in array] if isinstance(array, dict) else [(array, saved)]
