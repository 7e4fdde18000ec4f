"""What this package offers."""

from collections.abc import Iterable

from rlhub_core import AlgorithmSpec, hookimpl


@hookimpl
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:
    """Offer `deep/…`."""
    yield AlgorithmSpec(
        "deep/dqn",
        "rlhub_deep.dqn:DQN",
        "deep Q-network: replay, target network, ε-greedy (Mnih et al. 2015)",
        action_spaces=("Discrete",),
        observation_spaces=("Box", "Discrete"),
        presets="rlhub_deep:presets/dqn.toml",
    )
