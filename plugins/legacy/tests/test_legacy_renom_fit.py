"""ReNom's epochs: the order and number of calls, the stop rules, what is learnt across a cut, resume."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from rlhub_legacy import renom
from rlhub_legacy.renom.settings import AfterRandom

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, RunError
from rlhub_core.schedules import Linear
from rlhub_core.testing import StopAt, fingerprints

SMALL: dict[str, Any] = {"hidden_sizes": (8,), "buffer_size": 1_000}
TRAINING = ["epoch", *["epoch_step"] * 3]
TEST = ["test_start", *["test_epoch_step"] * 2, "test_close"]


class Recorder(renom.BaseEnv):
    """Games of `length` steps, a reward of 1 each; state [game, step, noise]; `calls` holds all hooks, and "reset"."""

    action_shape = (2,)
    state_shape = (3,)

    def __init__(self, length: int = 20) -> None:
        self.length, self.time, self.game = length, 0, -1
        self.calls: list[str] = []
        super().__init__()
        self.calls, self.game = [], -1

    def reset(self) -> Any:
        self.time, self.game = 0, self.game + 1
        self.calls.append("reset")
        return self._state()

    def step(self, action: Any) -> Any:
        assert isinstance(action, int)
        self.time += 1
        return self._state(), 1, self.time == self.length

    def sample(self) -> Any:
        return np.random.randint(2)

    def start(self) -> None:
        self.calls.append("start")

    def epoch(self) -> None:
        self.calls.append("epoch")

    def epoch_step(self) -> None:
        self.calls.append("epoch_step")

    def close(self) -> None:
        self.calls.append("close")

    def test_start(self) -> None:
        self.calls.append("test_start")

    def test_epoch_step(self) -> None:
        self.calls.append("test_epoch_step")

    def test_close(self) -> None:
        self.calls.append("test_close")

    def hooks(self) -> list[str]:
        """Return the calls of hooks."""
        return [call for call in self.calls if call != "reset"]

    def _state(self) -> Any:
        return np.array([self.game, self.time, np.random.random()])


def fit(env: Any, algorithm: Any = "deep/dqn", **settings: Any) -> rlhub.Run:
    config = settings.pop("config", SMALL if algorithm in ("deep/dqn", "deep/c51", "deep/sac") else None)
    told = {"epoch": 2, "epoch_step": 3, "test_step": 2} | settings
    folder = told.pop("folder", None) or Path(os.environ["RENOM_RUNS"]) / f"{len(os.listdir(os.environ['RENOM_RUNS']))}"
    return renom.fit(algorithm, env, folder=folder, config=config, progress=False, **told)


@pytest.fixture(autouse=True)
def _runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RENOM_RUNS", str(tmp_path))


# order and number of calls


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/c51", "sb3/dqn"])
def test_hooks_come_in_the_documented_order_and_number(algorithm: str) -> None:
    env = Recorder()
    run = fit(env, algorithm, random_step=2)
    assert env.hooks() == ["start", *TRAINING, *TEST, *TRAINING, *TEST, "close"]
    assert Counter(env.hooks()) == {
        "start": 1, "epoch": 2, "epoch_step": 6, "test_start": 2, "test_epoch_step": 4, "test_close": 2, "close": 1
    }  # fmt: skip
    assert run.steps == 8
    assert run.stopped == ""
    assert [(e.epoch, e.steps, e.train_reward, e.test_reward, e.ended_by) for e in renom.epochs(run)] == [
        (0, 3, 3.0, 2.0, "epoch_step"),
        (1, 3, 3.0, 2.0, "epoch_step"),
    ]
    assert renom.epochs(run.folder) == renom.epochs(run)
    assert [evaluation.mean for evaluation in run.evaluations] == [2.0, 2.0]


@pytest.mark.parametrize(
    ("algorithm", "config"),
    [("deep/a2c", None), ("deep/ppo", {"rollout_length": 8}), ("sb3/ppo", {"n_steps": 8, "batch_size": 8})],
)
def test_epochs_are_exact_where_whole_rollouts_are_learnt_from(algorithm: str, config: Any) -> None:
    env = Recorder()
    run = fit(env, algorithm, config=config)
    assert env.hooks() == ["start", *TRAINING, *TEST, *TRAINING, *TEST, "close"]
    assert run.steps >= 6, "the rollout is played to its end, and no hook knows"


def test_hooks_follow_their_reset_or_come_before_it_as_in_version_042() -> None:
    env = Recorder()
    fit(env, random_step=2)
    documented = [call for call in env.calls if not call.endswith("step")]
    assert documented[:4] == ["reset", "reset", "start", "reset"], "once to look at a state, once to begin"
    assert documented[4:9] == ["epoch", "reset", "test_start", "test_close", "reset"]
    early = Recorder()
    fit(early, random_step=2, hook_timing="0.4.2")
    calls = [call for call in early.calls if not call.endswith("step")]
    assert calls[:9] == ["reset", "reset", "start", "epoch", "reset", "test_start", "reset", "test_close", "epoch"]


def test_training_starts_before_its_first_epoch_in_version_042_too() -> None:
    env = Recorder()
    fit(env, epoch=1, hook_timing="0.4.2")
    assert env.hooks() == ["start", *TRAINING, *TEST, "close"]
    calls = [call for call in env.calls if not call.endswith("step")]
    assert calls[:6] == ["reset", "reset", "start", "epoch", "reset", "test_start"]


def test_what_was_tested_or_trained_begins_anew(tmp_path: Path) -> None:
    env = rlhub.adapt(Recorder())
    theirs: Any = env.unwrapped.theirs  # type: ignore[attr-defined]

    def train(name: str) -> list[str]:
        theirs.calls = []
        rlhub.train("deep/dqn", env, steps=2, config=SMALL, folder=tmp_path / name, progress=False)
        hooks: list[str] = theirs.hooks()
        return hooks

    renom.test(lambda observations, first: np.zeros(len(first), np.int64), env)
    assert train("tested") == ["start", "epoch", "epoch_step", "epoch_step"]
    fit(env)
    assert train("trained") == ["start", "epoch", "epoch_step", "epoch_step"]


def test_a_test_that_fails_is_over() -> None:
    env = Recorder()

    def fails(observations: Any, first: Any) -> Any:
        raise KeyError

    with pytest.raises(KeyError):
        renom.test(fails, env)
    assert env.hooks() == ["test_start", "test_close"]


def test_hooks_of_every_worker_are_called_once_a_time_step() -> None:
    made: list[Recorder] = []

    def worker() -> Recorder:
        made.append(Recorder())
        return made[-1]

    run = fit(worker, "deep/a2c", num_envs=3)
    tested, *others = (env for env in made if "epoch" in env.calls)
    assert tested.hooks() == ["start", *TRAINING, *TEST, *TRAINING, *TEST, "close"]
    assert [env.hooks() for env in others] == [["start", *TRAINING, *TRAINING, "close"]] * 2
    assert [epoch.train_reward for epoch in renom.epochs(run)] == [9.0, 9.0]


def test_an_environment_of_its_own_is_tested_in() -> None:
    env, tested = Recorder(), Recorder(1)
    run = fit([env, tested], test_step=None)
    assert env.hooks() == ["start", *TRAINING, *TRAINING, "close"]
    assert tested.hooks() == ["test_start", "test_epoch_step", "test_close"] * 2
    assert [epoch.test_reward for epoch in renom.epochs(run)] == [1.0, 1.0]


def doubled(env: Any) -> Any:
    """Show every state twice."""
    space = gymnasium.spaces.Box(-np.inf, np.inf, (6,), np.float32)
    return gymnasium.wrappers.TransformObservation(env, lambda state: np.concatenate([state, state]), space)


def test_an_environment_of_its_own_is_wrapped_as_that_of_training(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"wrappers": [doubled], "folder": tmp_path / "run"}
    fit([Recorder(), Recorder()], callbacks=[StopAt(4)], **settings)
    run = renom.resume(
        tmp_path / "run", [Recorder(), Recorder()], wrappers=[doubled], callbacks=[StopAt(0)], progress=False
    )
    assert [epoch.test_reward for epoch in renom.epochs(run)] == [2.0, 2.0]
    assert renom.test(run, Recorder(5)) == 5.0
    with pytest.raises(rlhub.SpaceError, match="the environment for tests has Box"):
        fit([Recorder(), renom.CartPole00()])
    with pytest.raises(rlhub.SpaceError, match="CartPole00 has Box"):
        renom.test(fit(Recorder()), renom.CartPole00)
    with pytest.raises(ConfigError, match="Wrappers are for single environments"):
        fit([[Recorder(), Recorder()], Recorder()], "deep/a2c", wrappers=[doubled])


def test_workers_may_be_a_list_of_objects() -> None:
    workers, tested = [Recorder(), Recorder()], Recorder()
    fit([workers, tested], "deep/a2c")
    assert [env.hooks() for env in workers] == [["start", *TRAINING, *TRAINING, "close"]] * 2
    assert tested.hooks() == [*TEST, *TEST]
    with pytest.raises(ConfigError, match="num_envs is 3, but there are 2 environments for training"):
        fit([workers, tested], "deep/a2c", num_envs=3)
    with pytest.raises(ConfigError, match="The list of environments for training is empty"):
        fit([[], tested])
    with pytest.raises(ConfigError, match=r"is a pair \[training, test\]; this one has 3"):
        fit([*workers, tested])


def test_gymnasium_environments_have_epochs_too() -> None:
    run = fit("CartPole-v1", epoch_step=30, test_step=None)
    assert [epoch.steps for epoch in renom.epochs(run)] == [30, 30]
    assert all(epoch.test_reward for epoch in renom.epochs(run))


@pytest.mark.parametrize(("test_step", "hooks"), [(None, 20), (45, 45), (0, 0)])
def test_a_test_is_an_episode_or_so_many_steps(test_step: int | None, hooks: int) -> None:
    env = Recorder()
    run = fit(env, test_step=test_step, epoch=1)
    assert env.calls.count("test_epoch_step") == hooks
    assert env.calls.count("test_close") == (hooks > 0)
    assert renom.epochs(run)[0].test_reward == (float(hooks) if hooks else None)


# the stop rules


class Ruled(Recorder):
    """Says yes to one rule at a step of a game."""

    rule, at = "", 2

    def __getattribute__(self, name: str) -> Any:
        if name == object.__getattribute__(self, "rule"):
            return lambda: self.time == self.at
        return super().__getattribute__(name)


def ruled(rule: str, at: int = 2) -> Ruled:
    return type("Ruled", (Ruled,), {"rule": rule, "at": at})()  # type: ignore[no-any-return]


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/a2c"])
def test_terminate_ends_training_without_a_test(algorithm: str) -> None:
    env = ruled("terminate")
    run = fit(env, algorithm)
    assert env.hooks() == ["start", "epoch", "epoch_step", "epoch_step", "close"]
    assert run.stopped == "terminate() said so"
    assert [(e.steps, e.train_reward, e.test_reward, e.ended_by) for e in renom.epochs(run)] == [
        (2, 2.0, None, "terminate")
    ]


@pytest.mark.parametrize("algorithm", ["deep/dqn", "deep/a2c"])
def test_terminate_epoch_ends_the_epoch_without_a_test(algorithm: str) -> None:
    env = ruled("terminate_epoch")
    run = fit(env, algorithm)
    assert env.hooks() == ["start", *["epoch", "epoch_step", "epoch_step"] * 2, "close"]
    assert [epoch.ended_by for epoch in renom.epochs(run)] == ["terminate_epoch"] * 2
    assert run.steps < 6 or run.stopped == ""


def test_stop_epoch_ends_the_epoch_and_starts_the_test() -> None:
    env = ruled("stop_epoch")
    run = fit(env)
    assert env.hooks() == ["start", *["epoch", "epoch_step", "epoch_step", *TEST] * 2, "close"]
    assert [(epoch.ended_by, epoch.test_reward) for epoch in renom.epochs(run)] == [("stop_epoch", 2.0)] * 2
    assert run.stopped == "2 epochs played"


def test_test_terminate_ends_the_test() -> None:
    env = ruled("test_terminate")
    run = fit(env, test_step=10)
    assert env.hooks() == ["start", *[*TRAINING, *TEST] * 2, "close"]
    assert [epoch.test_reward for epoch in renom.epochs(run)] == [2.0, 2.0]
    after = fit(ruled("test_terminate"), "deep/ppo", config={"rollout_length": 64})  # goes on after the last test
    assert [episode.length for episode in after.episodes] == [3, 3, 20, 20], "its answer is not remembered"


def test_a_rule_of_any_worker_counts_for_all() -> None:
    workers = [Recorder(), ruled("terminate_epoch")]
    run = fit([workers, Recorder()], "deep/a2c")
    assert [env.calls.count("epoch_step") for env in workers] == [4, 4]
    assert [epoch.ended_by for epoch in renom.epochs(run)] == ["terminate_epoch"] * 2


def test_a_rule_that_answers_nothing_sensible_is_told() -> None:
    with pytest.raises(EnvironmentContractError, match=r"Ruled.stop_epoch\(\) returned 'yes' \(str\); expected True"):
        fit(type("Ruled", (Recorder,), {"stop_epoch": lambda self: "yes"})())


# what is learnt


@pytest.mark.parametrize("settings", [{"n_step": 1}, {"n_step": 4}])
def test_no_transition_across_a_cut_is_learnt(settings: dict[str, Any]) -> None:
    env = Recorder(length=7)  # so that some games end and most are cut off
    run = fit(env, epoch=20, epoch_step=5, config=SMALL | {"learning_starts": 10_000} | settings)
    replay: Any = run.algorithm.replay  # type: ignore[attr-defined]
    drawn = replay.sample(2_000, np.random.default_rng(0), n_step=settings["n_step"], discount=0.5)
    games, later = drawn.observation[:, 0], drawn.next_observation[:, 0]
    steps = drawn.next_observation[:, 1] - drawn.observation[:, 1]
    np.testing.assert_array_equal(games, later)
    np.testing.assert_allclose(drawn.reward, 2 - 2 * 0.5**steps, rtol=1e-5)  # of those steps, and no test's
    np.testing.assert_allclose(drawn.discount, 0.5**steps, rtol=1e-5)  # cut off, so the value of the last is asked
    assert len(np.unique(games)) == 20, "nothing that was seen in tests"


class Stacked(Recorder):
    """Shows its last three screens, on each of which the number of the game stands."""

    state_shape = (3, 5, 5)

    def reset(self) -> Any:
        super().reset()
        self.screens = [np.full((5, 5), self.game)] * 3
        return np.stack(self.screens)

    def step(self, action: Any) -> Any:
        _, reward, terminal = super().step(action)
        self.screens = [*self.screens[1:], np.full((5, 5), self.game)]
        return np.stack(self.screens), reward, terminal


def test_no_stack_of_frames_goes_across_a_cut() -> None:
    run = fit(Stacked(length=7), epoch=20, epoch_step=5, config=SMALL | {"learning_starts": 10_000})
    replay: Any = run.algorithm.replay  # type: ignore[attr-defined]
    assert replay.stack == 3
    drawn = replay.sample(1_000, np.random.default_rng(0))
    frames = np.concatenate([drawn.observation, drawn.next_observation], axis=1)[..., 0, 0]
    np.testing.assert_array_equal(frames, frames[:, :1].repeat(6, axis=1))
    assert len(np.unique(frames)) == 20


# ReNom's arguments


def test_greedy_is_the_probability_of_the_greedy_action() -> None:
    run = fit(Recorder(), epoch_step=100, min_greedy=0.2, max_greedy=0.9, greedy_step=50)
    epsilon: Any = run.experiment.hyper_parameters["epsilon"]
    assert epsilon == Linear(0.8, 0.1, 50)
    run = fit(Recorder(), epoch_step=100, greedy_step=50, random_step=10)
    epsilon = run.experiment.hyper_parameters["epsilon"]
    assert [round(epsilon(step), 3) for step in (0, 9, 10, 35, 60, 150)] == [1, 1, 1, 0.55, 0.1, 0.1]
    assert run.experiment.hyper_parameters["learning_starts"] == 10
    assert AfterRandom(4, 0.3)(4) == 0.3


def test_the_arguments_of_old_become_hyper_parameters() -> None:
    told: dict[str, Any] = {"batch_size": 16, "update_period": 40, "train_frequency": 2, "random_step": 8}
    ours = fit(Recorder(), **told).experiment.hyper_parameters
    names = ("batch_size", "target_update_every", "train_every", "learning_starts")
    assert [ours[name] for name in names] == [16, 40, 2, 8]
    theirs = fit(Recorder(), "sb3/dqn", epoch_step=50, greedy_step=50, **told).experiment.hyper_parameters
    names = ("batch_size", "target_update_interval", "train_freq", "learning_starts")
    assert [theirs[name] for name in names] == [16, 40, 2, 8]
    assert theirs["exploration_fraction"] == pytest.approx(58 / 108)
    assert theirs["exploration_final_eps"] == pytest.approx(0.1)
    assert (
        fit(Recorder(), batch_size=16, config=SMALL | {"batch_size": 4}).experiment.hyper_parameters["batch_size"] == 4
    )


@pytest.mark.parametrize(
    ("algorithm", "told", "why"),
    [
        ("deep/ppo", {"greedy_step": 10}, r"deep/ppo does not choose ε-greedily: leave min_greedy.*deep/dqn"),
        ("deep/ppo", {"random_step": 10}, r"random_step: deep/ppo has no learning_starts. Leave random_step out"),
        ("deep/a2c", {"update_period": 10}, r"update_period: deep/a2c has no target_update_every"),
        ("deep/dqn", {"max_greedy": 1.5}, r"0 <= min <= max <= 1; not 0.0 and 1.5"),
        ("deep/dqn", {"greedy_step": 0}, r"greedy_step must be a positive number of steps, not 0"),
        ("deep/dqn", {"greedy_step": 9, "config": {"count_in": "episodes"}}, r"ReNom counts in steps"),
        ("deep/dqn", {"steps": 9}, r"fit says how long it trains"),
        ("deep/dqn", {"epoch": 0}, r"epoch must be"),
        ("deep/dqn", {"epoch_step": 2.5}, r"epoch_step must be"),
        ("deep/dqn", {"test_greedy": 7}, r"test_greedy must be"),
        ("deep/dqn", {"hook_timing": "late"}, r"hook_timing must be"),
        ("deep/dqn", {"vectorization_mode": "async"}, r"need environments in this process"),
        ("tabular/value_iteration", {}, r"tabular/value_iteration plans from a model and takes no steps"),
        ("deep/a3c", {"num_envs": 2}, r"deep/a3c takes the environments elsewhere; epochs cannot follow it"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(algorithm: str, told: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        fit(Recorder, algorithm, **told)


# test


def test_a_test_is_played_with_its_hooks_and_returns_the_sum_of_rewards() -> None:
    env = Recorder()
    run = fit(env)
    env.calls = []
    assert renom.test(run) == 20.0
    assert env.hooks() == ["test_start", *["test_epoch_step"] * 20, "test_close"]
    other = Recorder()
    assert renom.test(run, [env, other], test_step=45) == 45.0
    assert other.calls.count("test_start") == 1
    with pytest.raises(ConfigError, match="test_step must be a positive number of steps, or None"):
        renom.test(run, test_step=0)


def test_test_greedy_is_the_probability_of_the_actors_action() -> None:
    class Told(Recorder):
        def step(self, action: Any) -> Any:
            state, _, terminal = super().step(action)
            return state, action, terminal

    def actor(observations: Any, first: Any) -> Any:
        return np.ones(len(first), np.int64)

    assert renom.test(actor, Told(), test_step=400) == 400
    assert 270 < renom.test(actor, Told(), test_step=400, test_greedy=0.5) < 330
    assert 170 < renom.test(actor, Told(), test_step=400, test_greedy=0.0) < 230


# resume


class Growing(Recorder):
    """Rewards grow with the games played, which nothing but the object knows."""

    def step(self, action: Any) -> Any:
        state, reward, terminal = super().step(action)
        return state, reward * self.game, terminal

    def stop_epoch(self) -> bool:
        return self.game % 9 == 8 and self.time == 3


RESUMED: dict[str, Any] = {"epoch": 4, "epoch_step": 50, "test_step": 5}


@pytest.mark.parametrize(
    ("algorithm", "told", "make"),
    [
        ("deep/dqn", {"random_step": 20, "greedy_step": 50}, lambda: Growing(7)),
        ("deep/dqn", {"hook_timing": "0.4.2"}, lambda: Growing(7)),
        ("deep/dqn", {"random_step": 20}, lambda: [Growing(7), Growing(7)]),
        ("deep/dqn", {}, lambda: Growing),
        ("sb3/dqn", {"random_step": 20}, lambda: Growing(7)),
        ("deep/a2c", {}, lambda: [[Growing(7), Growing(7)], Growing(7)]),
    ],
)
def test_a_resumed_fit_is_one_that_was_never_stopped(
    algorithm: str, told: dict[str, Any], make: Any, tmp_path: Path
) -> None:
    whole_env, parted_env = make(), make()
    settings = RESUMED | told
    whole = fit(whole_env, algorithm, folder=tmp_path / "whole", callbacks=[StopAt(10_000)], **settings)
    fit(make(), algorithm, folder=tmp_path / "parted", callbacks=[StopAt(90)], **settings)
    parted = renom.resume(tmp_path / "parted", parted_env, callbacks=[StopAt(0)], progress=False)
    assert parted.restored == "exact"
    assert len(renom.epochs(whole)) == 4
    assert renom.epochs(parted) == renom.epochs(whole)
    assert fingerprints(tmp_path / "parted") == fingerprints(tmp_path / "whole")
    for one, other in zip(_all(whole_env), _all(parted_env), strict=True):
        assert one.calls == other.calls


def _all(env: Any) -> list[Any]:
    if isinstance(env, type):
        return []
    return [each for part in env for each in _all(part)] if isinstance(env, list) else [env]


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from test_legacy_renom_fit import Growing, RESUMED, SMALL
from rlhub_core import Callback
from rlhub_legacy import renom

class Kill(Callback):
    def on_progress(self, run, progress):
        if progress.steps >= 130:
            os.kill(os.getpid(), signal.SIGKILL)

renom.fit("deep/dqn", Growing(7), random_step=20, config=SMALL, folder=Path(sys.argv[1]), progress=False,
          callbacks=["core/checkpoint:every=40", Kill()], **RESUMED)
"""


def test_a_killed_fit_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    from rlhub_core import Callback

    class Kill(Callback):
        """Stands in the place of the one that killed."""

    where = str(Path(__file__).parent)
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "killed"), where], check=False)
    assert killed.returncode == -signal.SIGKILL
    Kill.__module__, Kill.__qualname__ = "__main__", "Kill"
    resumed = renom.resume(tmp_path / "killed", Growing(7), callbacks=[Kill()], progress=False)
    checkpoint = "core/checkpoint:every=40"
    whole = fit(Growing(7), folder=tmp_path / "whole", random_step=20, callbacks=[checkpoint], **RESUMED)
    assert resumed.restored == "exact"
    assert renom.epochs(resumed) == renom.epochs(whole)
    assert fingerprints(tmp_path / "killed") == fingerprints(tmp_path / "whole")


def test_what_is_no_run_of_fit_is_not_resumed_as_one(tmp_path: Path) -> None:
    with pytest.raises(RunError):
        renom.resume(tmp_path / "nothing")
    rlhub.train("deep/dqn", "CartPole-v1", steps=10, folder=tmp_path / "other", config=SMALL)
    with pytest.raises(ConfigError, match=r"is no run of rlhub_legacy.renom.fit. Resume it with rlhub_core.resume"):
        renom.resume(tmp_path / "other")


# without fit


def test_plain_training_is_one_epoch(tmp_path: Path) -> None:
    env = Recorder()
    run = rlhub.train("deep/dqn", env, steps=6, config=SMALL, folder=tmp_path / "run", progress=False)
    assert env.hooks() == ["start", "epoch", *["epoch_step"] * 6]
    env.calls = []
    rlhub.evaluate(run, episodes=1)
    assert env.hooks() == ["test_start", *["test_epoch_step"] * 20, "test_close"]


def test_evaluations_in_plain_training_are_tests(tmp_path: Path) -> None:
    made: list[Recorder] = []

    def factory() -> Recorder:
        made.append(Recorder(3))
        return made[-1]

    evaluation = "core/evaluate:every=4,episodes=1"
    rlhub.train("deep/dqn", factory, steps=8, config=SMALL, folder=tmp_path / "r", callbacks=[evaluation])
    training, tested = (env for env in made if "epoch" in env.calls or "test_start" in env.calls)
    assert training.hooks() == ["start", "epoch", *["epoch_step"] * 8, "close"]
    assert tested.hooks() == [*["test_start", *["test_epoch_step"] * 3, "test_close"] * 2, "close"]


def test_tests_of_epochs_are_evaluations_to_all_who_need_them(tmp_path: Path) -> None:
    callbacks = ["legacy/renom_epochs:epoch=2,epoch_step=4", "core/stop_on_return:value=-1e9,of=evaluation"]
    run = rlhub.train(
        "deep/dqn", lambda: Recorder(3), steps=8, config=SMALL, folder=tmp_path / "r", callbacks=callbacks
    )
    assert run.stopped == "return -1e+09 reached in an evaluation"


def test_terminate_in_plain_training_needs_someone_who_listens(tmp_path: Path) -> None:
    with pytest.warns(
        UserWarning, match=r"Ruled.terminate\(\) says that training ends.*callbacks=\['legacy/terminate'\]"
    ):
        run = rlhub.train("deep/dqn", ruled("terminate", 5), steps=12, config=SMALL, folder=tmp_path / "a")
    assert run.steps == 12
    env = ruled("terminate", 5)
    run = rlhub.train("deep/dqn", env, steps=40, config=SMALL, folder=tmp_path / "b", callbacks=["legacy/terminate"])
    assert (run.steps, run.stopped) == (8, "terminate() said so")
    assert env.calls.count("epoch_step") == 5
    again = rlhub.resume(tmp_path / "b", env=ruled("terminate", 5))
    assert (again.steps, again.stopped) == (12, "terminate() said so"), "it has said so already"
    with pytest.raises(ConfigError, match="legacy/terminate needs a ReNom environment"):
        rlhub.train("deep/dqn", "CartPole-v1", steps=9, folder=tmp_path / "c", callbacks=["legacy/terminate"])
