"""What this package offers."""

from collections.abc import Iterable

from rlhub_core import AlgorithmSpec, hookimpl

OBSERVATIONS = ("Box", "Discrete", "MultiDiscrete", "MultiBinary", "Dict")
DISCRETE, CONTINUOUS = ("Discrete",), ("Box",)
ANY = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")


@hookimpl
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:
    """Offer `deep/…`."""
    for name, target, actions, description in (
        ("dqn", "DQN", DISCRETE, "deep Q-network, with double, dueling, prioritized, n-step, noisy as switches"),
        ("c51", "C51", DISCRETE, "categorical deep Q-network, distributional on fixed atoms; Rainbow is a preset of it"),
        ("qrdqn", "QRDQN", DISCRETE, "quantile regression deep Q-network, distributional on fixed quantiles"),
        ("pqn", "PQN", DISCRETE, "parallelised Q-network: many environments, λ-returns, no replay, no target network"),
        ("a2c", "A2C", ANY, "advantage actor-critic: many environments in step, an update for every rollout"),
        ("ppo", "PPO", ANY, "proximal policy optimisation: several passes over a rollout, clipped"),
        ("ddpg", "DDPG", CONTINUOUS, "deep deterministic policy gradient, with prioritized, n-step, noise as switches"),
        ("td3", "TD3", CONTINUOUS, "twin delayed DDPG: the lesser of two critics, delayed actor, smoothed targets"),
        ("sac", "SAC", CONTINUOUS, "soft actor-critic: a squashed Gaussian policy, its entropy in the return"),
    ):
        yield AlgorithmSpec(
            f"deep/{name}",
            f"rlhub_deep.{name}:{target}",
            description,
            action_spaces=actions,
            observation_spaces=OBSERVATIONS,
            presets=f"rlhub_deep:presets/{name}.toml",
        )
