"""Through the hub: what is offered, what is refused and how, and that it learns."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rlhub_sb3 import plugin
from typer.testing import CliRunner

import rlhub_core as rlhub
from rlhub_core.cli import app
from rlhub_core.hub import default_hub

FRAMES = "rlhub_sb3.frame_replay:FrameReplayBuffer"
LACKING = "needs sb3-contrib, which is not installed"
WITHOUT = """
import sys
sys.modules["sb3_contrib"] = None
from rlhub_sb3 import plugin

import rlhub_core as rlhub
from rlhub_core.hub import default_hub
assert "sb3/tqc" in rlhub.algorithms()
default_hub().load("algorithm", "sb3/sac")
try:
    rlhub.train("sb3/tqc", "Pendulum-v1", steps=10, folder=sys.argv[1])
except rlhub.PluginError as error:
    print(error)
"""


def test_plugin_loads_neither_torch_nor_sb3():
    code = (
        "import sys, rlhub_sb3.plugin as plugin; list(plugin.rlhub_algorithms());"
        "print([name for name in ('torch', 'stable_baselines3') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_algorithms_are_offered():
    offered = [name for name in rlhub.algorithms() if name.startswith("sb3/")]
    assert offered == [
        *("sb3/a2c", "sb3/ars", "sb3/crossq", "sb3/ddpg", "sb3/dqn", "sb3/maskable_ppo", "sb3/ppo", "sb3/qrdqn"),
        *("sb3/recurrent_ppo", "sb3/sac", "sb3/td3", "sb3/tqc", "sb3/trpo"),
    ]


def test_without_sb3_contrib_its_algorithms_are_listed_and_say_how_to_get_them(tmp_path):
    command = [sys.executable, "-c", WITHOUT, str(tmp_path / "run")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == f"This {LACKING}. Try: pip install 'rlhub-sb3[contrib]'."


def without_contrib(*arguments):
    """Run the command line where sb3-contrib is not installed."""
    code = "import sys; sys.modules['sb3_contrib'] = None; from rlhub_core.cli import main; main()"
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)


def test_without_sb3_contrib_what_is_known_of_its_algorithms_is_shown():
    done = without_contrib("info", "sb3/tqc")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr
    assert "description\tsb3-contrib's truncated quantile critics" in lines
    assert "actions\tBox" in lines
    assert "observations\tBox or Discrete or MultiDiscrete or MultiBinary or Dict" in lines
    assert f"cannot be used\tThis {LACKING}. Try: pip install 'rlhub-sb3[contrib]'." in lines
    assert "hyper-parameter" not in done.stdout


def test_without_sb3_contrib_the_doctor_remarks_on_it_and_finds_nothing_wrong():
    done = without_contrib("doctor", "--deep")
    assert done.returncode == 0, done.stdout
    names = "sb3/ars, sb3/crossq, sb3/maskable_ppo, sb3/qrdqn, sb3/recurrent_ppo, sb3/tqc, sb3/trpo"
    assert f"! plugin 'sb3' {LACKING}, for {names}\n  → pip install 'rlhub-sb3[contrib]'\n" in done.stdout
    assert "✓ plugin 'sb3': the other 8 on offer can be imported" in done.stdout


def test_a_broken_sb3_contrib_is_no_missing_one():
    code = (
        "import sys, types; sys.modules['sb3_contrib'] = types.ModuleType('sb3_contrib');"
        "from rlhub_core.cli import main; main()"
    )
    command = [sys.executable, "-c", code, "info", "sb3/tqc"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert (
        "cannot be used\tsb3-contrib is installed but cannot be imported (ModuleNotFoundError: No module" in done.stdout
    )
    assert "Try: pip install --upgrade 'rlhub-sb3[contrib]'." in done.stdout


def test_a_command_is_found_by_what_is_typed():
    for name in ("import-sb3", "sb3/import"):
        shown = CliRunner().invoke(app, ["info", name]).output.splitlines()
        assert shown[:2] == ["name\tsb3/import", "kind\tcommand"]
        assert "help\trlhub import-sb3 --help" in shown
    assert "Did you mean 'import-sb3'?" in CliRunner().invoke(app, ["info", "import-sb"]).output


def test_misfit_names_what_fits(tmp_path):
    with pytest.raises(rlhub.SpaceError) as error:
        rlhub.train(
            "sb3/dqn", "Pendulum-v1", steps=100, folder=tmp_path / "run", hub=rlhub.Hub({"sb3": plugin}, discover=False)
        )
    assert str(error.value).startswith("sb3/dqn needs a Discrete action space; Pendulum-v1 has Box(")
    assert "sb3/a2c" in str(error.value)
    assert "sb3/ppo" in str(error.value)


@pytest.mark.parametrize(
    ("algorithm", "config", "text"),
    [
        (
            "sb3/ppo",
            {"learning_rat": 1},
            "sb3/ppo has no hyper-parameter 'learning_rat'. Did you mean 'learning_rate'",
        ),
        ("sb3/ppo", {"n_epochs": "many"}, "sb3/ppo: n_epochs must be int or schedule, not 'many'."),
        ("sb3/ppo", {"gamma": 1.5}, "sb3/ppo: gamma must be in [0, 1], not 1.5."),
        ("sb3/ppo", {"n_steps": "linear(1, 2)"}, "sb3/ppo: n_steps cannot follow a schedule: the buffer is laid"),
        ("sb3/td3", {"action_noise": "gauss(1)"}, "sb3/td3: action_noise cannot be 'gauss(1)'. Write normal(sigma"),
        ("sb3/td3", {"action_noise": "normal(-1)"}, "sb3/td3: action_noise cannot be 'normal(-1)'"),
        ("sb3/td3", {"action_noise": "normal([1, 2])"}, "action_noise cannot be 'normal([1, 2])'"),
        ("sb3/td3", {"action_noise": "normal(__import__('os'))"}, "action_noise cannot be"),
        ("sb3/sac", {"ent_coef": "high"}, "sb3/sac: "),
        ("sb3/sac", {"her": True, "replay_buffer_class": FRAMES}, "her brings its own replay buffer"),
        ("sb3/crossq", {"her": True}, "sb3/crossq has no hyper-parameter 'her'"),
        ("sb3/ppo", {"policy": "FooPolicy"}, "sb3/ppo: Policy FooPolicy unknown"),
        ("sb3/ppo", {"use_sde": True}, "sb3/ppo: generalized State-Dependent Exploration"),
        ("sb3/dqn", {"train_freq": [4, "hours"]}, "sb3/dqn: The unit of the `train_freq` must be"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "os:system"}}, "'os:system' is not imported"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "torch.nn:functional"}}, "is no torch module"),
        ("sb3/ppo", {"policy_kwargs": {"activation_fn": "torch.nn:Nothing"}}, "'torch.nn:Nothing' cannot be imported"),
    ],
)
def test_wrong_hyper_parameters_are_refused_before_a_run_begins(algorithm, config, text, tmp_path):
    env = "CartPole-v1" if algorithm in ("sb3/ppo", "sb3/dqn") else "Pendulum-v1"
    with pytest.raises(rlhub.ConfigError) as error:
        rlhub.train(algorithm, env, steps=100, config=config, folder=tmp_path / "run")
    assert text in str(error.value)
    assert not (tmp_path / "run").exists()


def test_network_classes_may_be_written_as_text(tmp_path):
    config = {"n_steps": 32, "batch_size": 32, "policy_kwargs": {"activation_fn": "torch.nn:ReLU", "net_arch": [8]}}
    run = rlhub.train("sb3/ppo", "CartPole-v1", steps=64, config=config, folder=tmp_path / "run", progress=False)
    assert "ReLU" in str(run.algorithm.model.policy)
    observations = np.zeros((3, 4), np.float32)
    assert rlhub.load(tmp_path / "run").actor()(observations, np.zeros(3, np.bool_)).shape == (3,)


def test_readme_runs(tmp_path, monkeypatch, capsys):
    readme = (Path(__file__).parent.parent / "README.md").read_text()
    monkeypatch.chdir(tmp_path)
    exec(readme.split("```python")[1].split("```")[0], {})
    assert "episodes)" in capsys.readouterr().out


def test_documented_parameters_are_sb3s():
    from rlhub_sb3.parameters import FIXED, MEANINGS

    kinds = [default_hub().load("algorithm", name) for name in default_hub().offers("algorithm") if name[:4] == "sb3/"]
    fields = {field.name: field for kind in kinds for field in dataclasses.fields(kind.Config)}
    assert set(fields) == set(MEANINGS)
    assert set(fields) >= set(FIXED)
    assert fields["n_epochs"].default == 10
    assert {field.name for field in fields.values() if field.metadata.get("fixed")} == set(FIXED)
    assert all(field.metadata["meaning"] for field in fields.values())
