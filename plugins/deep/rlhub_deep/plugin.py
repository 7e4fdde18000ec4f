"""What this package offers."""

from collections.abc import Iterable

from rlhub_core import AlgorithmSpec, hookimpl

OBSERVATIONS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict")


@hookimpl
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:
    """Offer `deep/…`."""
    for name, target, description in (
        ("dqn", "DQN", "deep Q-network, with double, dueling, prioritized, n-step, noisy as switches"),
        ("c51", "C51", "categorical deep Q-network, distributional on fixed atoms; Rainbow is a preset of it"),
        ("qrdqn", "QRDQN", "quantile regression deep Q-network, distributional on fixed quantiles"),
        ("pqn", "PQN", "parallelised Q-network: many environments, λ-returns, no replay, no target network"),
    ):
        yield AlgorithmSpec(
            f"deep/{name}",
            f"rlhub_deep.{name}:{target}",
            description,
            action_spaces=("Discrete",),
            observation_spaces=OBSERVATIONS,
            presets=f"rlhub_deep:presets/{name}.toml",
        )
