"""Trees of arrays and plain values, and checkpoints that are whole or absent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rlhub_core import CheckpointError, checkpoint, state


def test_a_tree_comes_back_as_it_was(tmp_path: Path) -> None:
    tree = {
        "weights": {"0": np.arange(6, dtype=np.float32).reshape(2, 3).T, "scalar": np.array(3.5)},
        "big": 2**127 + 1,
        "list": [1, 2.5, None, True, "text"],
        "tuple": (1, np.zeros(0, np.uint8)),
        "a": {"b": np.zeros(1)},
        "a/b": np.ones(1),
        "flags": np.array([True, False]),
    }
    state.save(tmp_path, "tree", tree)
    loaded = state.load(tmp_path, "tree")
    np.testing.assert_equal(loaded, tree)
    assert loaded["weights"]["0"].dtype == np.float32
    assert loaded["weights"]["scalar"].shape == ()
    assert isinstance(loaded["tuple"], tuple)


@pytest.mark.parametrize("content", [object(), np.array(["text"]), np.array([None]), {1: 2}, {"$array": 1}, {2}])
def test_what_cannot_be_saved_says_where_it_stands(tmp_path: Path, content: Any) -> None:
    with pytest.raises(TypeError, match="/deep/0"):
        state.save(tmp_path, "tree", {"deep": [content]})


def nested(levels: int) -> Any:
    tree: Any = 0
    for _ in range(levels):
        tree = [tree]
    return tree


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (nested(100), "The state tree cannot be saved: it is more than 64 levels deep."),
        ("half of a pair: \ud800", "The state tree cannot be saved: 'utf-8' codec can't encode"),
        (10**1_000, "The state tree cannot be saved: it holds a number of more than 1,000 digits."),
        ([np.zeros(1)] * 20, "The state tree holds 20 arrays: put them into fewer, larger ones."),
    ],
    ids=["deep", "half", "digits", "arrays"],
)
def test_what_could_not_be_loaded_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: Any, message: str
) -> None:
    monkeypatch.setattr(state, "_LARGEST_HEADER", 1_000)
    with pytest.raises(TypeError) as error:
        state.save(tmp_path, "tree", {"content": content})
    assert str(error.value).startswith(message)
    state.save(tmp_path, "tree", {"content": [10**999, "\U0001f600", nested(50), np.zeros(1)]})
    np.testing.assert_equal(state.load(tmp_path, "tree")["content"][0], 10**999)


@pytest.mark.parametrize("damage", ["{", "[]x", '{"a": {"$array": "/gone"}}'])
def test_a_damaged_state_is_a_checkpoint_error(tmp_path: Path, damage: str) -> None:
    (tmp_path / "tree.json").write_text(damage)
    with pytest.raises(CheckpointError, match=r"tree\.json cannot be read"):
        state.load(tmp_path, "tree")


def fill(folder: Path) -> dict[str, Any]:
    (folder / "part").mkdir()
    (folder / "part" / "data").write_bytes(b"0123456789")
    return {"resume": "exact"}


def test_a_checkpoint_is_verified(tmp_path: Path) -> None:
    folder = checkpoint.write(tmp_path, 1_000, fill)
    assert folder.name == "000000001000"
    assert checkpoint.verify(folder)["resume"] == "exact"
    assert checkpoint.steps(tmp_path) == [1_000]


@pytest.mark.parametrize("damage", ["change", "truncate", "delete", "add"])
def test_damage_is_named(tmp_path: Path, damage: str) -> None:
    folder = checkpoint.write(tmp_path, 1, fill)
    data = folder / "part" / "data"
    if damage == "delete":
        data.unlink()
    elif damage == "add":
        data = folder / "part" / "more"
        data.write_bytes(b"")
    else:
        data.write_bytes(b"012345678X" if damage == "change" else b"01234")
    with pytest.raises(CheckpointError, match=f"is damaged: part/{data.name}"):
        checkpoint.verify(folder)


def test_a_failed_save_leaves_the_earlier_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    checkpoint.write(tmp_path, 1, fill)

    def fail(folder: Path) -> dict[str, Any]:
        (folder / "half").write_bytes(b"x")
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        checkpoint.write(tmp_path, 2, fail)
    assert [path.name for path in tmp_path.iterdir()] == ["000000000001"]


def test_the_rest_of_a_killed_save_is_cleared_away_and_never_counted(tmp_path: Path) -> None:
    leftover = tmp_path / ".000000000005.partial"
    leftover.mkdir(parents=True)
    (tmp_path / "000000000007").mkdir()  # no manifest
    checkpoint.write(tmp_path, 6, fill)
    assert checkpoint.steps(tmp_path) == [6]
    assert not leftover.exists()


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in (300, 1, 20):
        checkpoint.write(tmp_path, step, fill)
    checkpoint.prune(tmp_path, keep=2)
    assert checkpoint.steps(tmp_path) == [20, 300]
