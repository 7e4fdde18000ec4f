"""What watching costs: steps/s of a run with progress, CSV and TensorBoard beside the same run without any.

    python benchmarks/callback_costs.py [--pairs 9] [--seconds 4]

Both runs are trained in one process, with the same seed, and take turns, a window of a few seconds each. Every run
writes its metrics and episodes; the one with callbacks also draws its progress on a (pseudo) terminal. The section
"Speed: callbacks" of RESULTS.md is rewritten.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from results import median, ratio, record

import rlhub_core as rlhub

CASES: dict[str, dict[str, Any]] = {
    "deep/dqn, CartPole × 8": {"algorithm": "deep/dqn", "env": "CartPole-v1"},
    "deep/ppo, CartPole × 8": {"algorithm": "deep/ppo", "env": "CartPole-v1"},
    "deep/dqn, Breakout × 8": {"algorithm": "deep/dqn", "env": "atari/Breakout-v0", "config": {"buffer_size": 20_000}},
}
WATCHED = ["core/progress", "callbacks/csv", "callbacks/tensorboard"]
ENDLESS = 10**8


class Turn(rlhub.Callback):
    """Trains for a window, then lets the other run train for one."""

    def __init__(self, mine: threading.Semaphore, other: threading.Semaphore, seconds: float, windows: int) -> None:
        self.mine, self.other, self.seconds, self.windows = mine, other, seconds, windows
        self.rates: list[float] = []

    def on_start(self, run: rlhub.Run) -> None:
        """Wait for the first turn."""
        self.mine.acquire()
        self.begun, self.first = time.perf_counter(), run.steps

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        """Change sides where the window is over; the first warms up."""
        passed = time.perf_counter() - self.begun
        if passed < self.seconds:
            return
        self.rates.append((progress.steps - self.first) / passed)
        self.other.release()
        if len(self.rates) > self.windows:
            raise rlhub.StopTraining("measured")
        self.mine.acquire()
        self.begun, self.first = time.perf_counter(), progress.steps


def compared(case: dict[str, Any], pairs: int, seconds: float, folder: Path) -> dict[str, list[float]]:
    """Return the steps/s of both runs, one number a pair of windows."""
    batons = threading.Semaphore(1), threading.Semaphore(0)
    turns = {
        "watched": Turn(batons[0], batons[1], seconds, pairs),
        "alone": Turn(batons[1], batons[0], seconds, pairs),
    }
    threads = [
        threading.Thread(target=train, args=(case, [*(WATCHED if name == "watched" else []), turn], folder / name))
        for name, turn in turns.items()
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return {name: turn.rates[1:] for name, turn in turns.items()}


def train(case: dict[str, Any], callbacks: list[Any], folder: Path) -> None:
    """Train until a callback ends it."""
    rlhub.train(
        case["algorithm"],
        case["env"],
        steps=ENDLESS,
        num_envs=8,
        config=case.get("config", {}),
        callbacks=callbacks,
        log_every=1_000,
        folder=folder,
        device="cpu",
        progress=False,
    )


def on_a_terminal() -> None:
    """Let standard error be a terminal that nobody looks at."""
    ours, theirs = os.openpty()
    threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(ours, 65_536), b"")], daemon=True).start()
    sys.stderr = os.fdopen(theirs, "w")


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--pairs", type=int, default=9, help="alternating windows a side")
    parser.add_argument("--seconds", type=float, default=4.0, help="length of a window")
    given = parser.parse_args()
    torch.set_num_threads(1)
    on_a_terminal()
    rows = []
    for name, case in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            rates = compared(case, given.pairs, given.seconds, Path(folder))
        rows.append(f"| {name} | {median(rates['watched'])} | {median(rates['alone'])} | {ratio(*rates.values())} |")
        print(rows[-1], flush=True)
    head = "| | with progress, CSV, TensorBoard | without | ratio, median [min–max] |\n|---|---|---|---|\n"
    note = (
        f"Env steps/s, medians of {given.pairs} alternating windows of {given.seconds:g} s a side, 1 torch thread, "
        "default settings (Breakout with a replay of 20,000), a line of metrics every 1,000 env steps."
    )
    record("Speed: callbacks", head + "\n".join(rows) + f"\n\n{note}")


if __name__ == "__main__":
    main()
