"""Deep Q-network.

Mnih et al., "Human-level control through deep reinforcement learning", Nature 518 (2015), algorithm 1.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from gymnasium import Space
from gymnasium.spaces import Discrete
from numpy.typing import NDArray
from torch import Tensor, nn

from rlhub_core import Actor, Collector, Progress, Scheduled, option, state
from rlhub_core.schedules import Linear, value, whole
from rlhub_deep.networks import Factory, choose_device, make_network
from rlhub_deep.replay import Replay, frame_stack
from rlhub_deep.saving import to_torch, to_tree


@dataclass(frozen=True)
class DQNConfig:
    """Hyper-parameters of `deep/dqn`."""

    learning_rate: Scheduled[float] = option(1e-4, "step size of Adam", minimum=0)
    discount: Scheduled[float] = option(0.99, "γ, what the next step's value is worth now", minimum=0, maximum=1)
    batch_size: Scheduled[int] = option(32, "transitions an update learns from", unit="transitions", minimum=1)
    buffer_size: int = option(100_000, "capacity of the replay", unit="frames", minimum=1)
    learning_starts: int = option(1_000, "first update", unit="env steps", minimum=0)
    train_every: Scheduled[int] = option(4, "between two updates", unit="env steps", minimum=1)
    target_update_every: Scheduled[int] = option(1_000, "between two copies to the target", unit="env steps", minimum=1)
    epsilon: Scheduled[float] = option(
        Linear(1.0, 0.05, 10_000), "probability of a random action", minimum=0, maximum=1
    )
    max_grad_norm: Scheduled[float] = option(10.0, "gradients are scaled down to this norm", minimum=0)
    adam_epsilon: float = option(1e-8, "added to the denominator of Adam", minimum=0)
    hidden_sizes: tuple[int, ...] = option((64, 64), "widths of the perceptron's hidden layers", unit="units")
    activation: Literal["relu", "tanh", "elu"] = option("relu", "of the perceptron")
    network: Factory | None = option(None, "(observation space, outputs) -> module, in place of the built-in networks")
    frame_stack: int | None = option(
        None, "frames that an observation stacks along its first axis; none: by its shape", minimum=1
    )


class DQN:
    """Learns action values from replayed transitions and acts ε-greedily on them."""

    Config: ClassVar[type[DQNConfig]] = DQNConfig

    def __init__(
        self,
        observation_space: Space[Any],
        action_space: Discrete,
        config: DQNConfig,
        *,
        seed: int,
        total_steps: int,
        device: str = "auto",
    ) -> None:
        self.config, self.steps = config, 0
        self.observation_space = observation_space
        self.actions, self.first_action = int(action_space.n), int(action_space.start)
        self.device = choose_device(device)
        self.seed, self.rng = seed, np.random.default_rng(seed)
        self.network = make_network(
            observation_space,
            self.actions,
            factory=config.network,
            hidden_sizes=config.hidden_sizes,
            activation=config.activation,
            seed=seed,
        ).to(self.device)
        self.target_network = copy.deepcopy(self.network).requires_grad_(False)
        self.optimizer = torch.optim.Adam(
            self.network.parameters(), lr=value(config.learning_rate, 0), eps=config.adam_epsilon, fused=True
        )
        self.stack = frame_stack(observation_space, config.frame_stack)
        self.replay: Replay | None = None  # made when the number of environments is known

    def train(self, collector: Collector, until: int) -> Iterator[Progress]:
        """Act, remember, and learn from what is remembered."""
        config = self.config
        replay = self.replay = self.replay or self._make_replay(collector.num_envs)
        act = self._epsilon_greedy(self.rng)
        while self.steps < until:
            updates = 0
            while not updates and self.steps < until:
                first = collector.first
                transition = collector.step(act(collector.observations, first))
                replay.add(transition, transition.action - self.first_action, first)
                updates = self._passed(whole(config.train_every, self.steps), collector.steps)
                if self._passed(whole(config.target_update_every, self.steps), collector.steps):
                    self.target_network.load_state_dict(self.network.state_dict())
                self.steps = collector.steps
            metrics: dict[str, float] = {}
            if self.steps >= config.learning_starts:
                for _ in range(updates):
                    metrics = self.learn()
            yield Progress(self.steps, collector.episodes(), metrics)

    def learn(self) -> dict[str, float]:
        """Take one step of Adam on the Huber loss of a batch's temporal-difference errors."""
        config, step = self.config, self.steps
        assert self.replay is not None
        batch = self.replay.sample(whole(config.batch_size, step), self.rng)
        observation, action, reward, next_observation, terminated = map(self._tensor, batch)
        self.network.train()
        with torch.no_grad():
            best = self.target_network(next_observation).max(dim=1).values  # [N]
            target = reward + value(config.discount, step) * ~terminated * best  # [N] equation 2
        q = self.network(observation).gather(1, action[:, None])[:, 0]  # [N]
        loss = nn.functional.smooth_l1_loss(q, target)
        self.optimizer.param_groups[0]["lr"] = value(config.learning_rate, step)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self.network.parameters(), value(config.max_grad_norm, step))
        self.optimizer.step()
        self.network.eval()  # as which it acts
        return {"loss": loss.item(), "q_value": q.detach().mean().item(), "gradient_norm": norm.item()}

    def actor(self, *, explore: bool = False) -> Actor:
        """Return the greedy policy, or an ε-greedy one that draws from a stream of its own."""
        if explore:
            return self._epsilon_greedy(np.random.default_rng((self.seed, self.steps)))
        return lambda observations, first: self._greedy(observations) + self.first_action

    def _epsilon_greedy(self, rng: np.random.Generator) -> Actor:
        def act(observations: Any, first: NDArray[np.bool_]) -> NDArray[np.int64]:
            wander = rng.random(len(first)) < value(self.config.epsilon, self.steps)  # [B]
            random = rng.integers(self.actions, size=len(first))  # [B]
            chosen = random if wander.all() else np.where(wander, random, self._greedy(observations))
            return chosen + self.first_action

        return act

    def save(self, folder: Path) -> None:
        """Write networks, optimiser, replay, random generator and step count."""
        state.save(
            folder,
            "dqn",
            {
                "steps": self.steps,
                "network": to_tree(self.network.state_dict()),
                "target_network": to_tree(self.target_network.state_dict()),
                "optimizer": to_tree(self.optimizer.state_dict()),
                "rng": self.rng.bit_generator.state,
                "num_envs": len(self.replay.written) if self.replay else None,
            },
        )
        if self.replay:
            state.save(folder, "replay", self.replay.state())

    def load(self, folder: Path) -> None:
        """Read what `save` wrote."""
        saved = state.load(folder, "dqn")
        self.steps = saved["steps"]
        self.network.load_state_dict(to_torch(saved["network"]))
        self.target_network.load_state_dict(to_torch(saved["target_network"]))
        self.optimizer.load_state_dict(to_torch(saved["optimizer"]))
        self.rng.bit_generator.state = saved["rng"]
        if saved["num_envs"]:
            self.replay = self._make_replay(saved["num_envs"])
            self.replay.restore(state.load(folder, "replay"))

    def _greedy(self, observations: Any) -> NDArray[np.int64]:
        with torch.inference_mode():
            chosen: NDArray[np.int64] = self.network(self._tensor(observations)).argmax(dim=1).cpu().numpy()
        return chosen

    def _make_replay(self, num_envs: int) -> Replay:
        return Replay(self.config.buffer_size, num_envs, self.observation_space, self.stack)

    def _passed(self, every: int, steps: int) -> int:
        """Return how many multiples of `every` lie between the last step and this one."""
        return steps // every - self.steps // every

    def _tensor(self, array: NDArray[Any]) -> Tensor:
        return torch.as_tensor(array, device=self.device)
