"""What a checkpoint of deep/dqn on Breakout costs with a replay of 100,000 frames, and the next one 5,000 steps on.

    python benchmarks/checkpoint_cost.py          # some minutes of random play; 2 GB of disk

A section of RESULTS.md is rewritten.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from results import record

import rlhub_core as rlhub

FRAMES, LATER, ENVS = 100_000, 5_000, 8


def peak() -> int:
    """Return the most resident bytes since `forget_peak`."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(fields["VmHWM"].split()[0]) * 1024


def forget_peak() -> int:
    """Begin to look for the most resident bytes anew; return those of now."""
    Path("/proc/self/clear_refs").write_text("5")
    return peak()


class Save(rlhub.Callback):
    """Writes a checkpoint when the replay is full and another one later, and notes what they cost."""

    def __init__(self) -> None:
        self.rows: list[str] = []

    def on_progress(self, run: rlhub.Run, progress: rlhub.Progress) -> None:
        """Save where it is time."""
        if progress.steps < FRAMES + LATER * len(self.rows):
            return
        before, begun = forget_peak(), time.perf_counter()
        run.save()
        seconds, memory = time.perf_counter() - begun, peak() - before
        folder = run.folder / "checkpoints" / f"{run.steps:012d}"
        files = [path.stat() for path in folder.rglob("*") if path.is_file()]
        new, linked = (sum(f.st_size for f in files if (f.st_nlink > 1) is shared) for shared in (False, True))
        self.rows.append(
            f"| {run.steps:,} | {seconds:.2f} s | {new / 1e6:.1f} MB | {linked / 1e6:.1f} MB | {len(files)} | "
            f"{memory / 1e6:.0f} MB |"
        )
        print(self.rows[-1], flush=True)
        if len(self.rows) == 3:
            raise rlhub.StopTraining("measured")


def main() -> None:
    """Measure and record."""
    save = Save()
    with tempfile.TemporaryDirectory() as folder:
        run = rlhub.train(
            "deep/dqn",
            "atari/Breakout-v0",
            steps=2 * FRAMES,
            num_envs=ENVS,
            config={"buffer_size": FRAMES, "learning_starts": 2 * FRAMES, "epsilon": 1.0},
            callbacks=[save, f"core/checkpoint:every={10 * FRAMES}"],
            folder=folder,
            progress=False,
        )
        begun = time.perf_counter()
        rlhub.load(folder).algorithm._read_replay()  # type: ignore[attr-defined]
        loading = time.perf_counter() - begun
        print(f"{run.steps} steps; verified and read again in {loading:.2f} s")
    head = "| env steps | `run.save()` | written | linked | files | memory on top |\n|---|---|---|---|---|---|\n"
    record("Checkpoints", f"{head}{chr(10).join(save.rows)}\n\nVerified and read again in {loading:.2f} s.")


if __name__ == "__main__":
    main()
