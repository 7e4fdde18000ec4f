"""What Stable-Baselines3 has pickled for a hyper-parameter, as rlhub writes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from rlhub_sb3.parameters import is_nameable
from rlhub_sb3.pickles import Made, Named, UnreadableError, numbers

USUAL_BUFFERS = ("stable_baselines3.common.buffers", "sb3_contrib.common.")  # chosen by the algorithm itself


def alias(kind: Any, policy: Named) -> str:
    """Return the short name of a policy's class, "MlpPolicy"."""
    for short, known in kind._model_class.policy_aliases.items():
        if (known.__module__, known.__name__) == policy:
            return str(short)
    raise UnreadableError(f"{policy} is no policy of Stable-Baselines3")


def usual(value: Any) -> bool:
    """Return whether a buffer's class is one that needs not be said."""
    return isinstance(value, Named) and (value.module.startswith(USUAL_BUFFERS) or value.name == "HerReplayBuffer")


def text(tree: Any) -> Any:
    """Return a tree with "module:Class" for every class that a recipe may name."""
    if isinstance(tree, Named):
        if not is_nameable(tree.module):
            raise UnreadableError(f"{tree} is not imported")
        return str(tree)
    if isinstance(tree, Mapping):
        return {key: text(child) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        return [text(child) for child in tree]
    if isinstance(tree, Made):
        return _scalar(tree)
    return tree


def network(given: Any) -> Any:
    """Return `policy_kwargs`, or None where there are none."""
    kwargs = {key: text(child) for key, child in given.items() if key != "use_sde"}  # SB3 adds it
    architecture = kwargs.get("net_arch")
    if isinstance(architecture, list) and architecture and isinstance(architecture[0], dict):
        kwargs["net_arch"] = architecture[0]  # as SB3 wrote it before 1.8
    return kwargs or None


def number_or_schedule(made: Made, total: int) -> Any:
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
    "FloatSchedule": lambda made, total: number_or_schedule(made.state["value_schedule"], total),
    "ConstantSchedule": lambda made, total: _each(made.state["val"]),
    "LinearSchedule": _linear,
    "TrainFreq": _frequency,
    "NormalActionNoise": _normal,
    "OrnsteinUhlenbeckActionNoise": _ornstein_uhlenbeck,
    "VectorizedActionNoise": lambda made, total: number_or_schedule(made.state["_base_noise"], total),
}
