"""A model that Stable-Baselines3 has saved becomes a run: `rlhub import-sb3`."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium.spaces import Box
from stable_baselines3.common.save_util import json_to_data

from rlhub_core import CheckpointError, ConfigError, EnvironmentSource, Experiment, Hub, Run, SpaceError, default_hub
from rlhub_core.config import mention
from rlhub_core.errors import listed, squeezed
from rlhub_core.parts import Parts, find_algorithm, imported, make_callbacks
from rlhub_core.training import adopt
from rlhub_sb3.adapter import SB3Algorithm
from rlhub_sb3.archive import Archive
from rlhub_sb3.saving import COUNTERS


def import_zip(
    path: str | Path,
    env: Any = None,
    *,
    algorithm: str | None = None,
    config: Mapping[str, Any] | None = None,
    env_options: Mapping[str, Any] | None = None,
    wrappers: Sequence[Any] = (),
    folder: str | Path | None = None,
    trust: bool = False,
    device: str = "auto",
    hub: Hub | None = None,
) -> Run:
    """Make a run of a model that Stable-Baselines3 has saved, and return it; no step is taken.

    Weights, optimisers and counters go along; a replay buffer is not in such a file. Nothing in it is run: what is
    pickled is read as data.

    Args:
        path: the zip that `model.save` wrote.
        env: what it was trained on, which the file does not say: a name, a class or a factory.
        algorithm: "sb3/ppo", …; by default what the file shows.
        config: hyper-parameters that the file does not tell, or that are to change.
        env_options, wrappers: of the environment.
        folder: of the run; by default a new one under `runs/`.
        trust: unpickle the hyper-parameters that are functions, such as a schedule of the learning rate. A pickle can
            run any code: only for files that you made yourself.
        device: "auto", "cpu", "cuda", …
        hub: where names are looked up.

    Raises:
        CheckpointError: for a file that is no such zip, damaged or too old.
        ConfigError: where something must be told; SpaceError where the weights do not fit the environment.
    """
    archive, hub = Archive(Path(path)), hub or default_hub()
    if env is None:
        raise ConfigError(f"Say on which environment {path} was trained, for it does not: --env CartPole-v1.")
    name, kind = _algorithm(archive, algorithm, hub)
    settings = _settings(archive, kind, imported(kind, config), trust)
    source = EnvironmentSource.of(env, env_options, wrappers, hub)
    steps = max(archive.count("num_timesteps", 1), archive.count("_total_timesteps", 1))  # its schedules' length
    callbacks, written = make_callbacks(hub, [f"core/checkpoint:every={min(100_000, max(1_000, steps // 10))}"])
    experiment = Experiment(
        algorithm=name,
        environment=source.origin if isinstance(source.origin, str) else mention(source.origin),
        environment_options=dict(source.options),
        wrappers=tuple(wrapper if isinstance(wrapper, str) else mention(wrapper) for wrapper in source.wrappers),
        hyper_parameters=settings,
        steps=steps,
        num_envs=archive.count("n_envs", 1),
        seed=archive.count("seed", 0),
        callbacks=written,
        device=device,
    )
    counters = {
        counter: archive.data[counter] for counter in COUNTERS if isinstance(archive.data.get(counter), (int, float))
    }

    def become(run: Run) -> None:
        assert isinstance(run.algorithm, SB3Algorithm)
        _check_bounds(archive, run.action_space, source.name)
        try:
            run.algorithm.adopt(experiment.num_envs, archive.parameters, archive.variables, counters)
        except (RuntimeError, ValueError, KeyError, AttributeError) as error:
            spaces = f"{squeezed(run.observation_space)} and {squeezed(run.action_space)}"
            raise SpaceError(
                f"The weights of {path} do not fit {name} on {source.name} ({spaces}): {_last_line(error)} "
                "Name the environment that it was trained on, with its wrappers."
            ) from error

    return adopt(experiment, Parts(source, kind, callbacks, hub), folder, become)


def _check_bounds(archive: Archive, space: Any, name: str) -> None:
    """Raise SpaceError where the model's actions had other bounds, which its weights do not tell."""
    bounds = archive.action_bounds()
    if bounds is None or not isinstance(space, Box) or bounds[0].shape != space.shape:
        return
    if not (np.allclose(bounds[0], space.low) and np.allclose(bounds[1], space.high)):
        raise SpaceError(
            f"{archive.path} was trained with actions from {bounds[0].tolist()} to {bounds[1].tolist()}; {name} takes "
            f"{squeezed(space)}. Name the environment that it was trained on, or rescale its actions with a wrapper."
        )


def _algorithm(archive: Archive, told: str | None, hub: Hub) -> tuple[str, type[SB3Algorithm]]:
    asked = told or archive.algorithm()
    if asked is None:
        raise ConfigError(f"{archive.path} does not show which algorithm it is; say it: --algorithm sb3/ppo.")
    name, kind, _ = find_algorithm(hub, asked)
    if not (isinstance(kind, type) and issubclass(kind, SB3Algorithm)):
        raise ConfigError(f"{name} is no algorithm of Stable-Baselines3; --algorithm sb3/… names one.")
    return name, kind


def _settings(archive: Archive, kind: Any, told: Mapping[str, Any], trust: bool) -> dict[str, Any]:
    """Return the hyper-parameters, those that were told first."""
    known, hidden = archive.hyper_parameters(kind)
    hidden = {name: attribute for name, attribute in hidden.items() if name not in told}
    if "policy" in hidden:
        raise ConfigError(
            f"{archive.path} holds a policy that is not Stable-Baselines3's own ({archive.policy()}); only "
            f"{listed(kind._model_class.policy_aliases)} can be imported."
        )
    if trust and hidden:
        print(
            f"Unpickling {listed(hidden)} of {archive.path}: a pickle can run any code that whoever made it likes.",
            file=sys.stderr,
        )
        total = archive.count("_total_timesteps", 1)
        known |= {name: _trusted(archive, name, attribute, total) for name, attribute in hidden.items()}
    elif hidden:
        raise ConfigError(
            f"{archive.path} holds {listed(hidden)} as pickled code, which is not run. Say the value, such as "
            f"{next(iter(hidden))}=…; or "
            "unpickle it with --trust (in Python trust=True), if you made the file yourself."
        )
    return {name: value for name, value in known.items() if value is not None} | dict(told)


def _trusted(archive: Archive, name: str, attribute: str, total: int) -> Any:
    """Unpickle a hyper-parameter and return the number or linear schedule that it is.

    Raises:
        CheckpointError: where it cannot be unpickled.
        ConfigError: where it is anything else.
    """
    try:
        schedule: Any = json_to_data(json.dumps({name: archive.data[attribute]}))[name]
        at = [float(schedule(left)) for left in (1.0, 0.75, 0.5, 0.25, 0.0)] if callable(schedule) else None
    except Exception as error:
        raise CheckpointError(f"{name} of {archive.path} cannot be unpickled: {error!r}.") from error
    if at is None or any(abs(value - (at[0] + (at[-1] - at[0]) * i / 4)) > 1e-9 for i, value in enumerate(at)):
        raise ConfigError(f"{name} of {archive.path} is no constant or linear schedule; say it: {name}=….")
    return at[0] if at[0] == at[-1] else f"linear({at[0]!r}, {at[-1]!r}, {total})"


def _last_line(error: Exception) -> str:
    return str(error).strip("\"'").splitlines()[-1].strip().rstrip(".") + "."
