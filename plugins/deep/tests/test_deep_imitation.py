"""deep/imitation: any teacher, who acts, what is learnt, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gymnasium.spaces import Discrete
from rlhub_deep.imitation import Imitation

import rlhub_core as rlhub
from rlhub_core import ConfigError, SpaceError


def basic(observations: Any, first: Any) -> Any:
    """Push the cart to the side to which the pole leans."""
    return (observations[:, 2] > 0).astype(int)


def agreement(run: rlhub.Run, teacher: Any) -> float:
    """Return how often the likeliest action is the teacher's, where the policy itself comes."""
    same: list[bool] = []

    def both(observations: Any, first: Any) -> Any:
        own = run.actor()(observations, first)
        same.extend(own == teacher(observations, first))
        return own

    rlhub.evaluate(both, "CartPole-v1", episodes=20)
    return float(np.mean(same))


SMALL: dict[str, Any] = {
    "hidden_sizes": (8,),
    "learning_rate": 1e-2,
    "rollout_length": 5,
    "epochs": 3,
    "minibatches": 2,
}


def test_the_imitator_does_what_the_teacher_does() -> None:
    config = SMALL | {"teacher": basic, "learning_rate": "linear(1e-2, 0)"}
    run = rlhub.train("deep/imitation", "CartPole-v1", steps=60_000, num_envs=20, config=config)
    assert agreement(run, basic) > 0.93
    taught = rlhub.evaluate(basic, "CartPole-v1", episodes=100, seed=1)
    learnt = rlhub.evaluate(run, episodes=100, seed=1)
    assert learnt.mean == pytest.approx(taught.mean, abs=8)  # 42, where a random policy has 22


def test_a_plain_function_is_an_actor() -> None:
    evaluation = rlhub.evaluate(lambda seen, first: (seen[:, 2] > 0).astype(int), "CartPole-v1", episodes=500)
    assert 41 < evaluation.mean < 44  # the book printed 41.7 for 500 episodes
    assert 24 <= min(evaluation.returns) < max(evaluation.returns) <= 80


def test_continuous_actions_are_imitated() -> None:
    def teacher(observations: Any, first: Any) -> Any:
        return -0.5 * observations[:, 2:3]

    config = SMALL | {"teacher": teacher, "deviation": 0.5}
    run = rlhub.train("deep/imitation", "Pendulum-v1", steps=20_000, num_envs=20, config=config)
    observations = np.random.default_rng(0).uniform(-1, 1, (500, 3)).astype(np.float32) * [1, 1, 3]
    observations, first = observations.astype(np.float32), np.zeros(500, np.bool_)
    assert np.abs(run.actor()(observations, first) - teacher(observations, first)).mean() < 0.15


def test_a_run_teaches(tmp_path: Path) -> None:
    rlhub.train("deep/ppo", "CartPole-v1", steps=200, config={"rollout_length": 50}, folder=tmp_path / "teacher")
    config = SMALL | {"teacher_run": str(tmp_path / "teacher")}
    run = rlhub.train("deep/imitation", "CartPole-v1", steps=8_000, num_envs=20, config=config)
    assert agreement(run, rlhub.load(tmp_path / "teacher").actor()) > 0.93
    assert rlhub.resume(run.folder, steps=8_500).restored == "exact"


@pytest.mark.parametrize(("share", "expected"), [(0.0, 0.5), (0.5, 0.75), (1.0, 1.0)])
def test_who_acts(share: float, expected: float) -> None:
    config = Imitation.Config(
        teacher=lambda seen, first: np.ones(len(seen), int), teacher_acts=share, rollout_length=50
    )
    space = rlhub.make("CartPole-v1").observation_space
    imitation = Imitation(space, Discrete(2), config, seed=0, total_steps=100, device="cpu")
    collector, played = rlhub.Collector(rlhub.make_vec("CartPole-v1", 20), 0), []
    step = collector.step
    collector.step = lambda actions: (played.append(actions), step(actions))[1]  # type: ignore[method-assign]
    lessons, agreement = imitation.collect(collector, imitation.config.teacher)
    assert np.mean(played) == pytest.approx(expected, abs=0.05)
    assert lessons.action.tolist() == [1] * 1_000  # the teacher's, whoever acted
    assert agreement == pytest.approx(0.5, abs=0.05)


def test_actions_that_begin_at_no_0_are_imitated() -> None:
    config = Imitation.Config(teacher=lambda seen, first: 4 + (seen[:, 0] > 0), hidden_sizes=(8,), learning_rate=0.05)
    space = rlhub.make("CartPole-v1").observation_space
    imitation = Imitation(space, Discrete(2, start=4), config, seed=0, total_steps=100, device="cpu")

    class Shifted(rlhub.Collector):
        def step(self, actions: Any) -> Any:
            return super().step(actions - 4)

    for _ in imitation.train(Shifted(rlhub.make_vec("CartPole-v1", 50), 0), 20_000):
        pass
    observations = np.array([[-0.5, 0, 0, 0], [0.5, 0, 0, 0]], np.float32)
    assert imitation.actor()(observations, np.zeros(2, np.bool_)).tolist() == [4, 5]


def test_a_teacher_is_needed_and_one_only() -> None:
    with pytest.raises(
        ConfigError, match=r"needs a teacher: teacher=\(observations, first\) -> actions, or teacher_run"
    ):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10)
    with pytest.raises(ConfigError, match="one teacher: pass teacher or teacher_run, not both"):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10, config={"teacher": basic, "teacher_run": "runs/x"})


def test_what_a_teacher_says_must_be_actions() -> None:
    def talks_too_much(observations: Any, first: Any) -> Any:
        return np.zeros((len(observations), 1), int)

    config = {"teacher": talks_too_much}
    with pytest.raises(ConfigError, match=r"for 3 observations it must give actions of shape \(3,\), not \(3, 1\)"):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10, num_envs=3, config=config, folder="run")
    assert not Path("run/experiment.toml").exists()


@pytest.mark.parametrize("action", [2, -1, 0.5])
def test_a_teachers_actions_must_be_of_the_space(action: float) -> None:
    config = {"teacher": lambda seen, first: np.full(len(seen), action)}
    with pytest.raises(ConfigError, match=rf"its actions must be of Discrete\(2\); it gave {action}"):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10, num_envs=3, config=config)


def test_a_teachers_actions_are_clipped_to_a_box() -> None:
    config = SMALL | {"teacher": lambda seen, first: np.full((len(seen), 1), 50.0), "teacher_acts": 1.0}
    run = rlhub.train("deep/imitation", "Pendulum-v1", steps=8_000, num_envs=20, config=config)
    outputs = run.algorithm.network.of_arrays(np.zeros((1, 3), np.float32))  # type: ignore[attr-defined]
    assert 1 < outputs[0, 0] < 3


def test_a_resumed_run_has_the_teacher_it_had(tmp_path: Path) -> None:
    rlhub.train("deep/ppo", "CartPole-v1", steps=200, config={"rollout_length": 50}, folder=tmp_path / "teacher")
    config = SMALL | {"teacher_run": str(tmp_path / "teacher")}
    run = rlhub.train("deep/imitation", "CartPole-v1", steps=200, config=config)
    assert run.algorithm.teacher_step == 200  # type: ignore[attr-defined]
    rlhub.resume(tmp_path / "teacher", steps=400)
    assert rlhub.resume(run.folder, steps=300).algorithm.teacher_step == 200  # type: ignore[attr-defined]
    rlhub.resume(tmp_path / "teacher", steps=3_000)  # only the newest checkpoints are kept
    with pytest.raises(ConfigError, match=r"teacher_run: .* has no checkpoint of step 200"):
        rlhub.resume(run.folder, steps=400)


def test_a_run_that_cannot_teach_is_refused() -> None:
    with pytest.raises(ConfigError, match="teacher_run: There is no run or recipe at nowhere"):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10, config={"teacher_run": "nowhere"}, folder="run")
    assert not Path("run/experiment.toml").exists()
    rlhub.train("deep/dqn", "MountainCar-v0", steps=10, folder="teacher")
    with pytest.raises(SpaceError, match="was trained with observation space"):
        rlhub.train("deep/imitation", "CartPole-v1", steps=10, config={"teacher_run": "teacher"}, folder="run")
