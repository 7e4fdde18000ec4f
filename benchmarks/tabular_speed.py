"""Grid worlds and tables beside plain Python: env steps/s of worlds and learners, seconds of planning.

    python benchmarks/tabular_speed.py [--pairs 5] [--case planning]

Both sides take turns in one process. The section "Speed: grid worlds and tables" of RESULTS.md is rewritten.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from results import median, ratio, record
from rlhub_tabular.model import Model

import rlhub_core as rlhub

WIDE = 1_024  # environments
ROOMS = "gridworld/FourRooms-v0"
Rates = tuple[list[float], list[float]]


def worlds(pairs: int) -> tuple[str, Rates]:
    """Compare FourRooms through the collector with Gymnasium's CliffWalking, one environment after another."""
    ours = rlhub.Collector(rlhub.make_vec(ROOMS, WIDE), 0)
    theirs = SyncVectorEnv([lambda: gymnasium.make("CliffWalking-v1")] * WIDE)
    theirs.reset(seed=0)
    actions = np.random.default_rng(0).integers(4, size=(100, WIDE))

    def step_ours(step: int) -> None:
        ours.step(actions[step % 100])
        ours.episodes()

    def step_theirs(step: int) -> None:
        theirs.step(actions[step % 100])

    rates: Rates = ([], [])
    for pair in range(pairs + 1):
        for step, count, side in ((step_ours, 2_000, rates[0]), (step_theirs, 100, rates[1])):
            rate = WIDE * count / _seconds(step, count)
            if pair:  # the first warms up
                side.append(rate)
    return (
        f"FourRooms × {WIDE:,} with its collector, env steps/s; CliffWalking × {WIDE:,} in Gymnasium's `SyncVectorEnv`",
        rates,
    )


def learning(pairs: int) -> tuple[str, Rates]:
    """Compare tabular/q_learning over a vector environment with the notebook's loop over one environment."""
    steps, plain = 1_000_000, 50_000
    rates: Rates = ([], [])
    for seed in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            run = rlhub.train("tabular/q_learning", ROOMS, steps=steps, num_envs=WIDE, seed=seed, folder=folder)
            rates[0].append(run.steps / run.seconds)
            ours = run.algorithm.q_values  # type: ignore[attr-defined]
        begun = time.perf_counter()
        theirs = _plain_q_learning(plain, seed)
        rates[1].append(plain / (time.perf_counter() - begun))
        for q_values in (ours, theirs):
            _check_walk(q_values)
    return f"tabular/q_learning on FourRooms × {WIDE:,}, env steps/s; the plain loop over one environment", rates


def planning(pairs: int) -> tuple[str, Rates]:
    """Compare seconds of value iteration on 200 × 200 cells, model included, with loops; a few sweeps of these."""
    env = rlhub.make("gridworld/Empty-v0", height=200, width=200, slip=0.2)
    model = env.unwrapped.P  # type: ignore[attr-defined]
    rates: Rates = ([], [])
    for _ in range(pairs):
        with tempfile.TemporaryDirectory() as folder:
            begun = time.perf_counter()
            run = rlhub.train(
                "tabular/value_iteration",
                env,
                config={"discount": 0.99, "threshold": 1e-8},
                folder=folder,
                log_every=10_000,
            )
            rates[0].append(time.perf_counter() - begun)
        sweeps = 2
        values = np.zeros(len(model)).tolist()
        begun = time.perf_counter()
        for _ in range(sweeps):
            values = [
                max(sum(p * (r + 0.99 * values[n] * (not t)) for p, n, r, t in row) for row in rows.values())
                for rows in model.values()
            ]
        rates[1].append((time.perf_counter() - begun) / sweeps * run.steps)
    tracemalloc.start()
    Model(model)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    transitions = sum(len(row) for rows in model.values() for row in rows.values())
    what = f"tabular/value_iteration on 200 × 200 cells with slip, γ 0.99, to 1e-8 in {run.steps:,} sweeps, s"
    memory = f"{peak / transitions:.0f} bytes a transition while the model is built"
    return f"{what} ({memory}); plain loops, s (extrapolated)", rates


def _plain_q_learning(steps: int, seed: int) -> Any:
    """Q-learning as a tutorial writes it: dictionaries aside, one environment, one step at a time."""
    env, rng = gymnasium.make(f"rlhub_core.gym:{ROOMS}"), random.Random(seed)
    state, _ = env.reset(seed=seed)
    q_values = np.zeros((env.observation_space.n, 4))  # type: ignore[attr-defined]
    for step in range(steps):
        epsilon, rate = max(0.05, 1 - step / steps), max(0.05, 0.5 - 0.45 * step / steps)
        action = rng.randrange(4) if rng.random() < epsilon else int(np.argmax(q_values[state]))
        successor, reward, terminated, truncated, _ = env.step(action)
        target = reward + 0.99 * np.max(q_values[successor]) * (not terminated)
        q_values[state, action] += rate * (target - q_values[state, action])
        state = env.reset()[0] if terminated or truncated else successor
    return q_values


def _check_walk(q_values: Any) -> None:
    """Assert that the greedy policy walks the shortest way."""
    env = rlhub.make(ROOMS)
    best = rlhub.train("tabular/value_iteration", ROOMS, folder=tempfile.mkdtemp()).algorithm
    state, _ = env.reset(seed=0)
    for _ in range(200):
        action = int(np.argmax(q_values[state]))
        good = best.q_values[state]  # type: ignore[attr-defined]
        assert good[action] >= good.max() - 1e-9, f"action {action} in state {state} leaves the shortest way"
        state, _, terminated, _, _ = env.step(action)
        if terminated:
            return
    raise AssertionError("the goal is not reached")


def _seconds(step: Callable[[int], object], count: int) -> float:
    begun = time.perf_counter()
    for each in range(count):
        step(each)
    return time.perf_counter() - begun


CASES = {"worlds": worlds, "learning": learning, "planning": planning}


def main() -> None:
    """Measure and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--case", choices=CASES)
    given = parser.parse_args()
    rows = []
    for name in [given.case] if given.case else CASES:
        what, (ours, theirs) = CASES[name](given.pairs)
        rows.append(f"| {what} | {median(ours)} | {median(theirs)} | {ratio(ours, theirs)} |")
        print(rows[-1])
    if not given.case:
        table = "| | rlhub | plain | ratio, median [min–max] |\n|---|---|---|---|\n" + "\n".join(rows)
        note = (
            f"Medians of {given.pairs} alternating measurements a side, one thread. Both learners walk the shortest "
            "way at the end."
        )
        record("Speed: grid worlds and tables", f"{table}\n\n{note}")


if __name__ == "__main__":
    main()
