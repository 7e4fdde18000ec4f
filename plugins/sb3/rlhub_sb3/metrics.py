"""What Stable-Baselines3 measures, under the names that all algorithms of rlhub use."""

from __future__ import annotations

from collections.abc import Mapping

SAME = {  # SB3's name -> rlhub's
    "rollout/exploration_rate": "hyper_parameters/epsilon",
    "train/approx_kl": "train/kl",
    "train/kl_divergence_loss": "train/kl",
    "train/policy_gradient_loss": "train/policy_loss",
    "train/n_updates": "train/updates",
    "train/iterations": "train/updates",
    "train/ent_coef": "train/entropy_coefficient",
    "train/ent_coef_loss": "train/entropy_coefficient_loss",
}
NEGATED = {"train/entropy_loss": "train/entropy", "train/policy_objective": "train/policy_loss"}


def renamed(measured: Mapping[str, float]) -> dict[str, float]:
    """Return what SB3's logger holds under rlhub's names; what has no other name keeps SB3's."""
    return {
        NEGATED.get(name, SAME.get(name, name)): -float(number) if name in NEGATED else float(number)
        for name, number in measured.items()
    }
