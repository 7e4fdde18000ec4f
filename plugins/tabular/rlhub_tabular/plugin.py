"""What this package offers, as data."""

from collections.abc import Iterator

from gymnasium.envs.registration import EnvSpec

from rlhub_core import AlgorithmSpec, CallbackSpec, WrapperSpec, hookimpl

STATES = ("Discrete", "MultiDiscrete", "MultiBinary", "Tuple")
INDEX = "A grid world gives states with observation=index"
UNPLANNED = f"{INDEX}. In a Box tabular/q_learning learns without a model: --wrapper tabular/bins:bins=10."
BINS = f"{INDEX}; the wrapper tabular/bins makes a Box of few dimensions discrete: --wrapper tabular/bins:bins=10."
PLANNERS = (
    ("value_iteration", "ValueIteration", "sweeps of Bellman's optimality equation over the values of all states"),
    ("policy_iteration", "PolicyIteration", "evaluates a policy, makes it greedy, until it stays as it is"),
    ("q_value_iteration", "QValueIteration", "sweeps of Bellman's optimality equation over the values of all actions"),
)
LEARNERS = (
    ("q_learning", "QLearning", "learns the optimal values of actions whatever policy plays"),
    ("double_q_learning", "DoubleQLearning", "Q-learning with two tables, one chooses and the other one values"),
    ("sarsa", "Sarsa", "learns the values of the actions of the policy that plays"),
    ("expected_sarsa", "ExpectedSarsa", "SARSA with the mean over the next action in place of a draw"),
    ("monte_carlo", "MonteCarlo", "averages the returns of whole episodes, of first or every visits"),
    ("td_lambda", "TDLambda", "SARSA(λ): every step learns for all that led to it, by eligibility traces"),
)


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """A world from tables."""
    yield EnvSpec(id="tabular/MDP-v0", entry_point="rlhub_tabular.mdp:MDP", max_episode_steps=None)


@hookimpl
def rlhub_algorithms() -> Iterator[AlgorithmSpec]:
    """Planning and learning with tables."""
    for name, target, description in PLANNERS:
        yield _spec(name, target, description, plans=True)
    for name, target, description in LEARNERS:
        yield _spec(name, target, description)
    yield AlgorithmSpec(
        "tabular/linear_q",
        "rlhub_tabular.linear_q:LinearQ",
        "Q-learning with a linear function of tile-coded observations",
        action_spaces=("Discrete",),
        observation_spaces=("Box",),
        presets="rlhub_tabular:presets/linear_q.toml",
    )


@hookimpl
def rlhub_wrappers() -> Iterator[WrapperSpec]:
    """What makes a continuous environment discrete."""
    yield WrapperSpec("tabular/bins", "rlhub_tabular.bins:Bins", "makes a Box observation discrete, in equal bins")


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """Pictures of what is learnt."""
    yield CallbackSpec("tabular/value_map", "rlhub_tabular.keeping:ValueMap", "draws what is learnt on the board")
    yield CallbackSpec("tabular/history", "rlhub_tabular.keeping:History", "keeps the Q-values as they change")


def _spec(name: str, target: str, description: str, plans: bool = False) -> AlgorithmSpec:
    return AlgorithmSpec(
        f"tabular/{name}",
        f"rlhub_tabular.{name}:{target}",
        description,
        action_spaces=("Discrete",),
        observation_spaces=STATES,
        plans=plans,
        advice=UNPLANNED if plans else BINS,
    )
