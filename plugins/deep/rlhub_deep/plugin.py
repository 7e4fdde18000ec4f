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
        ("c51", "C51", DISCRETE, "categorical deep Q-network, distributional on fixed atoms; with Rainbow as a preset"),
        ("qrdqn", "QRDQN", DISCRETE, "quantile regression deep Q-network, distributional on fixed quantiles"),
        ("pqn", "PQN", DISCRETE, "parallelised Q-network: many environments, λ-returns, no replay, no target network"),
        ("reinforce", "Reinforce", ANY, "policy gradient of whole episodes, with a baseline as a switch"),
        ("a2c", "A2C", ANY, "advantage actor-critic: many environments in step, an update for every rollout"),
        ("a3c", "A3C", ANY, "asynchronous advantage actor-critic: worker processes on shared weights"),
        ("ppo", "PPO", ANY, "proximal policy optimisation: several passes over a rollout, clipped"),
        ("imitation", "Imitation", ANY, "fits a policy to any teacher: a function, or a run of any algorithm"),
        ("ddpg", "DDPG", CONTINUOUS, "deep deterministic policy gradient, with prioritized, n-step, noise as switches"),
        ("td3", "TD3", CONTINUOUS, "twin delayed DDPG: the lesser of two critics, delayed actor, smoothed targets"),
        ("sac", "SAC", CONTINUOUS, "soft actor-critic: a squashed Gaussian policy, its entropy in the return"),
        ("cmaes", "CMAES", ANY, "covariance matrix adaptation of a network's weights: populations side by side"),
        ("openai_es", "OpenAIES", ANY, "OpenAI's evolution strategy: a gradient from mirrored draws, with Adam"),
    ):
        yield AlgorithmSpec(
            f"deep/{name}",
            f"rlhub_deep.{name}:{target}",
            description,
            action_spaces=actions,
            observation_spaces=OBSERVATIONS,
            exact_resume=name != "a3c",
            presets=f"rlhub_deep:presets/{name}.toml",
        )
