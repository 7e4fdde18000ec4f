"""What the tests of this package share: a run that is killed, readers of what it left, fake trackers."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import rlhub_core as rlhub
from rlhub_core import Callback, Progress, Run

ENV = "gridworld/FourRooms-v0"

FAKES = {  # each writes a line of JSON for what it is sent, and refuses where the file `down` is there
    "mlflow/__init__.py": """
        import json, os
        class MlflowClient:
            def __init__(self, tracking_uri): self.say(connect=tracking_uri)
            def say(self, **what):
                if os.path.exists("down"): raise ConnectionError("server is asleep")
                with open("sent.jsonl", "a") as file: file.write(json.dumps(what) + "\\n")
            def get_experiment_by_name(self, name): return None
            def create_experiment(self, name): return "7"
            def create_run(self, experiment, run_name):
                self.say(begin=run_name)
                return type("Made", (), {"info": type("Info", (), {"run_id": "the-id"})})
            def update_run(self, id_, status): self.say(again=id_)
            def set_terminated(self, id_, status): self.say(end=status)
            def log_batch(self, id_, metrics=(), params=()):
                numbers = [[m.step, m.key, m.value] for m in metrics]
                self.say(id=id_, numbers=numbers, params={p.key: p.value for p in params})
        """,
    "mlflow/entities.py": """
        class Metric:
            def __init__(self, key, value, timestamp, step): self.key, self.value, self.step = key, value, step
        class Param:
            def __init__(self, key, value): self.key, self.value = key, value
        """,
    "wandb.py": """
        import json, os
        class Settings: mode, base_url = None, "http://localhost:1"
        def setup(): return type("Setup", (), {"settings": Settings})
        def say(**what):
            if os.path.exists("down"): raise ConnectionError("server is asleep")
            with open("sent.jsonl", "a") as file: file.write(json.dumps(what) + "\\n")
        class Run:
            def __init__(self, id_): self.id = id_
            def define_metric(self, name, **more): pass
            def log(self, numbers):
                step = numbers.pop("step")
                say(id=self.id, numbers=[[step, key, value] for key, value in numbers.items()])
            def finish(self, exit_code): say(end=exit_code)
        def init(mode, id, resume, config, **more):
            say(mode=mode, params=config)
            return Run("the-id")
        """,
}


def lay_out(folder: Path, *names: str) -> None:
    """Write fake packages into a folder."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = FAKES[name].splitlines()
        path.write_text("\n".join(line[8:] for line in lines) + "\n")


class KillAt(Callback):
    """Kills its process at a step, as a machine that is switched off would."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_progress(self, run: Run, progress: Progress) -> None:
        """Kill."""
        if progress.steps == self.step:
            os.kill(os.getpid(), signal.SIGKILL)


def killed_and_resumed(folder: Path, callbacks: list[str], at: int, path: list[Path], **settings: Any) -> None:
    """Leave a run in a folder whose process was killed at a step, and that another process resumed to its end."""
    script = (
        "import sys, json, rlhub_core as rlhub; from callbacks_kit import *; "
        "folder, callbacks, at, settings = json.loads(sys.argv[1])\n"
        "live = [KillAt(at)]\n"
        "if at: rlhub.train(folder=folder, callbacks=callbacks + live, progress=False, **settings)\n"
        "else: rlhub.resume(folder, callbacks=live, progress=False)"
    )
    environ = os.environ | {
        "PYTHONPATH": os.pathsep.join([*map(str, path), str(Path(__file__).parent), *sys.path]),
    }
    for step, code in ((at, -signal.SIGKILL), (0, 0)):
        arguments = json.dumps([str(folder), callbacks, step, settings])
        ended = subprocess.run(
            [sys.executable, "-c", script, arguments], env=environ, capture_output=True, text=True, cwd=folder.parent
        )
        assert ended.returncode == code, ended.stderr


def whole(folder: Path, callbacks: list[str], **settings: Any) -> Run:
    """Leave the same run in a folder, never stopped."""
    return rlhub.train(folder=folder, callbacks=[*callbacks, KillAt(0)], progress=False, **settings)


def table(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file without what the clock says."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    timed = ("time/", "total_time", "epoch_time", "steps_per_second")
    return [{name: cell for name, cell in row.items() if not name.startswith(timed)} for row in rows]


def events(folder: Path) -> list[tuple[int, str, float]]:
    """Return (step, tag, number) of every scalar in the event files of a run, in TensorBoard's order."""
    from tensorboardX.proto.event_pb2 import Event
    from tensorboardX.record_writer import masked_crc32c

    found = []
    for path in sorted((folder / "tensorboard").iterdir()):
        content = path.read_bytes()
        while content:
            (size,) = struct.unpack("<Q", content[:8])
            body, content = content[12 : 12 + size], content[16 + size :]
            assert len(body) == size
            assert masked_crc32c(struct.pack("<Q", size)) is not None
            event = Event.FromString(body)
            found += [
                (event.step, value.tag, value.simple_value)
                for value in event.summary.value
                if value.HasField("simple_value")
            ]
    return found


def sent(folder: Path) -> list[dict[str, Any]]:
    """Return what a fake tracker was sent."""
    return [json.loads(line) for line in (folder / "sent.jsonl").read_text().splitlines()]


def numbers_sent(folder: Path) -> list[tuple[int, str, float]]:
    """Return (step, name, number) of all that a fake tracker was sent, without what the clock says."""
    return [
        (step, name, number)
        for each in sent(folder)
        for step, name, number in each.get("numbers", ())
        if not name.startswith("time/")
    ]
