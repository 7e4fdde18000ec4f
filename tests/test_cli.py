"""The command line: what it prints, how it fails, and that every command does its work on a real run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from rlhub_core import checkpoint
from rlhub_core.cli import app

pytestmark = pytest.mark.usefixtures("toy")
TRAIN = ("train", "toy/random", "toy/Corridor-v0")


def rlhub(*arguments: object) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def sentence(*arguments: object, code: int = 2) -> str:
    """Return the sentence with which a command fails; there must be nothing else."""
    result = rlhub(*arguments)
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr.strip()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run of 200 steps."""
    folder = tmp_path / "run"
    result = rlhub(*TRAIN, "--steps", 200, "--callback", "core/evaluate:every=100,episodes=2", "--out", folder, "-q")
    assert result.exit_code == 0, result.output
    return folder


def test_list_gives_one_line_a_thing_in_a_pipe() -> None:
    lines = rlhub("list").stdout.splitlines()
    assert "toy/random\talgorithm\trlhub-toy 1.0\twalks at random" in lines
    assert "toy/Corridor-v0\tenvironment\trlhub-toy 1.0\tat most 50 steps an episode" in lines
    assert rlhub("list", "callbacks").stdout == rlhub("list", "callback").stdout != ""


def test_list_of_an_unknown_kind() -> None:
    assert sentence("list", "algoritms") == (
        "There is no kind 'algoritms'. Did you mean 'algorithms'? "
        "Kinds: adapters, algorithms, callbacks, commands, environments, wrappers."
    )


def test_info_shows_every_hyper_parameter() -> None:
    out = rlhub("info", "random").stdout
    assert "right\tfloat or schedule\t0.7\t0 to 1\t\tprobability of a step to the right" in out
    assert "pause\tfloat\t0.0\t≥ 0\ts\tsleep at each step" in out
    assert "presets\tbrisk (toy/Corridor-v0)" in out


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("toy/count", "from_step\tint\t0\t≥ 0\tenv steps\tfirst step that counts"),
        ("toy/scale", "by\tfloat\t10.0"),
        ("toy/Corridor-v0", "length\tint\t8"),
        ("toy/Corridor-v0", "observations\tBox(0.0, 1.0, (1,), float32)"),
        ("CartPole-v1", "time limit\t500 steps"),
        ("core/evaluate", "episodes\tint\t10\t≥ 1\t\tepisodes an evaluation"),
    ],
)
def test_info_of_other_things(name: str, line: str) -> None:
    assert line in rlhub("info", name).stdout.splitlines()


def test_info_of_nothing() -> None:
    assert sentence("info", "toy/randon") == (
        "Nothing installed is called 'toy/randon'. Did you mean 'toy/random'? See `rlhub list`."
    )
    assert sentence("info", "maze/Tiny-v0").endswith(
        "If a package offers it: pip install rlhub-maze. See `rlhub list`."
    )


def test_train_says_where_the_run_is_and_what_is_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    arguments = (*TRAIN, "right=0.9", "--steps", "3e2", "--num-envs", 2, "--wrapper", "toy/scale:by=2", "--out", folder)
    result = rlhub(*arguments)
    assert result.exit_code == 0
    assert result.stdout.startswith("toy/random on toy/Corridor-v0: 300 steps in ")
    assert f"rlhub evaluate {folder}" in result.stdout
    assert "300/300 steps" in result.stderr
    recipe = (folder / "experiment.toml").read_text()
    assert "right = 0.9" in recipe
    assert "num_envs = 2" in recipe
    assert 'wrappers = [\n    "toy/scale:by=2",\n]' in recipe


def test_train_with_a_preset(tmp_path: Path) -> None:
    rlhub(*TRAIN, "--preset", "brisk", "--out", tmp_path / "run", "-q")
    assert "right = 0.9" in (tmp_path / "run" / "experiment.toml").read_text()


def test_train_a_recipe_again(run: Path, tmp_path: Path) -> None:
    again, other = tmp_path / "again", tmp_path / "other"
    assert rlhub("train", run / "experiment.toml", "--out", again, "-q").exit_code == 0
    assert (again / "episodes.csv").read_bytes() == (run / "episodes.csv").read_bytes()
    assert rlhub("train", run / "experiment.toml", "--seed", 1, "--out", other, "-q").exit_code == 0
    assert (other / "episodes.csv").read_bytes() != (run / "episodes.csv").read_bytes()
    assert sentence("train", run / "experiment.toml", "--callback", "toy/count").endswith(
        "says these itself: --callback. Change them in the file."
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            ("train", "toy/randon", "CartPole-v1", "--steps", 9),
            "No algorithm is called 'toy/randon'. Did you mean 'toy/random'? Installed: toy/random.",
        ),
        (
            ("train", "maze/dqn", "CartPole-v1", "--steps", 9),
            "No algorithm is called 'maze/dqn'. If a package offers it: pip install rlhub-maze. Installed: toy/random.",
        ),
        ((*TRAIN, "rigth=1", "--steps", 9), "toy/random has no hyper-parameter 'rigth'. Did you mean 'right'?"),
        ((*TRAIN, "right=2", "--steps", 9), "toy/random: right must be in [0, 1], not 2.0."),
        (
            (*TRAIN, "right=often", "--steps", 9),
            "toy/random: right must be float or schedule, not 'often'.",
        ),
        ((*TRAIN, "right", "--steps", 9), "'right' is not KEY=VALUE, such as learning_rate=0.001."),
        (
            ("train", "toy/random", "Pendulum-v1", "--steps", 9),
            "toy/random needs a Discrete action space; Pendulum-v1 has Box(-2.0, 2.0, (1,), float32). "
            "Algorithms that fit: none.",
        ),
        (
            ("train", "toy/random", "CartPoel-v1", "--steps", 9),
            "No environment is called 'CartPoel-v1'. Did you mean 'CartPole-v1' or 'CartPole-v0' or "
            "'phys2d/CartPole-v1'? See `rlhub list environments`.",
        ),
        (("train", "toy/random"), "Say where to train toy/random: rlhub train toy/random ENV, such as CartPole-v1."),
        (TRAIN, "Say how long to train, in env steps of all environments together: --steps 50000."),
        ((*TRAIN, "--steps", 0), "steps must be a positive integer, not 0."),
        ((*TRAIN, "--steps", "many"), "steps must be a positive integer, not 'many'."),
        ((*TRAIN, "--steps", 9, "--num-envs", 0), "num_envs must be a positive integer, not 0."),
        ((*TRAIN, "--steps", 9, "--num-envs", 1.5), "num_envs must be a positive integer, not 1.5."),
        ((*TRAIN, "--steps", 9, "--seed", -1), "seed must be an integer from 0 on, not -1."),
        ((*TRAIN, "--steps", 9, "--preset", "x"), "toy/random has no preset 'x'. It has: brisk."),
        (
            (*TRAIN, "--steps", 9, "--callback", "toy/cuont"),
            "No callback is called 'toy/cuont'. Did you mean 'toy/count'? Installed: core/checkpoint, core/evaluate, "
            "core/progress, core/stop_after, core/stop_on_return, toy/count, toy/die, toy/fail.",
        ),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: tuple[object, ...], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sentence(*arguments, "--quiet") == said
    assert not (tmp_path / "runs" / "x").exists()


def test_a_folder_that_holds_another_run(run: Path) -> None:
    assert sentence(*TRAIN, "--steps", 9, "--out", run) == (
        f"{run} holds another run. Resume it (rlhub resume {run}), or choose another folder."
    )


@pytest.mark.parametrize("command", ["resume", "evaluate", "record", "plot"])
def test_a_folder_that_is_no_run(command: str, tmp_path: Path) -> None:
    assert sentence(command, tmp_path) == f"{tmp_path} is no run: it has no experiment.toml."


def test_a_bare_name_that_two_bear(toy: Path, install: Callable[..., Path], on_path: Callable[[Path], None]) -> None:
    plugin = (toy / "rlhub_toy" / "plugin.py").read_text().replace("toy/", "tin/")
    install(toy, "rlhub-tin", "2.0", {"rlhub_tin.py": plugin}, {"tin": "rlhub_tin"})
    on_path(toy)
    expected = "'random' is offered by tin/random (rlhub-tin 2.0) and toy/random (rlhub-toy 1.0). Name one."
    assert sentence("train", "random", "toy/Corridor-v0", "--steps", 9) == expected
    assert sentence("info", "random") == expected


def test_a_broken_plugin(toy: Path, install: Callable[..., Path], on_path: Callable[[Path], None]) -> None:
    install(
        toy, "rlhub-sad", "1.0", {"rlhub_sad.py": "import nowhere"}, {"sad": "rlhub_sad"}, ["numpy<1", "rlhub-core"]
    )
    on_path(toy)
    expected = (
        "Plugin 'sad' (rlhub-sad 1.0) is installed but could not be loaded: ModuleNotFoundError: nowhere. "
        "Try: pip install rlhub-sad."
    )
    assert sentence("train", "sad/dqn", "CartPole-v1", "--steps", 9) == expected
    assert sentence("info", "sad/dqn") == expected
    listing = rlhub("list")
    assert listing.exit_code == 0
    assert listing.stderr == "Broken plugins (see `rlhub plugins`): sad.\n"
    assert "sad\tbroken\trlhub-sad 1.0\tModuleNotFoundError: nowhere" in rlhub("plugins").stdout
    assert "import nowhere" in rlhub("plugins", "--traceback").stderr
    examined = rlhub("doctor")
    assert examined.exit_code == 1
    assert "✗ rlhub-sad needs numpy<1; numpy " in examined.stdout
    assert "✗ plugin 'sad' does not load: ModuleNotFoundError: nowhere\n  → pip install" in examined.stdout


def test_doctor_finds_nothing_wrong() -> None:
    for arguments in ((), ("--deep",)):
        result = rlhub("doctor", *arguments)
        assert result.exit_code == 0, result.output
        assert result.stdout.endswith("Nothing is wrong.\n")


def test_doctor_finds_two_claims(toy: Path, install: Callable[..., Path], on_path: Callable[[Path], None]) -> None:
    install(toy, "rlhub-toy-fork", "1.0", {}, {"toy": "rlhub_toy.plugin"})
    on_path(toy)
    result = rlhub("doctor")
    assert result.exit_code == 1
    assert "✗ plugin 'toy' is claimed by rlhub-toy and rlhub-toy-fork\n  → pip uninstall" in result.stdout


def test_plugins() -> None:
    assert "toy\tworks\trlhub-toy 1.0\t2 environments, 1 algorithm, 3 callbacks, 1 wrapper" in rlhub("plugins").stdout


def test_resume(run: Path) -> None:
    done = rlhub("resume", run, "-q")
    assert done.stdout.startswith("Nothing was left to do.")
    assert rlhub("resume", run, "--steps", 300, "-q").stdout.startswith("toy/random on toy/Corridor-v0: 300 steps")
    assert sentence("resume", run, "--steps", 0) == "steps must be a positive integer, not 0."


def test_evaluate(run: Path) -> None:
    text = rlhub("evaluate", run, "--episodes", 5).stdout
    assert "after 200 steps, 5 episodes" in text
    assert "95 % interval" in text
    facts = json.loads(rlhub("evaluate", run, "--episodes", 5, "--json").stdout)
    assert len(facts["returns"]) == 5
    assert facts["min"] <= facts["interval"][0] <= facts["mean"] <= facts["max"]
    assert sentence("evaluate", run, "--episodes", 0) == "episodes must be a positive integer, not 0."
    assert sentence("evaluate", run, "--step", 7).startswith(f"{run} has no checkpoint of step 7. It has: ")
    assert sentence("evaluate", run, "--env", "CartPole-v1").startswith(
        "The run was trained with observation space Box("
    )


def test_record_and_plot(run: Path) -> None:
    recorded = rlhub("record", run)
    assert recorded.stdout == f"{run}/videos/step-200.gif\n"
    assert Path(recorded.stdout.strip()).is_file()
    plotted = rlhub("plot", run)
    assert plotted.stdout == f"{run}/plots/rollout-return_mean.png\n"
    assert Path(plotted.stdout.strip()).is_file()


def test_a_failure_names_its_cause_and_keeps_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arguments = (*TRAIN, "--steps", 9, "--callback", "toy/fail", "-q")
    assert sentence(*arguments, "--out", tmp_path / "run", code=1) == (
        "RuntimeError: the disc is full. raised by the callback Fail at step 1; the run is saved. "
        "For the traceback, set RLHUB_DEBUG=1."
    )
    assert checkpoint.steps(tmp_path / "run" / "checkpoints") == [0, 1]
    monkeypatch.setenv("RLHUB_DEBUG", "1")
    assert "Traceback" in rlhub(*arguments, "--out", tmp_path / "other").stderr


def test_version_and_usage() -> None:
    assert rlhub("--version").stdout.startswith("rlhub 0.")
    assert rlhub("trian").exit_code == 2
    assert rlhub("train").exit_code == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_and_the_run_resumes(number: signal.Signals, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [
        sys.executable,
        "-m",
        "rlhub_core.cli",
        *TRAIN,
        "pause=0.001",
        "--steps",
        "1000000",
        "--out",
        str(folder),
    ]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stderr is not None
    assert "steps/s" in process.stderr.readline()  # it trains
    process.send_signal(number)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 128 + number
    assert f"Go on with: rlhub resume {folder}" in said
    assert "Traceback" not in said
    first, step = checkpoint.steps(folder / "checkpoints")
    assert first == 0  # a run can be resumed from its first moment on
    assert rlhub("resume", folder, "--steps", step + 20, "-q").stdout.startswith(
        f"toy/random on toy/Corridor-v0: {step + 20:,} steps"
    )


def test_listing_imports_nothing_heavy() -> None:
    program = (
        "import sys; from rlhub_core.cli import app; app(['list'], standalone_mode=False); "
        "print(sorted({'torch', 'rich', 'safetensors', 'matplotlib', 'PIL', 'ale_py'} & set(sys.modules)), "
        "file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stderr == "[]\n"
