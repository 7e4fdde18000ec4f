"""Stable-Baselines3 algorithms as rlhub algorithms."""

__version__ = "0.1.0"
