"""What the hub costs Stable-Baselines3: steps/s of the same training through rlhub and by SB3 alone.

    python benchmarks/sb3_overhead.py [--case ppo_cartpole] [--pairs 5] [--seconds 2] [--threads 1]

Both trainings run in one process and take turns, a window of a few seconds each, so that whatever else the machine does
meets both. There is a case for every algorithm. The rlhub side is a whole `rlhub.train` with its records; the other is
SB3 with its own environments and wrappers. `dqn_breakout` needs rlhub-atari and, for SB3's own wrappers only,
`pip install opencv-python-headless`.
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
from results import median, ratio
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_atari_env, make_vec_env
from stable_baselines3.common.vec_env import VecEnv, VecFrameStack

import rlhub_core as rlhub

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
ROLLOUT = {"n_steps": 64, "batch_size": 128, "n_epochs": 4}
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
        ("a2c", CARTPOLE, 8, {}),
        ("ppo", CARTPOLE, 8, ROLLOUT),
        ("trpo", CARTPOLE, 8, {"n_steps": 64, "batch_size": 128}),
        ("recurrent_ppo", CARTPOLE, 8, ROLLOUT),
        ("maskable_ppo", lambda: Masked(), 8, ROLLOUT),
        ("ars", CARTPOLE, 1, {}),
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
        env: VecEnv
        name, atari = case["algorithm"], str(case["env"]).startswith("atari/")
        if atari:
            import ale_py

            gymnasium.register_envs(ale_py)
            env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", n_envs=case["num_envs"], seed=0), 4)
        else:
            env = make_vec_env(case["env"], n_envs=case["num_envs"], seed=0)
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
        rows.append(f"| {name} | {median(rates['rlhub'])} | {median(rates['plain'])} | {ratio(*rates.values())} |")
        print(rows[-1], flush=True)
    return given, rows


if __name__ == "__main__":
    print("| case | rlhub steps/s | plain SB3 steps/s | ratio, median [min–max] |\n|---|---|---|---|")
    measured(CASES | SMALL, overhead, seconds=2.0, threads=1)
