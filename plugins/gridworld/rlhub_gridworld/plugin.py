"""What this package offers, as data."""

from collections.abc import Iterator
from typing import Any

from gymnasium.envs.registration import EnvSpec

from rlhub_core import hookimpl
from rlhub_gridworld import layouts

EACH_STEP: dict[str, Any] = {"step_reward": -1.0, "goal_reward": -1.0}


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """Grid worlds, single and as a batch."""
    yield _spec("Grid", 1000)
    yield _spec(
        "Grid4x4",
        100,
        map=layouts.GRID_4X4,
        goal_reward=10.0,
        off_board="end",
        off_board_reward=-1.0,
        observation="one_hot",
    )
    yield _spec("FourRooms", 1000, map=layouts.FOUR_ROOMS)
    yield _spec("Cliff", 1000, map=layouts.CLIFF, cliff_reward=-100.0, **EACH_STEP)
    yield _spec("WindyGrid", 1000, map=layouts.WINDY, wind=layouts.WIND, **EACH_STEP)
    yield _spec("KeyDoor", 1000, map=layouts.KEY_DOOR)
    yield _spec("Empty", 1000, target="worlds:Empty")
    yield _spec("Maze", 1000, target="worlds:Maze")


def _spec(name: str, max_episode_steps: int, target: str = "", **options: Any) -> EnvSpec:
    return EnvSpec(
        id=f"gridworld/{name}-v0",
        entry_point=f"rlhub_gridworld.{target or 'single:GridWorld'}",
        vector_entry_point=f"rlhub_gridworld.{target + 'Vector' if target else 'vector:GridWorldVector'}",
        max_episode_steps=max_episode_steps,
        order_enforce=False,  # the environments themselves ask for a reset where one is missing
        disable_env_checker=True,
        kwargs=options,
    )
