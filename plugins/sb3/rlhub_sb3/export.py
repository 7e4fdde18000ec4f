"""The way back: the model of an algorithm as one of plain Stable-Baselines3, which needs no rlhub any more."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.save_util import recursive_getattr, recursive_setattr
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, unwrap_vec_normalize

from rlhub_core import ConfigError, Run, SpaceError
from rlhub_core.errors import squeezed
from rlhub_core.normalization import WHOLE, Moments
from rlhub_sb3 import saving
from rlhub_sb3.noise import noise_state, restore_noise
from rlhub_sb3.saved_spaces import difference
from rlhub_sb3.statistics import SETTINGS
from rlhub_sb3.streams import Streams


def plain_model(ours: BaseAlgorithm, settings: Mapping[str, Any], env: Any) -> BaseAlgorithm:
    """Return a model of Stable-Baselines3's own class that has learned what this one has, and shares nothing with it.

    Args:
        ours: the model; its replay buffer is copied, too, where the new one has as many environments and no
            `VecNormalize`.
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
        normalized = theirs.get_vec_normalize_env() is not None  # its buffer holds raw transitions, a run's what it saw
        if getattr(ours, "replay_buffer", None) is not None and not normalized:
            saving.restore_replay(theirs.replay_buffer, saving.replay_state(ours.replay_buffer))  # type: ignore[attr-defined]
    return theirs


def without_env(model: BaseAlgorithm) -> BaseAlgorithm:
    """Return the model as `load` would make it without an environment: `set_env` gives it one."""
    model.env = None
    if isinstance(getattr(model, "replay_buffer", None), HerReplayBuffer):
        model.replay_buffer.env = None  # type: ignore[attr-defined]
    return model


def vec_normalize(run: Run, venv: VecEnv, *, training: bool = True) -> VecNormalize:
    """Return Stable-Baselines3's `VecNormalize` around environments, with the settings and statistics of a run.

    Args:
        run: one that normalises.
        venv: environments like the run's, not normalised.
        training: whether the statistics go on changing.

    Raises:
        ConfigError: where the run normalises nothing, or the environments do already.
        SpaceError: where the environments are others than the run's.
    """
    normalization = run.normalization
    if normalization is None:
        raise ConfigError(f"{run.folder} normalises nothing: its model takes observations as they are.")
    if unwrap_vec_normalize(venv) is not None:
        raise ConfigError("These environments are normalised already; give those beneath.")
    what = difference(run.observation_space, venv.observation_space)
    if what:
        raise SpaceError(
            f"{run.folder} has learnt from observations {squeezed(run.observation_space)}; these environments give "
            f"{squeezed(venv.observation_space)}: {what}. Give environments like the run's."
        )
    settings: dict[str, Any] = {theirs: getattr(normalization.settings, ours) for theirs, ours in SETTINGS.items()}
    moments = normalization.observation_moments
    if moments and WHOLE not in moments:
        settings["norm_obs_keys"] = list(moments)
    made = VecNormalize(venv, training=training, **settings)
    seen: dict[str, Any] = {key: _running(each) for key, each in moments.items()}
    if seen:
        made.obs_rms = seen.get(WHOLE, seen)
    if normalization.return_moments is not None:
        made.ret_rms = _running(normalization.return_moments)
    return made


def _running(moments: Moments) -> RunningMeanStd:
    running = RunningMeanStd(shape=moments.mean.shape)
    running.mean, running.var, running.count = moments.mean.copy(), moments.variance, moments.count
    return running
