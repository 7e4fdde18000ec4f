"""ReNom RL's dialect: environments, `fit` and `test`, by their old names."""

from __future__ import annotations

from rlhub_legacy.renom.adapter import ReNomEnv
from rlhub_legacy.renom.base import BaseEnv
from rlhub_legacy.renom.epochs import Epoch, Epochs, epochs
from rlhub_legacy.renom.fitting import fit, resume
from rlhub_legacy.renom.fitting import play_test as test
from rlhub_legacy.renom.openai import Breakout, CartPole00, CartPole01, MountainCar, Pendulum
from rlhub_legacy.renom.openai_env import Breakout_ram
from rlhub_legacy.renom.stopping import Terminate

__all__ = [
    "BaseEnv",
    "Breakout",
    "Breakout_ram",
    "CartPole00",
    "CartPole01",
    "Epoch",
    "Epochs",
    "MountainCar",
    "Pendulum",
    "ReNomEnv",
    "Terminate",
    "epochs",
    "fit",
    "resume",
    "test",
]
