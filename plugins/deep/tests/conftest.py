"""What the tests share: an environment whose states are numbered, and algorithms whose network is a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Discrete

import rlhub_core as rlhub


class Chain(gymnasium.Env[Any, Any]):
    """States 0, 1, 2 and 3, one after the other whatever is done, with rewards 1, 2 and 4 for leaving the first three.

    Args:
        ending: "terminated" or "truncated", how an episode ends in state 3.
    """

    observation_space = Discrete(4)

    def __init__(self, ending: str = "terminated", actions: int = 2) -> None:
        self.ending, self.action_space, self.state = ending, Discrete(actions), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.state = 0
        return self.state, {}

    def step(self, action: Any) -> Any:
        reward = 2.0**self.state
        self.state += 1
        over = self.state == 3
        return self.state, reward, over and self.ending == "terminated", over and self.ending == "truncated", {}


def _write_table(network: Any, rows: Sequence[Sequence[float]]) -> None:
    table = torch.as_tensor(np.asarray(rows, np.float32))  # [states, outputs]
    network.weights.copy_(torch.cat([table.t().flatten(), torch.zeros(table.shape[1])]))  # one layer: weight, bias


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Have runs written where nobody looks, and torch count on one core."""
    monkeypatch.chdir(tmp_path)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def chain() -> type[Chain]:
    """Return the environment of numbered states."""
    return Chain


@pytest.fixture
def write_table() -> Callable[[Any, Sequence[Sequence[float]]], None]:
    """`write_table(network, rows)` makes a network of one layer give `rows[state]`."""
    return _write_table


@pytest.fixture
def tabular() -> Callable[..., Any]:
    """`tabular(kind, online, target=None, actions=2, **config)`: an algorithm whose networks give `rows[state]`."""

    def make(kind: Any, online: Any, target: Any = None, *, actions: int = 2, **config: Any) -> Any:
        given = {"hidden_sizes": (), "max_grad_norm": None, "optimizer": "sgd", **config}
        algorithm = kind(Discrete(4), Discrete(actions), kind.Config(**given), seed=0, total_steps=100, device="cpu")
        _write_table(algorithm.network, online)
        if hasattr(algorithm, "target_network"):
            _write_table(algorithm.target_network, online if target is None else target)
        return algorithm

    return make


@pytest.fixture
def play() -> Callable[..., Any]:
    """`play(algorithm, steps, ending="terminated", num_envs=1)` trains on the chain; yields as the algorithm does."""

    def run(algorithm: Any, steps: int, ending: str = "terminated", num_envs: int = 1) -> Iterator[rlhub.Progress]:
        collector = rlhub.Collector(rlhub.make_vec(lambda: Chain(ending, algorithm.actions), num_envs), 0)
        yield from algorithm.train(collector, steps)
        collector.close()

    return run


@pytest.fixture
def fill(play: Callable[..., Any]) -> Callable[..., Any]:
    """`fill(algorithm, ending="terminated")` has it play one episode of the chain and learn nothing; returns it."""

    def one_episode(algorithm: Any, ending: str = "terminated") -> Any:
        assert algorithm.config.learning_starts > 3
        for _ in play(algorithm, 3, ending):
            pass
        return algorithm

    return one_episode


@pytest.fixture
def spy() -> Callable[..., list[Any]]:
    """`spy(thing, "method")` returns a list to which every call adds (positional, keyword, result)."""

    def watch(thing: Any, method: str) -> list[Any]:
        calls: list[Any] = []
        original = getattr(thing, method)

        def noted(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            calls.append((args, kwargs, result))
            return result

        setattr(thing, method, noted)
        return calls

    return watch
