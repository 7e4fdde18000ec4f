"""One page that tells everything of one or several runs, in one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np

from rlhub_core.errors import ConfigError, listed, written
from rlhub_core.reporting import sections
from rlhub_core.reporting.curves import Curve, labelled
from rlhub_core.reporting.facts import Facts
from rlhub_core.reporting.markup import document, h

LARGEST = 15_000_000  # characters of a page, videos included


def report(runs: Any, path: str | Path) -> Path:
    """Write a page about one or several runs and return its path.

    It shows result, learning curves, evaluations, schedules, every metric, videos, where the time went, recipe,
    provenance and how to reproduce them; several runs are compared. It is one file without any link to the network,
    under 15 MB: videos that do not fit are made smaller (GIFs, with Pillow) or left out with a note. Nothing of a run
    is executed or imported, and what its files say is shown as text only.

    Args:
        runs: a run or its folder, or several of them.
        path: of the file to write; it ends in `.html`.

    Raises:
        RunError: for a folder that is no run, or whose records cannot be read.
        ConfigError: for another file type, or no run at all.
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ConfigError(f"A report is an .html, not {path.suffix or 'a file without ending'!r}: {path}.")
    many = list(runs) if isinstance(runs, (list, tuple)) else [runs]
    if not many:
        raise ConfigError("There is nothing to report: name at least one run.")
    facts = _told_apart([Facts.of(run) for run in many])
    content = _encoded(_page(facts, room=0))
    content = _encoded(_page(facts, room=LARGEST - len(content) - 50_000))
    with written("A report", path):
        path.write_bytes(content)
    return path


def _encoded(page: Element) -> bytes:
    return document(page).encode("utf-8", "replace")  # the name of a folder may hold what is no text


def _told_apart(runs: Sequence[Facts]) -> list[Facts]:
    empty = np.zeros(0)
    curves = labelled([Curve(run.experiment, run.folder, empty, empty, 1) for run in runs])
    return [replace(run, label=curve.label) for run, curve in zip(runs, curves, strict=True)]


def _page(runs: Sequence[Facts], room: int) -> Element:
    script, style = (
        files("rlhub_core.reporting").joinpath("assets", name).read_text() for name in ("report.js", "report.css")
    )
    environments = listed({run.experiment.environment for run in runs}, 3)
    title = f"{listed({run.experiment.algorithm for run in runs}, 3)} on {environments}"
    parts = [
        sections.summary(runs),
        sections.learning_curves(runs),
        sections.videos(runs, room),
        sections.evaluations(runs),
        sections.metrics(runs, "Hyper-parameters over time", lambda name: name.startswith(sections.SCHEDULES)),
        sections.metrics(runs, "Other metrics", lambda name: not name.startswith(sections.SCHEDULES)),
        sections.time_spent(runs),
        sections.recipe(runs),
        sections.provenance(runs),
        sections.reproduce(runs),
    ]
    shown = [part for part in parts if part is not None]
    links = [h("a", str(part[0].text), href=f"#{part[0].get('id')}") for part in shown]
    count = f"{len(runs)} runs compared" if len(runs) > 1 else f"Seed {runs[0].experiment.seed} · {runs[0].folder}"
    return h(
        "html",
        h(
            "head",
            h("meta", charset="utf-8"),
            h("meta", **{"http-equiv": "Content-Security-Policy", "content": _policy(script)}),
            h("meta", name="viewport", content="width=device-width, initial-scale=1"),
            h("meta", name="color-scheme", content="light dark"),
            h("title", f"{title} · rlhub report"),
            h("style", style),
        ),
        h(
            "body",
            h("header", h("h1", title), h("p", count, class_="note"), h("nav", links, aria_label="Sections")),
            h("main", shown),
            h("footer", h("p", "Made by rlhub report.")),
            h("script", script),
        ),
        lang="en",
    )


def _policy(script: str) -> str:
    """Return what a browser lets the page do: show its own data and run this one script."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    allowed = f"script-src 'sha256-{digest}'; style-src 'unsafe-inline'; img-src data:; media-src data:"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"
