"""ReNom's epochs: so many steps of training, then a test, with the environment's hooks and stop rules.

The rules are asked after every step, and an epoch ends in the very step that they or its length say, whatever the
algorithm: the episode is cut off there, the test is played at once, and the algorithm goes on with a new episode.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from numpy.typing import NDArray

from rlhub_core import (
    Actor,
    ArtefactError,
    Callback,
    Collector,
    ConfigError,
    EnvironmentSource,
    Evaluation,
    Progress,
    Run,
    StopTraining,
    artefacts,
    option,
    state,
)
from rlhub_core.evaluation import LONGEST_EPISODE, check_same_spaces
from rlhub_core.seeding import stream
from rlhub_legacy.renom.adapter import FIRST, ReNomEnv
from rlhub_legacy.renom.memory import recall, remembered

FILE = "epochs.jsonl"


class Epoch(NamedTuple):
    """What became of an epoch."""

    epoch: int  # from 0
    step: int  # env steps of the whole run when it ended
    steps: int  # of each environment in it
    train_reward: float  # sum of raw rewards, all environments together
    test_reward: float | None  # likewise of its test; None where it had none
    episodes: int  # that ended in it
    ended_by: str  # "epoch_step", or the rule: "terminate", "terminate_epoch", "stop_epoch"


@dataclass
class Epochs(Callback):
    """Runs training in ReNom's epochs; made by `rlhub_legacy.renom.fit`."""

    evaluates = True
    epoch: int = option(500, "epochs", minimum=1)
    epoch_step: int = option(250_000, "steps of each environment in an epoch", unit="steps", minimum=1)
    random_step: int = option(0, "steps before the first epoch, without hooks", unit="steps", minimum=0)
    test_step: int | None = option(None, "steps of a test; none: one episode; 0: no test", unit="steps", minimum=0)
    test_greedy: float = option(1.0, "probability of the greedy action in tests", minimum=0, maximum=1)
    exploration: Any = option(None, "the schedule of ε after the random steps, for who resumes the run")
    hook_timing: str = option("documented", "whether hooks follow their reset, or come before it as in 0.4.2")
    test_env: Any = field(default=None, init=False, repr=False, compare=False)  # None: the first one of training
    done: list[Epoch] = field(default_factory=list, init=False, repr=False)
    _phase: str = field(default="random", init=False, repr=False)  # "random", "train", "over"
    _steps: int = field(default=0, init=False, repr=False)  # of the phase's running part
    _reward: float = field(default=0.0, init=False, repr=False)  # of the running epoch
    _episodes: int = field(default=0, init=False, repr=False)
    _is_asked: bool = field(default=False, init=False, repr=False)
    _written: int = field(default=-1, init=False, repr=False)  # epochs in the file

    def on_start(self, run: Run) -> None:
        """Begin to count, but for a run that goes on.

        Raises:
            ConfigError: where the environments are not in this process.
            SpaceError: where the one for tests has other spaces.
        """
        self._run, self._collector = run, run.collector
        if self._collector is None or not isinstance(self._collector.env.unwrapped, SyncVectorEnv):
            raise ConfigError('Epochs need environments in this process: vectorization_mode="sync".')
        self._envs: Any = self._collector.env.unwrapped.envs
        self._adapters = [env.unwrapped for env in self._envs if isinstance(env.unwrapped, ReNomEnv)]
        self._collector.cut = self._after_step
        if self.test_env is not None:
            source = EnvironmentSource.of(self.test_env, None, run.environment.wrappers)
            self.test_env = replace(source, from_recipe=True).make()  # of a name, no module is imported
            check_same_spaces(run, self.test_env, "the environment for tests")
        if run.restored is None:
            self.done, self._steps, self._reward, self._episodes = [], 0, 0.0, 0
            self._phase = "random" if self.random_step else "train"

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Write what epochs have ended, and end the run once all have, or where `terminate()` said so."""
        if not self._is_asked:
            raise ConfigError(f"{run.experiment.algorithm} takes the environments elsewhere; epochs cannot follow it.")
        if self._written != len(self.done):
            self._write(run.folder)
        if self._phase == "over" and self.done[-1].ended_by == "terminate":
            raise StopTraining("terminate() said so")
        if self._phase == "over" and progress.steps < run.experiment.steps:
            raise StopTraining(f"{len(self.done)} epochs played")

    def on_end(self, run: Run) -> None:
        """Call `close`, and leave the collector and the environments as they were."""
        if run.collector is not None:
            run.collector.cut = None
        for adapter in self._adapters:
            adapter.close()
            adapter.begin(*FIRST, mode="single")

    def save(self, folder: Path) -> None:
        """Write where in which epoch the run is, what became of the others, and what the test environment remembers."""
        tested = self._tested()
        saved = {
            "phase": self._phase,
            "steps": self._steps,
            "reward": self._reward,
            "episodes": self._episodes,
            "done": [list(epoch) for epoch in self.done],
            "test": remembered(tested.theirs) if self.test_env is not None and tested is not None else None,
        }
        state.save(folder, "epochs", saved)

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "epochs")
        self._phase, self._steps, self._episodes = saved["phase"], saved["steps"], saved["episodes"]
        self._reward, self.done = float(saved["reward"]), [Epoch(*epoch) for epoch in saved["done"]]
        tested = self._tested()
        if saved["test"] is not None and tested is not None:
            recall(tested.theirs, saved["test"])

    def _after_step(self, reward: NDArray[np.float64], ended: NDArray[np.bool_]) -> bool:
        """Return whether the running episodes are cut off here; play the test where it is due."""
        self._is_asked = True
        if self._phase == "over":
            return False
        self._steps += 1
        if self._phase == "random":
            if self._steps < self.random_step:
                return False
            self._begin_epoch()
            return True
        self._reward += float(reward.sum())
        self._episodes += int(ended.sum())
        asked = {adapter.asked for adapter in self._adapters}
        rules = (rule for rule in ("terminate", "terminate_epoch", "stop_epoch") if rule in asked)
        by = next(rules, "epoch_step" if self._steps == self.epoch_step else "")
        if by:
            self._end_epoch(by)
        return bool(by)

    def _end_epoch(self, by: str) -> None:
        tests = by in ("epoch_step", "stop_epoch") and self.test_step != 0
        test_reward = self._test() if tests else None
        assert self._collector is not None
        number, step = len(self.done), self._collector.steps
        self.done.append(Epoch(number, step, self._steps, self._reward, test_reward, self._episodes, by))
        if by == "terminate" or len(self.done) == self.epoch:
            self._phase = "over"
            for adapter in self._adapters:
                adapter.begin(mode="off")
        else:
            self._begin_epoch()

    def _begin_epoch(self) -> None:
        self._phase, self._steps, self._reward, self._episodes = "train", 0, 0.0, 0
        for adapter in self._adapters:
            adapter.begin("epoch", mode="train")

    def _test(self) -> float:
        """Play the test of the running epoch and return the sum of its rewards."""
        assert self._collector is not None
        seed = stream(self._run.experiment.seed, "test", len(self.done))
        env = self._envs[0] if self.test_env is None else self.test_env
        total, evaluation = play(
            self._run.actor(), env, self.test_step, seed, greedy=self.test_greedy, step=self._collector.steps
        )
        self._run.record_evaluation(evaluation)
        return total

    def _tested(self) -> ReNomEnv | None:
        inner = getattr(self.test_env, "unwrapped", None)
        return inner if isinstance(inner, ReNomEnv) else None

    def _write(self, folder: Path) -> None:
        lines = (json.dumps(epoch._asdict()) + "\n" for epoch in self.done)
        (folder / FILE).write_text("".join(lines))
        self._written = len(self.done)


def play(
    actor: Actor, env: Any, test_step: int | None, seed: int, *, greedy: float = 1.0, step: int = 0
) -> tuple[float, Evaluation]:
    """Play a test as ReNom does; return the sum of all its rewards, and the returns of its episodes.

    Args:
        actor: whose actions are taken.
        env: one environment; where it is a ReNom environment inside, its test hooks are called.
        test_step: steps, over as many episodes as they take; None: one episode.
        seed: of the environment, and of random actions.
        greedy: probability of the actor's action; otherwise it is a random one.
        step: noted in the evaluation.
    """
    adapter = env.unwrapped if isinstance(env.unwrapped, ReNomEnv) else None
    if adapter is None:
        return _play(actor, env, None, test_step, seed, greedy, step)
    adapter.begin_evaluation()
    try:
        return _play(actor, env, adapter, test_step, seed, greedy, step)
    finally:
        adapter.end_evaluation()


def _play(
    actor: Actor, env: Any, adapter: ReNomEnv | None, test_step: int | None, seed: int, greedy: float, step: int
) -> tuple[float, Evaluation]:
    collector = Collector(SyncVectorEnv([lambda: env], autoreset_mode=AutoresetMode.NEXT_STEP), seed)
    space, draws = collector.env.action_space, np.random.default_rng(seed)
    space.seed(seed)
    total, running, length, over = 0.0, 0.0, 0, False
    episodes: list[tuple[float, int]] = []
    while not over:
        action = collector.act(actor)
        transition = collector.step(space.sample() if greedy < 1 and draws.random() >= greedy else action)
        total += float(transition.reward[0])
        running, length = running + float(transition.reward[0]), length + 1
        if collector.first[0]:
            episodes.append((running, length))
            running, length = 0.0, 0
        over = bool(episodes) or length >= LONGEST_EPISODE if test_step is None else collector.steps >= test_step
        over = over or (adapter is not None and adapter.asked == "test_terminate")
    unfinished = int(length > 0)
    episodes += [(running, length)] * unfinished
    returns, lengths = zip(*episodes, strict=True)
    return total, Evaluation(tuple(returns), tuple(lengths), unfinished, step)


def epochs(run: Run | str | Path) -> list[Epoch]:
    """Return what became of each epoch of a run that `fit` made.

    Args:
        run: it, or its folder.
    """
    folder = run.folder if isinstance(run, Run) else Path(run)
    path = folder / FILE
    if not path.exists():
        return []
    try:
        return [Epoch(**artefacts.json_text(line, path)) for line in artefacts.lines(path)]
    except TypeError as error:
        raise ArtefactError(f"{path} holds no epochs: {error}.") from error
