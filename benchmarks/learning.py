"""Does it learn? Several seeds to a solved CartPole-v1, and one long run on Breakout.

    python benchmarks/learning.py cartpole        # deep/dqn and sb3/ppo, three seeds each; a few minutes
    python benchmarks/learning.py breakout        # deep/dqn, 200,000 steps; 20 to 50 minutes, resumes where it was

Sections of RESULTS.md are rewritten; runs are left under runs/learning.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch
from results import record

import rlhub_core as rlhub

FOLDER = Path("runs/learning")
SOLVED = 475.0  # mean return over 100 episodes
PPO_CARTPOLE: dict[str, Any] = {  # as in RL Baselines3 Zoo
    "num_envs": 8,
    "steps": 100_000,
    "config": {
        "n_steps": 32,
        "batch_size": 256,
        "n_epochs": 20,
        "gae_lambda": 0.8,
        "gamma": 0.98,
        "learning_rate": "linear(1e-3, 0)",
        "clip_range": "linear(0.2, 0)",
    },
    "callbacks": ["core/evaluate:every=5000,episodes=50", "core/stop_on_return:value=490,of=evaluation"],
}


def cartpole(seeds: int) -> None:
    """Train until an evaluation is good enough, then measure over 100 other episodes."""
    settings: dict[str, dict[str, Any]] = {"deep/dqn": {"preset": "tuned"}, "sb3/ppo": PPO_CARTPOLE}
    rows = []
    for algorithm, chosen in settings.items():
        for seed in range(seeds):
            folder = FOLDER / f"cartpole-{algorithm.replace('/', '-')}-{seed}"
            shutil.rmtree(folder, ignore_errors=True)
            run = rlhub.train(algorithm, "CartPole-v1", seed=seed, folder=folder, **chosen)
            result = rlhub.evaluate(run, episodes=100, seed=10_000 + seed)
            low, high = result.interval
            solved = "yes" if result.mean >= SOLVED else "no"
            rows.append(
                f"| {algorithm} | {seed} | {run.steps:,} | {run.seconds:.1f} | {result.mean:.1f} "
                f"({low:.1f}–{high:.1f}) | {solved} |"
            )
            print(rows[-1], flush=True)
    table = (
        "| algorithm | seed | env steps | wall s | mean of 100 episodes (95 %) | ≥ 475 |\n|---|---|---|---|---|---|\n"
    )
    note = (
        "`deep/dqn` with its `tuned` preset, `sb3/ppo` with RL Zoo's settings; trained until one of the evaluations "
        "(50 episodes, every 2,500 or 5,000 steps) reaches 490, then measured over 100 other episodes. Wall seconds "
        f"hold the evaluations; {torch.get_num_threads()} torch thread."
    )
    record("Learning: CartPole-v1", table + "\n".join(rows) + f"\n\n{note}")


def breakout(folder: Path) -> None:
    """Train for 200,000 steps, or go on where an earlier run was stopped, and print the curve of training returns."""
    if (folder / "checkpoints").exists():
        run = rlhub.resume(folder)
    else:
        run = rlhub.train("deep/dqn", "atari/Breakout-v0", preset="tuned", seed=0, folder=folder)
    episodes = run.episodes
    rows = []
    for end in range(20_000, run.steps + 1, 20_000):
        returns = [episode.return_ for episode in episodes if end - 20_000 < episode.step <= end]
        rows.append(f"| {end:,} | {len(returns)} | {np.mean(returns):.2f} | {max(returns):g} |")
    last = [episode.return_ for episode in episodes[-100:]]
    greedy = rlhub.evaluate(run, episodes=20, seed=1)
    rlhub.plot(folder, folder / "curve.png")
    table = "| env steps to | games | mean training return | best |\n|---|---|---|---|\n" + "\n".join(rows)
    note = (
        "`deep/dqn`, `tuned` preset, seed 0, 8 environments; ε falls to 0.05 over the first 100,000 steps. Mean of the "
        f"last 100 training games {np.mean(last):.2f}; greedy over 20 games {greedy}. Training took "
        f"{run.seconds:,.0f} s ({run.steps / run.seconds:.0f} env steps/s, one torch thread, other work beside it)."
    )
    record("Learning: Breakout", f"{table}\n\n{note}")


def main() -> None:
    """Measure what was asked for and record it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("what", choices=("cartpole", "breakout"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1, help="of torch")
    parser.add_argument("--folder", type=Path, default=FOLDER / "breakout", help="of the Breakout run")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    if given.what == "cartpole":
        cartpole(given.seeds)
    else:
        breakout(given.folder)


if __name__ == "__main__":
    main()
