"""The stopwatch: each stretch of time is charged once, and a run without one measures nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import rlhub_core as rlhub
from rlhub_core import stopwatch
from rlhub_core.stopwatch import Stopwatch


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A clock that is put forward by hand."""

    class Clock:
        now = 100.0

        def perf_counter(self) -> float:
            return self.now

    hands = Clock()
    monkeypatch.setattr(stopwatch, "time", hands)
    return hands


def test_time_goes_to_the_account_named_when_it_ends(clock: Any) -> None:
    watch = Stopwatch({"acting": 5.0})
    for account, seconds in (("acting", 1), ("environment", 2), ("acting", 4), ("learning", 8)):
        clock.now += seconds
        watch.lap(account)
    assert watch.seconds == {"acting": 10.0, "environment": 2.0, "learning": 8.0}


def test_a_step_is_environment_what_leads_to_it_acting_and_what_follows_learning(clock: Any) -> None:
    class Collector:
        lap: Any = None

        def step(self, actions: int) -> int:
            clock.now += 10
            return actions + 1

    def train(collector: Any) -> Any:
        for step in range(2):
            clock.now += 1  # acts
            assert collector.step(step) == step + 1
            clock.now += 100  # learns
            yield step

    watch, collector = Stopwatch(), Collector()
    watch.watch(collector)  # type: ignore[arg-type]
    for _ in watch.over(train(collector)):
        clock.now += 1_000
    assert dict(watch.seconds) == {"acting": 2, "environment": 20, "learning": 200, "other": 2_000}
    assert collector.lap == watch.lap


def test_a_run_with_a_watch_accounts_for_callbacks_and_checkpoints(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Watching(rlhub.Callback):
        def on_start(self, run: rlhub.Run) -> None:
            run.stopwatch = Stopwatch()

    run = rlhub.train(
        "toy/random", "toy/Corridor-v0", steps=50, folder=tmp_path / "run", callbacks=[Watching(), "core/progress"]
    )
    assert run.stopwatch is not None
    assert {"callbacks/ProgressBar", "callbacks/Checkpoint", "checkpointing", "learning"} <= set(run.stopwatch.seconds)
    bare = rlhub.train("toy/random", "toy/Corridor-v0", steps=50, folder=tmp_path / "bare")
    assert bare.stopwatch is None
