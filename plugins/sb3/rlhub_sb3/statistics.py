"""The statistics of Stable-Baselines3's `VecNormalize`, which are saved beside a model, read as data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rlhub_core import ArtefactError, CheckpointError, ConfigError, Normalization, Normalize, SpaceError, artefacts
from rlhub_core.errors import squeezed
from rlhub_core.normalization import WHOLE, Moments
from rlhub_sb3.pickles import Made, Named, UnreadableError, number, numbers, read

OWN = Named("stable_baselines3.common.vec_env.vec_normalize", "VecNormalize")
SETTINGS = {  # of VecNormalize -> of Normalize
    "norm_obs": "observations",
    "norm_reward": "rewards",
    "clip_obs": "clip_observations",
    "clip_reward": "clip_rewards",
    "gamma": "discount",
    "epsilon": "epsilon",
}
LARGEST_FILE = 2**28  # bytes: it holds one observation's means and variances, and what was seen last
LARGEST = float(np.finfo(np.float32).max)  # as good as the infinity by which nothing is clipped


@dataclass(frozen=True, eq=False)
class Seen:
    """Mean and variance of so many values."""

    mean: NDArray[np.float64]  # [...]
    variance: NDArray[np.float64]  # [...]
    count: float


@dataclass(frozen=True)
class Statistics:
    """What a `VecNormalize` has been told, and what it has seen."""

    path: Path
    settings: Normalize
    observations: dict[str, Seen]  # by key of a Dict, "" for an observation that is none
    returns: Seen | None

    @classmethod
    def read(cls, path: Path) -> Statistics:
        """Read what `VecNormalize.save` wrote; nothing in it is run.

        Raises:
            CheckpointError: for another file, or a damaged one.
        """
        try:
            with artefacts.regular(path, LARGEST_FILE, follow=True) as file:
                saved = read(file.read())
        except (OSError, UnreadableError, ArtefactError) as error:
            raise CheckpointError(f"{path} cannot be read as a pickle: {error}.") from error
        if not isinstance(saved, Made) or saved.maker != OWN or not isinstance(saved.state, dict):
            found = saved.maker if isinstance(saved, Made) else type(saved).__name__
            raise CheckpointError(f"{path} holds no VecNormalize that Stable-Baselines3 has saved, but {found}.")
        try:
            return cls._of(path, saved.state)
        except (UnreadableError, ConfigError, AttributeError, KeyError, TypeError) as error:
            raise CheckpointError(f"{path} cannot be used: {str(error).rstrip('.')}.") from error

    @classmethod
    def _of(cls, path: Path, facts: dict[str, Any]) -> Statistics:
        settings = {ours: number(facts[theirs]) for theirs, ours in SETTINGS.items()}
        if not (settings["observations"] or settings["rewards"]):
            raise UnreadableError("it normalises neither observations nor rewards; say --normalization none")
        for clip in ("clip_observations", "clip_rewards"):
            settings[clip] = min(settings[clip], LARGEST)
        moments = facts["obs_rms"] if settings["observations"] else {}
        if isinstance(moments, dict):
            observations = {key: _seen(each, f"obs_rms[{key!r}]") for key, each in moments.items()}
            settings["keys"] = tuple(observations) if observations else None
        else:
            observations = {WHOLE: _seen(moments, "obs_rms")}
        returns = _seen(facts["ret_rms"], "ret_rms") if settings["rewards"] else None
        made = Normalize.of(settings)
        assert made is not None
        return cls(path, made, observations, returns)

    def into(self, normalization: Normalization, space: Any, name: str) -> None:
        """Let a run's normalisation go on from these.

        Args:
            normalization: of the run.
            space: its raw observations.
            name: of the environment, for messages.

        Raises:
            SpaceError: where they are of observations of another shape.
        """
        shapes = {key: seen.mean.shape for key, seen in self.observations.items()}
        if shapes != {key: moments.mean.shape for key, moments in normalization.observation_moments.items()}:
            told = shapes.get(WHOLE, shapes)
            raise SpaceError(
                f"{self.path} holds statistics of observations of shape {told}; {name} gives {squeezed(space)}. Name "
                "the environment that the model was trained on, with its wrappers."
            )
        for key, moments in normalization.observation_moments.items():
            _restore(moments, self.observations[key])
        if normalization.return_moments is not None and self.returns is not None:
            _restore(normalization.return_moments, self.returns)


def _seen(made: Any, name: str) -> Seen:
    """Return the numbers of a `RunningMeanStd`."""
    facts = made.state
    mean, variance = (np.asarray(_array(facts[of]), np.float64) for of in ("mean", "var"))
    count = number(facts["count"])
    sound = np.isfinite(mean).all() and np.isfinite(variance).all() and (variance >= 0).all() and 0 < count < np.inf
    if mean.shape != variance.shape or not sound:
        raise UnreadableError(f"the numbers of {name} cannot be means, variances and a count")
    return Seen(mean, variance, float(count))


def _array(tree: Any) -> Any:
    return tree if isinstance(tree, (int, float)) else numbers(tree)


def _restore(moments: Moments, seen: Seen) -> None:
    moments.restore({"count": seen.count, "mean": seen.mean, "squares": seen.variance * seen.count})
