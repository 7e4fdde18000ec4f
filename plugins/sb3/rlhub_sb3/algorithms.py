"""The algorithms, one row each: everything they have in common is in `adapter`."""

from __future__ import annotations

import stable_baselines3

from rlhub_sb3.adapter import SB3Algorithm


class A2C(SB3Algorithm, model=stable_baselines3.A2C):
    """Advantage actor-critic (Mnih et al. 2016, synchronous)."""


class DQN(SB3Algorithm, model=stable_baselines3.DQN):
    """Deep Q-network (Mnih et al. 2015), without double, dueling or prioritised replay."""


class PPO(SB3Algorithm, model=stable_baselines3.PPO):
    """Proximal policy optimisation with a clipped surrogate (Schulman et al. 2017)."""
