"""The table in the docs says what the specifications, the parameters and the classes say."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from rlhub_sb3.parameters import FIXED
from rlhub_sb3.plugin import ALL, FLAT, rlhub_algorithms

from rlhub_core import config
from rlhub_core.hub import default_hub

PAGE = Path(__file__).parents[3] / "docs" / "sb3.md"
HEADS = ["", "actions", "observations", "resume", "weights", "no schedule for", "besides"]
RESUME = {True: "exact", False: "warm"}


def named(spaces):
    """Return spaces as the table writes them: all of them, or all but those that are missing."""
    missing = [space for space in ALL if space not in spaces]
    return "all" if not missing else f"all but {', '.join(missing)}" if len(missing) < 3 else ", ".join(spaces)


def row(spec):
    kind = default_hub().load("algorithm", spec.name)
    fields = {field.name for field in dataclasses.fields(kind.Config)}
    fixed = [name for name, parameter in config.parameters(kind.Config).items() if parameter.fixed]
    besides = {
        "contrib": spec.entry_point.startswith("rlhub_sb3.contrib:"),
        "`her`": "her" in fields,
        "`action_noise`": "action_noise" in fields,
        "action masks": kind._masked,
        "memory (LSTM)": "Lstm" in kind._policy,
    }
    actions = "all" if spec.action_spaces == FLAT else ", ".join(spec.action_spaces)
    return [
        *(f"`{spec.name}`", actions, named(spec.observation_spaces), RESUME[spec.exact_resume], "SB3's"),
        *(" ".join(f"`{name}`" for name in fixed), ", ".join(name for name, has in besides.items() if has)),
    ]


def table(page, heads):
    lines = page.splitlines()
    begin = lines.index(f"| {' | '.join(heads)} |".replace("|  |", "| |"))
    rows = lines[begin + 2 : lines.index("", begin)]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in rows]


def test_the_table_of_algorithms_is_true():
    assert table(PAGE.read_text(), HEADS) == [row(spec) for spec in rlhub_algorithms()]


def test_the_reasons_why_a_schedule_is_refused_are_those_that_are_given():
    rows = table(PAGE.read_text(), ["hyper-parameter", "takes no schedule because"])
    said = {name.strip("`"): reason for names, reason in rows for name in names.split()}
    assert said == FIXED
