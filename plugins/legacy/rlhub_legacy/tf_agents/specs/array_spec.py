"""The specifications, by TF-Agents' names."""

from rlhub_legacy.array_specs import Array as ArraySpec
from rlhub_legacy.array_specs import BoundedArray as BoundedArraySpec

__all__ = ["ArraySpec", "BoundedArraySpec"]
