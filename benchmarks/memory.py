"""Resident memory of Breakout with a full replay of 100,000: deep/dqn, and Stable-Baselines3's DQN.

    python benchmarks/memory.py          # two minutes; each side in a process of its own

A section of RESULTS.md is rewritten.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from results import record

import rlhub_core as rlhub
from rlhub_core.replay import bytes_needed

FRAMES = 100_000
ENVS = 8


def resident() -> int:
    """Return the resident bytes of this process."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmRSS"].split()[0]) * 1024


class Look(rlhub.Callback):
    """Prints how much memory a run takes, when its replay is full and it has learnt a little."""

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        """Print and stop."""
        if progress.steps >= FRAMES + 4_000:
            print(resident())
            raise rlhub.StopTraining("measured")


def ours() -> None:
    """Fill the replay of deep/dqn with play, learn a little, and print the memory."""
    with tempfile.TemporaryDirectory() as folder:
        rlhub.train(
            "deep/dqn",
            "atari/Breakout-v0",
            steps=2 * FRAMES,
            num_envs=ENVS,
            config={"buffer_size": FRAMES, "learning_starts": FRAMES + 3_500, "epsilon": 1.0},
            callbacks=[Look(), f"core/checkpoint:every={10 * FRAMES}"],
            folder=folder,
            progress=False,
        )


def theirs() -> None:
    """Fill the buffer of SB3's DQN, learn a little, and print the memory."""
    import ale_py
    import gymnasium
    from stable_baselines3 import DQN
    from stable_baselines3.common.env_util import make_atari_env
    from stable_baselines3.common.vec_env import VecFrameStack

    gymnasium.register_envs(ale_py)
    env = VecFrameStack(make_atari_env("BreakoutNoFrameskip-v4", ENVS), 4)
    model: Any = DQN("CnnPolicy", env, buffer_size=FRAMES, learning_starts=100, train_freq=4)
    model.learn(200)
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        getattr(model.replay_buffer, name)[:] = 1  # as play would fill it
    model.replay_buffer.full = True
    model.learn(400, reset_num_timesteps=False)
    print(resident())


def main() -> None:
    """Measure and record."""
    sides = {}
    for side in ("ours", "theirs"):
        command = [sys.executable, __file__, side]
        sides[side] = int(subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1])
    space = rlhub.make("atari/Breakout-v0").observation_space
    rows = [
        f"| resident, {FRAMES:,} | {sides['ours'] / 1e9:.2f} GB | {sides['theirs'] / 1e9:.2f} GB |",
        *(
            f"| replay alone, {capacity:,}, computed | {bytes_needed(capacity, ENVS, space) / 1e9:.2f} GB | "
            f"{capacity * 2 * 4 * 84 * 84 / 1e9:.1f} GB |"
            for capacity in (FRAMES, 10 * FRAMES)
        ),
    ]
    table = "| Breakout, 84 × 84 × 4 | deep/dqn | SB3 DQN |\n|---|---|---|\n" + "\n".join(rows)
    record(
        "Memory",
        f"{table}\n\n{ENVS} environments; frames here, transitions there; torch and the environments included.",
    )


if __name__ == "__main__":
    {"ours": ours, "theirs": theirs}.get(sys.argv[-1], main)()
