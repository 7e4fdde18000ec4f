"""What this plugin offers, as data; importing it does not import ale-py."""

from collections.abc import Iterator

from gymnasium.envs.registration import EnvSpec

from rlhub_atari.roms import environment_id, games
from rlhub_core import WrapperSpec, hookimpl


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """Every game of ale-py, such as `atari/Breakout-v0`."""
    for game in games():
        yield EnvSpec(
            id=environment_id(game),
            entry_point="rlhub_atari.single:make_atari",
            vector_entry_point="rlhub_atari.vector:AtariVector",
            kwargs={"game": game},
            order_enforce=False,  # the environments themselves ask for a reset where one is missing
            disable_env_checker=True,
        )


@hookimpl
def rlhub_wrappers() -> Iterator[WrapperSpec]:
    """The skip-start wrapper."""
    yield WrapperSpec(
        name="atari/skip_start",
        entry_point="rlhub_atari.wrappers:SkipStart",
        description="lets 40 no-op steps pass after each reset and each lost life, as Space Invaders wants it",
    )
