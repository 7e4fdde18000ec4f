"""The specifications, by TF-Agents' names."""

from rlhub_legacy.tf_agents.specs import array_spec
from rlhub_legacy.tf_agents.specs.array_spec import ArraySpec, BoundedArraySpec

__all__ = ["ArraySpec", "BoundedArraySpec", "array_spec"]
