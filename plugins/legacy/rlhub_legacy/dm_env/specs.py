"""The specifications, by dm_env's names."""

from rlhub_legacy.array_specs import Array, BoundedArray, DiscreteArray

__all__ = ["Array", "BoundedArray", "DiscreteArray"]
