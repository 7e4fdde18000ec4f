"""rlhub: environments, algorithms and callbacks from separately installed packages, with one way to run them.

import rlhub_core as rlhub

run = rlhub.train("deep/dqn", "CartPole-v1", steps=20_000)
print(rlhub.evaluate(run, episodes=20))
"""

from __future__ import annotations

from typing import Any

from rlhub_core import schedules, state
from rlhub_core.collector import Collector
from rlhub_core.config import option
from rlhub_core.envs import EnvironmentSource, adapt, make, make_vec
from rlhub_core.errors import (
    ArtefactError,
    CheckpointError,
    ConfigError,
    EnvironmentContractError,
    EnvironmentFault,
    MissingExtraError,
    NonFiniteError,
    NotFoundError,
    PluginError,
    RlhubError,
    RunError,
    SpaceError,
    StorageError,
    TrainingError,
    TrustError,
)
from rlhub_core.evaluation import Evaluation, evaluate
from rlhub_core.experiment import Experiment
from rlhub_core.hookspecs import hookimpl
from rlhub_core.hub import Hub, Plugin, default_hub
from rlhub_core.normalization import Normalization, Normalize
from rlhub_core.playing.recording import record
from rlhub_core.playing.watching import watch
from rlhub_core.postmortem import PostMortem, replay_update
from rlhub_core.protocol import Actor, Algorithm, Callback, Episode, Progress, StopTraining, Transition
from rlhub_core.replay import Replay
from rlhub_core.reporting.page import report
from rlhub_core.reporting.plotting import plot
from rlhub_core.run import Run
from rlhub_core.schedules import Scheduled
from rlhub_core.specs import AdapterSpec, AlgorithmSpec, CallbackSpec, CommandSpec, WrapperSpec
from rlhub_core.training import load, resume, train

__version__ = "0.1.0"


def environments() -> dict[str, Any]:
    """Return the environments that installed plugins offer, by name. Every other Gymnasium id works as it is."""
    return default_hub().offers("environment")


def algorithms() -> dict[str, AlgorithmSpec]:
    """Return the algorithms that installed plugins offer, by name."""
    return default_hub().offers("algorithm")


def adapters() -> dict[str, AdapterSpec]:
    """Return the adapters of foreign environments and callbacks that installed plugins offer, by name."""
    return default_hub().offers("adapter")


def wrappers() -> dict[str, WrapperSpec]:
    """Return the wrappers that installed plugins offer, by name."""
    return default_hub().offers("wrapper")


def callbacks() -> dict[str, CallbackSpec]:
    """Return the callbacks that installed plugins offer, by name."""
    return default_hub().offers("callback")


def commands() -> dict[str, CommandSpec]:
    """Return the commands of the command line that installed plugins offer, by name."""
    return default_hub().offers("command")


def plugins() -> dict[str, Plugin]:
    """Return the installed plugins by name, the broken ones with their error."""
    return default_hub().plugins()


__all__ = [
    "Actor",
    "AdapterSpec",
    "Algorithm",
    "AlgorithmSpec",
    "ArtefactError",
    "Callback",
    "CallbackSpec",
    "CheckpointError",
    "Collector",
    "CommandSpec",
    "ConfigError",
    "EnvironmentContractError",
    "EnvironmentFault",
    "EnvironmentSource",
    "Episode",
    "Evaluation",
    "Experiment",
    "Hub",
    "MissingExtraError",
    "NonFiniteError",
    "Normalization",
    "Normalize",
    "NotFoundError",
    "Plugin",
    "PluginError",
    "PostMortem",
    "Progress",
    "Replay",
    "RlhubError",
    "Run",
    "RunError",
    "Scheduled",
    "SpaceError",
    "StopTraining",
    "StorageError",
    "TrainingError",
    "Transition",
    "TrustError",
    "WrapperSpec",
    "adapt",
    "adapters",
    "algorithms",
    "callbacks",
    "commands",
    "default_hub",
    "environments",
    "evaluate",
    "hookimpl",
    "load",
    "make",
    "make_vec",
    "option",
    "plot",
    "plugins",
    "record",
    "replay_update",
    "report",
    "resume",
    "schedules",
    "state",
    "train",
    "watch",
    "wrappers",
]
