"""Planners find the optimum, say when, and are run like any other algorithm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from rlhub_tabular import model as module
from rlhub_tabular.model import Model
from rlhub_tabular.policy_iteration import PolicyIteration
from rlhub_tabular.q_value_iteration import QValueIteration
from rlhub_tabular.value_iteration import ValueIteration
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, RunError, SpaceError, TrainingError
from rlhub_core.cli import app
from rlhub_core.testing import check_exact_resume

PLANNERS: Any = {
    "value_iteration": ValueIteration,
    "policy_iteration": PolicyIteration,
    "q_value_iteration": QValueIteration,
}
NONE = -np.inf

# Géron, "Hands-On Machine Learning", notebook of chapter 18
NOTEBOOK: Any = {
    "transition_probabilities": [
        [[0.7, 0.3, 0.0], [1.0, 0.0, 0.0], [0.8, 0.2, 0.0]],
        [[0.0, 1.0, 0.0], None, [0.0, 0.0, 1.0]],
        [None, [0.8, 0.1, 0.1], None],
    ],
    "rewards": [
        [[10, 0, 0], [0, 0, 0], [0, 0, 0]],
        [[0, 0, 0], [0, 0, 0], [0, 0, -50]],
        [[0, 0, 0], [40, 0, 0], [0, 0, 0]],
    ],
    "possible_actions": [[0, 1, 2], [0, 2], [1]],
}
FIFTY_SWEEPS = {
    0.90: [[18.91891892, 17.02702702, 13.62162162], [0, NONE, -4.87971488], [NONE, 50.13365013, NONE]],
    0.95: [[21.73304188, 20.63807938, 16.70138772], [0.95462106, NONE, 1.01361207], [NONE, 53.70728682, NONE]],
}
CONVERGED = [[21.89925005, 20.80428755, 16.86759588], [1.12082922, NONE, 1.17982024], [NONE, 53.87349498, NONE]]
WORLDS: Any = {
    "lake": ("FrozenLake-v1", {"is_slippery": False}),
    "slippery lake": ("FrozenLake-v1", {"is_slippery": True}),
    "larger lake": ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": False}),
    "larger slippery lake": ("FrozenLake-v1", {"map_name": "8x8", "is_slippery": True}),
    "cliff": ("CliffWalking-v1", {}),
    "slippery cliff": ("CliffWalking-v1", {"is_slippery": True}),
    "taxi": ("Taxi-v4", {}),
    "rainy taxi": ("Taxi-v4", {"is_rainy": True}),
    "notebook": ("tabular/MDP-v0", NOTEBOOK),
}


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have runs written where nobody looks."""
    monkeypatch.chdir(tmp_path)


def plan(name: str, env: Any, options: Any = None, steps: int | None = None, **config: Any) -> Any:
    return rlhub.train(f"tabular/{name}", env, env_options=options, steps=steps, config=config, progress=False)


def board() -> Any:
    """Return a 4 × 4 board: +10 and the end in state 15, at (3, 3); −1 and the end in state 16, off the board."""
    chances, rewards = np.zeros((17, 4, 17)), np.zeros((17, 4))
    for state in range(16):
        for action, (down, right) in enumerate([(-1, 0), (1, 0), (0, -1), (0, 1)]):
            row, column = state // 4 + down, state % 4 + right
            following = 4 * row + column if row in range(4) and column in range(4) else 16
            chances[state, action, following] = 1
            rewards[state, action] = {15: 10, 16: -1}.get(following, 0)
    return {"transition_probabilities": chances, "rewards": rewards, "terminal_states": [15, 16]}


@pytest.mark.parametrize("name", ["q_value_iteration", "value_iteration"])
@pytest.mark.parametrize("discount", [0.90, 0.95])
def test_fifty_sweeps_of_the_notebook(name: str, discount: float) -> None:
    run = plan(name, "tabular/MDP-v0", NOTEBOOK, steps=50, discount=discount, threshold=None)
    np.testing.assert_allclose(run.algorithm.q_values, FIFTY_SWEEPS[discount], atol=1e-8)
    assert run.algorithm.policy.tolist() == [0, 0 if discount == 0.90 else 2, 1]
    assert run.steps == 50
    for folder in (run.folder, rlhub.resume(run.folder, progress=False).folder):
        loaded: Any = rlhub.load(folder).algorithm
        np.testing.assert_array_equal(loaded.q_values, run.algorithm.q_values)
        np.testing.assert_array_equal(loaded.values, run.algorithm.q_values.max(1))


@pytest.mark.parametrize("name", PLANNERS)
def test_the_notebook_s_optimum(name: str) -> None:
    run = plan(name, "tabular/MDP-v0", NOTEBOOK, discount=0.95)
    np.testing.assert_allclose(run.algorithm.q_values, CONVERGED, atol=2e-8)
    assert run.algorithm.policy.tolist() == [0, 2, 1]
    assert run.algorithm.residual <= 1e-10


def test_no_sweep_and_one() -> None:
    space, actions = gymnasium.spaces.Discrete(3), gymnasium.spaces.Discrete(3)
    algorithm = ValueIteration(space, actions, ValueIteration.Config(discount=0.9), seed=0)
    assert algorithm.values.tolist() == [0, 0, 0]
    assert not algorithm.q_values.any()
    collector = rlhub.Collector(rlhub.make_vec("tabular/MDP-v0", **NOTEBOOK))
    progress = next(iter(algorithm.train(collector, 5)))
    np.testing.assert_allclose(algorithm.q_values, np.array([[7, 0, 0], [0, NONE, -50], [NONE, 32, NONE]]))
    assert algorithm.values.tolist() == [7, 0, 32]
    assert (progress.steps, collector.steps) == (1, 0)
    assert progress.metrics == {"residual": 32.0, "value_mean": 13.0}


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("discount", [0.9, 0.99])
def test_the_optimum_of_independently_solved_equations(name: str, world: str, discount: float) -> None:
    env, options = WORLDS[world]
    run = plan(name, env, options, discount=discount, threshold=1e-11)
    table = rlhub.make(env, **options).unwrapped.P  # type: ignore[attr-defined]
    states, algorithm = len(table), run.algorithm
    transition, reward = np.eye(states), np.zeros(states)
    for state in range(states):
        for p, following, r, terminated in table[state][algorithm.policy[state]]:
            transition[state, following] -= 0 if terminated else discount * p
            reward[state] += p * r
    values = np.linalg.solve(transition, reward)
    np.testing.assert_allclose(algorithm.values, values, atol=1e-8)
    for state in range(states):
        for action in range(len(table[state])):
            outcomes = table[state][action]
            worth = sum(p * (r + (0 if end else discount * values[s])) for p, s, r, end in outcomes)
            if outcomes:
                assert worth <= values[state] + 1e-8
                assert algorithm.q_values[state, action] == pytest.approx(worth, abs=1e-8)
            else:
                assert algorithm.q_values[state, action] == -np.inf


@pytest.mark.parametrize("name", PLANNERS)
def test_a_board_that_must_not_be_left(name: str) -> None:
    run = plan(name, "tabular/MDP-v0", board(), discount=0.9)
    np.testing.assert_allclose(run.algorithm.q_values[0], [-1, 5.9049, -1, 5.9049], atol=1e-8)
    assert run.algorithm.values[15:].tolist() == [0, 0]


@pytest.mark.parametrize("dense", [0, 2_000])
@pytest.mark.parametrize(("discount", "worth"), [(1.0, -0.795169), (0.9, -0.750317)])
def test_the_value_of_walking_about(dense: int, discount: float, worth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "DENSE", dense)
    model = Model.of(rlhub.make("tabular/MDP-v0", **board()))
    values = model.policy_evaluation(np.full((17, 4), 0.25), discount)
    assert values[0] == pytest.approx(worth, abs=1e-6)


def test_policy_iteration_of_many_states_agrees_with_value_iteration(monkeypatch: pytest.MonkeyPatch) -> None:
    direct = plan("policy_iteration", "Taxi-v4")
    monkeypatch.setattr(module, "DENSE", 100)
    iterated = plan("policy_iteration", "Taxi-v4")
    np.testing.assert_allclose(iterated.algorithm.values, direct.algorithm.values, atol=1e-8)
    assert iterated.steps == direct.steps < 20


@pytest.mark.parametrize("slippery", [False, True])
def test_without_discount_policy_iteration_reaches_the_goal(slippery: bool) -> None:
    run = plan("policy_iteration", "FrozenLake-v1", {"is_slippery": slippery}, discount=1.0)
    best = 14 / 17 if slippery else 1.0
    assert run.algorithm.values[0] == pytest.approx(best, abs=1e-8)
    value = plan("value_iteration", "FrozenLake-v1", {"is_slippery": slippery}, discount=1.0)
    assert value.algorithm.values[0] == pytest.approx(best, abs=1e-6)
    if not slippery:
        assert rlhub.evaluate(run, episodes=2).mean == 1.0


def test_large_values_do_not_keep_planners_busy() -> None:
    rewards = (np.array(NOTEBOOK["rewards"]) * 1e9).tolist()
    for name in PLANNERS:
        run = plan(name, "tabular/MDP-v0", NOTEBOOK | {"rewards": rewards}, steps=5_000, discount=0.95)
        assert run.steps < 1_000
        np.testing.assert_allclose(run.algorithm.q_values[0], np.array(CONVERGED[0]) * 1e9, rtol=1e-8)


def test_rounding_does_not_keep_policy_iteration_busy() -> None:
    rng = np.random.default_rng(0)
    chances, rewards = rng.dirichlet(np.ones(20), (20, 3)), rng.normal(size=(20, 3, 20)) * 1e9
    world = {"transition_probabilities": chances, "rewards": rewards}
    run = plan("policy_iteration", "tabular/MDP-v0", world, steps=50, discount=0.95)
    assert run.steps < 20
    assert 0 < run.algorithm.residual < 1e-3


@pytest.mark.parametrize("name", PLANNERS)
@pytest.mark.parametrize("options", [{"is_slippery": True, "max_episode_steps": 1_000}, {"is_slippery": False}])
def test_the_greedy_actor_gets_what_the_values_promise(name: str, options: Any) -> None:
    run = plan(name, "FrozenLake-v1", options, discount=0.97)
    vec = rlhub.make_vec("FrozenLake-v1", 8, **options)
    collector, act = rlhub.Collector(vec, 1), run.actor()
    returns, running, weight = [], np.zeros(8), np.ones(8)
    for _ in range(1_500):
        transition = collector.step(act(collector.observations, collector.first))
        running += weight * transition.reward
        weight *= 0.97
        returns += running[collector.first].tolist()
        running[collector.first], weight[collector.first] = 0.0, 1.0
    error = np.std(returns) / np.sqrt(len(returns))
    assert len(returns) > 150
    assert abs(np.mean(returns) - run.algorithm.values[0]) <= 3 * error + 1e-9


@pytest.mark.parametrize("name", PLANNERS)
def test_resume_is_exact(name: str) -> None:
    check_exact_resume(f"tabular/{name}", "Taxi-v4", steps=4, config={"threshold": None}, log_every=1)
    check_exact_resume(
        f"tabular/{name}", "FrozenLake-v1", steps=4, num_envs=1, config={"discount": 0.9, "threshold": None}
    )


@pytest.mark.parametrize("name", PLANNERS)
def test_what_has_converged_is_left_alone(name: str) -> None:
    run = plan(name, "CliffWalking-v1")
    again = rlhub.resume(run.folder, steps=5_000_000, progress=False)
    assert again.steps == run.steps
    assert again.restored == "exact"


def test_callbacks_count_sweeps(tmp_path: Path) -> None:
    config = {"discount": 0.9}
    callbacks = ["core/evaluate:every=2,episodes=4,longest_episode=50,keep_best=true", "core/checkpoint:every=3,keep=9"]
    env = "CliffWalking-v1"
    run = rlhub.train(
        "tabular/value_iteration",
        env,
        config=config,
        callbacks=callbacks,
        steps=20,
        folder=tmp_path / "run",
        progress=False,
    )
    assert [each.step for each in run.evaluations] == [2, 4, 6, 8, 10, 12, 14][: run.steps // 2]
    assert run.evaluations[-1].returns == (-13.0,) * 4
    assert run.steps == 15
    assert run.collector is not None
    assert run.collector.steps == 0
    assert sorted(int(path.name) for path in (run.folder / "checkpoints").iterdir()) == [0, 2, 3, 6, 9, 12, 14, 15]
    best: Any = rlhub.load(run.folder, step="best")
    assert best.steps == 14
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 16))
    residuals = [line["train/residual"] for line in lines]
    assert residuals == sorted(residuals, reverse=True)
    assert residuals[-1] == 0.0
    assert run.episodes == []


@pytest.mark.parametrize("name", PLANNERS)
def test_the_command_line_needs_no_steps(name: str) -> None:
    pytest.importorskip("matplotlib")
    runner = CliRunner()
    trained = runner.invoke(app, ["train", f"tabular/{name}", "FrozenLake-v1", "--out", "run", "--quiet"])
    assert trained.exit_code == 0, trained.output
    assert "  rlhub plot run --metric train/" in trained.output
    evaluated = runner.invoke(app, ["evaluate", "run", "--episodes", "200", "--json"])
    assert json.loads(evaluated.output)["mean"] == pytest.approx(0.74, abs=0.12)
    plotted = runner.invoke(app, ["plot", "run", "--metric", "train/residual"])
    assert plotted.exit_code == 0, plotted.output
    assert Path("run/plots/train-residual.png").stat().st_size > 1_000
    with pytest.raises(RunError, match=r"so there is no return to plot\. Other metrics: train/residual, "):
        rlhub.plot("run")


@pytest.mark.parametrize("name", PLANNERS)
def test_wrong_worlds_are_refused(name: str) -> None:
    with pytest.raises(SpaceError, match=r"A grid world gives states with observation=index\. ") as error:
        plan(name, "CartPole-v1")
    assert "tabular/q_learning learns without a model: --wrapper tabular/bins:bins=10." in str(error.value)
    many = gymnasium.spaces.Discrete(10**8)
    with pytest.raises(SpaceError, match=rf"tabular/{name}: .* would take 4.8 GB; at most 1.6\. Plan in a smaller"):
        PLANNERS[name](many, gymnasium.spaces.Discrete(2), None)
    with pytest.raises(
        EnvironmentContractError, match=rf"^tabular/{name} needs a model, .*; Blackjack-v1 tells none\."
    ):
        plan(name, "Blackjack-v1")
    assert not list(Path("runs").glob("*/checkpoints"))
    with pytest.raises(ConfigError, match=f"tabular/{name} plans with the model's own rewards: leave out reward_clip"):
        rlhub.train(f"tabular/{name}", "Taxi-v4", reward_clip=1.0, progress=False)
    with pytest.raises(ConfigError, match=r"discount must be in \[0, 1\], not 1\.5"):
        plan(name, "Taxi-v4", discount=1.5)


@pytest.mark.parametrize(("leaving", "worth", "policy"), [(-1.0, 0.0, 0), (1.0, 1.0, 1), (0.0, 0.0, 0)])
def test_without_discount_values_are_the_policy_s_own(leaving: float, worth: float, policy: int) -> None:
    """Staying costs nothing. To the first policy, which takes both alike, both are worth the same: what leaving is."""
    world = {"transition_probabilities": [[[1.0, 0.0], [0.0, 1.0]], [None, None]], "terminal_states": [1]}
    run = plan("policy_iteration", "tabular/MDP-v0", world | {"rewards": [[0.0, leaving], [0, 0]]}, discount=1.0)
    assert run.algorithm.values.tolist() == [worth, 0]
    assert run.algorithm.policy[0] == policy
    assert run.algorithm.q_values[0].tolist() == [worth, leaving]


def test_without_discount_a_policy_may_have_no_value() -> None:
    with pytest.raises(TrainingError, match="Choose a discount below 1"):
        plan("policy_iteration", "tabular/MDP-v0", NOTEBOOK, discount=1.0)


class Elsewhere(gymnasium.Env[Any, Any]):
    """A world whose observations are not its states."""

    observation_space: Any = gymnasium.spaces.MultiDiscrete([3, 3])
    action_space: Any = gymnasium.spaces.Discrete(4)
    P = gymnasium.make("FrozenLake-v1").unwrapped.P  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return np.zeros(2, np.int64), {}


def test_observations_must_number_the_states() -> None:
    with pytest.raises(EnvironmentContractError) as error:
        plan("value_iteration", Elsewhere)
    assert str(error.value) == (
        "tabular/value_iteration needs observations that are the numbers of the model's states: "
        "the model has 16 states and 4 actions, the spaces have 9 and 4."
    )


class Shifted(gymnasium.Env[Any, Any]):
    """A frozen lake whose states and actions count from 5 and from −1."""

    observation_space: Any = gymnasium.spaces.Discrete(16, start=5)
    action_space: Any = gymnasium.spaces.Discrete(4, start=-1)

    def __init__(self) -> None:
        self.lake = gymnasium.make("FrozenLake-v1", is_slippery=False)
        self.P = self.lake.unwrapped.P  # type: ignore[attr-defined]

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        state, info = self.lake.reset(seed=seed)
        return state + 5, info

    def step(self, action: Any) -> Any:
        state, *rest = self.lake.step(int(action) + 1)
        return (state + 5, *rest)


@pytest.mark.parametrize("name", PLANNERS)
def test_states_and_actions_may_count_from_anywhere(name: str) -> None:
    run = plan(name, Shifted)
    assert rlhub.evaluate(run, episodes=3).mean == 1.0
    assert (
        run.algorithm.policy.tolist()
        == (plan(name, "FrozenLake-v1", {"is_slippery": False}).algorithm.policy - 1).tolist()
    )
