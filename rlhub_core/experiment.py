"""An experiment is the whole recipe of a run, as data: what `experiment.toml` holds, and all that a resume needs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rlhub_core import artefacts, config
from rlhub_core.errors import ConfigError, RunError, listed
from rlhub_core.normalization import Normalize
from rlhub_core.storage import replace
from rlhub_core.threads import check_count

FILE = "experiment.toml"


@dataclass(frozen=True)
class Experiment:
    """Environment, algorithm, every hyper-parameter, seed, length and callbacks of a run."""

    algorithm: str  # full name
    environment: str  # full id
    steps: int  # env steps, all environments together
    seed: int = 0
    num_envs: int = 1
    vectorization_mode: str | None = None
    environment_options: Mapping[str, Any] = field(default_factory=dict)
    wrappers: tuple[str, ...] = ()
    hyper_parameters: Mapping[str, Any] = field(default_factory=dict)
    preset: str | None = None
    reward_clip: float | None = None
    terminal_on_life_loss: bool = False
    normalize: Normalize | None = None
    reseed_every: int = 10_000  # steps of one environment
    callbacks: tuple[str, ...] = ()
    log_every: int = 1_000  # env steps
    device: str = "auto"
    threads: int | None = None  # that it computes with; None: as many as CPUs may be used

    def __post_init__(self) -> None:
        for name in ("steps", "num_envs", "log_every", "reseed_every"):
            number = getattr(self, name)
            if isinstance(number, bool) or not isinstance(number, int) or number < 1:
                raise ConfigError(f"{name} must be a positive integer, not {number!r}.")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int) or self.seed < 0:
            raise ConfigError(f"seed must be an integer from 0 on, not {self.seed!r}.")
        check_count(self.threads)
        if self.reward_clip is not None and not self.reward_clip > 0:
            raise ConfigError(f"reward_clip must be a positive number, not {self.reward_clip!r}.")
        object.__setattr__(self, "normalize", Normalize.of(self.normalize))  # which may be given as a text

    def write(self, folder: Path) -> None:
        """Write `experiment.toml` into the run folder."""
        import tomli_w

        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        if self.normalize is not None:
            fields["normalize"] = dataclasses.asdict(self.normalize)
        given = {name: config.plain(value) for name, value in fields.items() if value is not None}
        replace(folder / FILE, tomli_w.dumps(given))  # a run is made longer while it has checkpoints to lose

    @classmethod
    def read(cls, path: Path) -> Experiment:
        """Read a recipe from a file, or from a run folder.

        Raises:
            RunError: where there is none.
            ConfigError: where it is no valid recipe.
        """
        file = path / FILE if _is_folder(path) else path
        if file != path:
            artefacts.check_folder(path)
        try:
            data = artefacts.toml_file(file)
        except FileNotFoundError:
            raise RunError(
                f"{path} is no run: it has no {FILE}." if file != path else f"There is no run or recipe at {path}."
            ) from None
        if "normalize" in data:
            data["normalize"] = Normalize.of(data["normalize"])
        bound = config.bind(cls, data, str(file))
        bound["environment_options"] = config.as_given(bound["environment_options"])
        return cls(**bound)

    def mentions(self) -> list[tuple[str, str]]:
        """Return (argument, "argument=Name") for each part that was a live object, which a recipe can only mention."""
        parts = [
            ("algorithm", self.algorithm),
            ("env", self.environment),
            ("env", self.environment_options),
            ("callbacks", self.callbacks),
            ("wrappers", self.wrappers),
            ("config", self.hyper_parameters),
        ]
        return [
            (argument, f"{argument}={text.rpartition('.')[2]}")
            for argument, value in parts
            for text in config.mentions(value)
        ]


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except (OSError, ValueError) as error:  # of a name that is too long, and with NUL in it
        raise RunError(f"There is no run or recipe at {path}: {error}.") from error


def with_preset(
    settings: Mapping[str, Any], preset: str, presets: Mapping[str, Any], owner: str, environment: str
) -> dict[str, Any]:
    """Return settings laid over those of a preset: what the user gave wins, hyper-parameters one by one.

    Args:
        settings: what the user gave, None where nothing.
        preset: its name.
        presets: name -> environment -> settings, as a preset file holds them.
        owner: the algorithm, for messages.
        environment: its id.

    Raises:
        ConfigError: for an unknown preset, or one that has nothing for this environment.
    """
    if preset not in presets:
        raise ConfigError(f"{owner} has no preset {preset!r}. It has: {listed(presets)}.")
    if environment not in presets[preset]:
        raise ConfigError(f"{owner}: preset {preset!r} is for {listed(presets[preset])}, not {environment}.")
    chosen = dict(presets[preset][environment])
    chosen.pop("source", None)
    given = {name: value for name, value in settings.items() if value is not None}
    merged = chosen | given
    for table in ("hyper_parameters", "environment_options"):
        merged[table] = chosen.get(table, {}) | given.get(table, {})
    return merged
