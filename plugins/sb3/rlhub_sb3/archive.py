"""A zip that Stable-Baselines3 has saved: its weights, and which algorithm with which hyper-parameters it holds."""

from __future__ import annotations

import base64
import math
import os
import reprlib
import struct
import sys
import zipfile
import zlib
from dataclasses import fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from gymnasium import Space

from rlhub_core import ArtefactError, CheckpointError, artefacts
from rlhub_sb3.converting import alias, network, number_or_schedule, text, usual
from rlhub_sb3.parameters import AS_SCHEDULE
from rlhub_sb3.pickles import Made, Named, UnreadableError, check_depth, number, read
from rlhub_sb3.saved_spaces import has_floats, space_of
from rlhub_sb3.saving import COUNTERS
from rlhub_sb3.tensors import check_sizes, tensors

OLDEST = (1, 7)  # version whose networks have the names of today's
PLAIN = ("data", "_stable_baselines3_version")  # members that are read beside those of tensors
UNZIPPING = (  # RuntimeError: it is encrypted
    *(OSError, zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError, struct.error),
    *(UnreadableError, ArtefactError),
)
PICKLED = ":serialized:"
ABSENT = object()  # what a file does not say
MAKE_FUNCTIONS = ("cloudpickle", "functools")
OWN_POLICIES = {  # module of the policy -> algorithm; the others share policies
    "stable_baselines3.dqn.policies": "dqn",
    "stable_baselines3.sac.policies": "sac",
    "sb3_contrib.ars.policies": "ars",
    "sb3_contrib.crossq.policies": "crossq",
    "sb3_contrib.common.maskable.policies": "maskable_ppo",
    "sb3_contrib.common.recurrent.policies": "recurrent_ppo",
    "sb3_contrib.qrdqn.policies": "qrdqn",
    "sb3_contrib.tqc.policies": "tqc",
}
LEAST = {"num_timesteps": 0, "n_envs": 1} | dict.fromkeys(("_n_updates", "_episode_num", "_n_calls", "seed"), 0)
MOST = 10**12 - 1  # that a count may be; a checkpoint is named by its step in twelve digits
DAMAGED = Made(Named("", "damaged"), ())  # what a file says that cannot be read


class Hidden(NamedTuple):
    """A hyper-parameter that cannot be read as data."""

    attribute: str  # of the model
    reason: str  # "is damaged"
    is_function: bool = False  # of SB3's progress, that unpickling would give here


class Archive:
    """What `model.save` has written; nothing of it is run.

    Args:
        path: of the zip.

    Attributes:
        data: the model's attributes, the pickled ones still in base64.
        version: of Stable-Baselines3, as (major, minor).
        parameters: the state of each network and optimiser, by name.
        variables: other tensors, by name.

    Raises:
        CheckpointError: for another file, a damaged one, or one that is too old.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with artefacts.regular(path, follow=True) as file, zipfile.ZipFile(file) as archive:
                names = check_sizes(archive, os.fstat(file.fileno()).st_size)
                members = {name: archive.read(name) for name in names if name in PLAIN or name.endswith(".pth")}
        except UNZIPPING as error:
            raise CheckpointError(f"{path} cannot be read as a zip: {str(error).rstrip('.')}.") from error
        if "data" not in members or "_stable_baselines3_version" not in members:
            raise CheckpointError(f"{path} is a zip, but none that a Stable-Baselines3 model has saved.")
        version = members["_stable_baselines3_version"].decode(errors="replace").strip()
        try:
            self.data: dict[str, Any] = check_depth(dict(artefacts.json_text(members["data"].decode(), path)))
            self.version = tuple(int(part) for part in version.split(".")[:2])
            states = {name.removesuffix(".pth"): tensors(raw) for name, raw in members.items() if name.endswith(".pth")}
            self.variables: dict[str, Any] = states.pop("pytorch_variables", {}) or {}
            self.parameters: dict[str, Any] = states
            if self.version < (2, 4):
                self._without_target_network()
        except (
            ValueError,
            TypeError,
            AttributeError,
            LookupError,
            RecursionError,
            UnreadableError,
            ArtefactError,
        ) as error:
            raise CheckpointError(f"{path} is damaged, or holds more than tensors: {error}.") from error
        if self.version < OLDEST:
            raise CheckpointError(
                f"{path} was saved by Stable-Baselines3 {version}; 1.7 is the oldest that can be imported. Load it "
                "with a newer one, and save it there."
            )

    def algorithm(self) -> str | None:
        """Return the full name of the algorithm; None where the policy is not one of Stable-Baselines3's."""
        policy = self.policy()
        if policy.module in OWN_POLICIES:
            return f"sb3/{OWN_POLICIES[policy.module]}"
        if policy.module == "stable_baselines3.td3.policies":  # DDPG is TD3 with one critic and without its noise
            kwargs = self.value("policy_kwargs")
            one_critic = isinstance(kwargs, dict) and kwargs.get("n_critics") == 1
            return "sb3/ddpg" if one_critic and not self.value("target_noise_clip") else "sb3/td3"
        if policy.module == "stable_baselines3.common.policies":
            return "sb3/trpo" if "cg_max_steps" in self.data else "sb3/ppo" if "clip_range" in self.data else "sb3/a2c"
        return None

    def policy(self) -> Named:
        """Return the policy's class by name."""
        named = self.value("policy_class")
        return named if isinstance(named, Named) else Named("", "")

    def count(self, name: str) -> int:
        """Return an attribute that counts something, or the least it can be where there is none.

        Raises:
            CheckpointError: where it is no such count.
        """
        least = LEAST[name]
        if name not in self.data or (name == "seed" and self.data[name] is None):
            return least
        counted = self._plain(name)
        whole = isinstance(counted, int) or (isinstance(counted, float) and counted.is_integer())
        if not whole or isinstance(counted, bool) or not least <= counted <= MOST:
            raise self._wrong(name, f"a whole number from {least} to {MOST:,}")
        return int(counted)

    def counters(self) -> dict[str, float]:
        """Return how far the model has come, by attribute.

        Raises:
            CheckpointError: where one cannot be.
        """
        found: dict[str, float] = {}
        for name in COUNTERS:
            if name in LEAST and name in self.data:
                found[name] = self.count(name)
            elif name in self.data:
                share = self._plain(name)  # of exploration, or of what is left; less than 0 where SB3 overshoots
                if not isinstance(share, (int, float)) or isinstance(share, bool) or not -MOST < share <= 1:
                    raise self._wrong(name, "a number of at most 1")
                found[name] = share
        return found

    def total(self) -> int:
        """Return the env steps over which the model's schedules run, at least 1; SB3 takes fractions, too.

        Raises:
            CheckpointError: where it is no number of steps.
        """
        steps = self._plain("_total_timesteps") if "_total_timesteps" in self.data else 0
        if not isinstance(steps, (int, float)) or isinstance(steps, bool) or not 0 <= steps <= MOST:
            raise self._wrong("_total_timesteps", f"a number from 0 to {MOST:,}")
        return max(1, math.ceil(steps))

    def normalized(self) -> bool | None:
        """Return whether the model was trained under `VecNormalize`; None where the file does not tell.

        Beside its observations SB3 keeps the raw ones; where there is a replay buffer, also without it.
        """
        space = self.space("observation_space")
        if self.data.get("_last_original_obs") is None or (space is not None and not has_floats(space)):
            return False
        return None if "replay_buffer_class" in self.data else True

    def value(self, name: str) -> Any:
        """Return an attribute of the model: a plain value, a `Named`, a `Made`, `DAMAGED`, or `ABSENT`."""
        value = self.data.get(name, ABSENT)
        if isinstance(value, dict) and PICKLED in value:
            try:
                return read(base64.b64decode(value[PICKLED], validate=True))
            except (UnreadableError, TypeError, ValueError):
                return DAMAGED
        return value

    def space(self, name: str) -> Space[Any] | None:
        """Return "observation_space" or "action_space"; None where it cannot be read."""
        try:
            return space_of(self.value(name))
        except UnreadableError:
            return None

    def hyper_parameters(self, kind: Any) -> tuple[dict[str, Any], dict[str, Hidden]]:
        """Return what can be read of an algorithm's hyper-parameters, and what cannot, by name.

        Args:
            kind: the algorithm's class.
        """
        known: dict[str, Any] = {}
        hidden: dict[str, Hidden] = {}
        for field in fields(kind.Config):
            attribute = _attribute(field.name)
            try:
                value = self._converted(field.name, self.value(attribute), kind)
            except (UnreadableError, TypeError, AttributeError, KeyError, ValueError, OverflowError) as error:
                hidden[field.name] = self._hidden(field.name, attribute, error)
                continue
            if value is not ABSENT:
                known[field.name] = value
        return known, hidden

    def _hidden(self, name: str, attribute: str, error: Exception) -> Hidden:
        """Return why a hyper-parameter cannot be read."""
        value = self.value(attribute)
        while isinstance(value, Made) and value.kind == "FloatSchedule" and isinstance(value.state, dict):
            value = value.state.get("value_schedule")
        maker = value
        while isinstance(maker, Made):
            maker = maker.maker
        if value is DAMAGED:
            return Hidden(attribute, "is damaged")
        if not isinstance(maker, Named):
            reason = str(error) if isinstance(error, UnreadableError) else type(error).__name__
            return Hidden(attribute, f"is nothing that Stable-Baselines3 writes ({reason})")
        package = maker.module.split(".")[0]
        foreign = name not in AS_SCHEDULE or (package in sys.stdlib_module_names and package not in MAKE_FUNCTIONS)
        if foreign or not _installed(package):
            return Hidden(attribute, f"is made by {maker}" + ("" if foreign else ", which is not installed"))
        return Hidden(attribute, "is a function", is_function=True)

    def _converted(self, name: str, value: Any, kind: Any) -> Any:
        """Return a hyper-parameter as rlhub writes it."""
        if name == "policy":
            return alias(kind, self.policy())
        if name == "her":
            return self._buffer() == "HerReplayBuffer"
        if name == "replay_buffer_kwargs" and self._buffer() == "NStepReplayBuffer":  # which SB3 gives them
            return {key: child for key, child in value.items() if key not in ("n_steps", "gamma")}
        if value is ABSENT:
            return ABSENT
        if name.endswith("_buffer_class"):
            return None if value is None or usual(value) else text(value)
        if name == "policy_kwargs":
            return network(value)
        if isinstance(value, Named):
            raise UnreadableError(f"{value}, by name")
        return number_or_schedule(value, self.total()) if isinstance(value, Made) else text(value)

    def _plain(self, name: str) -> Any:
        """Return an attribute that is a number, if need be of numpy; None where it is anything else."""
        try:
            return number(self.value(name))
        except UnreadableError:
            return None

    def _wrong(self, name: str, wanted: str) -> CheckpointError:
        written = reprlib.repr(self.data[name])
        return CheckpointError(f"{self.path} is damaged: its {name} is {written}, and can only be {wanted}.")

    def _buffer(self) -> str:
        return getattr(self.value("replay_buffer_class"), "name", "")

    def _without_target_network(self) -> None:
        """Leave the target network out of the optimiser's state, as SB3 does with models older than 2.4."""
        own = OWN_POLICIES.get(self.policy().module)
        groups = self.parameters.get("policy.optimizer", {}).get("param_groups", [])
        if own in ("dqn", "qrdqn") and groups:
            groups[0]["params"] = groups[0]["params"][: len(groups[0]["params"]) // 2]


def _installed(package: str) -> bool:
    try:
        return find_spec(package) is not None
    except (ImportError, ValueError):
        return False


def _attribute(name: str) -> str:
    """Return the attribute in which a model keeps a hyper-parameter."""
    return AS_SCHEDULE[name] if name == "delta_std" else "policy_class" if name == "policy" else name
