"""ReNom's arguments as the hyper-parameters of today's algorithms.

ReNom's `greedy` is the probability of the greedy action; ε of the literature is that of a random one: ε = 1 - greedy.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rlhub_core import ConfigError, config
from rlhub_core.errors import listed
from rlhub_core.hub import default_hub
from rlhub_core.parts import find_algorithm
from rlhub_core.schedules import Linear, Schedule, value

MIN_GREEDY, MAX_GREEDY, GREEDY_STEP = 0.0, 0.9, 1_000_000  # ReNom RL 0.0.0
COUNTERPARTS = {  # ReNom's name: what it is called by deep/* and by sb3/*
    "batch_size": ("batch_size",),
    "update_period": ("target_update_every", "target_update_interval"),
    "train_frequency": ("train_every", "train_freq"),
    "random_step": ("learning_starts",),
}


@dataclass(frozen=True)
class AfterRandom:
    """ε: 1 for so many env steps, then what a schedule says of the steps after them."""

    steps: int
    then: float | Schedule

    def __call__(self, step: int) -> float:
        return 1.0 if step < self.steps else float(value(self.then, step - self.steps))


def exploration(min_greedy: float | None, max_greedy: float | None, greedy_step: int | None) -> Linear | None:
    """Return the schedule of ε that ReNom's three arguments make, with its defaults; None where none is given.

    Raises:
        ConfigError: for a probability outside [0, 1], or a number of steps that is none.
    """
    if min_greedy is max_greedy is greedy_step is None:
        return None
    low = MIN_GREEDY if min_greedy is None else min_greedy
    high = MAX_GREEDY if max_greedy is None else max_greedy
    over = GREEDY_STEP if greedy_step is None else greedy_step
    if not 0 <= low <= high <= 1:
        raise ConfigError(f"min_greedy and max_greedy are probabilities, 0 <= min <= max <= 1; not {low} and {high}.")
    if isinstance(over, bool) or not isinstance(over, int) or over < 1:
        raise ConfigError(f"greedy_step must be a positive number of steps, not {over!r}.")
    return Linear(round(1 - low, 12), round(1 - high, 12), over)


def translated(
    algorithm: Any,
    batch_size: int | None,
    update_period: int | None,
    train_frequency: int | None,
    greedy: Linear | None,
    random_steps: int,
    total_steps: int,
    given: Mapping[str, Any] | None,
) -> dict[str, Any] | None:
    """Return hyper-parameters for an algorithm, those that were given winning over ReNom's.

    Raises:
        ConfigError: for an argument of ReNom's that the algorithm has no counterpart of, naming it; for an algorithm
            that plans.
    """
    name, maker, spec = find_algorithm(default_hub(), algorithm)
    if spec is not None and spec.plans:
        raise ConfigError(f"{name} plans from a model and takes no steps; it has no epochs.")
    known = set(config.parameters(maker.Config)) if isinstance(maker, type) else set()  # type: ignore[attr-defined]
    wanted = {"batch_size": batch_size, "update_period": update_period, "train_frequency": train_frequency}
    wanted["random_step"] = random_steps or None
    hyper_parameters: dict[str, Any] = {}
    for argument, number in wanted.items():
        if number is not None:
            hyper_parameters[_counterpart(name, argument, known)] = number
    if greedy is not None or random_steps:
        hyper_parameters |= _epsilon(name, known, greedy, random_steps, total_steps, maker, given or {})
    return hyper_parameters | dict(given or {}) or None


def after_random(algorithm: Any, steps: int, greedy: Linear | None) -> AfterRandom:
    """Return a schedule of ε that begins with random steps; where ReNom's arguments say no other, with its default."""
    maker = find_algorithm(default_hub(), algorithm)[1]
    return AfterRandom(steps, greedy if greedy is not None else config.parameters(maker.Config)["epsilon"].default)


def _counterpart(name: str, argument: str, known: set[str]) -> str:
    for counterpart in COUNTERPARTS[argument]:
        if counterpart in known:
            return counterpart
    raise ConfigError(f"{argument}: {name} has no {listed(COUNTERPARTS[argument])}. Leave {argument} out.")


def _epsilon(
    name: str,
    known: set[str],
    greedy: Linear | None,
    random_steps: int,
    total_steps: int,
    maker: Any,
    given: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the hyper-parameters of ε-greedy exploration; none where it is not asked for."""
    if "epsilon" in known:
        if given.get("count_in", "steps") != "steps":
            raise ConfigError(f"{name}: ReNom counts in steps; leave count_in out.")
        if not random_steps:
            return {"epsilon": greedy}
        return {"epsilon": after_random(maker, random_steps, greedy)}
    if greedy is None:
        return {}
    if "exploration_fraction" in known:  # which counts from the first step on, and is random until learning starts
        return {
            "exploration_initial_eps": greedy.start,
            "exploration_final_eps": greedy.end,
            "exploration_fraction": min(1.0, (random_steps + (greedy.over or 0)) / total_steps),
        }
    others = [each for each, spec in default_hub().offers("algorithm").items() if _is_epsilon_greedy(each, spec)]
    raise ConfigError(
        f"{name} does not choose ε-greedily: leave min_greedy, max_greedy and greedy_step out. "
        f"Algorithms that do: {listed(others)}."
    )


def _is_epsilon_greedy(name: str, spec: Any) -> bool:
    if spec.plans:
        return False
    try:
        known = config.parameters(default_hub().load("algorithm", name).Config)
    except Exception:  # what cannot be loaded is not recommended
        return False
    return bool({"epsilon", "exploration_fraction"} & set(known))
