"""TF-Agents: its environments as Gymnasium environments, and its names to write an environment with.

`rlhub_legacy.tf_agents` stands in for `tf_agents` in a class written on
`tf_agents.environments.py_environment.PyEnvironment` with `tf_agents.specs` and `tf_agents.trajectories.time_step`: the
modules are in the packages that they are in there, and here as well.
"""

from rlhub_legacy.tf_agents import environments, specs, trajectories
from rlhub_legacy.tf_agents.adapter import TfAgentsEnv
from rlhub_legacy.tf_agents.environments import py_environment
from rlhub_legacy.tf_agents.specs import array_spec
from rlhub_legacy.tf_agents.trajectories import time_step

__all__ = ["TfAgentsEnv", "array_spec", "environments", "py_environment", "specs", "time_step", "trajectories"]
