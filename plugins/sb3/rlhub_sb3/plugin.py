"""What this plugin offers; importing it loads neither torch nor Stable-Baselines3."""

from __future__ import annotations

from collections.abc import Iterable

from rlhub_core import AdapterSpec, AlgorithmSpec, CommandSpec, hookimpl

FLAT = ("Box", "Discrete", "MultiDiscrete", "MultiBinary")
ALL = (*FLAT, "Dict")
FINITE = ("Discrete", "MultiDiscrete", "MultiBinary")
BOX, DISCRETE = ("Box",), ("Discrete",)
NO_BITS, NO_LISTS = ("Box", "Discrete", "MultiDiscrete"), ("Box", "Discrete", "MultiBinary", "Dict")  # else it fails

ALGORITHMS = (  # name, target, action spaces, observation spaces, description
    ("a2c", "algorithms:A2C", FLAT, ALL, "Stable-Baselines3's advantage actor-critic"),
    ("ddpg", "algorithms:DDPG", BOX, ALL, "Stable-Baselines3's deep deterministic policy gradient"),
    ("dqn", "algorithms:DQN", DISCRETE, ALL, "Stable-Baselines3's deep Q-network"),
    ("ppo", "algorithms:PPO", FLAT, ALL, "Stable-Baselines3's proximal policy optimisation"),
    ("sac", "algorithms:SAC", BOX, ALL, "Stable-Baselines3's soft actor-critic"),
    ("td3", "algorithms:TD3", BOX, ALL, "Stable-Baselines3's twin delayed DDPG"),
    ("ars", "contrib:ARS", ("Box", "Discrete"), FLAT, "sb3-contrib's augmented random search"),
    ("crossq", "contrib:CrossQ", BOX, FLAT, "sb3-contrib's CrossQ: soft actor-critic without target networks"),
    ("maskable_ppo", "contrib:MaskablePPO", FINITE, ALL, "sb3-contrib's PPO that takes possible actions only"),
    ("qrdqn", "contrib:QRDQN", DISCRETE, ALL, "sb3-contrib's quantile regression DQN"),
    ("recurrent_ppo", "contrib:RecurrentPPO", NO_BITS, NO_LISTS, "sb3-contrib's PPO with a memory (LSTM)"),
    ("tqc", "contrib:TQC", BOX, ALL, "sb3-contrib's truncated quantile critics"),
    ("trpo", "contrib:TRPO", FLAT, ALL, "sb3-contrib's trust region policy optimisation"),
)
WITHOUT_PRESETS = ("maskable_ppo",)


@hookimpl
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:
    """Offer `sb3/…`; what needs sb3-contrib is listed without it, too, and says so when it is used."""
    for name, target, actions, observations, description in ALGORITHMS:
        yield AlgorithmSpec(
            f"sb3/{name}",
            f"rlhub_sb3.{target}",
            description,
            action_spaces=actions,
            observation_spaces=observations,
            presets=None if name in WITHOUT_PRESETS else f"rlhub_sb3:presets/{name}.toml",
        )


@hookimpl
def rlhub_adapters() -> Iterable[AdapterSpec]:
    """Offer to take Stable-Baselines3's own callbacks."""
    yield AdapterSpec(
        "sb3/callback",
        "rlhub_sb3.callbacks:SB3Callbacks",
        matches=_is_callback,
        description="callbacks of Stable-Baselines3, for algorithms sb3/…",
        makes="callback",
    )


@hookimpl
def rlhub_commands() -> Iterable[CommandSpec]:
    """Offer `rlhub import-sb3`."""
    yield CommandSpec(
        "sb3/import", "rlhub_sb3.command:import_sb3", "Make a run of a model that Stable-Baselines3 saved."
    )


def _is_callback(thing: object) -> bool:
    kinds = {(kind.__module__, kind.__name__) for kind in type(thing).__mro__}
    return ("stable_baselines3.common.callbacks", "BaseCallback") in kinds
