"""A zip that Stable-Baselines3 has saved: its weights, and which algorithm with which hyper-parameters it holds."""

from __future__ import annotations

import base64
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from rlhub_core import CheckpointError
from rlhub_sb3.parameters import AS_SCHEDULE, IMPORTED
from rlhub_sb3.pickles import Made, Named, UnreadableError, numbers, read, tensors

OLDEST = (1, 7)  # version whose networks have the names of today's
PICKLED = ":serialized:"
ABSENT = object()  # what a file does not say
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
USUAL_BUFFERS = ("stable_baselines3.common.buffers", "sb3_contrib.common.")  # chosen by the algorithm itself


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
            with zipfile.ZipFile(path) as archive:
                members = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
        except (OSError, zipfile.BadZipFile) as error:
            raise CheckpointError(f"{path} cannot be read as a zip: {error}.") from error
        if "data" not in members or "_stable_baselines3_version" not in members:
            raise CheckpointError(f"{path} is a zip, but none that a Stable-Baselines3 model has saved.")
        version = members["_stable_baselines3_version"].decode(errors="replace").strip()
        try:
            self.data: dict[str, Any] = dict(json.loads(members["data"]))
            self.version = tuple(int(number) for number in version.split(".")[:2])
            read = {name.removesuffix(".pth"): tensors(raw) for name, raw in members.items() if name.endswith(".pth")}
        except (ValueError, TypeError, UnreadableError) as error:
            raise CheckpointError(f"{path} is damaged, or holds more than tensors: {error}.") from error
        if self.version < OLDEST:
            raise CheckpointError(
                f"{path} was saved by Stable-Baselines3 {version}; 1.7 is the oldest that can be imported. Load it "
                "with a newer one, and save it there."
            )
        self.variables: dict[str, Any] = read.pop("pytorch_variables", {}) or {}
        self.parameters: dict[str, Any] = read
        if self.version < (2, 4):
            self._without_target_network()

    def algorithm(self) -> str | None:
        """Return the full name of the algorithm; None where the policy is not one of Stable-Baselines3's."""
        policy = self.policy()
        if policy.module in OWN_POLICIES:
            return f"sb3/{OWN_POLICIES[policy.module]}"
        if policy.module == "stable_baselines3.td3.policies":  # DDPG is TD3 with one critic and without its noise
            network = self.value("policy_kwargs")
            one_critic = isinstance(network, dict) and network.get("n_critics") == 1
            return "sb3/ddpg" if one_critic and not self.value("target_noise_clip") else "sb3/td3"
        if policy.module == "stable_baselines3.common.policies":
            return "sb3/trpo" if "cg_max_steps" in self.data else "sb3/ppo" if "clip_range" in self.data else "sb3/a2c"
        return None

    def policy(self) -> Named:
        """Return the policy's class by name."""
        named = self.value("policy_class")
        return named if isinstance(named, Named) else Named("", "")

    def count(self, name: str, least: int) -> int:
        """Return an attribute that counts something, or `least` where there is none."""
        number = self.data.get(name)
        return max(least, number) if isinstance(number, int) else least

    def value(self, name: str) -> Any:
        """Return an attribute of the model: a plain value, a `Named`, a `Made`, or `ABSENT`."""
        value = self.data.get(name, ABSENT)
        if isinstance(value, dict) and PICKLED in value:
            try:
                return read(base64.b64decode(value[PICKLED]))
            except UnreadableError:
                return Made(Named("", "unreadable"), ())
        return value

    def action_bounds(self) -> tuple[Any, Any] | None:
        """Return the lowest and highest actions of a Box [n]; None where the actions are another space's."""
        space = self.value("action_space")
        if not isinstance(space, Made) or space.kind != "Box" or not isinstance(space.state, dict):
            return None
        try:
            return numbers(space.state.get("low")), numbers(space.state.get("high"))
        except UnreadableError:
            return None

    def hyper_parameters(self, kind: Any) -> tuple[dict[str, Any], dict[str, str]]:
        """Return what can be read of an algorithm's hyper-parameters, and what cannot: name -> attribute.

        Args:
            kind: the algorithm's class.
        """
        known: dict[str, Any] = {}
        hidden: dict[str, str] = {}
        for field in fields(kind.Config):
            attribute = _attribute(field.name)
            try:
                value = self._converted(field.name, self.value(attribute), kind)
            except (UnreadableError, TypeError, AttributeError, KeyError, ValueError):  # or of a shape nobody writes
                hidden[field.name] = attribute
                continue
            if value is not ABSENT:
                known[field.name] = value
        return known, hidden

    def _converted(self, name: str, value: Any, kind: Any) -> Any:
        """Return a hyper-parameter as rlhub writes it."""
        if name == "policy":
            return _alias(kind, self.policy())
        if name == "her":
            return self._buffer() == "HerReplayBuffer"
        if name == "replay_buffer_kwargs" and self._buffer() == "NStepReplayBuffer":  # which SB3 gives them
            return {key: child for key, child in value.items() if key not in ("n_steps", "gamma")}
        if value is ABSENT:
            return ABSENT
        if name.endswith("_buffer_class"):
            return None if value is None or _usual(value) else _text(value)
        if name == "policy_kwargs":
            return _network(value)
        if isinstance(value, Made):
            return _number_or_schedule(value, self.count("_total_timesteps", 1))
        return value

    def _buffer(self) -> str:
        return getattr(self.value("replay_buffer_class"), "name", "")

    def _without_target_network(self) -> None:
        """Leave the target network out of the optimiser's state, as SB3 does with models older than 2.4."""
        own = OWN_POLICIES.get(self.policy().module)
        groups = self.parameters.get("policy.optimizer", {}).get("param_groups", [])
        if own in ("dqn", "qrdqn") and groups:
            groups[0]["params"] = groups[0]["params"][: len(groups[0]["params"]) // 2]


def _attribute(name: str) -> str:
    """Return the attribute in which a model keeps a hyper-parameter."""
    return AS_SCHEDULE[name] if name == "delta_std" else "policy_class" if name == "policy" else name


def _alias(kind: Any, policy: Named) -> str:
    for alias, known in kind._model_class.policy_aliases.items():
        if (known.__module__, known.__name__) == policy:
            return str(alias)
    raise UnreadableError(f"{policy} is no policy of Stable-Baselines3")


def _usual(value: Any) -> bool:
    return isinstance(value, Named) and (value.module.startswith(USUAL_BUFFERS) or value.name == "HerReplayBuffer")


def _text(tree: Any) -> Any:
    """Return a tree with "module:Class" for every class that a recipe may name."""
    if isinstance(tree, Named):
        if tree.module.split(".")[0] not in IMPORTED:
            raise UnreadableError(f"{tree} is not imported")
        return str(tree)
    if isinstance(tree, Mapping):
        return {key: _text(child) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [_text(child) for child in tree]
    if isinstance(tree, Made):
        return _scalar(tree)
    return tree


def _network(given: Any) -> Any:
    network = {key: _text(child) for key, child in given.items() if key != "use_sde"}  # SB3 adds it
    architecture = network.get("net_arch")
    if isinstance(architecture, list) and architecture and isinstance(architecture[0], dict):
        network["net_arch"] = architecture[0]  # as SB3 wrote it before 1.8
    return network or None


def _number_or_schedule(made: Made, total: int) -> Any:
    """Return what SB3 has pickled for a hyper-parameter as rlhub writes it.

    Args:
        made: what the pickle describes.
        total: env steps of the training, over which SB3's schedules run.
    """
    convert: Callable[[Made, int], Any] = CONVERTED.get(made.kind, lambda made, total: _scalar(made))
    try:
        return convert(made, total)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise UnreadableError(f"{made.kind}: {error!r}") from error


def _scalar(made: Made) -> Any:
    array = numbers(made)
    return array.item() if array.ndim == 0 else array.tolist()


def _linear(made: Made, total: int) -> Any:
    facts = made.state
    return f"linear({facts['start']!r}, {facts['end']!r}, {max(1, round(facts['end_fraction'] * total))})"


def _frequency(made: Made, total: int) -> Any:
    number, unit = made.arguments[0], made.arguments[1]
    written = unit.arguments[-1].lower()  # Python pickles an Enum's member by its value, up to 3.11.3 by its name
    return number if written == "step" else [number, written]


def _normal(made: Made, total: int) -> Any:
    return f"normal({_each(made.state['_sigma'])}, mean={_each(made.state['_mu'])})"


def _ornstein_uhlenbeck(made: Made, total: int) -> Any:
    facts = made.state
    return (
        f"ornstein_uhlenbeck({_each(facts['_sigma'])}, theta={facts['_theta']!r}, dt={facts['_dt']!r}, "
        f"mean={_each(facts['_mu'])})"
    )


def _each(made: Any) -> Any:
    return _scalar(made) if isinstance(made, Made) else made


CONVERTED: dict[str, Callable[[Made, int], Any]] = {
    "FloatSchedule": lambda made, total: _number_or_schedule(made.state["value_schedule"], total),
    "ConstantSchedule": lambda made, total: _each(made.state["val"]),
    "LinearSchedule": _linear,
    "TrainFreq": _frequency,
    "NormalActionNoise": _normal,
    "OrnsteinUhlenbeckActionNoise": _ornstein_uhlenbeck,
    "VectorizedActionNoise": lambda made, total: _number_or_schedule(made.state["_base_noise"], total),
}
