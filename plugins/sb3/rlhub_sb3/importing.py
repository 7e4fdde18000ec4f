"""A model that Stable-Baselines3 has saved becomes a run: `rlhub import-sb3`."""

from __future__ import annotations

import json
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stable_baselines3.common.save_util import json_to_data

from rlhub_core import (
    CheckpointError,
    ConfigError,
    EnvironmentSource,
    Experiment,
    Hub,
    RlhubError,
    Run,
    SpaceError,
    default_hub,
)
from rlhub_core.config import mention
from rlhub_core.errors import listed, squeezed
from rlhub_core.parts import Parts, find_algorithm, imported, make_callbacks
from rlhub_core.training import adopt
from rlhub_sb3.adapter import SB3Algorithm
from rlhub_sb3.archive import Archive
from rlhub_sb3.saved_spaces import difference
from rlhub_sb3.statistics import Statistics

SHAPING = ("policy", "policy_kwargs", "ent_coef", "use_sde")  # on which networks and optimisers depend


def import_zip(
    path: str | Path,
    env: Any = None,
    *,
    algorithm: str | None = None,
    config: Mapping[str, Any] | None = None,
    env_options: Mapping[str, Any] | None = None,
    wrappers: Sequence[Any] = (),
    normalization: str | Path | None = None,
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
        normalization: what `VecNormalize.save` wrote, where the model was trained under it; "none" where it shall not
            matter.
        folder: of the run; by default a new one under `runs/`.
        trust: unpickle the hyper-parameters that are functions, such as a schedule of the learning rate. A pickle can
            run any code: only for files that you made yourself.
        device: "auto", "cpu", "cuda", …
        hub: where names are looked up.

    Raises:
        CheckpointError: for a file that is no such zip, damaged or too old.
        ConfigError: where something must be told, or what was told does not fit the weights; SpaceError where the
            environment is another than the model's.
    """
    archive, hub = Archive(Path(path)), hub or default_hub()
    if env is None:
        raise ConfigError(f"Say on which environment {path} was trained, for it does not: --env CartPole-v1.")
    name, kind = _algorithm(archive, algorithm, hub)
    settings = _settings(archive, kind, imported(kind, config), trust)
    statistics = _statistics(archive, normalization)
    source = EnvironmentSource.of(env, env_options, wrappers, hub)
    counters = archive.counters()
    steps = max(archive.count("num_timesteps"), archive.total())  # its schedules' length
    callbacks, written = make_callbacks(hub, [f"core/checkpoint:every={min(100_000, max(1_000, steps // 10))}"])
    experiment = Experiment(
        algorithm=name,
        environment=source.origin if isinstance(source.origin, str) else mention(source.origin),
        environment_options=dict(source.options),
        wrappers=tuple(wrapper if isinstance(wrapper, str) else mention(wrapper) for wrapper in source.wrappers),
        hyper_parameters=settings,
        steps=steps,
        num_envs=archive.count("n_envs"),
        seed=archive.count("seed"),
        normalize=None if statistics is None else statistics.settings,
        callbacks=written,
        device=device,
    )

    def become(run: Run) -> None:
        assert isinstance(run.algorithm, SB3Algorithm)
        _check_spaces(archive, run, source.name)
        if statistics is not None and run.normalization is not None:
            statistics.into(run.normalization, run.observation_space, source.name)
        try:
            run.algorithm.adopt(experiment.num_envs, archive.parameters, archive.variables, counters)
        except (RuntimeError, ValueError, KeyError, AttributeError, TypeError) as error:
            raise _misfit(archive, run, config or {}, _last_line(error)) from error

    return adopt(experiment, Parts(source, kind, callbacks, hub), folder, become)


def _statistics(archive: Archive, path: str | Path | None) -> Statistics | None:
    """Return those of the VecNormalize under which a model was trained."""
    if path is not None and str(path) != "none":
        return Statistics.read(Path(path))
    normalized = archive.normalized() if path is None else False
    if normalized is None:
        print(
            f"{archive.path} does not tell whether it was trained under VecNormalize. If so, it needs what its save() "
            "wrote: --normalization vecnormalize.pkl (in Python normalization=…).",
            file=sys.stderr,
        )
    if normalized:
        raise ConfigError(
            f"{archive.path} was trained under VecNormalize, and knows only normalised numbers. Give what its save() "
            "wrote: --normalization vecnormalize.pkl (in Python normalization=…); none, where it shall not matter."
        )
    return None


def _check_spaces(archive: Archive, run: Run, name: str) -> None:
    """Raise SpaceError where the model has learnt in other spaces, of which its weights tell only the sizes."""
    saved = archive.space("observation_space")
    seen = run.algorithm.model.observation_space  # type: ignore[attr-defined] # normalised, and images channel first
    here = seen if run.normalization is None else run.observation_space
    what = None if saved is None or difference(saved, seen) is None else difference(saved, here)
    if what:
        cure = " Where only the bounds are declared otherwise, let a wrapper declare these." if "bounds" in what else ""
        raise SpaceError(
            f"{archive.path} was trained with observations {squeezed(saved)}; {name} gives {squeezed(here)}: {what}. "
            f"Name the environment that it was trained on, with its wrappers.{cure}"
        )
    saved = archive.space("action_space")
    what = None if saved is None else difference(saved, run.action_space)
    if what:
        cure = ", or rescale its actions with a wrapper" if "bounds" in what else ""
        raise SpaceError(
            f"{archive.path} was trained with actions {squeezed(saved)}; {name} takes {squeezed(run.action_space)}: "
            f"{what}. Name the environment that it was trained on, with its wrappers{cure}."
        )


def _misfit(archive: Archive, run: Run, told: Mapping[str, Any], why: str) -> RlhubError:
    """Return the error of weights that do not fit the networks that were built for them, saying whose fault it is."""
    recipe = run.experiment
    shaping = [f"{name}={told[name]!r}" for name in SHAPING if name in told]
    if shaping:
        return ConfigError(
            f"The weights of {archive.path} do not fit {listed(shaping)}: {why} Leave it out: then the file's own is "
            "taken."
        )
    if archive.space("observation_space") is not None and archive.space("action_space") is not None:
        return ConfigError(
            f"The weights of {archive.path} do not fit {recipe.algorithm} with the networks that the file describes: "
            f"{why} If it is another algorithm, say --algorithm; else the networks were made otherwise: say "
            "policy_kwargs=…."
        )
    spaces = f"{squeezed(run.observation_space)} and {squeezed(run.action_space)}"
    return SpaceError(
        f"The weights of {archive.path} do not fit {recipe.algorithm} on {run.environment.name} ({spaces}): {why} "
        "Name the environment that it was trained on, with its wrappers."
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
    hidden = {name: each for name, each in hidden.items() if name not in told}
    if "policy" in hidden:
        raise ConfigError(
            f"{archive.path} holds a policy that is not Stable-Baselines3's own ({archive.policy()}); only "
            f"{listed(kind._model_class.policy_aliases)} can be imported."
        )
    functions = {name for name, each in hidden.items() if each.is_function}
    odd = {name: each.reason for name, each in hidden.items() if name not in functions}
    if odd:
        described = "; ".join(f"{name} {reason}" for name, reason in odd.items())
        raise ConfigError(
            f"{archive.path} does not tell all hyper-parameters: {described}. Say the value, such as "
            f"{next(iter(odd))}=…."
        )
    if functions and not trust:
        raise ConfigError(
            f"{archive.path} holds {listed(functions)} as pickled code, which is not run. Say the value, such as "
            f"{min(functions)}=…; or "
            "unpickle it with --trust (in Python trust=True), if you made the file yourself."
        )
    if functions:
        print(
            f"Unpickling {listed(functions)} of {archive.path}: a pickle can run any code that whoever made it likes.",
            file=sys.stderr,
        )
        known |= {name: _trusted(archive, name, hidden[name].attribute) for name in sorted(functions)}
    return {name: value for name, value in known.items() if value is not None} | dict(told)


def _trusted(archive: Archive, name: str, attribute: str) -> Any:
    """Unpickle a hyper-parameter and return the number or linear schedule that it is.

    Raises:
        CheckpointError: where it cannot be unpickled.
        ConfigError: where it is anything else.
    """
    try:
        with warnings.catch_warnings(record=True) as heard:  # SB3 leaves out some of what fails, with a warning
            warnings.simplefilter("always")
            unpickled = json_to_data(json.dumps({name: archive.data[attribute]}))
        if name not in unpickled:
            raise ValueError(" ".join(str(warning.message).rpartition("Exception: ")[2].strip() for warning in heard))
    except Exception as error:
        raise CheckpointError(
            f"{name} of {archive.path} cannot be unpickled: {error}. Say its value: {name}=…."
        ) from error
    schedule = unpickled[name]
    try:
        at = [float(schedule(left)) for left in (1.0, 0.75, 0.5, 0.25, 0.0)] if callable(schedule) else None
    except Exception as error:
        raise CheckpointError(f"{name} of {archive.path} is a function that fails: {error!r}.") from error
    if at is None or any(abs(value - (at[0] + (at[-1] - at[0]) * i / 4)) > 1e-9 for i, value in enumerate(at)):
        raise ConfigError(f"{name} of {archive.path} is no constant or linear schedule; say it: {name}=….")
    return at[0] if at[0] == at[-1] else f"linear({at[0]!r}, {at[-1]!r}, {archive.total()})"


def _last_line(error: Exception) -> str:
    return str(error).strip("\"'").splitlines()[-1].strip().rstrip(".") + "."
