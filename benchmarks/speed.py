"""Speed beside what people use today, both sides in turn in one run: `make bench`.

Start-up, the collector against bare vector environments, and Stable-Baselines3 through rlhub against itself alone.
The section "Speed" of RESULTS.md is rewritten.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import torch
from ale_py.vector_env import AtariVectorEnv
from results import median, ratio, record
from sb3_overhead import CASES, overhead

import rlhub_core as rlhub

Window = Callable[[int], float]  # vector steps -> transitions a second


def start_up(pairs: int) -> str:
    """Compare `rlhub list` with `import gymnasium`, in whole processes."""
    commands = (
        [str(Path(sysconfig.get_path("scripts")) / "rlhub"), "list"],
        [sys.executable, "-c", "import gymnasium"],
    )
    seconds: tuple[list[float], list[float]] = ([], [])
    for pair in range(pairs + 1):
        for command, times in zip(commands, seconds, strict=True):
            begun = time.perf_counter()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            if pair:  # the first warms the disk cache
                times.append(time.perf_counter() - begun)
    allowed = [1.5 * bare + 0.25 for bare in seconds[1]]
    return (
        f"| `rlhub list`, all plugins there, s | {median(seconds[0])} | {median(seconds[1])} (`import gymnasium`) | "
        f"{ratio(seconds[0], allowed)} of the 1.5 × + 0.25 s allowed |"
    )


def collected(env: str, **options: Any) -> Window:
    """Return what measures a collector over eight environments, with random actions."""
    collector = rlhub.Collector(rlhub.make_vec(env, 8, **options), 0)
    actions = np.random.default_rng(0).integers(collector.single_action_space.n, size=(1_000, 8))

    def window(steps: int) -> float:
        begun = time.perf_counter()
        for step in range(steps):
            collector.step(actions[step % 1_000])
            collector.episodes()
        return 8 * steps / (time.perf_counter() - begun)

    return window


def bare(env: Any) -> Window:
    """Return what measures a bare vector environment; the steps that merely reset an environment are no transitions."""
    env.reset(seed=0)
    actions = np.random.default_rng(0).integers(env.single_action_space.n, size=(1_000, 8))

    def window(steps: int) -> float:
        transitions, over = 0, np.zeros(8, np.bool_)
        begun = time.perf_counter()
        for step in range(steps):
            transitions += 8 - int(over.sum())
            _, _, terminated, truncated, _ = env.step(actions[step % 1_000])
            over = terminated | truncated
        return transitions / (time.perf_counter() - begun)

    return window


def in_turn(name: str, ours: Window, theirs: Window, steps: int, pairs: int) -> str:
    """Measure two sides in alternating windows and return a row."""
    rates = [(ours(steps), theirs(steps)) for _ in range(pairs)]
    mine, other = ([pair[side] for pair in rates] for side in (0, 1))
    return f"| {name} | {median(mine)} | {median(other)} | {ratio(mine, other)} |"


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=9, help="alternating windows a side")
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    cartpole = gymnasium.make_vec("CartPole-v1", 8, vectorization_mode="sync")
    breakout = AtariVectorEnv("breakout", 8, reward_clipping=False, use_fire_reset=False)
    rows = [
        start_up(given.pairs),
        in_turn(
            "Collector, CartPole-v1 × 8, transitions/s", collected("CartPole-v1"), bare(cartpole), 1_500, given.pairs
        ),
        in_turn(
            "Collector, Breakout × 8, transitions/s",
            collected("atari/Breakout-v0", fire=False),
            bare(breakout),
            250,
            2 * given.pairs,
        ),
    ]
    for case in CASES:
        rates = overhead(case, given.pairs, seconds=2.0 if "cartpole" in case else 6.0)
        label = f"sb3/{case.replace('_', ', ')} × {CASES[case]['num_envs']}, env steps/s"
        rows.append(f"| {label} | {median(rates['rlhub'])} | {median(rates['plain'])} | {ratio(*rates.values())} |")
    table = "| | rlhub | bare | ratio, median [min–max] |\n|---|---|---|---|\n" + "\n".join(rows)
    note = (
        f"Medians of {given.pairs} alternating windows a side (Breakout's collector: twice that), {given.threads} "
        "torch thread. Bare is Gymnasium's `SyncVectorEnv`, ale-py's `AtariVectorEnv`, and SB3 alone on its own "
        "`make_vec_env` and `make_atari_env`; steps of a bare vector environment that only reset are not counted."
    )
    record("Speed", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
