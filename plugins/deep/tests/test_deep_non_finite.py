"""Every algorithm that meets a number that is not finite: it stops in time, and its update can be made again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core import NonFiniteError, RunError, checkpoint, finite
from rlhub_core.cli import app

HUGE = 3e38  # finite, but the sum of two of them is none as float32


class Payday(gymnasium.Env[Any, Any]):
    """Episodes of six steps; one in eight pays a reward that is finite and huge, from the third episode on."""

    def __init__(self, continuous: bool = False, huge: float = HUGE) -> None:
        self.observation_space = Box(-1.0, 1.0, (3,), np.float32)
        self.action_space = Box(-1.0, 1.0, (2,), np.float32) if continuous else Discrete(2)
        self.huge, self._time, self._episode = huge, 0, 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self._time, self._episode = 0, 1 if seed is not None else self._episode + 1
        return self._seen(), {}

    def step(self, action: Any) -> Any:
        self._time += 1
        pays = self._episode > 2 and self.np_random.random() < 0.125
        return self._seen(), self.huge if pays else 0.5, self._time == 6, False, {}

    def _seen(self) -> Any:
        return self.np_random.uniform(-1, 1, 3).astype(np.float32)


class Control(Payday):
    """The same with continuous actions."""

    def __init__(self, **options: Any) -> None:
        super().__init__(continuous=True, **options)


SMALL: dict[str, Any] = {"hidden_sizes": (8,)}
OFTEN = SMALL | {"learning_starts": 8, "batch_size": 16, "train_every": 1, "buffer_size": 2_000}
DIVERGING = {"learning_rate": 1e30}
# name -> environment, hyper-parameters
CASES: dict[str, tuple[type[Payday], str, dict[str, Any]]] = {
    "dqn": (Payday, "deep/dqn", OFTEN),
    "dqn, huge step": (Payday, "deep/dqn", OFTEN | DIVERGING | {"optimizer": "sgd", "max_grad_norm": None}),
    "dqn, mse, prioritised": (Payday, "deep/dqn", OFTEN | {"loss": "mse", "prioritized": True, "double": True}),
    "dqn, bf16": (Payday, "deep/dqn", OFTEN | {"precision": "bf16", "loss": "mse"}),
    "dqn, noisy and dueling": (Payday, "deep/dqn", OFTEN | {"noisy": True, "dueling": "mean", "loss": "mse"}),
    "dqn, several at once": (Payday, "deep/dqn", OFTEN | {"gradient_steps": 5, "loss": "mse"}),
    "c51": (Payday, "deep/c51", OFTEN | DIVERGING | {"optimizer": "sgd"}),
    "qrdqn": (Payday, "deep/qrdqn", OFTEN | {"quantiles": 5}),
    "ddpg": (Control, "deep/ddpg", OFTEN),
    "td3": (Control, "deep/td3", OFTEN),
    "sac": (Control, "deep/sac", OFTEN),
    "sac, its actor": (Control, "deep/sac", OFTEN | {"learning_rate": 1e30, "critic_learning_rate": 1e-3}),
    "a2c": (Payday, "deep/a2c", SMALL),
    "a2c, continuous": (Control, "deep/a2c", SMALL),
    "ppo": (Payday, "deep/ppo", SMALL | {"rollout_length": 32, "minibatches": 4, "epochs": 2}),
    "ppo, huge step": (Control, "deep/ppo", SMALL | DIVERGING | {"rollout_length": 32, "minibatches": 4}),
    "pqn": (Payday, "deep/pqn", SMALL | {"rollout_length": 16}),
    "reinforce": (Payday, "deep/reinforce", SMALL | {"normalize_returns": False, "episodes_per_update": 4}),
    "reinforce, baseline": (Payday, "deep/reinforce", SMALL | {"baseline": True, "episodes_per_update": 4}),
    "a3c": (Payday, "deep/a3c", SMALL | {"rollouts_together": 4}),
}


def diverge(name: str, folder: Path, **settings: Any) -> NonFiniteError:
    """Train until the run stops at a number that is not finite, and return the error."""
    env, algorithm, config = CASES[name]
    given: dict[str, Any] = {"steps": 4_000, "num_envs": 2, "config": config, "folder": folder, **settings}
    every = ["core/checkpoint:every=40,keep=50"]
    with pytest.raises(NonFiniteError) as caught:
        rlhub.train(algorithm, env, callbacks=every, progress=False, **given)
    return caught.value


def is_finite(run: Path) -> bool:
    """Return whether every checkpoint of a run holds nothing but finite numbers."""
    folders = [run / "checkpoints" / f"{step:012d}" for step in checkpoint.steps(run / "checkpoints")]
    return bool(folders) and all(np.isfinite(array).all() for each in folders for _, array in finite.arrays(each))


@pytest.mark.parametrize("name", CASES)
def test_a_run_stops_in_time_and_its_update_can_be_made_again(name: str, tmp_path: Path) -> None:
    run = tmp_path / "run"
    error = diverge(name, run)
    algorithm = CASES[name][1]
    assert str(error).startswith(f"{algorithm} at step ")
    assert " is " in error.what
    assert "Try a smaller learning_rate" in str(error)
    good = checkpoint.steps(run / "checkpoints")[-1]
    assert any(f"The checkpoint of step {good:,} stays: rlhub resume {run}" in note for note in error.__notes__)
    assert any(f"rlhub replay-update {run}" in note for note in error.__notes__)
    assert is_finite(run)
    found = rlhub.replay_update(run)
    assert found.reproduced is True, found.differences
    assert (found.differences, found.changes) == ([], [])
    assert found.error == str(error)
    assert found.terms or found.arrays
    assert found.transitions or algorithm == "deep/a3c"  # whose workers play by themselves
    assert not any(path.name.startswith("replay") for path in found.folder.rglob("*"))


def test_what_the_command_says(tmp_path: Path) -> None:
    run = tmp_path / "run"
    diverge("dqn", run)
    said = CliRunner().invoke(app, ["replay-update", str(run)])
    assert said.exit_code == 0, said.output
    assert "The update was made again: every number is the same, bit for bit." in said.output
    assert "Rows of the batch with the largest errors:" in said.output
    assert "loss = inf" in said.output
    told = json.loads(CliRunner().invoke(app, ["replay-update", str(run), "--json"]).output)
    assert told["reproduced"] is True
    assert told["terms"]["loss"] == "inf"
    assert told["worst"][0]["reward"] == pytest.approx(HUGE, rel=1e-6)


def test_an_update_is_made_again_with_the_threads_it_was_made_with(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    diverge("ppo", tmp_path / "run", threads=before + 1)
    told = rlhub.replay_update(tmp_path / "run")
    assert (told.reproduced, told.changes) == (True, [])
    assert torch.get_num_threads() == before


def test_a_number_that_differs_is_told(tmp_path: Path) -> None:
    run = tmp_path / "run"
    diverge("ppo", run)
    folder = next((run / "postmortem").iterdir())
    found = rlhub.state.load(folder, "found")
    found["gradient_norm"] = np.asarray(1.0)
    rlhub.state.save(folder, "found", found)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["provenance"]["torch_threads"] = 9_999  # which nobody computes with
    _hash_again(folder, manifest)
    told = rlhub.replay_update(run)
    assert told.reproduced is False
    assert told.differences == ["gradient_norm"]
    assert told.changes == ["torch_threads 9999 -> 1"]
    said = CliRunner().invoke(app, ["replay-update", str(run)])
    assert said.exit_code == 1
    assert "these differ: gradient_norm" in said.output
    assert "torch_threads 9999 -> 1" in said.output


def _hash_again(folder: Path, manifest: dict[str, Any]) -> None:
    """Write a post-mortem anew, as if it had been so from the beginning."""

    def fill(new: Path) -> dict[str, Any]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.name != "manifest.json":
                (new / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
                (new / path.relative_to(folder)).write_bytes(path.read_bytes())
        return {"provenance": manifest["provenance"]}

    checkpoint.write(folder.parent, manifest["step"], fill)


def test_a_run_goes_on_from_its_last_good_checkpoint(tmp_path: Path) -> None:
    run = tmp_path / "run"
    diverge("dqn", run)
    good = checkpoint.steps(run / "checkpoints")[-1]
    resumed = rlhub.resume(run, env=Payday, steps=good + 4, callbacks=[], progress=False)
    assert (resumed.restored, resumed.steps) == ("exact", good + 4)


def test_one_post_mortem_is_kept(tmp_path: Path) -> None:
    run = tmp_path / "run"
    diverge("dqn", run)
    first = [path.name for path in (run / "postmortem").iterdir()]
    with pytest.raises(NonFiniteError):
        rlhub.resume(run, env=Payday, progress=False)
    assert [path.name for path in (run / "postmortem").iterdir()] == first  # the same again, for the resume is exact


def test_a_bad_candidate_is_named(tmp_path: Path) -> None:
    class Windfall(Payday):
        def step(self, action: Any) -> Any:
            observation, _, terminated, truncated, info = super().step(action)
            return observation, 1.7e308 * terminated, terminated, truncated, info

    config = {"hidden_sizes": (4,), "episodes": 2}
    with pytest.raises(NonFiniteError, match=r"the return of member 0 of \d+ is inf, no finite number") as caught:
        rlhub.train("deep/cmaes", Windfall, steps=2_000, config=config, folder=tmp_path / "run")
    assert is_finite(tmp_path / "run")
    found = rlhub.replay_update(tmp_path / "run")
    assert found.reproduced is None
    assert {each.name for each in found.arrays} == {"returns", "weights"}
    assert "cannot be made again" in str(found)
    assert str(caught.value).startswith("deep/cmaes at step ")


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("deep/openai_es", {"optimizer": "sgd", "learning_rate": 1e30}),
        ("deep/cmaes", {"update": "rank-mu", "alpha_mu": 1e200}),
        ("deep/cmaes", {"sigma": 1e33, "population_size": 4}),
    ],
    ids=["openai_es", "rank-mu", "cma-es"],
)
def test_a_search_that_diverges(name: str, config: dict[str, Any], tmp_path: Path) -> None:
    config = {"hidden_sizes": (4,), "episodes": 1, **config}
    with pytest.raises(NonFiniteError):
        rlhub.train(name, lambda: Payday(huge=1.0), steps=50_000, config=config, folder=tmp_path / "run")
    assert is_finite(tmp_path / "run")
    assert rlhub.replay_update(tmp_path / "run").reproduced is True


def test_imitation_that_diverges(tmp_path: Path) -> None:
    def teacher(observations: Any, first: Any) -> Any:
        return (observations[:, 0] * observations[:, 1] > 0).astype(np.int64)

    config = SMALL | DIVERGING | {"optimizer": "sgd", "activation": "relu", "teacher": teacher}
    with pytest.raises(NonFiniteError, match=r"cross_entropy|gradient's norm"):
        rlhub.train("deep/imitation", lambda: Payday(huge=1.0), steps=500, config=config, folder=tmp_path / "run")
    assert is_finite(tmp_path / "run")
    with pytest.raises(RunError, match="pass them again: config=teacher"):
        rlhub.replay_update(tmp_path / "run")
    assert rlhub.replay_update(tmp_path / "run", config={"teacher": teacher}).reproduced is True


def test_a_network_of_ones_own_draws_the_same_again(tmp_path: Path) -> None:
    def network(space: Any, outputs: int) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(3, 8), torch.nn.Dropout(0.5), torch.nn.Linear(8, outputs))

    config = OFTEN | {"network": network, "loss": "mse"}
    with pytest.raises(NonFiniteError):
        rlhub.train("deep/dqn", Payday, steps=500, config=config, folder=tmp_path / "run")
    assert rlhub.replay_update(tmp_path / "run", config={"network": network}).reproduced is True


def test_the_optimiser_has_changed_nothing() -> None:
    from rlhub_deep.modules import make_module
    from rlhub_deep.network import Network, Optimizer

    network = Network(make_module(Box(-1, 1, (3,)), [2], hidden_sizes=(4,), activation="relu", seed=0))
    optimizer, before = Optimizer(network, "adam"), network.weights.clone()
    network.gradient[3] = float("nan")
    with pytest.raises(NonFiniteError, match="The gradient's norm is nan") as caught:
        optimizer.step(1e-3, 0.5)
    assert torch.equal(network.weights, before)
    assert optimizer.state()["state"] == {}
    assert np.isnan(caught.value.found["gradient/layers.0.weight"]).sum() == 1
