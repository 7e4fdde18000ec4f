"""deep/ppo and deep/a2c beside Stable-Baselines3's: env steps/s at the same network, hyper-parameters and threads.

    python benchmarks/policy_speed.py [--case "ppo, cartpole"] [--pairs 5] [--seconds 10] [--threads 2]

Both trainings run in one process and take turns, as in sb3_overhead.py. SB3 runs alone, on its own environments.
"""

from __future__ import annotations

import tempfile
from typing import Any

from results import record
from sb3_overhead import ENDLESS, Plain, TakeTurns, measured

import rlhub_core as rlhub

VIEW = {"reward_clip": 1.0, "terminal_on_life_loss": True}  # as in SB3's AtariWrapper
PPO_CARTPOLE: dict[str, Any] = {  # RL Zoo's settings
    "algorithm": "ppo",
    "env": "CartPole-v1",
    "num_envs": 8,
    "warm_up": 2_048,
    "ours": {"rollout_length": 32, "minibatches": 1, "epochs": 20, "gae_lambda": 0.8, "discount": 0.98},
    "theirs": {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8, "gamma": 0.98},
    "falling": {"learning_rate": 1e-3, "clip_range": 0.2},
}
A2C_CARTPOLE: dict[str, Any] = {
    "algorithm": "a2c",
    "env": "CartPole-v1",
    "num_envs": 8,
    "warm_up": 2_048,
    "ours": {},
    "theirs": {},
    "falling": {"learning_rate": 7e-4},
}
PPO_BREAKOUT: dict[str, Any] = {
    "algorithm": "ppo",
    "env": "atari/Breakout-v0",
    "num_envs": 8,
    "warm_up": 1_024,
    "ours": {"rollout_length": 128, "minibatches": 4, "epochs": 4, "entropy_coefficient": 0.01},
    "theirs": {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01},
    "falling": {"learning_rate": 2.5e-4, "clip_range": 0.1},
    "view": VIEW,
}
A2C_BREAKOUT: dict[str, Any] = {
    "algorithm": "a2c",
    "env": "atari/Breakout-v0",
    "num_envs": 16,
    "warm_up": 800,
    "ours": {"entropy_coefficient": 0.01, "value_coefficient": 0.25},
    "theirs": {"ent_coef": 0.01, "vf_coef": 0.25},
    "falling": {"learning_rate": 7e-4},
    "view": VIEW,
}
CASES: dict[str, dict[str, Any]] = {
    "ppo, cartpole": PPO_CARTPOLE,
    "a2c, cartpole": A2C_CARTPOLE,
    "ppo, breakout, fp32": PPO_BREAKOUT,
    "ppo, breakout, bf16": PPO_BREAKOUT | {"precision": "bf16"},
    "a2c, breakout, fp32": A2C_BREAKOUT,
    "a2c, breakout, bf16": A2C_BREAKOUT | {"precision": "bf16"},
}


def compare(name: str, pairs: int, seconds: float) -> dict[str, list[float]]:
    """Return the env steps/s of both sides, one number a pair of windows."""
    case = CASES[name]
    turns = TakeTurns(Plain(case | {"config": case["theirs"]}), case["warm_up"], pairs, seconds)
    falling = {name: rlhub.schedules.Linear(start, 0.0) for name, start in case["falling"].items()}
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            f"deep/{case['algorithm']}",
            case["env"],
            steps=ENDLESS,
            num_envs=case["num_envs"],
            config=case["ours"] | falling | {"precision": case.get("precision", "fp32")},
            callbacks=[turns],
            log_every=1_000,
            folder=folder,
            device="cpu",
            progress=False,
            **case.get("view", {}),
        )
    return turns.rates


def main() -> None:
    """Measure and record."""
    given, rows = measured(CASES, compare, seconds=10.0, threads=2)
    if not given.case:
        table = "| | rlhub | SB3 | ratio, median [min–max] |\n|---|---|---|---|\n" + "\n".join(rows)
        note = (
            f"Env steps/s, medians of {given.pairs} alternating windows of {given.seconds:g} s a side, {given.threads} "
            "torch threads. PPO with RL Zoo's settings on 8 environments, A2C with SB3's defaults on 8 and 16; the "
            "Nature network on Breakout, two perceptrons of 64, 64 on CartPole."
        )
        record("Speed: deep/ppo and deep/a2c beside Stable-Baselines3's", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
