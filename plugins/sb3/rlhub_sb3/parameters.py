"""Hyper-parameters: Stable-Baselines3's own constructor arguments, documented, validated and schedulable."""

from __future__ import annotations

import types
from collections.abc import Callable, Mapping
from dataclasses import fields, make_dataclass
from inspect import signature
from typing import Any, Union, get_args, get_origin

import torch as th
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.type_aliases import TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.utils import FloatSchedule

from rlhub_core import ConfigError, option
from rlhub_core.schedules import Schedule, value
from rlhub_core.specs import load_target

RLHUBS_OWN = {  # arguments that rlhub gives, or whose job it does itself
    "self", "env", "seed", "device", "verbose", "tensorboard_log", "stats_window_size", "monitor_wrapper",
    "_init_setup_model",
}  # fmt: skip

EPSILON = "ε is itself a schedule over the run, made of exploration_fraction, _initial_eps and _final_eps"
FIXED = {  # numbers that a model reads only when it is built, and what for
    "buffer_size": "the replay buffer is laid out when the model is built",
    "n_steps": "the buffer is laid out when the model is built",
    "rms_prop_eps": "the optimiser takes it when it is built",
    "exploration_fraction": EPSILON,
    "exploration_initial_eps": EPSILON,
    "exploration_final_eps": EPSILON,
    "n_delta": "the population is laid out when the model is built",
}

IMPORTED = ("torch.nn", "torch.optim", "stable_baselines3", "sb3_contrib", "rlhub_sb3")  # whose classes a text names

ENV_STEPS = "env steps"

MEANINGS: dict[str, dict[str, Any]] = {
    "policy": {"meaning": "network; auto: CnnPolicy for images, MultiInputPolicy for dicts, else MlpPolicy"},
    "policy_kwargs": {"meaning": "arguments of the policy, such as net_arch; a class may be written module:Class"},
    "learning_rate": {"meaning": "step size of the optimiser", "minimum": 0},
    "gamma": {"meaning": "discount", "minimum": 0, "maximum": 1},
    "gae_lambda": {"meaning": "λ of generalised advantage estimation; 1: plain returns", "minimum": 0, "maximum": 1},
    "n_steps": {
        "meaning": "length of a rollout, or of a return where there is a replay buffer",
        "unit": "steps",
        "minimum": 1,
    },
    "batch_size": {"meaning": "transitions in a minibatch", "unit": "transitions", "minimum": 1},
    "n_epochs": {"meaning": "passes over each rollout", "minimum": 1},
    "clip_range": {"meaning": "how far the probability ratio may leave 1", "minimum": 0},
    "clip_range_vf": {"meaning": "how far a value may leave its old one; none: not clipped", "minimum": 0},
    "normalize_advantage": {"meaning": "standardise advantages before the update"},
    "ent_coef": {
        "meaning": "weight of the entropy; where a text is taken, auto or auto_0.1: learned, from 1 or that number on"
    },
    "target_entropy": {"meaning": "entropy that a learned ent_coef aims at; auto: minus the number of actions"},
    "vf_coef": {"meaning": "weight of the value loss"},
    "max_grad_norm": {"meaning": "gradients are scaled down to this norm", "minimum": 0},
    "use_sde": {"meaning": "explore with noise that depends on the state (gSDE; Box actions only)"},
    "sde_sample_freq": {
        "meaning": "between two draws of it; -1: one a rollout",
        "unit": "steps",
        "minimum": -1,
    },
    "use_sde_at_warmup": {"meaning": "explore with gSDE before learning starts, too; else with random actions"},
    "rollout_buffer_class": {"meaning": "another rollout buffer, written module:Class"},
    "rollout_buffer_kwargs": {"meaning": "arguments of the rollout buffer"},
    "target_kl": {"meaning": "an update ends early at 1.5 times this KL divergence; none: never", "minimum": 0},
    "rms_prop_eps": {"meaning": "added to RMSProp's denominator", "minimum": 0},
    "use_rms_prop": {"meaning": "RMSProp as in the paper; else Adam"},
    "buffer_size": {"meaning": "transitions in the replay buffer, all environments together", "minimum": 1},
    "learning_starts": {"meaning": "env steps with random actions before learning", "unit": ENV_STEPS, "minimum": 0},
    "tau": {"meaning": "share of the network copied into the target network at its update", "minimum": 0, "maximum": 1},
    "train_freq": {"meaning": 'steps of each environment between updates, or [number, "step" or "episode"]'},
    "gradient_steps": {"meaning": "gradient steps an update; -1: one for each step since the last", "minimum": -1},
    "action_noise": {"meaning": "normal(sigma) or ornstein_uhlenbeck(sigma), added to actions scaled to [-1, 1]"},
    "policy_delay": {"meaning": "updates of the critic for one of the policy", "minimum": 1},
    "target_policy_noise": {"meaning": "standard deviation of the noise on the target policy's actions", "minimum": 0},
    "target_noise_clip": {"meaning": "limit of that noise", "minimum": 0},
    "top_quantiles_to_drop_per_net": {"meaning": "highest quantiles of each critic that are left out", "minimum": 0},
    "cg_max_steps": {"meaning": "iterations of the conjugate gradient method, at most", "minimum": 1},
    "cg_damping": {"meaning": "added to the diagonal of the Fisher matrix", "minimum": 0},
    "line_search_shrinking_factor": {"meaning": "a step that is refused shrinks by it", "minimum": 0, "maximum": 1},
    "line_search_max_iter": {"meaning": "tries of the line search, at most", "minimum": 1},
    "n_critic_updates": {"meaning": "passes over each rollout that the value takes", "minimum": 1},
    "sub_sampling_factor": {"meaning": "the policy learns from every so manieth transition", "minimum": 1},
    "n_delta": {"meaning": "directions tried in an update, each forwards and backwards", "minimum": 1},
    "n_top": {"meaning": "best directions that an update follows; none: all", "minimum": 1},
    "delta_std": {"meaning": "standard deviation of the perturbations", "minimum": 0},
    "zero_policy": {"meaning": "begin with weights of 0"},
    "alive_bonus_offset": {"meaning": "added to each reward, against a bonus for staying alive"},
    "n_eval_episodes": {"meaning": "episodes that judge a candidate", "unit": "episodes", "minimum": 1},
    "her": {
        "meaning": "hindsight experience replay: learn from goals reached, too; n_sampled_goal (4), "
        "goal_selection_strategy (future) and copy_info_dict (false) go into replay_buffer_kwargs"
    },
    "replay_buffer_class": {
        "meaning": "another replay buffer, written module:Class; rlhub_sb3.frame_replay:FrameReplayBuffer saves memory"
    },
    "replay_buffer_kwargs": {"meaning": "arguments of the replay buffer"},
    "optimize_memory_usage": {
        "meaning": "keep each observation once; needs replay_buffer_kwargs = {handle_timeout_termination = false}"
    },
    "target_update_interval": {"meaning": "between two updates of the target network", "unit": ENV_STEPS, "minimum": 1},
    "exploration_fraction": {"meaning": "share of the run in which ε falls", "minimum": 0, "maximum": 1},
    "exploration_initial_eps": {"meaning": "ε, the chance of a random action, at first", "minimum": 0, "maximum": 1},
    "exploration_final_eps": {"meaning": "ε after it has fallen", "minimum": 0, "maximum": 1},
}


def config_of(model: type[BaseAlgorithm]) -> type[Any]:
    """Return the frozen dataclass of a model's constructor arguments, with SB3's names and defaults.

    Numbers accept a schedule unless they are read at construction only (`FIXED`). Classes may be written
    "module:Class".
    """
    made: list[Any] = []
    for name, argument in signature(model.__init__).parameters.items():
        if name not in RLHUBS_OWN:
            default = "auto" if name == "policy" else argument.default
            documented = MEANINGS.get(name, {}) | {"fixed": FIXED.get(name, ""), "imports": _names_classes(name)}
            made.append((name, _annotation(name, argument.annotation), option(default, **documented)))
    if "replay_buffer_class" in signature(model.__init__).parameters and "MultiInputPolicy" in model.policy_aliases:
        made.append(("her", bool, option(False, **MEANINGS["her"])))
    return make_dataclass(f"{model.__name__.strip('_')}Config", made, frozen=True)


def arguments(config: Any, owner: str) -> dict[str, Any]:
    """Return a config as the constructor's arguments: schedules at step 0, classes imported.

    Raises:
        ConfigError: for a "module:Class" that does not exist, or is none of a network, an optimiser or a buffer.
    """
    return {
        field.name: _imported(value(getattr(config, field.name), 0), owner)
        if _names_classes(field.name)
        else value(getattr(config, field.name), 0)
        for field in fields(config)
    }


def _names_classes(name: str) -> bool:
    return name == "policy" or name.endswith(("_class", "_kwargs"))


class Schedules:
    """The hyper-parameters of a config that follow a schedule."""

    def __init__(self, config: Any) -> None:
        self._changing: list[tuple[str, Callable[[int], float], bool]] = [
            (field.name, getattr(config, field.name), int in _alternatives(field.type))
            for field in fields(config)
            if Schedule in _alternatives(field.type) and callable(getattr(config, field.name))
        ]

    def at(self, step: int) -> dict[str, float]:
        """Return the values of an env step."""
        numbers = ((name, schedule(step), whole) for name, schedule, whole in self._changing)
        return {name: round(number) if whole else float(number) for name, number, whole in numbers}

    def apply(self, model: BaseAlgorithm, step: int) -> None:
        """Put the values of an env step in force."""
        for name, number in self.at(step).items():
            _put(model, name, number)


AS_SCHEDULE = {  # what a model holds as a function of SB3's own progress: hyper-parameter -> attribute
    "learning_rate": "lr_schedule",
    "clip_range": "clip_range",
    "clip_range_vf": "clip_range_vf",
    "delta_std": "delta_std_schedule",
}


def _put(model: Any, name: str, number: float) -> None:
    if name in AS_SCHEDULE:
        setattr(model, AS_SCHEDULE[name], FloatSchedule(number))
    elif name == "ent_coef" and hasattr(model, "ent_coef_tensor"):
        model.ent_coef_tensor.fill_(number)
    elif name == "train_freq":
        model.train_freq = TrainFreq(int(number), TrainFrequencyUnit.STEP)
    else:
        setattr(model, name, number)
        for buffer in ("rollout_buffer", "replay_buffer"):  # they hold copies of gamma and gae_lambda
            if hasattr(getattr(model, buffer, None), name):
                setattr(getattr(model, buffer), name, number)


def _annotation(name: str, hint: Any) -> Any:
    """Return the type that rlhub validates: rlhub's schedules in place of SB3's, and text for classes."""
    kinds = _alternatives(hint)
    if name == "policy" or any(get_origin(kind) is type for kind in kinds):
        return Union[(str, type, *([None] if type(None) in kinds else []))]
    if name == "action_noise":
        return Union[str, None]  # noqa: UP007 - as the others here
    kinds = tuple(kind for kind in kinds if Callable not in (kind, get_origin(kind)))
    if {int, float} & set(kinds) and name not in FIXED:
        numbers = [kind for kind in kinds if kind is not type(None)]
        kinds = (*numbers, Schedule, *([type(None)] if type(None) in kinds else []))
    return Union[kinds]  # noqa: UP007 - built at run time


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def _imported(given: Any, owner: str) -> Any:
    """Return a copy with every "module:Class" replaced by the class; only kinds that are safe to call are taken."""
    if isinstance(given, Mapping):
        return {key: _imported(child, owner) for key, child in given.items()}
    if isinstance(given, (list, tuple)):
        return [_imported(child, owner) for child in given]
    if not (isinstance(given, str) and ":" in given):
        return given
    if not is_nameable(given.partition(":")[0]):  # a recipe must not run code of its own
        raise ConfigError(
            f"{owner}: {given!r} is not imported: only networks and optimisers of torch, and classes of "
            "stable_baselines3, sb3_contrib and rlhub_sb3 are. Pass the class itself, or allow what a recipe names "
            "with --trust (in Python trust=True) if you trust whoever made it."
        )
    try:
        found = load_target(given)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"{owner}: {given!r} cannot be imported: {error}.") from error
    kinds = (th.nn.Module, th.optim.Optimizer, BaseBuffer)
    if not (isinstance(found, type) and issubclass(found, kinds) and is_nameable(found.__module__)):
        raise ConfigError(f"{owner}: {given!r} is no torch module, optimiser or Stable-Baselines3 buffer class.")
    return found


def is_nameable(module: str) -> bool:
    """Return whether a text may name a class of a module: torch's networks and optimisers, Stable-Baselines3's own."""
    return any(f"{module}.".startswith(f"{package}.") for package in IMPORTED)
