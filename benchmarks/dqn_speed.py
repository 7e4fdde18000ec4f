"""deep/dqn beside Stable-Baselines3's DQN: env steps/s at the same network, hyper-parameters, updates and threads.

    python benchmarks/dqn_speed.py [--case cartpole] [--pairs 5] [--seconds 10] [--threads 2]

Both trainings run in one process and take turns, as in sb3_overhead.py. SB3 runs alone, on its own environments.
"""

from __future__ import annotations

import tempfile
from typing import Any

from results import record
from sb3_overhead import ENDLESS, Plain, TakeTurns, measured

import rlhub_core as rlhub

BREAKOUT: dict[str, Any] = {  # RL Zoo's settings; buffers are short, because both fill theirs at the same speed
    "ours": {"learning_starts": 500, "train_every": 4, "target_update_every": 1_000, "buffer_size": 10_000},
    "theirs": {"learning_starts": 500, "target_update_interval": 1_000, "buffer_size": 10_000},
    "both": {"learning_rate": 1e-4, "batch_size": 32},
    "view": {"reward_clip": 1.0, "terminal_on_life_loss": True},  # as in SB3's AtariWrapper
    "env": "atari/Breakout-v0",
    "warm_up": 1_500,
}
ONE = {"num_envs": 1, "frequency": {"train_freq": 4, "gradient_steps": 1}}
EIGHT = {"num_envs": 8, "frequency": {"train_freq": 1, "gradient_steps": 2}}  # one update for four env steps too
CARTPOLE: dict[str, Any] = {  # RL Zoo's settings
    "ours": {
        "learning_starts": 1_000, "train_every": 256, "gradient_steps": 128, "target_update_every": 10,
        "hidden_sizes": (256, 256),
    },
    "theirs": {
        "learning_starts": 1_000, "target_update_interval": 10, "policy_kwargs": {"net_arch": [256, 256]},
    },
    "frequency": {"train_freq": 256, "gradient_steps": 128},
    "both": {"learning_rate": 2.3e-3, "batch_size": 64, "buffer_size": 100_000},
    "env": "CartPole-v1",
    "num_envs": 1,
    "warm_up": 2_048,
}  # fmt: skip
CASES: dict[str, dict[str, Any]] = {
    "cartpole": CARTPOLE,
    "breakout × 1, fp32": BREAKOUT | ONE,
    "breakout × 1, bf16": BREAKOUT | ONE | {"precision": "bf16"},
    "breakout × 8, fp32": BREAKOUT | EIGHT,
    "breakout × 8, bf16": BREAKOUT | EIGHT | {"precision": "bf16"},
}
LATE = 0.01  # ε as it is later in a run, when nearly every step asks the network


def compare(name: str, pairs: int, seconds: float) -> dict[str, list[float]]:
    """Return the env steps/s of both sides, one number a pair of windows."""
    case = CASES[name]
    exploration = {"exploration_initial_eps": LATE, "exploration_final_eps": LATE}
    theirs = {
        "algorithm": "dqn",
        "falling": {},
        "config": case["both"] | case["theirs"] | case["frequency"] | exploration,
    }
    turns = TakeTurns(Plain(case | theirs), case["warm_up"], pairs, seconds)
    ours = case["both"] | case["ours"] | {"epsilon": LATE, "precision": case.get("precision", "fp32")}
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            "deep/dqn",
            case["env"],
            steps=ENDLESS,
            num_envs=case["num_envs"],
            config=ours,
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
        table = "| | deep/dqn | SB3 DQN | ratio, median [min–max] |\n|---|---|---|---|\n" + "\n".join(rows)
        note = (
            f"Env steps/s, medians of {given.pairs} alternating windows of {given.seconds:g} s a side, {given.threads} "
            "torch threads. RL Zoo's settings: the Nature network, one update of 32 for four env steps; CartPole two "
            "layers of 256, 128 updates of 64 after every 256 env steps."
        )
        record("Speed: deep/dqn beside Stable-Baselines3's DQN", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
