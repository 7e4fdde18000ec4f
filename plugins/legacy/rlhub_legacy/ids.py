"""Environment ids of old: what each meant, and the nearest thing that lives.

The Atari ids are those of Gym before 0.20: a table of game, version, frame skip and kind of observation. Their limits
count steps, not frames; ale-py registers some of these ids as well when it is imported, with its own limit of 108,000
frames. Of the others, each stands with the version that lives and with all in which that differs.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import gymnasium
from gymnasium.envs.registration import EnvSpec

from rlhub_core import PluginError

_GAMES = """
    adventure air_raid alien amidar assault asterix asteroids atlantis bank_heist battle_zone beam_rider berzerk bowling
    boxing breakout carnival centipede chopper_command crazy_climber defender demon_attack double_dunk elevator_action
    enduro fishing_derby freeway frostbite gopher gravitar hero ice_hockey jamesbond journey_escape kangaroo krull
    kung_fu_master montezuma_revenge ms_pacman name_this_game phoenix pitfall pong pooyan private_eye qbert riverraid
    road_runner robotank seaquest skiing solaris space_invaders star_gunner tennis time_pilot tutankham up_n_down
    venture video_pinball wizard_of_wor yars_revenge zaxxon
"""
_STICKY = {"v0": 0.25, "v4": 0.0}  # probability that an action is repeated instead of the one asked for
_LASER = 3  # frames that Space Invaders' ids skipped: with 4 its lasers are never seen
_EMULATOR = (
    "{id} is played by today's emulator: sticky actions, frame skip and step limit are those of the id, but a seed "
    "starts other games than it did, and info has 'lives' where it had 'ale.lives'."
)


@dataclass(frozen=True)
class _Old:
    """An id of old, the living version, and how they differ."""

    id: str
    now: str
    max_episode_steps: int | None
    reward_threshold: float | None = None
    differs: str = ""


_LANDER = (
    "the bounds of its observation space are finite and wider than in its last releases, and wind, where it is asked "
    "for, begins anew in each episode; without wind, dynamics and rewards are the same"
)
_OTHERS = (
    _Old("CartPole-v0", "CartPole-v0", 200, 195.0),
    _Old(
        "Pendulum-v0",
        "Pendulum-v1",
        200,
        differs="the speed is limited to 8 before the angle is moved by it and not after, so that the two go apart in "
        "steps that reach this limit; all else is the same",
    ),
    _Old("LunarLander-v2", "LunarLander-v3", 1000, 200.0, _LANDER),
    _Old("LunarLanderContinuous-v2", "LunarLanderContinuous-v3", 1000, 200.0, _LANDER),
    _Old(
        "Taxi-v3",
        "Taxi-v4",
        200,
        8.0,
        "what the options is_rainy and fickle_passenger do was mended; without them it is the same",
    ),
)


def living() -> Iterator[EnvSpec]:
    """Return the ids of classic control, Box2D and toy text whose version is gone or going."""
    for old in _OTHERS:
        yield EnvSpec(
            f"legacy/{old.id}",
            entry_point="rlhub_legacy.ids:make_living",
            reward_threshold=old.reward_threshold,
            max_episode_steps=old.max_episode_steps,
            order_enforce=False,
            disable_env_checker=True,
            kwargs={"old": old.id},
        )


def atari() -> Iterator[EnvSpec]:
    """Return the twelve ids of each game, such as `legacy/Breakout-ramDeterministic-v4`."""
    for game in _GAMES.split():
        skipped = _LASER if game == "space_invaders" else 4
        for observed in ("image", "ram"):
            name = game.title().replace("_", "") + ("-ram" if observed == "ram" else "")
            for version in _STICKY:
                limit = 10_000 if version == "v0" else 100_000
                yield _atari(f"{name}-{version}", game, observed, (2, 5), limit)
                yield _atari(f"{name}Deterministic-{version}", game, observed, skipped, 100_000)
                yield _atari(f"{name}NoFrameskip-{version}", game, observed, 1, skipped * 100_000)


def _atari(id: str, game: str, observed: str, frameskip: int | tuple[int, int], limit: int) -> EnvSpec:
    return EnvSpec(
        f"legacy/{id}",
        entry_point="rlhub_legacy.ids:make_atari",
        max_episode_steps=limit,
        disable_env_checker=True,
        kwargs={
            "game": game,
            "obs_type": "ram" if observed == "ram" else "rgb",
            "frameskip": frameskip,
            "repeat_action_probability": _STICKY[id[-2:]],
            "old": id,
        },
    )


def make_living(old: str, render_mode: str | None = None, **options: Any) -> gymnasium.Env[Any, Any]:
    """Make the living version of an id, and say once how it differs.

    Args:
        old: the id.
        render_mode, options: of the living version.
    """
    was = next(each for each in _OTHERS if each.id == old)
    if was.differs:
        _say(f"{was.id} is gone; this is {was.now}: {was.differs}.")
    spec = gymnasium.spec(was.now)
    creator: Any = gymnasium.envs.registration.load_env_creator(str(spec.entry_point))
    made: gymnasium.Env[Any, Any] = creator(render_mode=render_mode, **(spec.kwargs | options))
    return made


def make_atari(
    game: str,
    *,
    obs_type: str = "rgb",
    frameskip: int | Sequence[int] = 4,
    repeat_action_probability: float = 0.0,
    full_action_space: bool = False,
    mode: int | None = None,
    difficulty: int | None = None,
    render_mode: str | None = None,
    old: str = "",
) -> gymnasium.Env[Any, Any]:
    """Make an Atari game as an id of old means it, without ale-py's own limit of frames.

    Args:
        game: in snake_case.
        obs_type: "rgb", uint8 [210, 160, 3] in most games, "grayscale", or "ram", uint8 [128].
        frameskip: frames that an action is held, or the first and the one after the last of which each step draws.
        repeat_action_probability: that an action is repeated instead of the one asked for, in each frame.
        full_action_space: all 18 actions, or those that the game uses.
        mode, difficulty: switches of the game (default: its own).
        render_mode: None, "rgb_array" or "human".
        old: the id, for the warning.

    Raises:
        PluginError: where ale-py is not installed.
    """
    try:
        from ale_py.env import AtariEnv
    except ImportError as error:
        raise PluginError(f"{old or game} needs ale-py. Try: pip install 'rlhub-legacy[atari]'.") from error
    if old:
        _say(_EMULATOR.format(id=old))
    skip = frameskip if isinstance(frameskip, int) else tuple(frameskip)  # which a recipe writes as a list
    make: Any = AtariEnv
    made: gymnasium.Env[Any, Any] = make(
        game=game,
        mode=mode,
        difficulty=difficulty,
        obs_type=obs_type,
        frameskip=skip,
        repeat_action_probability=repeat_action_probability,
        full_action_space=full_action_space,
        max_num_frames_per_episode=None,
        render_mode=render_mode,
    )
    frames = skip if isinstance(skip, int) else sum(range(*skip)) / len(range(*skip))
    made.metadata = made.metadata | {"render_fps": round(60 / frames)}
    return made


def _say(text: str) -> None:
    warnings.warn(text, stacklevel=3)
