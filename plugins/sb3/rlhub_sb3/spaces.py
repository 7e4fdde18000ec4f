"""Which spaces Stable-Baselines3 can learn in, beyond their mere kind."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch as th
from gymnasium import Space, spaces
from stable_baselines3.common.preprocessing import is_image_space

from rlhub_core import SpaceError

SMALLEST_IMAGE = 36  # pixels a side that the Nature network's three convolutions need


def choices(action_space: Space[Any]) -> int:
    """Return how many numbers an action mask has: one for each choice, one dimension after the other."""
    if isinstance(action_space, spaces.MultiBinary):
        return 2 * int(np.prod(action_space.shape))
    return int(np.sum(getattr(action_space, "nvec", getattr(action_space, "n", 0))))


def policy_for(observation_space: Space[Any]) -> str:
    """Return the name of the policy that suits a space: "MultiInputPolicy", "CnnPolicy" or "MlpPolicy"."""
    if isinstance(observation_space, spaces.Dict):
        return "MultiInputPolicy"
    if is_image_space(observation_space) and sorted(observation_space.shape or ())[1] >= SMALLEST_IMAGE:
        return "CnnPolicy"
    return "MlpPolicy"


def check_spaces(observation_space: Space[Any], action_space: Space[Any], owner: str) -> None:
    """Raise SpaceError for what Stable-Baselines3 would refuse or misread later, saying how to change it."""
    for kind, space in (("observation", observation_space), ("action", action_space)):
        problem = _problem(space, kind)
        if problem:
            raise SpaceError(f"{owner} cannot use the {kind} space {space}: {problem}")


def _problem(space: Space[Any], kind: str) -> str | None:
    if isinstance(space, spaces.Dict):
        if any(isinstance(part, (spaces.Dict, spaces.Tuple)) for part in space.values()):
            return "a Dict inside it is not supported. Flatten it with a wrapper."
        if not space.spaces:
            return "there is nothing in it to learn from."
        problems = (_problem(part, kind) for part in space.values())
        return _key_problem(space) or next((problem for problem in problems if problem), None)
    if np.any(getattr(space, "start", 0)):
        return "it must count from 0."
    if isinstance(space, (spaces.MultiDiscrete, spaces.MultiBinary)) and len(space.shape) != 1:
        return "it must have one dimension."
    return _box_problem(space, kind) if isinstance(space, spaces.Box) else None


def _key_problem(space: spaces.Dict) -> str | None:
    """Return why a Dict's keys cannot be the names of networks, one for each part, or of arrays in a checkpoint."""
    for key in space:
        if "." in key or not key or key.startswith("$") or hasattr(th.nn.ModuleDict(), key):
            return (
                f"its key {key!r} cannot name a network: it has a dot, a $ in front or nothing in it, or torch uses it "
                f"itself. Rename it with a wrapper, to {_renamed(key)!r}."
            )
    return None


def _renamed(key: str) -> str:
    plain = key.replace(".", "_").lstrip("$") or "observation"
    return f"{plain}_" if hasattr(th.nn.ModuleDict(), plain) else plain


def _box_problem(space: spaces.Box, kind: str) -> str | None:
    if 0 in space.shape:
        return "a Box in it is empty. Leave it out, with a wrapper."
    if kind == "observation" and space.shape == ():
        return (
            "a Box of shape () has no dimension for the networks. Give it shape (1,): with a wrapper of your own where "
            "it is part of a Dict, else with gymnasium.wrappers.ReshapeObservation."
        )
    if kind == "action" and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        return "its bounds must be finite. Rescale it with gymnasium.wrappers.RescaleAction."
    return None
