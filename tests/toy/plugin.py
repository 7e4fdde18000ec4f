"""What the toy plugin offers."""

from collections.abc import Iterator

from gymnasium.envs.registration import EnvSpec

from rlhub_core import AlgorithmSpec, CallbackSpec, WrapperSpec, hookimpl


@hookimpl
def rlhub_environments() -> Iterator[EnvSpec]:
    """Offer a corridor, and one that cannot be seen."""
    yield EnvSpec("toy/Corridor-v0", entry_point="rlhub_toy.parts:Corridor", max_episode_steps=50)
    yield EnvSpec("toy/Dark-v0", entry_point="rlhub_toy.parts:Dark", max_episode_steps=50)


@hookimpl
def rlhub_algorithms() -> Iterator[AlgorithmSpec]:
    """Offer an algorithm that learns nothing."""
    yield AlgorithmSpec(
        "toy/random",
        "rlhub_toy.parts:RandomWalk",
        "walks at random",
        action_spaces=("Discrete",),
        presets="rlhub_toy:presets.toml",
    )


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """Offer callbacks."""
    yield CallbackSpec("toy/count", "rlhub_toy.parts:Count", "counts episodes")
    yield CallbackSpec("toy/fail", "rlhub_toy.parts:Fail", "raises an error")
    yield CallbackSpec("toy/die", "rlhub_toy.parts:Die", "ends the process at once")


@hookimpl
def rlhub_wrappers() -> Iterator[WrapperSpec]:
    """Offer a wrapper."""
    yield WrapperSpec("toy/scale", "rlhub_toy.parts:Scale", "multiplies rewards")
