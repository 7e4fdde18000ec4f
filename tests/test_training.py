"""Runs: the folder, the recipe, resuming, live objects, callbacks, and what bad input gets."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

import rlhub_core as rlhub
from rlhub_core import ConfigError, NotFoundError, Progress, RunError, SpaceError, TrustError, checkpoint, config
from rlhub_core.callbacks import Evaluate, StopOnReturn
from rlhub_core.evaluation import Evaluation
from rlhub_core.hub import default_hub
from rlhub_core.testing import ConstantValue, StopAt, check_exact_resume


@pytest.fixture(autouse=True)
def _toy_only(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def train(**settings: Any) -> rlhub.Run:
    every = "core/checkpoint:every=40"
    settings = {"steps": 400, "num_envs": 2, "folder": "run", "callbacks": [every], **settings}
    return rlhub.train("toy/random", "toy/Corridor-v0", **settings)


def test_a_run_is_a_folder_that_says_everything() -> None:
    run = train(callbacks=["core/evaluate:every=200,episodes=3"], config={"right": "linear(0.5, 0.9)"})
    assert {path.name for path in run.folder.iterdir()} == {
        ".lock",
        "experiment.toml",
        "provenance.json",
        "metrics.jsonl",
        "episodes.csv",
        "evaluations.jsonl",
        "checkpoints",
    }
    recipe = rlhub.Experiment.read(run.folder)
    assert {**vars(recipe)} == {
        **vars(run.experiment),
        "hyper_parameters": config.plain(run.experiment.hyper_parameters),
    }
    assert recipe.algorithm == "toy/random"
    assert recipe.hyper_parameters["right"] == "linear(0.5, 0.9, 400)"
    assert recipe.callbacks == ("core/evaluate:every=200,episodes=3", "core/checkpoint:every=1000")
    provenance = json.loads((run.folder / "provenance.json").read_text())
    assert provenance["distributions"]["rlhub-toy"] == "1.0"
    assert [evaluation.step for evaluation in run.evaluations] == [200, 400]
    assert all(len(evaluation.returns) == 3 for evaluation in run.evaluations)
    assert sum(episode.length for episode in run.episodes) <= 400
    lines = [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [100, 200, 300, 400]
    assert lines[0]["hyper_parameters/right"] == pytest.approx(0.6)
    assert run.steps == 400


def test_resume_leaves_what_an_uninterrupted_run_leaves() -> None:
    check_exact_resume("toy/random", "toy/Corridor-v0", steps=600, num_envs=3, log_every=50)


def test_a_finished_run_resumes_to_itself_and_can_be_made_longer() -> None:
    train()
    again = rlhub.resume("run")
    assert (again.steps, again.restored) == (400, "exact")
    assert rlhub.resume("run", steps=500).steps == 500
    assert rlhub.Experiment.read(Path("run")).steps == 500


def test_an_algorithm_of_another_number_of_steps_says_where_it_is() -> None:
    run = train(callbacks=[StopAt(100)])
    assert run.stopped == "step 100 reached"
    assert run.steps == 100
    loaded = rlhub.load("run")
    assert loaded.steps == 100
    assert rlhub.evaluate(loaded, episodes=2, seed=1) == rlhub.evaluate(loaded, episodes=2, seed=1)


def test_one_seed_makes_all_and_a_callback_changes_nothing() -> None:
    plain = train(folder="a", seed=5)
    watched = train(folder="b", seed=5, callbacks=["core/evaluate:every=50,episodes=2", "core/checkpoint:every=10"])
    other = train(folder="c", seed=6)
    assert plain.episodes == watched.episodes != other.episodes


def test_a_callback_that_raises_ends_the_run_at_a_checkpoint_and_is_named() -> None:
    class Clumsy(rlhub.Callback):
        def on_progress(self, run: rlhub.Run, progress: Progress) -> None:
            if progress.steps >= 100:
                raise ValueError("dropped it")

    with pytest.raises(ValueError, match="dropped it") as error:
        train(callbacks=[Clumsy()])
    assert error.value.__notes__ == ["raised by the callback Clumsy at step 100; the run is saved"]
    assert rlhub.load("run").steps == 100


class Clumsy(rlhub.Callback):
    """Raises at one moment."""

    def __init__(self, moment: str) -> None:
        self.moment, self.saves = moment, 0

    def drop(self, moment: str) -> None:
        if moment == self.moment:
            raise ValueError("dropped it")

    def on_start(self, run: rlhub.Run) -> None:
        self.drop("start")

    def on_record(self, run: rlhub.Run, record: Any) -> None:
        self.drop("record")

    def on_evaluation(self, run: rlhub.Run, evaluation: Evaluation) -> None:
        self.drop("evaluation")

    def on_end(self, run: rlhub.Run) -> None:
        self.drop("end")

    def save(self, folder: Path) -> None:
        self.saves += 1
        if self.saves > 1:
            self.drop("save")


@pytest.mark.parametrize(
    ("moment", "note", "step"),
    [
        ("record", "at step 100; the run is saved", 100),
        ("evaluation", "at step 100; the run is saved", 100),
        ("end", "at the end; the run is saved", 400),
        ("save", "while a checkpoint was written; the run has that of step 0", 0),
    ],
)
def test_whenever_a_callback_raises_it_is_named_and_the_run_has_a_checkpoint(moment: str, note: str, step: int) -> None:
    with pytest.raises(ValueError, match="dropped it") as error:
        train(callbacks=[Clumsy(moment), "core/evaluate:every=100,episodes=1"], log_every=100)
    assert error.value.__notes__ == [f"raised by the callback Clumsy {note}"]
    assert rlhub.load("run").steps == step


def test_a_callback_that_raises_before_the_first_step_is_named_and_the_folder_is_free() -> None:
    with pytest.raises(ValueError, match="dropped it") as error:
        train(callbacks=[Clumsy("start")])
    assert error.value.__notes__ == ["raised by the callback Clumsy before the first step"]
    assert train().steps == 400


def test_a_callback_that_raises_while_the_first_checkpoint_is_written_is_named_and_the_folder_is_free() -> None:
    class Hasty(Clumsy):
        """Raises at the first save already."""

        def save(self, folder: Path) -> None:
            self.drop("save")

    with pytest.raises(ValueError, match="dropped it") as error:
        train(callbacks=[Hasty("save")])
    assert error.value.__notes__ == [
        "raised by the callback Hasty while a checkpoint was written; it was the first, so nothing is saved"
    ]
    assert train().steps == 400


def test_checkpoints_that_a_callback_keeps_are_not_deleted() -> None:
    class Keep(rlhub.Callback):
        def on_progress(self, run: rlhub.Run, progress: Progress) -> None:
            if progress.steps in (50, 70, 300):
                run.keep_checkpoint()

    run = train(callbacks=[Keep(), StopAt(200), "core/checkpoint:every=20,keep=1"])
    assert checkpoint.steps(run.folder / "checkpoints") == [50, 70, 200]
    resumed = rlhub.resume("run", callbacks=[Keep(), StopAt(10**6)])
    assert resumed.snapshots == (50, 70, 300)
    assert checkpoint.steps(run.folder / "checkpoints") == [50, 70, 300, 400]


def test_steps_a_second_are_those_since_the_last_line_also_after_a_resume() -> None:
    train(callbacks=[StopAt(150)], log_every=100)
    rlhub.resume("run", callbacks=[StopAt(10**6)])
    lines = [json.loads(line) for line in Path("run/metrics.jsonl").read_text().splitlines()]
    before = [{"step": 0, "time/seconds": 0.0}, *lines]
    for last, line in zip(before, lines, strict=False):
        spent = line["time/seconds"] - last["time/seconds"]
        assert (line["step"] - last["step"]) / line["time/steps_per_second"] == pytest.approx(spent, abs=0.0021)


def test_stop_on_return_counts_training_or_evaluation_episodes() -> None:
    trained = train(folder="a", callbacks=["core/stop_on_return:value=-100,window=5"])
    assert trained.stopped == "return -100 reached over the last 5 episodes"
    evaluated = train(
        folder="b", callbacks=["core/evaluate:every=60,episodes=2", "core/stop_on_return:value=-100,of=evaluation"]
    )
    assert (evaluated.stopped, evaluated.steps) == ("return -100 reached in an evaluation", 60)


def test_stop_after_counts_episodes_across_a_resume() -> None:
    whole = train(folder="whole", callbacks=["core/stop_after:episodes=12"])
    assert len(whole.episodes) in (12, 13)  # two environments may end theirs in one step
    assert whole.stopped == f"{len(whole.episodes)} episodes played"
    again = train(folder="cut", callbacks=["core/stop_after:episodes=12", StopAt(whole.steps // 2)])
    assert len(again.episodes) < 12
    resumed = rlhub.resume("cut", callbacks=[StopAt(10**6)])
    assert (resumed.steps, resumed.stopped) == (whole.steps, whole.stopped)


def test_live_objects_are_mentioned_and_asked_for_again() -> None:
    rlhub.train("toy/random", ConstantValue, steps=50, folder="run", callbacks=[StopAt(20)])
    recipe = rlhub.Experiment.read(Path("run"))
    assert recipe.environment == "object:rlhub_core.testing.ConstantValue"
    with pytest.raises(RunError) as error:
        rlhub.resume("run")
    assert str(error.value) == (
        "The recipe only mentions these live objects; pass them again: callbacks=StopAt, env=ConstantValue."
    )
    assert rlhub.resume("run", env=ConstantValue, callbacks=[StopAt(0)]).restored == "exact"


class Doubled(gymnasium.RewardWrapper[Any, Any]):
    """Twice the reward."""

    def reward(self, reward: Any) -> float:
        return 2.0 * float(reward)


def test_a_live_wrapper_of_a_script_is_the_one_that_is_imported_from_it() -> None:
    class Same(gymnasium.Wrapper[Any, Any, Any, Any]):
        """As a script has it, and as it is imported from there."""

    Same.__module__, Same.__qualname__ = "__main__", "Same"
    run = rlhub.train("toy/random", "CartPole-v1", steps=20, wrappers=[Same])
    Same.__module__, Same.__qualname__ = "script", "Same"
    assert rlhub.load(run.folder, wrappers=[Same]).steps == 20
    Same.__qualname__ = "Other"
    with pytest.raises(RunError, match=r"The recipe has no object:script.Other"):
        rlhub.load(run.folder, wrappers=[Same])


def test_wrappers_that_wrap_nothing_are_refused() -> None:
    with pytest.raises(rlhub.EnvironmentContractError, match=r"nothing returned None, which is no gymnasium\.Env"):
        rlhub.make("CartPole-v1", wrappers=[nothing])  # type: ignore[list-item]
    with pytest.raises(ConfigError, match="wrappers must be a list, such as"):
        rlhub.make("CartPole-v1", wrappers="core/one")
    several = gymnasium.make_vec("CartPole-v1", 2)
    with pytest.raises(ConfigError, match="Wrappers are for single environments"):
        rlhub.make_vec(several, num_envs=2, wrappers=[gymnasium.Wrapper])


def nothing(env: Any) -> None:
    """A wrapper whose author forgot to return it."""


def test_a_live_wrapper_is_asked_for_again_to_resume_and_to_load() -> None:
    whole = rlhub.train("toy/random", ConstantValue, steps=50, folder="run", wrappers=[Doubled])
    with pytest.raises(RunError, match="pass them again: env=ConstantValue"):
        rlhub.load("run", wrappers=[Doubled])
    with pytest.raises(RunError, match="pass them again: wrappers=Doubled"):
        rlhub.load("run", env=ConstantValue)
    loaded = rlhub.load("run", env=ConstantValue, wrappers=[Doubled])
    assert rlhub.evaluate(loaded, episodes=2).mean == 2.0 * rlhub.evaluate(whole, ConstantValue, episodes=2).mean
    assert rlhub.resume("run", steps=60, env=ConstantValue, wrappers=[Doubled]).restored == "exact"


def test_classes_factories_and_objects_are_environments() -> None:
    for number, env in enumerate(
        (ConstantValue, lambda: ConstantValue(), ConstantValue(), gymnasium.make("CartPole-v1"))
    ):
        assert rlhub.train("toy/random", env, steps=10, folder=f"run{number}").steps == 10
    with pytest.raises(ConfigError, match="One environment object cannot be 2 environments"):
        rlhub.train("toy/random", ConstantValue(), steps=10, num_envs=2, folder="several")


def test_a_plain_function_is_an_actor() -> None:
    evaluation = rlhub.evaluate(
        lambda observations, first: (observations[:, 2] > 0).astype(int), "CartPole-v1", episodes=40, seed=3
    )
    assert len(evaluation.returns) == 40
    assert 35 < evaluation.mean < 50  # the notebook's basic policy: 41.7
    low, high = evaluation.interval
    assert low < evaluation.mean < high


def test_evaluation_episodes_are_shared_out_so_that_short_ones_are_not_favoured() -> None:
    class Growing(gymnasium.Env[Any, Any]):
        """The first environment made has episodes of one step, the second of ten, …"""

        made = 0

        def __init__(self) -> None:
            self.observation_space = gymnasium.spaces.Box(0, 1, (1,))
            self.action_space = gymnasium.spaces.Discrete(2)
            self.length, Growing.made = 1 + 9 * Growing.made, Growing.made + 1

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            self.time = 0
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            self.time += 1
            return np.zeros(1, np.float32), 1.0, self.time == self.length, False, {}

    evaluation = rlhub.evaluate(lambda o, first: np.zeros(len(first), int), Growing, episodes=4, num_envs=2)
    assert evaluation.returns == (1.0, 1.0, 10.0, 10.0)


def test_an_actor_that_never_ends_its_episode_is_cut_off_and_counted() -> None:
    evaluation = rlhub.evaluate(
        lambda o, first: np.full(len(first), 3),
        "CliffWalking-v1",
        episodes=2,
        longest_episode=50,  # walks into the wall
    )
    assert (evaluation.unfinished, evaluation.lengths) == (2, (50, 50))


def test_a_reward_that_is_learnt_from_is_not_the_score() -> None:
    run = train(reward_clip=0.1)
    assert {episode.return_ for episode in run.episodes} - {0.1, 0.0}


BAD: list[tuple[dict[str, Any], type[Exception], str]] = [
    ({"steps": 0}, ConfigError, "steps must be a positive integer, not 0."),
    ({"steps": None}, ConfigError, "Say how long to train: steps=… (env steps, all environments together)."),
    ({"num_envs": 0}, ConfigError, "num_envs must be a positive integer, not 0."),
    ({"num_envs": 1.5}, ConfigError, "num_envs must be a positive integer, not 1.5."),
    ({"seed": -1}, ConfigError, "seed must be an integer from 0 on, not -1."),
    ({"config": {"rigth": 1}}, ConfigError, "toy/random has no hyper-parameter 'rigth'. Did you mean 'right'?"),
    ({"config": {"right": 2}}, ConfigError, "toy/random: right must be in [0, 1], not 2.0."),
    ({"config": {"right": "linear(0, 2)"}}, ConfigError, "toy/random: right must be in [0, 1], not 2.0."),
    ({"callbacks": ["core/evaluat"]}, NotFoundError, "Did you mean 'core/evaluate'?"),
    ({"callbacks": ["core/evaluate:evry=3"]}, ConfigError, "core/evaluate has no option 'evry'. Did you mean 'every'?"),
    ({"callbacks": [42]}, ConfigError, "42 is no callback: pass a name or an rlhub_core.Callback object."),
    ({"preset": "tuned"}, ConfigError, "toy/random has no preset 'tuned'. It has: brisk."),
    ({"wrappers": ["toy/none"]}, NotFoundError, "No wrapper is called 'toy/none'."),
    ({"vectorization_mode": "many"}, ConfigError, "There is no vectorization mode 'many'."),
]


@pytest.mark.parametrize(("settings", "kind", "message"), BAD, ids=[str(next(iter(bad[0].items()))) for bad in BAD])
def test_what_cannot_be_as_asked_is_said_before_the_first_step(
    settings: Any, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        train(**settings)
    assert message in str(error.value)
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("env", "message"),
    [
        ("CartPole-v99", "No environment is called 'CartPole-v99'. Did you mean 'CartPole-v1'"),
        ("Cartpole-v1", "No environment is called 'Cartpole-v1'. Did you mean 'CartPole-v1'"),
        ("toy/Coridor-v0", "No environment is called 'toy/Coridor-v0'. Did you mean 'toy/Corridor-v0'?"),
        ("maze/Tiny-v0", "If a package offers it: pip install rlhub-maze."),
        ("no_such_module:Env-v0", "Environment 'no_such_module:Env-v0' needs the module 'no_such_module'. Install it."),
    ],
)
def test_an_unknown_environment(env: str, message: str) -> None:
    with pytest.raises(NotFoundError) as error:
        rlhub.train("toy/random", env, steps=10)
    assert message in str(error.value)


def test_spaces_that_do_not_fit_name_what_fits() -> None:
    with pytest.raises(SpaceError) as error:
        rlhub.train("toy/random", "Pendulum-v1", steps=10)
    assert str(error.value) == (
        "toy/random needs a Discrete action space; Pendulum-v1 has Box(-2.0, 2.0, (1,), float32). "
        "Algorithms that fit: none."
    )


def test_a_folder_that_holds_another_run_and_one_that_is_none() -> None:
    train()
    with pytest.raises(
        RunError, match=r"run holds another run\. Resume it \(rlhub resume run\), or choose another folder\."
    ):
        train()
    Path("empty").mkdir()
    with pytest.raises(RunError, match=r"empty is no run: it has no experiment\.toml\."):
        rlhub.resume("empty")
    with pytest.raises(RunError, match="There is no run or recipe at nowhere"):
        rlhub.load("nowhere")
    with pytest.raises(RunError, match=r"run has no checkpoint of step 7\. It has: 360, 400\."):
        rlhub.load("run", step=7)


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_it_used(capsys: pytest.CaptureFixture[str]) -> None:
    train()
    (Path("run/checkpoints/000000000400/run.json")).write_text("{}")
    assert rlhub.load("run").steps == 360
    assert "is damaged: run.json" in capsys.readouterr().err


def test_one_writer_a_run() -> None:
    class Intruder(rlhub.Callback):
        def on_progress(self, run: rlhub.Run, progress: Progress) -> None:
            rlhub.resume(run.folder, callbacks=[self])

    with pytest.raises(RunError, match=rf"run is being written by process {os.getpid()} on "):
        train(callbacks=["core/checkpoint:every=2", Intruder()])


class Diary(rlhub.Callback):
    """Writes down what it is told; wants to stop at the second evaluation where it is asked to."""

    def __init__(self, at: int | None = None) -> None:
        self.told: list[tuple[str, int]] = []
        self.at = at

    def on_progress(self, run: rlhub.Run, progress: Progress) -> None:
        self.told.append(("progress", progress.steps))

    def on_record(self, run: rlhub.Run, record: Any) -> None:
        self.told.append(("record", record["step"]))
        assert record == json.loads((run.folder / "metrics.jsonl").read_text().splitlines()[-1])

    def on_evaluation(self, run: rlhub.Run, evaluation: Evaluation) -> None:
        self.told.append(("evaluation", evaluation.step))
        assert evaluation == run.last_evaluation
        if evaluation.step == self.at:
            raise rlhub.StopTraining("seen enough")


def test_callbacks_are_told_of_lines_and_evaluations_after_the_progress() -> None:
    diary = Diary()
    run = train(callbacks=[diary, "core/evaluate:every=100,episodes=2"], log_every=100)
    assert [step for what, step in diary.told if what == "record"] == [100, 200, 300, 400]
    assert [step for what, step in diary.told if what == "evaluation"] == [100, 200, 300, 400]
    at_200 = [what for what, step in diary.told if step == 200]
    assert at_200 == ["progress", "record", "evaluation"]
    assert run.stopped == ""


def test_an_evaluation_may_end_a_run() -> None:
    run = train(callbacks=[Diary(at=200), "core/evaluate:every=100,episodes=2,keep_best=true"])
    assert (run.steps, run.stopped) == (200, "seen enough")
    assert run.last_checkpoint == 200


def test_runs_without_a_folder_are_numbered() -> None:
    folders = [rlhub.train("toy/random", "toy/Corridor-v0", steps=10).folder for _ in range(2)]
    assert [str(folder) for folder in folders] == [
        "runs/toy-corridor-v0-toy-random-1",
        "runs/toy-corridor-v0-toy-random-2",
    ]


def test_an_environment_may_be_adapted_or_refused() -> None:
    with pytest.raises(
        rlhub.EnvironmentContractError, match=r"builtins\.int is no gymnasium\.Env, and no adapter recognises it"
    ):
        rlhub.adapt(3)
    env = gymnasium.make("CartPole-v1")
    assert rlhub.adapt(env) is env


class Robot:
    """A foreign environment."""

    def drive(self) -> None: ...


class Driven(gymnasium.Env[Any, Any]):
    """It, adapted."""

    def __init__(self, robot: Any, gears: int = 3) -> None:
        self.robot, self.gears = robot, gears


def adapting(*names: str) -> rlhub.Hub:
    """Return a hub that adapts robots, as often as there are names."""

    class Far:
        @rlhub.hookimpl
        def rlhub_adapters(self) -> Any:
            for name in names:
                yield rlhub.AdapterSpec(
                    name,
                    f"{__name__}:Driven",
                    matches=lambda thing: hasattr(thing, "drive"),
                    description="robots",
                    lacks=lambda thing: [] if hasattr(thing, "drive") else ["drive()"],
                )

    return rlhub.Hub({"far": Far()}, discover=False)


def test_an_adapter_takes_options_and_says_what_an_object_lacks() -> None:
    adapted = rlhub.adapt(Robot(), gears=4, hub=adapting("far/one"))
    assert isinstance(adapted, Driven)
    assert adapted.gears == 4
    with pytest.raises(rlhub.ConfigError, match=r"far/one has no option 'gear'\. Did you mean 'gears'\?"):
        rlhub.adapt(Robot(), gear=4, hub=adapting("far/one"))
    with pytest.raises(rlhub.EnvironmentContractError, match=r"Not found in it: far/one looked for drive\(\)\."):
        rlhub.adapt(3, hub=adapting("far/one"))
    two = adapting("far/one", "far/two")
    with pytest.raises(
        rlhub.EnvironmentContractError, match=r"far/one and far/two\. Say which: adapt\(…, by='far/one'"
    ):
        rlhub.adapt(Robot(), hub=two)
    assert isinstance(rlhub.adapt(Robot(), by="far/two", hub=two), Driven)
    with pytest.raises(rlhub.EnvironmentContractError, match="pip install rlhub-legacy"):
        rlhub.adapt(Robot(), hub=rlhub.Hub({}, discover=False))


def test_a_recipe_imports_nothing_that_is_not_allowed(tmp_path: Path) -> None:
    train()
    Path("unasked.py").write_text("from pathlib import Path\nPath('was_here').touch()\n")
    recipe = Path("run/experiment.toml")
    recipe.write_text(recipe.read_text().replace('"toy/Corridor-v0"', '"unasked:CartPole-v1"'))
    with pytest.raises(
        TrustError, match=r"that imports the module 'unasked', and importing runs code\. Allow it with --trust"
    ):
        rlhub.load("run")
    assert not Path("was_here").exists()


def test_an_environment_object_is_itself() -> None:
    env = gymnasium.make("CartPole-v1", max_episode_steps=7)
    env.unwrapped.force_mag = 0.0  # type: ignore[attr-defined]
    run = rlhub.train("toy/random", env, steps=30, folder="run")
    assert run.collector is not None
    assert run.collector.env.envs[0] is env  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="Evaluating during training needs a second CartPole-v1"):
        rlhub.train("toy/random", env, steps=30, folder="other", callbacks=["core/evaluate:every=10"])


def test_what_a_checkpoint_callback_keeps_is_kept_over_a_resume() -> None:
    train(callbacks=["core/checkpoint:every=40,keep=10"])
    assert len(checkpoint.steps(Path("run/checkpoints"))) == 10
    rlhub.resume("run", steps=410)
    assert len(checkpoint.steps(Path("run/checkpoints"))) == 10


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations say at every step what is written here."""
    means = {100: 1.0, 200: 3.0, 300: 2.0, 400: 3.0, 500: 4.0, 600: 0.0}
    module = Evaluate.on_progress.__globals__
    monkeypatch.setitem(module, "play", lambda *_, step, **__: Evaluation((means[step],), (1,), step=step))


def test_an_evaluation_that_is_no_number_is_not_the_best_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    means = {100: float("nan"), 200: 3.0, 300: float("nan"), 400: 2.0}
    module = Evaluate.on_progress.__globals__
    monkeypatch.setitem(module, "play", lambda *_, step, **__: Evaluation((means[step],), (1,), step=step))
    train(callbacks=["core/evaluate:every=100,keep_best=true"], steps=400)
    assert rlhub.load("run", step="best").steps == 200


@pytest.mark.usefixtures("judged")
def test_the_best_evaluation_keeps_its_checkpoint_over_a_resume() -> None:
    settings = ["core/evaluate:every=100,keep_best=true", "core/checkpoint:every=50,keep=1"]
    train(callbacks=settings, steps=430)
    assert checkpoint.steps(Path("run/checkpoints")) == [200, 430]  # the first of equals
    assert rlhub.load("run", step="best").steps == 200
    rlhub.resume("run", steps=480)
    assert checkpoint.steps(Path("run/checkpoints")) == [200, 480]
    rlhub.resume("run", steps=600)
    assert checkpoint.steps(Path("run/checkpoints")) == [500, 600]
    assert rlhub.load("run", step="best").steps == 500


@pytest.mark.usefixtures("judged")
def test_a_run_has_one_best() -> None:
    with pytest.raises(ConfigError, match="keep_best=true may stand once"):
        train(callbacks=["core/evaluate:every=100,keep_best=true", "core/evaluate:every=200,keep_best=true"])


def test_a_callback_that_refuses_leaves_the_folder_free() -> None:
    with pytest.raises(ConfigError, match="needs core/evaluate"):
        train(callbacks=["core/stop_on_return:value=1,of=evaluation"])
    assert not Path("run/experiment.toml").exists()
    assert train().steps == 400


def fails_at(step: int, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the toy algorithm raise an error once it has taken so many steps."""
    kind = default_hub().load("algorithm", "toy/random")
    original = kind.train

    def until_it_fails(self: Any, collector: Any, until: int) -> Any:
        if step == 0:
            raise error
        for progress in original(self, collector, until):
            yield progress
            if progress.steps == step:
                raise error

    monkeypatch.setattr(kind, "train", until_it_fails)


def test_an_algorithm_that_refuses_leaves_the_folder_free(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        fails_at(0, SpaceError("No, thanks."), patched)
        with pytest.raises(SpaceError, match="No, thanks"):
            train()
    assert not Path("run").exists()
    assert train().steps == 400


@pytest.mark.parametrize("step", [0, 200])
def test_an_algorithm_that_cannot_go_on_is_saved(monkeypatch: pytest.MonkeyPatch, step: int) -> None:
    with monkeypatch.context() as patched:
        fails_at(step, rlhub.TrainingError("A worker has died."), patched)
        with pytest.raises(rlhub.TrainingError, match="A worker has died") as raised:
            train(callbacks=["core/checkpoint:every=1000"])
    assert raised.value.__notes__ == ["The run is saved. Go on with: rlhub resume run"]
    resumed = rlhub.resume("run")
    assert (resumed.restored, resumed.steps) == ("warm", 400)
    assert [json.loads(line)["step"] for line in Path("run/metrics.jsonl").read_text().splitlines()] == [
        100, 200, 300, 400
    ]  # fmt: skip


def test_an_error_in_mid_training_loses_no_checkpoint(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        fails_at(200, ConfigError("Out of range by now."), patched)
        with pytest.raises(ConfigError, match="Out of range by now"):
            train()
    assert rlhub.resume("run").steps == 400


@pytest.mark.usefixtures("judged")
def test_what_is_not_kept_is_not_the_best() -> None:
    train(callbacks=["core/evaluate:every=100", "core/checkpoint:every=100,keep=9"], steps=350)
    with pytest.raises(RunError, match=r"has kept no best checkpoint: train with core/evaluate:keep_best=true"):
        rlhub.load("run", step="best")


def test_a_damaged_newer_checkpoint_never_costs_a_good_older_one() -> None:
    train(callbacks=["core/checkpoint:every=200,keep=1"], steps=400)
    train(callbacks=["core/checkpoint:every=200,keep=2"], steps=400, folder="two")
    Path("two/checkpoints/000000000400/run.json").write_text("{}")
    rlhub.resume("two", steps=300)
    assert checkpoint.steps(Path("two/checkpoints")) == [200, 300]


def test_a_run_can_be_resumed_from_its_first_moment_on() -> None:
    child = os.fork()
    if child == 0:
        train(config={"pause": 0.0}, callbacks=["toy/die"])
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert checkpoint.steps(Path("run/checkpoints")) == [0]
    assert rlhub.load("run").steps == 0


def test_a_resumed_run_goes_on_with_its_recipe() -> None:
    train(callbacks=[StopAt(100)], config={"right": 0.6})
    with pytest.raises(ConfigError, match=r"config: right is 0\.6 in the recipe, and a run goes on with its recipe"):
        rlhub.resume("run", callbacks=[StopAt(0)], config={"right": 0.9})
    with pytest.raises(RunError, match="The recipe has no core/evaluate:every=5"):
        rlhub.resume("run", callbacks=[StopAt(0), "core/evaluate:every=5"])
    with pytest.raises(ConfigError, match="pass its class to choose others"):
        rlhub.train(rlhub.load("run").algorithm, ConstantValue, steps=5, config={"right": 0.2})


def test_a_torn_last_line_is_no_line() -> None:
    run = train()
    with (run.folder / "episodes.csv").open("a") as file:
        file.write("99,1.0,")
    before = len(run.episodes)
    assert before == len((run.folder / "episodes.csv").read_text().splitlines()) - 2


def test_callbacks_that_are_used_again_begin_again() -> None:
    stop = StopOnReturn(value=-100, window=5)
    first, second = (train(folder=name, callbacks=[stop]) for name in ("a", "b"))
    assert first.steps == second.steps < 400
    with pytest.raises(ConfigError, match="of=evaluation needs core/evaluate"):
        train(folder="c", callbacks=["core/stop_on_return:value=1,of=evaluation"])


def test_lives_are_needed_where_a_lost_one_shall_count() -> None:
    with pytest.raises(ConfigError, match="tells of lives; this one does not"):
        train(terminal_on_life_loss=True)
