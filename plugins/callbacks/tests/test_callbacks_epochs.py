"""Epochs, and the logs of Simple-DQN and ReNom RL, which have a row for each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from rlhub_callbacks.epochs import Dithering, Epochs, play_steps
from rlhub_callbacks.phases import Phase
from rlhub_callbacks.renom_log import KEYS, RenomLog
from rlhub_callbacks.simple_dqn_csv import COLUMNS

import rlhub_core as rlhub
from rlhub_core import ConfigError, Episode, Progress, Run, checkpoint
from rlhub_core.envs import EnvironmentSource
from rlhub_core.records import read_episodes, read_evaluations
from rlhub_core.testing import StopAt

ENV: dict[str, Any] = {"env": "gridworld/FourRooms-v0", "env_options": {"observation": "index"}}


def learn(folder: Path, callbacks: list[Any], **settings: Any) -> Run:
    defaults = {"algorithm": "tabular/q_learning", **ENV, "steps": 1_000, "num_envs": 2, "log_every": 100}
    return rlhub.train(**{**defaults, **settings}, folder=folder, callbacks=callbacks, progress=False)


def test_each_epoch_ends_with_a_test_and_a_checkpoint_that_is_kept(tmp_path: Path) -> None:
    callbacks = ["callbacks/epochs:steps=200,episodes=3", "core/checkpoint:every=50,keep=1"]
    run = learn(tmp_path / "run", callbacks)
    assert checkpoint.steps(run.folder / "checkpoints") == [200, 400, 600, 800, 1_000]
    tests = read_evaluations(run.folder)
    assert [test.step for test in tests] == [200, 400, 600, 800, 1_000]
    assert {len(test.returns) for test in tests} == {3}
    assert rlhub.load(run.folder, step=400).steps == 400


def test_snapshots_are_kept_across_a_resume_and_may_be_left_out(tmp_path: Path) -> None:
    epochs = "callbacks/epochs:steps=200,episodes=1"
    run = learn(tmp_path / "run", [epochs, "core/checkpoint:every=50,keep=1", StopAt(500)])
    assert checkpoint.steps(run.folder / "checkpoints") == [200, 400, 500]
    rlhub.resume(run.folder, callbacks=[StopAt(0)], progress=False)
    assert checkpoint.steps(run.folder / "checkpoints") == [200, 400, 600, 800, 1_000]
    bare = learn(tmp_path / "bare", [f"{epochs},snapshots=false", "core/checkpoint:every=50,keep=1"])
    assert checkpoint.steps(bare.folder / "checkpoints") == [1_000]


def test_a_progress_longer_than_epochs_ends_them_as_one(tmp_path: Path) -> None:
    callbacks, small = ["callbacks/epochs:steps=50,episodes=1"], {"population_size": 8}
    run = learn(
        tmp_path / "run",
        callbacks,
        algorithm="deep/openai_es",
        env="CartPole-v1",
        env_options=None,
        steps=1_200,
        config=small,
    )
    tests = [test.step for test in run.evaluations]
    assert len(tests) == len({step // 50 for step in tests}) < 24


def test_a_test_may_be_so_many_steps_and_act_at_random_now_and_then() -> None:
    env = EnvironmentSource.of("CliffWalking-v1").make_vec(2)
    into_the_wall = play_steps(lambda o, first: np.full(len(first), 3), env, 60, seed=1)
    assert (into_the_wall.unfinished, into_the_wall.lengths, into_the_wall.returns) == (2, (30, 30), (-30.0, -30.0))
    pole = EnvironmentSource.of("CartPole-v1").make_vec(1)
    left = play_steps(lambda o, first: np.zeros(len(first), int), pole, 100, seed=1)
    assert left.unfinished == 0
    assert 8 <= len(left.returns) <= 12
    assert sum(left.lengths) <= 100


def test_dithering_takes_possible_actions_as_often_as_asked() -> None:
    space = gymnasium.spaces.Discrete(4, start=5)
    actor = Dithering(lambda o, first: np.full(len(first), 5), space, 0.4, seed=3)
    actions = np.concatenate([actor(None, np.zeros(100, bool)) for _ in range(50)])
    assert set(actions) == {5, 6, 7, 8}
    assert np.mean(actions != 5) == pytest.approx(0.3, abs=0.03)
    masks = np.tile([1, 0, 1, 0], (100, 1))

    def five(observations: Any, first: Any, masks: Any = None) -> Any:
        return np.full(len(first), 5)

    masked = Dithering(five, space, 1.0, seed=3)
    assert set(masked(None, np.zeros(100, bool), masks)) == {5, 7}
    with pytest.raises(ConfigError, match="callbacks/epochs: epsilon needs Discrete actions, not Box: leave it 0"):
        Dithering(actor, gymnasium.spaces.Box(0, 1), 0.1, seed=3)


def rows(path: Path) -> list[dict[str, str]]:
    header, *lines = path.read_text().splitlines()
    return [dict(zip(header.split(","), line.split(","), strict=True)) for line in lines]


def test_simple_dqn_has_sixteen_columns_and_a_row_for_each_phase(tmp_path: Path) -> None:
    others = "core/evaluate:every=300,episodes=1"  # whose evaluations end no epoch
    callbacks = [others, "callbacks/epochs:steps=600,episodes=3,epsilon=0.05", "callbacks/simple_dqn_csv"]
    config = {"learning_starts": 100, "diagnostics": True, "buffer_size": 1_000, "train_every": 20, "epsilon": 0.5}
    run = learn(
        tmp_path / "run", callbacks, algorithm="deep/dqn", env="CartPole-v1", env_options={}, steps=1_200, config=config
    )
    table = rows(run.folder / "simple_dqn.csv")
    assert tuple(table[0]) == COLUMNS
    assert len(COLUMNS) == 16
    assert [(row["epoch"], row["phase"]) for row in table] == [
        ("1", "train"),
        ("1", "test"),
        ("2", "train"),
        ("2", "test"),
    ]
    first = [episode.return_ for episode in read_episodes(run.folder) if episode.step <= 600]
    train, test = table[0], table[3]
    assert (train["steps"], train["nr_games"], train["total_train_steps"]) == ("600", str(len(first)), "600")
    assert float(train["average_reward"]) == pytest.approx(np.mean(first))
    assert (float(train["min_game_reward"]), float(train["max_game_reward"])) == (min(first), max(first))
    assert (train["last_exploration_rate"], test["last_exploration_rate"]) == ("0.5", "0.05")
    assert (train["replay_memory_count"], test["replay_memory_count"]) == ("600", "1000")
    assert train["weight_updates"] == "26"
    assert float(train["meancost"]) > 0
    assert train["meanq"] != ""
    assert (test["meancost"], test["nr_games"]) == ("", "3")
    assert float(test["average_reward"]) == pytest.approx(run.evaluations[-1].mean)


def test_a_phase_remembers_what_was_measured_last_but_not_the_means(tmp_path: Path) -> None:
    phase = Phase()
    phase.add(Progress(10, [Episode(10, 3.0, 10, 0)], {"loss": 2.0, "train/updates": 7.0}))
    after = Phase.of(phase.next(learn(tmp_path / "run", [], steps=10), 10).state())
    assert (phase.games, phase.average, phase.mean("loss")) == (1, 3.0, 2.0)
    assert (after.games, after.average, after.mean("loss"), after.begun_step) == (0, None, None, 10)
    assert after.newest == {"loss": 2.0, "updates": 7.0}


def test_a_phase_without_a_finished_game_invents_none(tmp_path: Path) -> None:
    callbacks = ["callbacks/epochs:steps=4,episodes=1", "callbacks/simple_dqn_csv", "callbacks/renom_log:show=nothing"]
    run = learn(tmp_path / "run", callbacks, steps=4)
    train = rows(run.folder / "simple_dqn.csv")[0]
    assert (train["nr_games"], train["average_reward"]) == ("0", "")
    assert rows(run.folder / "renom.csv") == []


def test_renom_has_its_keys_and_says_its_messages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = RenomLog(show="episodes")
    run = learn(tmp_path / "run", ["callbacks/epochs:steps=2000,episodes=2", log], steps=4_000)
    episodes, told = run.episodes, log.result()
    assert tuple(told) == KEYS
    assert told["sum_reward"] == [episode.return_ for episode in episodes]
    assert told["total_step"] == [episode.step for episode in episodes]
    assert told["total_episode"] == list(range(1, len(episodes) + 1))
    assert told["epoch"] == [1.0 if episode.step <= 2_000 else 2.0 for episode in episodes]
    assert set(told["max_epoch"]) == {2.0}
    assert set(told["epoch"]) == {1.0, 2.0}
    epochs = log.result_epoch("epoch", "test_reward", "epoch_episode", "sum_reward")
    assert epochs["test_reward"] == [test.mean for test in run.evaluations]
    assert sum(count or 0 for count in epochs["epoch_episode"]) == len(episodes)
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == len(episodes) + 2
    last = printed[-1]
    assert last.startswith("epoch 002 avg_loss:")
    total, mean = epochs["sum_reward"][1] or 0.0, run.evaluations[1].mean
    assert f"total reward in epoch: [train:{total:4.3f} test:{mean:4.3f}] avg train reward in episode:" in last
    assert printed[0].startswith("epoch 0001 epsilon 0.")


def test_messages_of_ones_own_survive_the_recipe(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = RenomLog(epoch_keys=("epoch", "test_reward"), epoch_message='epoch {:d}, "test" (greedy): {:.1f}')
    run = learn(tmp_path / "run", ["callbacks/epochs:steps=500,episodes=1", log, StopAt(600)])
    rlhub.resume(run.folder, callbacks=[StopAt(0)], progress=False)
    scores = [test.mean for test in run.evaluations]
    assert capsys.readouterr().out.splitlines() == [
        f'epoch {number}, "test" (greedy): {score:.1f}' for number, score in enumerate(scores, 1)
    ]


class Continuous(rlhub.Callback):
    """Gives a run continuous actions, before any other callback has seen it."""

    def on_start(self, run: Run) -> None:
        run.action_space = gymnasium.spaces.Box(0, 1)


BAD = [
    (
        ["callbacks/simple_dqn_csv"],
        "callbacks/simple_dqn_csv needs callbacks/epochs once among the callbacks; there are 0",
    ),
    (
        ["callbacks/renom_log"],
        "callbacks/renom_log needs callbacks/epochs once among the callbacks; there are 0 of it.",
    ),
    (
        [Epochs(), Epochs(steps=3)],
        "callbacks/epochs needs callbacks/epochs once among the callbacks; there are 2 of it.",
    ),
    (["callbacks/renom_log:keys=[state]"], "keys has no key 'state': a run records no single steps. It has: entropy,"),
    (["callbacks/renom_log:keys=[]"], "callbacks/renom_log: keys must name at least one of entropy, "),
    (
        ['callbacks/renom_log:keys=[epoch,loss],message="{} {} {}"'],
        "message must have one {} for each of keys, such as {:4.3f} or, for what is counted, {:d}, not '{} {} {}'.",
    ),
    (['callbacks/renom_log:keys=[loss],message="{:d}"'], "message must have one {} for each of keys"),
    ([Continuous(), "callbacks/epochs:epsilon=0.1"], "epsilon needs Discrete actions, not Box: leave it 0."),
    (["callbacks/epochs:steps=0"], "callbacks/epochs: steps must be at least 1, not 0."),
]


@pytest.mark.parametrize(("callbacks", "message"), BAD, ids=[message[:50] for _, message in BAD])
def test_what_cannot_be_is_said_before_the_first_step(callbacks: list[Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        learn(tmp_path / "run", callbacks)
    assert message in str(error.value)
    assert not (tmp_path / "run" / "experiment.toml").exists()
