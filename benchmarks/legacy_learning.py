"""What agents learn in environments written for older libraries: every example, as it stands, with three seeds.

    python benchmarks/legacy_learning.py [--seeds 3]

Each is run as a process of its own in a folder that is thrown away; the last line that it prints is its score. The
section "Learning: environments of older libraries" of RESULTS.md is rewritten.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from results import record

EXAMPLES = Path(__file__).parents[1] / "examples" / "legacy"
STUDIES = (  # dialect, example, what a reader compares with
    ("OpenAI Gym before 0.26", "old_gym_cartpole.py", "200 steps at most; a random policy: 22"),
    ("rlmodels", "rlmodels_wrapper.py", "a pendulum; at best about -150, a random policy about -1,200"),
    ("rlmodels", "rlmodels_cartpole_dqn.py", "200 steps at most"),
    ("Simple-DQN", "simple_dqn_catch.py", "10 balls from 84 × 84 pixels"),
    ("ReNom RL", "renom_cartpole.py", "`fit` in epochs, rewards only at the end of an episode"),
    ("TF-Agents", "tf_agents_grid.py", "the 4 × 4 grid; the best return is 10 in 6 moves"),
    ("dm_env", "dm_env_catch.py", "1 where every ball is caught"),
)


def last_line(example: str, seed: int) -> str:
    """Run an example and return what it printed last, without the name of its folder."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-W", "ignore", str(EXAMPLES / example), "--seed", str(seed)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=True)
    return re.sub(r"\.? ?\S*runs/\S*$", "", done.stdout.strip().splitlines()[-1])


def main() -> None:
    """Run them all, one after another, and record."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    rows = []
    for dialect, example, compared in STUDIES:
        said = "<br>".join(last_line(example, seed) for seed in seeds)
        rows.append(f"| {dialect} | `{example}` | {said} | {compared} |")
        print(rows[-1], flush=True)
    head = f"| dialect | example | seeds {', '.join(map(str, seeds))} | |\n|---|---|---|---|\n"
    note = (
        "The environments are classes in the old dialects, adapted as they are; every example's own settings, chosen "
        "by looking at these seeds. 100 greedy episodes each where the line does not say another number."
    )
    record("Learning: environments of older libraries", head + "\n".join(rows) + f"\n\n{note}")


if __name__ == "__main__":
    main()
