"""`rlhub_core.gym`: plugin environments through Gymnasium's own `make`."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

import rlhub_core.gym


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before = dict(gymnasium.registry)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)


def test_importing_it_registers_every_plugin_environment(toy: Path) -> None:
    importlib.reload(rlhub_core.gym)
    assert {"toy/Corridor-v0", "toy/Dark-v0"} <= gymnasium.registry.keys()
    env = gymnasium.make("toy/Corridor-v0", length=5)
    assert env.spec is not None
    assert env.spec.max_episode_steps == 50


def test_an_id_that_is_taken_is_left_alone(toy: Path) -> None:
    gymnasium.register("toy/Corridor-v0", "elsewhere:Corridor")
    assert "toy/Corridor-v0" in rlhub_core.gym.register()
    assert gymnasium.spec("toy/Corridor-v0").entry_point == "elsewhere:Corridor"


def test_make_works_in_any_process(toy: Path) -> None:
    program = (
        "import gymnasium; "
        "env = gymnasium.make('rlhub_core.gym:toy/Corridor-v0'); print(env.spec.id); "
        "print(gymnasium.make_vec('rlhub_core.gym:toy/Corridor-v0', num_envs=2, vectorization_mode='async').num_envs)"
    )
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["toy/Corridor-v0", "2"]
