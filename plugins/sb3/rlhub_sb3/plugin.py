"""What this plugin offers; importing it loads neither torch nor Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Iterable

from rlhub_core import AlgorithmSpec, hookimpl

OBSERVATIONS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict")
ANY_ACTION = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")

ALGORITHMS = (  # name, class in `algorithms`, action spaces, description
    ("a2c", "A2C", ANY_ACTION, "Stable-Baselines3's advantage actor-critic"),
    ("dqn", "DQN", ("Discrete",), "Stable-Baselines3's deep Q-network"),
    ("ppo", "PPO", ANY_ACTION, "Stable-Baselines3's proximal policy optimisation"),
)


@hookimpl
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:
    """Offer `sb3/…`."""
    for name, target, actions, description in ALGORITHMS:
        yield AlgorithmSpec(
            f"sb3/{name}",
            f"rlhub_sb3.algorithms:{target}",
            description,
            action_spaces=actions,
            observation_spaces=OBSERVATIONS,
        )
