"""What the hub costs Stable-Baselines3: steps/s of the same training through rlhub and by SB3 alone.

    python benchmarks/sb3_overhead.py [--case ppo_cartpole] [--pairs 5] [--seconds 2] [--threads 1]

Both trainings run in one process and take turns, a window of a few seconds each, so that whatever else the machine does
meets both. There is a case for every algorithm. The rlhub side is a whole `rlhub.train` with its records; the other is
SB3 with its own environments and wrappers. Breakout needs rlhub-atari and, for SB3's own wrappers only,
`pip install opencv-python-headless`. Without `--case` all are measured, Breakout's environments alone as well, and a
section of RESULTS.md is rewritten.
"""

from __future__ import annotations

import argparse
import contextlib
import tempfile
import time
from collections.abc import Callable, Mapping
from typing import Any

import gymnasium
import numpy as np
import sb3_contrib
import stable_baselines3
import torch
from results import median, ratio, record
from rlhub_sb3.vec_env import CollectorVecEnv
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

import rlhub_core as rlhub

HEAD = "| case | rlhub steps/s | plain SB3 steps/s | ratio, median [min–max] |\n|---|---|---|---|"
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
    "ppo_breakout": {
        "algorithm": "ppo",
        "env": "atari/Breakout-v0",
        "num_envs": 8,
        "warm_up": 1_024,
        "config": {"n_steps": 128, "batch_size": 256, "n_epochs": 4, "ent_coef": 0.01},
        "falling": {"learning_rate": 2.5e-4, "clip_range": 0.1},
        "view": {"reward_clip": 1.0, "terminal_on_life_loss": True},
    },
}  # fmt: skip
ENDLESS = 10**9
CARTPOLE, PENDULUM = "CartPole-v1", "Pendulum-v1"
STILL = {"learning_rate": 0.0}  # the policies stay what they are, so that both sides meet episodes of the same length
ROLLOUT = STILL | {"n_steps": 64, "batch_size": 128, "n_epochs": 4}
REPLAY = {"learning_starts": 500, "buffer_size": 20_000, "train_freq": 4, "gradient_steps": 1}


class Masked(gymnasium.Wrapper[Any, Any, Any, Any]):
    """CartPole that says of each of its actions that it is possible."""

    def __init__(self) -> None:
        super().__init__(gymnasium.make(CARTPOLE))

    def action_masks(self) -> Any:
        """Return that all are."""
        return np.ones(2, np.bool_)


SMALL: dict[
    str, dict[str, Any]
] = {  # every algorithm in a small environment, where the hub's share of the time is greatest
    name: {"algorithm": name, "env": env, "num_envs": num_envs, "warm_up": 1_000, "config": config, "falling": {}}
    for name, env, num_envs, config in (
        ("a2c", CARTPOLE, 8, STILL),
        ("ppo", CARTPOLE, 8, ROLLOUT),
        ("trpo", CARTPOLE, 8, {"n_steps": 64, "batch_size": 128}),
        ("recurrent_ppo", CARTPOLE, 8, ROLLOUT),
        ("maskable_ppo", lambda: Masked(), 8, ROLLOUT),
        ("ars", CARTPOLE, 1, STILL),
        ("dqn", CARTPOLE, 1, REPLAY),
        ("qrdqn", CARTPOLE, 1, REPLAY),
        ("ddpg", PENDULUM, 1, REPLAY),
        ("td3", PENDULUM, 1, REPLAY),
        ("sac", PENDULUM, 1, REPLAY),
        ("tqc", PENDULUM, 1, REPLAY),
        ("crossq", PENDULUM, 1, REPLAY),
    )
}
NAMES = {"maskable_ppo": "MaskablePPO", "recurrent_ppo": "RecurrentPPO", "crossq": "CrossQ"}  # else in capitals
POLICIES = {"ars": "LinearPolicy", "recurrent_ppo": "MlpLstmPolicy"}


class Plain:
    """SB3 alone, on its own vector environment, trained a window at a time."""

    def __init__(self, case: dict[str, Any]) -> None:
        name, atari = case["algorithm"], str(case["env"]).startswith("atari/")
        num_envs = case["num_envs"]
        env = atari_alone(num_envs) if atari else make_vec_env(case["env"], n_envs=num_envs, seed=0)
        falling = {name: (lambda left, start=start: left * start) for name, start in case["falling"].items()}
        policy = "CnnPolicy" if atari else POLICIES.get(name, "MlpPolicy")
        called = NAMES.get(name, name.upper())
        kind = getattr(stable_baselines3, called, None) or getattr(sb3_contrib, called)
        self.model: BaseAlgorithm = kind(policy, env, seed=0, device="cpu", **case["config"], **falling)
        self.model.learn(case["warm_up"])

    def rate(self, seconds: float) -> float:
        """Return the steps/s of so many seconds, in whole rollouts."""
        window = PlainWindow(seconds)
        with contextlib.suppress(WindowOver):
            self.model.learn(ENDLESS, callback=window, reset_num_timesteps=False)
        return window.rate


def atari_alone(num_envs: int) -> VecEnv:
    """Return SB3's own Breakout environments."""
    import ale_py

    gymnasium.register_envs(ale_py)
    return VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=num_envs, seed=0), 4)


class WindowOver(Exception):
    """Leaves `learn`, which augmented random search does not leave when a callback returns False."""


class PlainWindow(BaseCallback):
    """Leaves `learn` at the first rollout that begins when the time is over."""

    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds, self.rate = seconds, 0.0

    def _on_training_start(self) -> None:
        self.begun, self.first = time.perf_counter(), self.num_timesteps

    def _on_rollout_start(self) -> None:
        passed = time.perf_counter() - self.begun
        if passed >= self.seconds:
            self.rate = (self.num_timesteps - self.first) / passed
            raise WindowOver

    def _on_step(self) -> bool:
        return True


class TakeTurns(rlhub.Callback):
    """Measures the run it is part of for a window, then SB3 alone for another."""

    def __init__(self, plain: Plain, warm_up: int, pairs: int, seconds: float) -> None:
        self.plain, self.warm_up, self.pairs, self.seconds = plain, warm_up, pairs, seconds
        self.rates: dict[str, list[float]] = {"rlhub": [], "plain": []}
        self.begun: tuple[int, float] | None = None

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        """Change sides where a window is over."""
        now = time.perf_counter()
        if self.begun is not None and now - self.begun[1] >= self.seconds:
            self.rates["rlhub"].append((progress.steps - self.begun[0]) / (now - self.begun[1]))
            self.rates["plain"].append(self.plain.rate(self.seconds))
            self.begun = None
            if len(self.rates["rlhub"]) == self.pairs:
                raise rlhub.StopTraining("measured")
        if self.begun is None and progress.steps >= self.warm_up:
            self.begun = progress.steps, time.perf_counter()


def overhead(name: str, pairs: int = 5, seconds: float = 2.0) -> dict[str, list[float]]:
    """Return the steps/s of both sides, one number a pair of windows."""
    case = (CASES | SMALL)[name]
    turns = TakeTurns(Plain(case), case["warm_up"], pairs, seconds)
    falling = {name: rlhub.schedules.Linear(start, 0.0) for name, start in case["falling"].items()}
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            f"sb3/{case['algorithm']}",
            case["env"],
            steps=ENDLESS,
            num_envs=case["num_envs"],
            config=case["config"] | falling,
            callbacks=[turns],
            log_every=1_000,
            folder=folder,
            device="cpu",
            progress=False,
            **case.get("view", {}),
        )
    return turns.rates


def row(name: str, rates: dict[str, list[float]]) -> str:
    """Return a line of the table."""
    return f"| {name} | {median(rates['rlhub'])} | {median(rates['plain'])} | {ratio(*rates.values())} |"


def measured(
    cases: Mapping[str, Any], measure: Callable[[str, int, float], dict[str, list[float]]], seconds: float, threads: int
) -> tuple[argparse.Namespace, list[str]]:
    """Return what the command line asked for, and a line of medians and their ratio for every case."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--case", choices=cases, action="append")
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=seconds, help="length of a window")
    parser.add_argument("--threads", type=int, default=threads, help="of torch")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    rows = []
    for name in given.case or cases:
        rates = measure(name, given.pairs, given.seconds)
        rows.append(row(name, rates))
        print(rows[-1], flush=True)
    return given, rows


def atari_environments(pairs: int, seconds: float) -> dict[str, list[float]]:
    """Return the steps/s of Breakout × 8 without any learning: rlhub-atari's below SB3's VecEnv, and SB3's own."""
    native = rlhub.make_vec("atari/Breakout-v0", 8)
    ours = CollectorVecEnv(8, native.single_observation_space, native.single_action_space)
    ours.collector = rlhub.Collector(native, 0, reward_clip=1.0, terminal_on_life_loss=True)
    rates: dict[str, list[float]] = {"rlhub": [], "plain": []}
    sides = ("rlhub", ours), ("plain", atari_alone(8))
    for _, env in sides:
        env.reset()
    actions = np.random.default_rng(0).integers(4, size=(1_000, 8))
    for _ in range(pairs):
        for name, env in sides:
            begun, steps = time.perf_counter(), 0
            while time.perf_counter() - begun < seconds:
                env.step(actions[steps % 1_000])
                steps += 1
            rates[name].append(8 * steps / (time.perf_counter() - begun))
    return rates


def main() -> None:
    """Measure and record."""
    print(HEAD)
    given, rows = measured(CASES | SMALL, overhead, seconds=2.0, threads=1)
    if given.case:
        return
    rates = atari_environments(given.pairs, given.seconds)
    rows.append(row("Breakout × 8, no learning", rates))
    note = (
        f"Env steps/s, medians of {given.pairs} alternating windows of {given.seconds:g} s a side, {given.threads} "
        "torch thread. The rlhub side is a whole `rlhub.train`; the other SB3 alone on its own vector environments. "
        "Small cases: CartPole × 8 for algorithms with rollouts (learning rate 0, so that both sides meet episodes of "
        "one length), CartPole or Pendulum × 1 for the others, where the hub's share of the time is greatest. "
        "Windows hold whole rollouts, a second of recurrent_ppo's or TRPO's being few."
    )
    record("Speed: Stable-Baselines3 through rlhub beside itself", "\n".join([HEAD, *rows]) + f"\n\n{note}")


if __name__ == "__main__":
    main()
