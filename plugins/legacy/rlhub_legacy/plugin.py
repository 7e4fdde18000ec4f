"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gymnasium.envs.registration import EnvSpec

from rlhub_core import AdapterSpec, CallbackSpec, WrapperSpec, hookimpl
from rlhub_legacy import ids


@hookimpl
def rlhub_adapters() -> Iterator[AdapterSpec]:
    """One adapter a dialect. Which is which is told by the names of an object's methods and attributes."""
    yield _dialect(
        "renom",
        "renom:ReNomEnv",
        "environments of ReNom RL (3-tuple steps, shapes instead of spaces), with their hooks and stop rules",
        methods=("reset", "step", "sample"),
        attributes=("action_shape", "state_shape"),
    )
    yield _dialect(
        "gym",
        "gym:OldGym",
        "environments of OpenAI Gym before 0.26 and of rlmodels",
        methods=("reset", "step"),
        underscored=True,
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
    time_steps = ("reset", "step", "action_spec", "observation_spec")
    yield _dialect(
        "dm_env",
        "dm_env:DmEnv",
        "environments of dm_env's contract: reset and step return time steps",
        methods=time_steps,
        without=("time_step_spec",),
    )
    yield _dialect(
        "tf_agents",
        "tf_agents:TfAgentsEnv",
        "TF-Agents' PyEnvironment",
        methods=(*time_steps, "time_step_spec"),
    )


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """Environment ids of old that nothing registers any more, or only once ale-py is imported."""
    yield from ids.living()
    yield from ids.atari()


@hookimpl
def rlhub_wrappers() -> Iterator[WrapperSpec]:
    """TF-Agents' wrappers by name; where Gymnasium's means the same, it is Gymnasium's."""
    for name, target, description in (
        ("action_clip", "actions:ActionClip", "clips actions to the bounds of their space, which stays as it is"),
        ("action_discretize", "actions:ActionDiscretize", "makes continuous actions choices, both ends among them"),
        ("action_offset", "actions:ActionOffset", "makes choices count from 0"),
        ("action_repeat", "actions:action_repeat", "repeats each action and sums the rewards"),
        ("one_hot_action", "actions:OneHotAction", "takes a choice as one number for each; the highest is meant"),
        ("extra_disabled_actions", "actions:ExtraDisabledActions", "adds actions that the action mask forbids"),
        ("flatten_observations", "observations:FlattenObservations", "makes dict observations of one type one array"),
        ("history", "observations:History", "observes the last observations, with the actions that led to them"),
        ("observation_filter", "observations:ObservationFilter", "observes some numbers of an array, by index"),
        ("goal_replay", "goals:GoalReplay", "observes what was reached and what was wanted, for hindsight replay"),
        ("fixed_length", "episodes:FixedLength", "pads short episodes and cuts long ones to one length"),
        ("run_stats", "episodes:RunStats", "counts episodes, resets and steps"),
        ("performance_profiler", "episodes:PerformanceProfiler", "profiles what the environment does, with cProfile"),
        ("fire_on_reset", "buttons:FireOnReset", "presses FIRE, then the third action, after each reset (Atari)"),
        ("auto_fire", "buttons:AutoFire", "presses FIRE after each reset and each lost life (Atari)"),
    ):
        yield WrapperSpec(f"legacy/{name}", f"rlhub_legacy.wrappers.{target}", description)
    yield WrapperSpec("legacy/time_limit", "gymnasium.wrappers:TimeLimit", "cuts episodes off after so many steps")


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """What trains as the old libraries did."""
    yield CallbackSpec(
        "legacy/renom_epochs", "rlhub_legacy.renom.epochs:Epochs", "runs training in ReNom's epochs, with its hooks"
    )
    yield CallbackSpec(
        "legacy/terminate", "rlhub_legacy.renom.stopping:Terminate", "ends a run where terminate() of ReNom says so"
    )


_NOTHING = object()


def _seen(thing: object, name: str) -> object:
    """Return an attribute; a foreign object may raise whatever it likes when it is looked at."""
    try:
        return getattr(thing, name, _NOTHING)
    except Exception:
        return _NOTHING


def _dialect(
    name: str,
    target: str,
    description: str,
    *,
    methods: Sequence[str],
    attributes: Sequence[str] = (),
    without: Sequence[str | tuple[str, ...]] = (),
    underscored: bool = False,
) -> AdapterSpec:
    """Return the adapter of objects that have all the methods and attributes, and nothing that tells another dialect.

    What does is an attribute, or several together. Where `underscored`, `_step` will do for `step`. An attribute that
    cannot be looked at is none.
    """
    others = [(names,) if isinstance(names, str) else names for names in without]

    def lacks(thing: object) -> list[str]:
        missing = [
            f"{method}()"
            for method in methods
            if not any(callable(getattr(thing, name, None)) for name in names(method))
        ]
        return missing + [attribute for attribute in attributes if not hasattr(thing, attribute)]

    def names(method: str) -> tuple[str, ...]:
        return (method, f"_{method}") if underscored else (method,)

    def matches(thing: object) -> bool:
        return not lacks(thing) and not any(all(_seen(thing, name) is not _NOTHING for name in each) for each in others)

    return AdapterSpec(f"legacy/{name}", f"rlhub_legacy.{target}", matches, description, lacks=lacks)
