"""Make the golden run of the format that checkpoints have now: `python tests/golden/make.py tests/golden/format-N`.

It is made once, when a format is new, with the release that writes it, and never again: `tests/test_golden.py` loads
and resumes it with every later release.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from importlib.metadata import entry_points
from pathlib import Path


def main(to: Path) -> None:
    """Train the run; what it recorded up to step 300 stays, and its checkpoints up to step 250."""
    toy = Path(__file__).parents[1] / "toy"
    with tempfile.TemporaryDirectory() as site:
        shutil.copytree(toy, Path(site) / "rlhub_toy")
        info = Path(site) / "rlhub_toy-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: rlhub-toy\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text("[rlhub]\ntoy = rlhub_toy.plugin\n")
        others = {point.name for point in entry_points(group="rlhub")} - {"core"}
        os.environ["RLHUB_DISABLE"] = ",".join(others)
        sys.path.insert(0, site)
        platform.platform = lambda *_, **__: "anywhere"
        train(to)
    (to / ".lock").unlink()
    shutil.rmtree(to / "checkpoints" / "000000000300")
    for folder in [path for path in to.rglob("*") if path.is_dir() and not any(path.iterdir())]:
        (folder / ".keep").touch()  # git keeps no empty folders


def train(folder: Path) -> None:
    """Train what never changes: parts of the tests' own, with every kind of state the core saves."""
    import rlhub_core as rlhub

    rlhub.train(
        "toy/random",
        "toy/Corridor-v0",
        steps=300,
        num_envs=2,
        seed=7,
        normalize="observations",
        config={"right": "linear(0.5, 0.9)"},
        callbacks=[
            *("core/evaluate:every=50,episodes=2,keep_best=true", "core/stop_after:episodes=1000"),
            *("core/checkpoint:every=50", "toy/count:from_step=100"),
        ],
        log_every=50,
        progress=False,
        folder=folder,
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
