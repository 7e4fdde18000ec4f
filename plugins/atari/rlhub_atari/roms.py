"""The games that ale-py ships, found without importing ale-py."""

import hashlib
import os
from difflib import get_close_matches
from functools import cache
from importlib.util import find_spec
from pathlib import Path

# ALE has only two-player modes for these, and loading one ends the whole process.
TWO_PLAYER_GAMES = frozenset({"combat", "joust", "maze_craze", "warlords"})


@cache
def games() -> tuple[str, ...]:
    """Names of all games that one player can play, such as `"space_invaders"`, sorted."""
    return tuple(sorted({rom.stem for rom in _shipped_folder().glob("*.bin")} - TWO_PLAYER_GAMES))


def environment_id(game: str) -> str:
    """The environment id of a game: `"space_invaders"` is `"atari/SpaceInvaders-v0"`."""
    return f"atari/{game.title().replace('_', '')}-v0"


def check_game(game: str) -> str:
    """Return `game` if there is such a game; raises ValueError with the nearest names if not."""
    if isinstance(game, str) and game in games():
        return game
    if game in TWO_PLAYER_GAMES:
        raise ValueError(f"The Atari game {game!r} needs two players; ALE offers no one-player mode for it.")
    near = get_close_matches(str(game).lower(), games(), n=3)
    guess = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    raise ValueError(
        f"No Atari game is called {game!r}.{guess} Names are written like 'space_invaders'; "
        f"rlhub_atari.roms.games() lists all {len(games())}."
    )


def rom_path(game: str) -> Path:
    """The ROM file that is played: in `ALE_ROMS_DIR` if that is set, else in ale-py's own folder."""
    folder = os.environ.get("ALE_ROMS_DIR")
    path = (Path(folder) if folder else _shipped_folder()) / f"{check_game(game)}.bin"
    if not path.is_file():
        raise FileNotFoundError(f"There is no ROM at {path}; unset ALE_ROMS_DIR to play those that ale-py ships.")
    return path


def rom_md5(game: str) -> str:
    """The MD5 sum of a game's ROM as 32 hexadecimal digits; it names the ROM in a run's records."""
    return hashlib.md5(rom_path(game).read_bytes(), usedforsecurity=False).hexdigest()


def _shipped_folder() -> Path:
    spec = find_spec("ale_py")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("rlhub-atari needs ale-py, which is not installed. Try: pip install ale-py.")
    return Path(spec.submodule_search_locations[0]) / "roms"


def provenance(game: str) -> dict[str, str]:
    """Return what a run records about its game: the name and the ROM's checksum."""
    return {"game": game, "rom_md5": rom_md5(game)}
