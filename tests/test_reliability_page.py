"""The page of promises names only tests that there are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "reliability.md").read_text()
ROWS = [[cell.strip() for cell in line.strip("| ").split("|")] for line in PAGE.splitlines() if "::" in line]


def names_in(path: Path) -> set[str]:
    """Return the names of a file's tests, those in classes as `Class::test`."""
    tree = ast.parse(path.read_text())
    methods = ((klass.name, node) for klass in tree.body if isinstance(klass, ast.ClassDef) for node in klass.body)
    inside = {f"{name}::{node.name}" for name, node in methods if isinstance(node, ast.FunctionDef)}
    return inside | {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_has_rows() -> None:
    assert len(ROWS) > 100


@pytest.mark.parametrize("row", ROWS, ids=lambda row: re.sub(r"\W+", " ", row[-1]).strip().rpartition("py ")[2])
def test_a_row_names_a_fault_a_promise_and_a_test_that_exists(row: list[str]) -> None:
    fault, promise, proof = row
    assert fault
    assert promise
    path, _, test = proof.strip("`").partition("::")
    assert test.rpartition("::")[2].startswith("test_")
    assert test in names_in(ROOT / path), f"{path} has no {test}"
