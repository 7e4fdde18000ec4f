"""The way back: the model of an algorithm as one of plain Stable-Baselines3, which needs no rlhub any more."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr

from rlhub_sb3 import saving
from rlhub_sb3.noise import noise_state, restore_noise
from rlhub_sb3.streams import Streams


def plain_model(ours: BaseAlgorithm, settings: Mapping[str, Any], env: Any) -> BaseAlgorithm:
    """Return a model of Stable-Baselines3's own class that has learned what this one has, and shares nothing with it.

    Args:
        ours: the model; its replay buffer is copied, too, where the new one has as many environments.
        settings: the constructor's arguments.
        env: of the new model; an SB3 `VecEnv` or a Gymnasium environment.
    """
    kind = next(base for base in type(ours).__mro__ if not base.__module__.startswith("rlhub_sb3"))
    with Streams(0, ours.device):  # building one draws from the global generators
        theirs: BaseAlgorithm = kind(env=env, device=ours.device, **settings)
    learned: Any = copy.deepcopy(ours.get_parameters())  # an optimiser keeps what it is given
    theirs.set_parameters(learned, device=ours.device)
    for name in ours._get_torch_save_params()[1]:
        tensor = recursive_getattr(ours, name)
        if tensor is not None:
            recursive_setattr(theirs, f"{name}.data", tensor.detach().clone())
    for name in saving.COUNTERS:
        if hasattr(ours, name):
            setattr(theirs, name, getattr(ours, name))
    if hasattr(ours, "weights"):  # augmented random search has them beside its policy
        theirs.weights = ours.weights.clone()  # type: ignore[attr-defined]
    if ours.n_envs == theirs.n_envs:
        restore_noise(theirs.action_noise, noise_state(ours.action_noise))
        if getattr(ours, "replay_buffer", None) is not None:
            saving.restore_replay(theirs.replay_buffer, saving.replay_state(ours.replay_buffer))  # type: ignore[attr-defined]
    return theirs


def without_env(model: BaseAlgorithm) -> BaseAlgorithm:
    """Return the model as `load` would make it without an environment: `set_env` gives it one."""
    model.env = None
    if isinstance(getattr(model, "replay_buffer", None), HerReplayBuffer):
        model.replay_buffer.env = None  # type: ignore[attr-defined]
    return model
