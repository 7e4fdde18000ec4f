"""Stable-Baselines3's algorithms, one row each: everything they have in common is in `adapter`."""

from __future__ import annotations

import stable_baselines3

from rlhub_sb3.adapter import SB3Algorithm


class A2C(SB3Algorithm, model=stable_baselines3.A2C):
    """Advantage actor-critic (Mnih et al. 2016, synchronous)."""


class DDPG(SB3Algorithm, model=stable_baselines3.DDPG):
    """Deep deterministic policy gradient (Lillicrap et al. 2016)."""


class DQN(SB3Algorithm, model=stable_baselines3.DQN):
    """Deep Q-network (Mnih et al. 2015), without double, dueling or prioritised replay."""


class PPO(SB3Algorithm, model=stable_baselines3.PPO):
    """Proximal policy optimisation with a clipped surrogate (Schulman et al. 2017)."""


class SAC(SB3Algorithm, model=stable_baselines3.SAC):
    """Soft actor-critic with a learned temperature (Haarnoja et al. 2018)."""


class TD3(SB3Algorithm, model=stable_baselines3.TD3):
    """Twin delayed deep deterministic policy gradient (Fujimoto et al. 2018)."""
