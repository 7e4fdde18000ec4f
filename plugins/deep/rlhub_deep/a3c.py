"""Asynchronous advantage actor-critic: processes that play and learn by themselves on shared weights.

Mnih et al., "Asynchronous methods for deep reinforcement learning", ICML 2016, algorithm S3, with the shared optimiser
statistics of its section 4.5 and without locks (Recht et al., "Hogwild!", NeurIPS 2011). Every environment has a worker
process. In what order they write the weights is the machine's affair, so no two runs are equal and no resume is exact.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import traceback
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from torch import nn

from rlhub_core import Collector, ConfigError, EnvironmentFault, NonFiniteError, Progress, TrainingError, option
from rlhub_core.errors import WorkerTraceback
from rlhub_core.memory import WORKER, Held
from rlhub_core.protocol import Episode
from rlhub_core.schedules import whole
from rlhub_core.seeding import stream
from rlhub_deep.a2c import A2C, A2CConfig
from rlhub_deep.modules import choose_device

PATIENCE = 5.0  # seconds until a process that has gone has an exit code
ALIVE = 1.0  # seconds between two times that an idle worker looks whether the run is alive


@dataclass(frozen=True)
class A3CConfig(A2CConfig):
    """Hyper-parameters of `deep/a3c`; the workers are `num_envs`."""

    rollouts_together: int = option(
        20, "that a worker plays and learns from between two times the run looks at all of them", minimum=1
    )


class Report(NamedTuple):
    """What a worker tells of its rollouts."""

    steps: int
    episodes: list[tuple[float, int]]  # return, length
    metrics: dict[str, float]


class Fault(NamedTuple):
    """A number that is not finite, which a worker has met."""

    what: str
    batch: dict[str, Any] | None  # with the weights that the worker had taken from everyone; None where of no update
    found: dict[str, Any]


class Misbehaved(NamedTuple):
    """What a worker tells of its environment."""

    fault: EnvironmentFault
    trace: str


class A3C(A2C):
    """Learns policy and value in worker processes, each from its own environment."""

    Config: ClassVar[type[A3CConfig]] = A3CConfig
    shared = True

    def __init__(self, *spaces_and_config: Any, device: str = "auto", **making: Any) -> None:
        chosen = choose_device("cpu" if device == "auto" else device)
        if chosen.type != "cpu":
            raise ConfigError(f"deep/a3c shares weights between processes in the CPU's memory, not on {chosen}.")
        super().__init__(*spaces_and_config, device="cpu", **making)
        if any(isinstance(layer, nn.modules.batchnorm._BatchNorm) for layer in self.network.module.modules()):
            raise ConfigError("deep/a3c shares weights alone: your network's BatchNorm would not learn. Use LayerNorm.")

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold: every worker has its own rollout, batch, weights and gradients."""
        for held in super().memory_needed(1):
            yield held._replace(size=num_envs * held.size) if held.what != "optimiser" else held
        yield Held("worker processes", num_envs * (WORKER + 2 * self.network.weights.nbytes), "num_envs")

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Have workers play and learn, and say now and then what they did.

        Raises:
            EnvironmentContractError: where the environments cannot be had one by one.
            TrainingError: where a worker has failed or was killed; the others are ended, the weights are whole.
        """
        self.optimizer.share()
        apart = [
            collector.apart(env, stream(self.seed, "worker", env, self.steps)) for env in range(collector.num_envs)
        ]
        workers: list[Worker] = []
        try:
            for env, own in enumerate(apart):
                workers.append(Worker(self, own, env, len(apart)))
            while self.steps < until:
                for worker in workers:
                    worker.ask(self.steps)
                reports = _answers(workers)
                self.network.round()
                self.steps += sum(report.steps for report in reports)
                yield Progress(self.steps, self._episodes(reports), _means(reports))
        finally:
            for worker in workers:
                worker.end()

    def work(self, collector: Collector, env: int, workers: int, questions: Connection) -> None:
        """Play and learn, in a worker process, each time the run asks."""
        everyone, self.network = self.network, self.network.copy()
        self.rng = np.random.default_rng((self.seed, env, self.steps))
        while True:
            asked = _question(questions)
            if asked is None:
                return
            self.steps, begun, measured = asked, collector.steps, []
            for _ in range(self.config.rollouts_together):
                if _orphaned():
                    return
                self.network.weights.copy_(everyone.weights)
                self.network.round()
                rollout = self.collect(collector)
                losses = self.differentiate(rollout)
                everyone.gradient.copy_(self.network.gradient)
                try:
                    measured.append(self.step(losses, rollout))  # on everyone's weights
                except NonFiniteError as error:
                    own = {"weights": self.network.weights.numpy().copy(), "recorded": self.network.recorded}
                    batch = {**(error.batch or {}), **own, "steps": self.steps}
                    questions.send(Fault(error.what, batch, error.found))
                    return
                self.steps += workers * whole(self.config.rollout_length, self.steps)  # the others play as well
            means = np.mean([list(each.values()) for each in measured], axis=0).tolist()
            metrics = dict(zip(measured[0], means, strict=True))
            episodes = [(episode.return_, episode.length) for episode in collector.episodes()]
            questions.send(Report(collector.steps - begun, episodes, metrics))

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update once more at which a worker met a number that is not finite, with the weights it had."""
        self.network.weights.copy_(torch.from_numpy(batch["weights"]))
        self.network.recorded, self.steps = batch["recorded"], batch["steps"]
        self.network.round()
        super().update_again(batch)

    def _episodes(self, reports: list[Report]) -> list[Episode]:
        played = [(env, *episode) for env, report in enumerate(reports) for episode in report.episodes]
        return [Episode(self.steps, return_, length, env) for env, return_, length in played]


class Worker:
    """A process with an environment of its own."""

    def __init__(self, agent: A3C, collector: Collector, env: int, workers: int) -> None:
        context = multiprocessing.get_context("fork")  # so that environments and functions need not be picklable
        self.env = env
        self.questions, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(agent, collector, env, workers, theirs), daemon=True)
        self.process.start()
        theirs.close()

    def ask(self, steps: int) -> None:
        """Have it play and learn; what it answers is read by `answer`."""
        with contextlib.suppress(OSError):  # where it has died, `answer` says so
            self.questions.send(steps)

    def answer(self) -> Report:
        """Return what it did.

        Raises:
            NonFiniteError: where it has met a number that is not finite.
            EnvironmentFault: where its environment misbehaves.
            TrainingError: where it has failed or died.
        """
        try:
            said = self.questions.recv()
        except (EOFError, OSError):
            self.process.join(PATIENCE)
            code = self.process.exitcode
            how = f"was killed by {signal.Signals(-code).name}" if code and code < 0 else f"ended with exit code {code}"
            raise TrainingError(f"Worker {self.env} of deep/a3c (process {self.process.pid}) {how}.") from None
        if isinstance(said, Fault):
            batch = None if said.batch is None else {**said.batch, "worker": self.env}
            raise NonFiniteError(said.what, batch=batch, found=said.found)
        if isinstance(said, Misbehaved):
            raise said.fault from WorkerTraceback(said.trace)
        if isinstance(said, str):
            raise TrainingError(f"Worker {self.env} of deep/a3c failed: {said}")
        report: Report = said
        return report

    def end(self) -> None:
        """End it, wherever it is."""
        self.questions.close()
        self.process.kill()
        self.process.join()


def _answers(workers: list[Worker]) -> list[Report]:
    """Return every worker's report, or raise as soon as one has failed."""
    found: dict[int, Report] = {}
    while len(found) < len(workers):
        waiting = {worker.questions: worker for worker in workers if worker.env not in found}
        for ready in wait(list(waiting)):
            worker = waiting[ready]  # type: ignore[index]
            found[worker.env] = worker.answer()
    return [found[worker.env] for worker in workers]


def _work(agent: A3C, collector: Collector, env: int, workers: int, questions: Connection) -> None:
    """Be a worker process: it leaves signals to the run, and ends with it."""
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)
    torch.set_num_threads(1)
    try:
        agent.work(collector, env, workers, questions)
    except NonFiniteError as error:  # in an action: of no update that could be made again
        questions.send(Fault(error.what, None, error.found))
    except EnvironmentFault as fault:
        fault.num_envs, fault.index = workers, env  # of which this one saw its own alone
        questions.send(Misbehaved(fault, traceback.format_exc()))
    except BaseException as error:
        traceback.print_exc()
        questions.send(f"{type(error).__name__}: {error}")


def _question(questions: Connection) -> int | None:
    """Return at which step the run wants to go on, or None where it is no more."""
    while not questions.poll(ALIVE):
        if _orphaned():
            return None
    steps: int = questions.recv()
    return steps


def _orphaned() -> bool:
    """Return whether the run was killed: then another process has adopted its workers."""
    parent = multiprocessing.parent_process()
    return parent is None or os.getppid() != parent.pid


def _means(reports: list[Report]) -> dict[str, float]:
    return {name: float(np.mean([report.metrics[name] for report in reports])) for name in reports[0].metrics}
