"""The hooks: what a plugin may offer. A plugin module implements any of them with `@hookimpl`.

A plugin is named by its entry point in the group `rlhub`; everything it offers is called `<that name>/...`:

    [project.entry-points.rlhub]
    deep = "rlhub_deep.plugin"

The module should import nothing heavy: it states names and `"module:attribute"` targets, which are loaded on use.
"""

from __future__ import annotations

from collections.abc import Iterable

import pluggy
from gymnasium.envs.registration import EnvSpec

from rlhub_core.specs import AdapterSpec, AlgorithmSpec, CallbackSpec, CommandSpec, WrapperSpec

GROUP = "rlhub"
hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def rlhub_environments() -> Iterable[EnvSpec]:  # type: ignore[empty-body]
    """Offer environments, as Gymnasium's own specifications with string entry points.

    A `vector_entry_point`, where given, must honour `reset(options={"reset_mask": mask})`.

        from gymnasium.envs.registration import EnvSpec
        from rlhub_core import hookimpl

        @hookimpl
        def rlhub_environments():
            yield EnvSpec("maze/Tiny-v0", entry_point="rlhub_maze.tiny:Tiny", max_episode_steps=100)
    """


@hookspec
def rlhub_adapters() -> Iterable[AdapterSpec]:  # type: ignore[empty-body]
    """Offer adapters that make foreign environment objects into `gymnasium.Env`.

    With `makes="callback"` they make foreign callback objects into `rlhub_core.Callback`.

    from rlhub_core import AdapterSpec, hookimpl

    @hookimpl
    def rlhub_adapters():
        yield AdapterSpec(
            "maze/robot", "rlhub_maze.robot:RobotEnv",
            matches=lambda thing: hasattr(thing, "drive") and hasattr(thing, "sensors"),
            description="robots of the maze toolkit",
        )
    """


@hookspec
def rlhub_wrappers() -> Iterable[WrapperSpec]:  # type: ignore[empty-body]
    """Offer wrappers of single environments by name, for the command line and recipes.

    from rlhub_core import WrapperSpec, hookimpl

    @hookimpl
    def rlhub_wrappers():
        yield WrapperSpec("maze/fog", "rlhub_maze.fog:Fog", "hides cells farther than `radius`")
    """


@hookspec
def rlhub_algorithms() -> Iterable[AlgorithmSpec]:  # type: ignore[empty-body]
    """Offer algorithms.

    from rlhub_core import AlgorithmSpec, hookimpl

    @hookimpl
    def rlhub_algorithms():
        yield AlgorithmSpec(
            "maze/wall_follower", "rlhub_maze.wall:WallFollower", "keeps its right hand on the wall",
            action_spaces=("Discrete",), observation_spaces=("Box",),
        )
    """


@hookspec
def rlhub_callbacks() -> Iterable[CallbackSpec]:  # type: ignore[empty-body]
    """Offer callbacks.

    from rlhub_core import CallbackSpec, hookimpl

    @hookimpl
    def rlhub_callbacks():
        yield CallbackSpec("maze/heat_map", "rlhub_maze.heat:HeatMap", "counts visits of every cell")
    """


@hookspec
def rlhub_commands() -> Iterable[CommandSpec]:  # type: ignore[empty-body]
    """Offer commands of the command line; this one is called as `rlhub solve-maze`.

    from rlhub_core import CommandSpec, hookimpl

    @hookimpl
    def rlhub_commands():
        yield CommandSpec("maze/solve", "rlhub_maze.solve:solve", "prints the shortest way out")

    The function's annotated arguments say what the command takes, and its docstring is its help:

        def solve(maze: Annotated[Path, typer.Argument(help="A drawing of the maze.")], steps: int = 100) -> None:
    """
