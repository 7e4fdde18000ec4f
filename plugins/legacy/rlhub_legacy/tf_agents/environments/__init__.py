"""The package of this name in TF-Agents."""

from rlhub_legacy.tf_agents.environments import py_environment

__all__ = ["py_environment"]
