"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gymnasium.envs.registration import EnvSpec

from rlhub_core import AdapterSpec, hookimpl
from rlhub_legacy import ids


@hookimpl
def rlhub_adapters() -> Iterator[AdapterSpec]:
    """One adapter a dialect. Which is which is told by the names of an object's methods and attributes."""
    yield _dialect(
        "gym",
        "gym:OldGym",
        "environments of OpenAI Gym before 0.26 and of rlmodels",
        methods=("reset", "step"),
        without=(
            "action_spec",  # dm_env, TF-Agents
            ("action_shape", "state_shape", "sample"),  # ReNom
            ("numActions", "restart", "act"),  # Simple-DQN
            "single_action_space",  # vector environments, several agents: they step otherwise
            "step_async",
            "possible_agents",
        ),
    )
    yield _dialect(
        "simple_dqn",
        "simple_dqn:SimpleDQN",
        "environments of Simple-DQN (neon): numActions, restart, act, getScreen, isTerminal",
        methods=("numActions", "restart", "act", "getScreen", "isTerminal"),
    )


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """Environment ids of old that nothing registers any more, or only once ale-py is imported."""
    yield from ids.living()
    yield from ids.atari()


def _dialect(
    name: str,
    target: str,
    description: str,
    *,
    methods: Sequence[str],
    attributes: Sequence[str] = (),
    without: Sequence[str | tuple[str, ...]] = (),
) -> AdapterSpec:
    """Return the adapter of objects that have all the methods and attributes, and nothing that tells another dialect.

    What does is an attribute, or several together.
    """
    others = [(names,) if isinstance(names, str) else names for names in without]

    def lacks(thing: object) -> list[str]:
        if isinstance(thing, type):
            return ["an object, not a class"]
        missing = [f"{method}()" for method in methods if not callable(getattr(thing, method, None))]
        return missing + [attribute for attribute in attributes if not hasattr(thing, attribute)]

    def matches(thing: object) -> bool:
        return not lacks(thing) and not any(all(hasattr(thing, name) for name in names) for names in others)

    return AdapterSpec(f"legacy/{name}", f"rlhub_legacy.{target}", matches, description, lacks=lacks)
