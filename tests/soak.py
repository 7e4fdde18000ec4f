"""Kill runs with SIGKILL at random moments and resume them, for as long as it is told, and count what was lost.

python tests/soak.py --minutes 120

Each round takes a recipe and a seed, trains it once to its end, and once more while it is killed again and again; then
the two are compared. Lost is: a checkpoint that was complete before a kill and is not there after it, one that is
damaged, a run that cannot be resumed. It exits with 1 after any loss, difference or orphan, and keeps the folder.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before anything heavy is imported, here or in the fork server

from covering import product
from covering import recipe as covered
from killing import Child, Recipe, complete, differences

COUNTED = ("kills", "kills_while_saving", "resumes", "restarts", "finished", "losses", "differences", "orphans")
BAD = ("losses", "differences", "orphans")
MOST_KILLS = 25  # of one run, so that it ends even where every session is cut short
DEADLINE = 600.0  # seconds that one session may last
DQN: dict[str, Any] = {
    "prioritized": True,
    "n_step": 3,
    "double": True,
    "hidden_sizes": (32,),
    "learning_starts": 200,
    "train_every": 4,
    "epsilon": "linear(1, 0.1)",
    "learning_rate": "linear(1e-3, 0)",
    "buffer_size": 2_000,
}
RECIPES = {
    "deep/dqn, prioritized, grid": Recipe(
        "deep/dqn",
        "gridworld/FourRooms-v0",
        {"steps": 12_000, "num_envs": 4, "config": DQN, "log_every": 100}
        | {"callbacks": ["core/checkpoint:every=500", "core/evaluate:every=3000,episodes=2,longest_episode=100"]},
    ),
    "sb3/ppo, CartPole": Recipe(
        "sb3/ppo",
        "CartPole-v1",
        {"steps": 16_000, "num_envs": 4, "log_every": 500}
        | {"config": {"n_steps": 64, "batch_size": 64, "n_epochs": 4, "learning_rate": "linear(1e-3, 0)"}}
        | {"callbacks": ["core/checkpoint:every=1000", "core/evaluate:every=4000,episodes=3,keep_best=true"]},
    ),
    "deep/dqn, prioritized, Atari": Recipe(
        "deep/dqn",
        "atari/Breakout-v0:size=36",
        {"steps": 4_000, "num_envs": 4, "log_every": 200, "reward_clip": 1.0, "terminal_on_life_loss": True}
        | {"config": {k: v for k, v in DQN.items() if k != "hidden_sizes"} | {"train_every": 32, "batch_size": 8}}
        | {"callbacks": ["core/checkpoint:every=400"]},
    ),
    "sb3/sac, Pendulum, normalised": Recipe(
        "sb3/sac",
        "Pendulum-v1",
        {"steps": 3_000, "num_envs": 2, "log_every": 100, "normalize": "observations,rewards"}
        | {"config": {"learning_starts": 200, "train_freq": 8, "batch_size": 32, "buffer_size": 1500}}
        | {"callbacks": ["core/checkpoint:every=250", "core/evaluate:every=1000,episodes=1"]},
    ),
    "deep/ppo, CartPole in worker processes": Recipe(
        "deep/ppo",
        "CartPole-v1",
        {"steps": 6_000, "num_envs": 2, "vectorization_mode": "async", "log_every": 200}
        | {"callbacks": ["core/checkpoint:every=500"]},
    ),
}


class Soak:
    """Rounds of kills, and what came of them.

    Args:
        folder: for the runs; each round's is deleted where nothing was wrong.
        seed: of the choice of moments.
        end: on the monotonic clock; after it nothing is killed any more, so that the last round ends soon.
    """

    def __init__(self, folder: Path, seed: int, end: float) -> None:
        self.folder, self.random, self.end = folder, random.Random(seed), end
        self.counts: Counter[str] = Counter(dict.fromkeys(COUNTED, 0))
        self.of_recipe: dict[str, Counter[str]] = {}
        self.problems: list[str] = []
        self.child: Child | None = None

    def round(self, name: str, recipe: Recipe, seed: int) -> None:
        """Train a recipe twice, once without and once with kills, and compare."""
        self.name = name
        here = self.folder / f"{seed:05d}"
        here.mkdir(parents=True)
        settings = {**recipe.settings, "seed": seed}
        recipe = Recipe(recipe.algorithm, recipe.env, settings)
        whole, killed = here / "whole", here / "killed"
        wrong = len(self.problems)
        begun = time.monotonic()
        self._through(recipe.train, whole, here / "whole.log")
        if self._train_under_fire(recipe, killed, time.monotonic() - begun):
            self._count("finished")
            if changed := differences(whole, killed):
                self._note("differences", f"{', '.join(changed)} differ")
        if len(self.problems) == wrong:
            shutil.rmtree(here)

    def _train_under_fire(self, recipe: Recipe, folder: Path, seconds: float) -> bool:
        """Train while it is killed and resumed; return whether it came to its end."""
        log = folder.parent / "killed.log"
        kills = 0
        while True:
            known = complete(folder)
            if known:
                self._count("resumes")
            self.child = Child(recipe.resume if known else recipe.train, folder, log=log)
            ended = self._shoot(folder, seconds) if self._goes_on(kills) else self.child.ends_within(DEADLINE)
            before = complete(folder)
            if not ended:
                self.child.kill()
            code = self.child.end()
            self._reap()
            if "resumes warm" in self.child.said():
                self._note("differences", f"a resume was warm: {self.child.said()}")
            if code == 0:
                return True
            if code != -signal.SIGKILL:
                self._note("losses", f"the run cannot go on, exit code {code}: {self.child.said()}")
                return False
            kills += 1
            self._count("kills")
            self._count("kills_while_saving", any((folder / "checkpoints").glob(".*.partial")))
            if not before and not complete(folder):  # nothing to lose yet, and nothing to resume
                self._count("restarts")
                shutil.rmtree(folder, ignore_errors=True)
            elif not self._survived(recipe, folder, before):
                return False

    def _goes_on(self, kills: int) -> bool:
        return kills < MOST_KILLS and time.monotonic() < self.end

    def _shoot(self, folder: Path, seconds: float) -> bool:
        """Wait for a random moment of a session; return whether the session ended before it."""
        assert self.child is not None
        kind = self.random.choice(("early", "any", "saving", "saving"))
        if kind == "early":
            return self.child.ends_within(self.random.uniform(0, 0.3))
        if self.child.ends_within(self.random.uniform(0, seconds / 2 if kind == "any" else seconds / 8)):
            return True
        if kind == "saving":
            while not any((folder / "checkpoints").glob(".*.partial")):
                if self.child.ends_within(0.0002):
                    return True
            return self.child.ends_within(self.random.expovariate(1 / 0.004))
        return False

    def _survived(self, recipe: Recipe, folder: Path, before: list[int]) -> bool:
        """Say whether what was complete before the kill loads after it, and note what is lost."""
        log = folder.parent / "load.log"
        loading = Child(recipe.load, folder, log=log)
        if loading.end() != 0:
            self._note("losses", f"the run does not load any more: {loading.said()}")
            return False
        steps = int(loading.said().splitlines()[-1])
        damaged = "is damaged" in loading.said() or any((folder / "checkpoints").glob("*.damaged"))
        if damaged or (before and steps < before[-1]):
            self._note("losses", f"step {before[-1:]} was complete, {steps} loads: {loading.said()}")
            return False
        return True

    def _reap(self) -> None:
        """Count the processes that outlived a run by five seconds, and end them."""
        assert self.child is not None
        deadline = time.monotonic() + 5
        while left := self.child.left_behind():
            if time.monotonic() > deadline:
                self._note("orphans", f"{len(left)} processes outlived the run", len(left))
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.01)

    def _through(self, work: Any, folder: Path, log: Path) -> None:
        self.child = Child(work, folder, log=log)
        if self.child.end() != 0:
            raise RuntimeError(f"{self.name} does not train: {self.child.said()}")

    def _count(self, what: str, by: int = 1) -> None:
        self.counts[what] += by
        self.of_recipe.setdefault(self.name, Counter())[what] += by

    def _note(self, what: str, problem: str, by: int = 1) -> None:
        self._count(what, by)
        self.problems.append(f"{what}: {self.name}: {problem}")
        print(self.problems[-1], flush=True)

    def stop(self) -> None:
        """End the process that is running."""
        if self.child is not None:
            self.child.kill()


def rounds(seed: int, every_pair: bool) -> Iterator[tuple[str, Recipe, int]]:
    """Yield recipes in turn, each time with another seed, without end."""
    recipes = dict(RECIPES)
    if every_pair:
        pairs = [pair for pair in product() if pair[0] != "deep/a3c"]  # which is not exact
        recipes |= {f"{algorithm} on {kind}": covered(algorithm, kind) for algorithm, kind in pairs}
    while True:
        for name, recipe in recipes.items():
            yield name, recipe, seed
            seed += 1


def main() -> int:
    """Soak for as long as the arguments say, and return the exit code."""
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5.0, help="after which no further round begins")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--all", action="store_true", help="every algorithm with every kind of environment that fits")
    parser.add_argument("--folder", type=Path, help="for the runs (default: a temporary one)")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="rlhub-soak-"))
    begun, said, code = time.monotonic(), 0.0, 0
    end = begun + 60 * given.minutes
    soak = Soak(folder, given.seed, end)

    def summary() -> str:
        minutes = round((time.monotonic() - begun) / 60, 2)
        return json.dumps({"minutes": minutes, **soak.counts, "problems": soak.problems, "recipes": soak.of_recipe})

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell starts it in the background, deaf to Ctrl-C
        signal.signal(number, interrupt)
    try:
        for name, recipe, seed in rounds(given.seed, given.all):
            if time.monotonic() > end:
                break
            soak.round(name, recipe, seed)
            if time.monotonic() > said + 30:
                said = time.monotonic()
                counts = ", ".join(f"{count} {what}" for what, count in soak.counts.items())
                print(f"{(said - begun) / 60:.1f} min: {counts}", flush=True)
    except KeyboardInterrupt:
        soak.stop()
        print("Stopped.", flush=True)
        code = 130
    except BaseException:
        soak.stop()
        print(summary(), flush=True)
        raise
    print(summary(), flush=True)
    if any(soak.counts[what] for what in BAD):
        print(f"The runs are in {folder}.", file=sys.stderr)
        return 1
    if given.folder is None:
        shutil.rmtree(folder, ignore_errors=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
