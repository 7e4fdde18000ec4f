"""Imitation: a policy is fitted to what a teacher would do where the policy itself comes.

Ross, Gordon and Bagnell, "A reduction of imitation learning and structured prediction to no-regret online learning",
AISTATS 2011 (DAgger), learning from each rollout as it comes; with `teacher_acts=1` it is behavioural cloning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box
from numpy.typing import NDArray
from torch import Tensor

import rlhub_core as rlhub
from rlhub_core import Actor, Collector, ConfigError, NonFiniteError, Progress, RlhubError, Scheduled, option, state
from rlhub_core.collector import act
from rlhub_core.errors import squeezed
from rlhub_core.evaluation import check_same_spaces
from rlhub_core.memory import Held
from rlhub_core.schedules import value, whole
from rlhub_deep.finite import batch_of, finite, told
from rlhub_deep.modules import to_tensors
from rlhub_deep.policy_learner import PolicyConfig, PolicyLearner
from rlhub_deep.rollouts import joined, taken
from rlhub_deep.sizes import learning_from_rollouts

Teacher = Callable[[Any, NDArray[np.bool_]], Any]
"""`teacher(observations, first) -> actions`, all with leading axis B, as any actor."""


@dataclass(frozen=True)
class ImitationConfig(PolicyConfig):
    """Hyper-parameters of `deep/imitation`."""

    teacher: Teacher | None = option(None, "(observations, first) -> actions: any function, or a run's `actor()`")
    teacher_run: str | None = option(None, "folder of the run that teaches, where no `teacher` is given")
    teacher_acts: Scheduled[float] = option(
        0.0, "probability that the teacher's action is played, not the policy's", minimum=0, maximum=1
    )
    learning_rate: Scheduled[float] = option(1e-3, "step size of the optimiser", minimum=0)
    max_grad_norm: Scheduled[float] | None = option(None, "gradients are scaled down to this norm", minimum=0)
    rollout_length: Scheduled[int] = option(
        1, "of each environment between two times it learns", unit="steps", minimum=1
    )
    epochs: Scheduled[int] = option(1, "passes over each rollout", minimum=1)
    minibatches: Scheduled[int] = option(1, "updates a pass", minimum=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.teacher is not None and self.teacher_run is not None:
            raise ConfigError("deep/imitation learns from one teacher: pass teacher or teacher_run, not both.")


class Lessons(NamedTuple):
    """What the teacher said of N observations."""

    observation: Any  # [N, ...]
    action: Tensor  # [N, ...]


class Imitation(PolicyLearner):
    """Learns to do what a teacher does."""

    Config: ClassVar[type[ImitationConfig]] = ImitationConfig
    values = 0

    def __init__(self, observation_space: Any, action_space: Any, config: ImitationConfig, **making: Any) -> None:
        if config.teacher is None and config.teacher_run is None:
            raise ConfigError(
                "deep/imitation needs a teacher: teacher=(observations, first) -> actions, or teacher_run=runs/…."
            )
        super().__init__(observation_space, action_space, config, **making)
        self.action_space = action_space
        self.teacher_step: int | None = None  # of the run that teaches, so that a resumed one has the same teacher

    def memory_needed(self, num_envs: int) -> Iterable[Held]:
        """Yield what a run will hold."""
        return learning_from_rollouts(self.config, self.steps, num_envs, self.network, self.observation_space)

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act for a rollout, asking the teacher at every step, then learn from its answers."""
        teacher = self.config.teacher or self._load_teacher(collector)
        while self.steps < until:
            lessons, agreement = self.collect(collector, teacher)
            self.steps = collector.steps
            yield Progress(self.steps, collector.episodes(), self.learn(lessons) | {"agreement": agreement})

    def collect(self, collector: Collector, teacher: Actor) -> tuple[Lessons, float]:
        """Act for a rollout; return what the teacher would have done, and how often the policy's draw was the same."""
        observations, answers, same = [], [], []
        for _ in range(whole(self.config.rollout_length, self.steps)):
            observations.append(collector.observations)
            said = self._answers(teacher, collector)
            answers.append(self.policy.from_env(said))
            outputs = self.network.of_arrays(collector.observations)
            own = self.policy.sample(outputs, self.rng)
            same.append(np.mean(own == answers[-1]))
            obeys = self.rng.random(len(own)) < value(self.config.teacher_acts, self.steps)  # [B]
            actions = self.policy.to_env(own)
            actions[obeys] = said[obeys]
            collector.step(actions)
        action = torch.as_tensor(np.concatenate(answers), device=self.device)
        return Lessons(to_tensors(joined(observations), self.device), action), float(np.mean(same))

    def learn(self, lessons: Lessons) -> dict[str, float]:
        """Make the teacher's actions likelier, in several passes over shuffled minibatches."""
        config, step = self.config, self.steps
        losses, norms = [], []
        for _ in range(whole(config.epochs, step)):
            shuffled = torch.as_tensor(self.rng.permutation(len(lessons.action)), device=self.device)
            for chosen in shuffled.tensor_split(min(whole(config.minibatches, step), len(shuffled))):
                loss, norm = self.update(Lessons(taken(lessons.observation, chosen), lessons.action[chosen]))
                losses.append(loss)
                norms.append(norm)
        return {"cross_entropy": float(np.mean(losses)), "gradient_norm": float(np.mean(norms))}

    def update(self, lessons: Lessons) -> tuple[float, float]:
        """Take one step of the optimiser; return the loss and the norm of its gradient."""
        config, step = self.config, self.steps
        score = self.policy.score(self.network.record(lessons.observation), lessons.action)
        loss = -score.log_prob.mean().item()  # the cross-entropy of the teacher's actions
        self.network.backward(score.backward(torch.full_like(score.log_prob, -1 / len(score.log_prob)), 0.0))
        try:
            finite("cross_entropy", loss)
            return loss, self.optimizer.step(value(config.learning_rate, step), value(config.max_grad_norm, step))
        except NonFiniteError as error:
            self.network.unrecord()
            error.batch = told(error, self.network, lessons, cross_entropies=-score.log_prob)
            raise

    def update_again(self, batch: Mapping[str, Any]) -> None:
        """Make the update of a minibatch at which this learner met a number that is not finite."""
        self.update(batch_of(Lessons, batch, self.device))

    def _answers(self, teacher: Actor, collector: Collector) -> NDArray[Any]:
        """Return the teacher's actions, those of a Box clipped to it."""
        space = self.action_space
        said = np.asarray(act(teacher, collector.raw_observations, collector.first, lambda: collector.action_masks))
        expected = (collector.num_envs, *space.shape)
        if said.shape != expected:
            raise ConfigError(
                f"teacher: for {collector.num_envs} observations it must give actions of shape {expected}, not "
                f"{said.shape}."
            )
        if isinstance(space, Box):
            clipped: NDArray[Any] = np.clip(said, space.low, space.high)
            return clipped
        strange = [action for action in said if not space.contains(np.asarray(action).astype(space.dtype, copy=False))]
        if strange or (said != said.astype(np.int64)).any():
            raise ConfigError(f"teacher: its actions must be of {squeezed(space)}; it gave {(strange or said)[0]}.")
        return said

    def save(self, folder: Path) -> None:
        """Write the teacher's step as well."""
        super().save(folder)
        state.save(folder, "teacher", {"step": self.teacher_step})

    def load(self, folder: Path) -> None:
        """Read the teacher's step as well."""
        super().load(folder)
        self.teacher_step = state.load(folder, "teacher")["step"]

    def _load_teacher(self, collector: Collector) -> Actor:
        """Return the actor of the run that teaches, once it is known that it can."""
        try:
            run = rlhub.load(str(self.config.teacher_run), step=self.teacher_step)
        except RlhubError as error:
            raise ConfigError(f"teacher_run: {error}") from error
        check_same_spaces(run, collector.env, "the environment to learn in")
        self.teacher_step = run.last_checkpoint
        return run.actor()
