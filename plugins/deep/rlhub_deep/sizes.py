"""How much memory learning takes: weights, their optimisers, and what a batch leaves behind for its gradients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import Any

from gymnasium import Space

from rlhub_core.memory import Held, nbytes_of
from rlhub_core.schedules import whole
from rlhub_deep.modules import has_images
from rlhub_deep.network import Network

UNFOLDED = 6  # of a batch of images: its unfolded patches and activations, in numbers for each pixel (measured)


def learning(networks: Iterable[Network], space: Space[Any], batch: int, setting: str = "batch_size") -> Iterator[Held]:
    """Yield what networks and a batch of N observations take while they learn.

    Args:
        networks: those that exist already.
        space: of an observation.
        batch: N.
        setting: the hyper-parameter that N depends on.
    """
    weights = sum(network.weights.numel() for network in networks)
    yield Held("optimiser", 2 * 4 * weights, "hidden_sizes")  # two moments
    pixels = sum(math.prod(each.shape or ()) for each in _leaves(space))
    yield Held("batch", 4 * batch * pixels * (UNFOLDED if has_images(space) else 4), setting)


def learning_from_rollouts(
    config: Any, step: int, num_envs: int, network: Network, space: Space[Any]
) -> Iterator[Held]:
    """Yield what learning from rollouts takes: each step is noted by itself, then joined to one batch."""
    steps = num_envs * whole(config.rollout_length, step)
    yield Held("rollout", 2 * steps * nbytes_of(space), "rollout_length or num_envs")
    batch = -(-steps // whole(getattr(config, "minibatches", 1), step))
    yield from learning([network], space, batch, "minibatches" if batch < steps else "rollout_length")


def _leaves(space: Space[Any]) -> Iterator[Space[Any]]:
    if hasattr(space, "spaces") and isinstance(space.spaces, dict):
        for inner in space.spaces.values():
            yield from _leaves(inner)
    else:
        yield space
