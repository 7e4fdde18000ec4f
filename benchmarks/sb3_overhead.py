"""What the hub costs Stable-Baselines3: steps/s of the same training through rlhub and by SB3 alone.

    python benchmarks/sb3_overhead.py [--case ppo_cartpole] [--pairs 5] [--seconds 6] [--threads 1]

Each measurement runs in a process of its own; the two sides alternate and take turns in going first. The rlhub side is
a whole `rlhub.train` with its records; the other is SB3 with its own environments and wrappers.
`dqn_breakout` needs rlhub-atari and, for SB3's own wrappers only, `pip install opencv-python-headless`.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

CASES: dict[str, dict[str, Any]] = {
    "ppo_cartpole": {
        "algorithm": "ppo",
        "env": "CartPole-v1",
        "num_envs": 8,
        "warm_up": 2_048,
        "config": {"n_steps": 32, "batch_size": 256, "n_epochs": 20, "gae_lambda": 0.8, "gamma": 0.98, "ent_coef": 0.0},
        "falling": {"learning_rate": 1e-3, "clip_range": 0.2},  # linear to 0
    },
    "dqn_breakout": {
        "algorithm": "dqn",
        "env": "atari/Breakout-v0",
        "num_envs": 1,
        "warm_up": 1_000,
        "config": {
            "learning_rate": 1e-4, "batch_size": 32, "buffer_size": 10_000, "learning_starts": 500, "train_freq": 4,
            "gradient_steps": 1, "target_update_interval": 1_000,
            "exploration_initial_eps": 0.01, "exploration_final_eps": 0.01,  # as later in a run
        },
        "falling": {},
        "view": {"reward_clip": 1.0, "terminal_on_life_loss": True},  # as in SB3's AtariWrapper
    },
}  # fmt: skip
ENDLESS = 10**9


class Window:
    """Measures steps/s from the end of the warm-up, for so many seconds."""

    def __init__(self, warm_up: int, seconds: float) -> None:
        self.warm_up, self.seconds = warm_up, seconds
        self.begun: tuple[int, float] | None = None
        self.rate = 0.0

    def over(self, steps: int) -> bool:
        """Note where training is; return whether it was measured for long enough."""
        now = time.perf_counter()
        if self.begun is None:
            if steps >= self.warm_up:
                self.begun = steps, now
            return False
        self.rate = (steps - self.begun[0]) / (now - self.begun[1])
        return now - self.begun[1] >= self.seconds


def through_rlhub(case: dict[str, Any], window: Window) -> float:
    """Return the steps/s of `rlhub.train`."""
    import rlhub_core as rlhub

    class Measure(rlhub.Callback):
        def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
            if window.over(progress.steps):
                raise rlhub.StopTraining("measured")

    falling = {name: rlhub.schedules.Linear(start, 0.0) for name, start in case["falling"].items()}
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            f"sb3/{case['algorithm']}",
            case["env"],
            steps=ENDLESS,
            num_envs=case["num_envs"],
            config=case["config"] | falling,
            callbacks=[Measure()],
            log_every=1_000,
            folder=folder,
            device="cpu",
            progress=False,
            **case.get("view", {}),
        )
    return window.rate


def sb3_alone(case: dict[str, Any], window: Window) -> float:
    """Return the steps/s of `model.learn` on SB3's own vector environment."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_atari_env, make_vec_env
    from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

    class Measure(BaseCallback):
        done = False

        def _on_rollout_start(self) -> None:
            self.done = window.over(self.num_timesteps)

        def _on_step(self) -> bool:
            return not self.done

    env: VecEnv
    if case["env"].startswith("atari/"):
        import ale_py
        import gymnasium

        gymnasium.register_envs(ale_py)
        env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=case["num_envs"], seed=0), 4)
    else:
        env = make_vec_env(case["env"], n_envs=case["num_envs"], seed=0)
    falling = {name: (lambda left, start=start: left * start) for name, start in case["falling"].items()}
    policy = "CnnPolicy" if case["env"].startswith("atari/") else "MlpPolicy"
    kind = getattr(stable_baselines3, case["algorithm"].upper())
    kind(policy, env, seed=0, device="cpu", **case["config"], **falling).learn(ENDLESS, callback=Measure())
    return window.rate


SIDES = {"rlhub": through_rlhub, "plain": sb3_alone}


def overhead(case: str, pairs: int = 5, seconds: float = 6.0, threads: int = 1) -> dict[str, list[float]]:
    """Return the steps/s of both sides, one number a pair; each is measured in a new process, in alternation."""
    rates: dict[str, list[float]] = {side: [] for side in SIDES}
    for pair in range(pairs):
        for side in sorted(SIDES, reverse=pair % 2 == 0):
            command = [sys.executable, __file__, "--case", case, "--side", side]
            command += ["--seconds", str(seconds), "--threads", str(threads)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{case}, {side}: {done.stderr}")
            rates[side].append(float(done.stdout.split()[-1]))
    return rates


def row(case: str, rates: dict[str, list[float]]) -> str:
    """Return one line of the table: medians, and the ratio's median with its range."""
    ratios = [ours / plain for ours, plain in zip(rates["rlhub"], rates["plain"], strict=True)]
    ours, plain = (statistics.median(rates[side]) for side in ("rlhub", "plain"))
    ratio = f"{statistics.median(ratios):.3f} [{min(ratios):.3f}–{max(ratios):.3f}]"
    return f"| {case} | {ours:,.0f} | {plain:,.0f} | {ratio} |"


def main() -> None:
    """Measure and print; with --side, measure one side once, in this process."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--case", choices=CASES, action="append")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=6.0, help="length of one measurement")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.side:
        import torch

        torch.set_num_threads(given.threads)
        case = CASES[given.case[0]]
        print(SIDES[given.side](case, Window(case["warm_up"], given.seconds)))
        return
    print("| case | rlhub steps/s | plain SB3 steps/s | ratio, median [min–max] |\n|---|---|---|---|")
    for name in given.case or CASES:
        print(row(name, overhead(name, given.pairs, given.seconds, given.threads)), flush=True)


if __name__ == "__main__":
    main()
