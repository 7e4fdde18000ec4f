"""deep/ddpg, deep/td3 and deep/sac beside Stable-Baselines3's: env steps/s with everything else equal.

    python benchmarks/continuous_speed.py [--case "sac, fp32"] [--pairs 5] [--seconds 10] [--threads 1]

Both trainings run in one process and take turns, as in dqn_speed.py. SB3 runs alone, on its own environment.
"""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from results import record
from sb3_overhead import ENDLESS, Plain, TakeTurns, measured
from stable_baselines3.common.noise import NormalActionNoise

import rlhub_core as rlhub

# SB3's defaults on Pendulum: one update for every env step, and its networks
BOTH: dict[str, Any] = {"batch_size": 256, "buffer_size": 100_000, "learning_starts": 100, "tau": 0.005}
NOISE = 0.1  # half ranges
CASES: dict[str, dict[str, Any]] = {
    f"{name}, {precision}": {
        "algorithm": name,
        "ours": ours | {"precision": precision},
        "env": "Pendulum-v1",
        "num_envs": 1,
        "warm_up": 500,
        "config": BOTH | {"learning_rate": ours["learning_rate"]} | theirs,
        "falling": {},
    }
    for name, ours, theirs in (
        (
            "ddpg",
            {"learning_rate": 1e-3, "hidden_sizes": (400, 300), "noise": "gaussian", "noise_scale": NOISE},
            {"action_noise": NormalActionNoise(np.zeros(1), np.full(1, NOISE))},
        ),
        (
            "td3",
            {"learning_rate": 1e-3, "hidden_sizes": (400, 300), "noise_scale": NOISE},
            {"action_noise": NormalActionNoise(np.zeros(1), np.full(1, NOISE))},
        ),
        ("sac", {"learning_rate": 3e-4, "hidden_sizes": (256, 256)}, {}),
    )
    for precision in ("fp32", "bf16")
}


def compare(name: str, pairs: int, seconds: float) -> dict[str, list[float]]:
    """Return the env steps/s of both sides, one number a pair of windows."""
    case = CASES[name]
    turns = TakeTurns(Plain(case), case["warm_up"], pairs, seconds)
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            f"deep/{case['algorithm']}",
            case["env"],
            steps=ENDLESS,
            num_envs=case["num_envs"],
            config=BOTH | case["ours"],
            callbacks=[turns],
            log_every=1_000,
            folder=folder,
            device="cpu",
            progress=False,
        )
    return turns.rates


def main() -> None:
    """Measure and record."""
    given, rows = measured(CASES, compare, seconds=10.0, threads=1)
    if not given.case:
        table = "| | rlhub | SB3 | ratio, median [min–max] |\n|---|---|---|---|\n" + "\n".join(rows)
        note = (
            f"Env steps/s on Pendulum-v1, medians of {given.pairs} alternating windows of {given.seconds:g} s a side, "
            f"{given.threads} torch threads. SB3's defaults: one environment, one update of 256 for every env step, "
            "two hidden layers (400 and 300; SAC 256 and 256). bf16 is beside SB3's fp32."
        )
        record("Speed: deep/ddpg, deep/td3 and deep/sac beside Stable-Baselines3's", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
