"""`RESULTS.md`: one section a benchmark, each rewritten whole when it is run again."""

from __future__ import annotations

import datetime
import os
import platform
import re
import statistics
import sys
from importlib.metadata import version
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
PACKAGES = ("rlhub-core", "gymnasium", "ale-py", "stable_baselines3", "torch", "numpy")


def record(section: str, text: str) -> None:
    """Replace a section of the page, or add it, with date, versions, machine and command; print it too."""
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    command = "python " + " ".join([os.path.relpath(sys.argv[0]), *sys.argv[1:]])
    head = (
        f"{datetime.date.today()} · `{command}` · Python {platform.python_version()}, {versions} · "
        f"{os.cpu_count()} cores, {_processor()}"
    )
    whole = f"## {section}\n\n{head}\n\n{text.strip()}\n\n"
    page = PAGE.read_text() if PAGE.exists() else "# Measured\n\n"
    pattern = re.compile(rf"^## {re.escape(section)}\n.*?(?=^## |\Z)", re.MULTILINE | re.DOTALL)
    page = pattern.sub(lambda _: whole, page) if pattern.search(page) else f"{page.rstrip()}\n\n{whole}"
    PAGE.write_text(page.rstrip() + "\n")
    print(whole)


def ratio(ours: list[float], theirs: list[float]) -> str:
    """Return the median of paired ratios with their range."""
    pairs = [a / b for a, b in zip(ours, theirs, strict=True)]
    return f"**{statistics.median(pairs):.3f}** [{min(pairs):.3f}–{max(pairs):.3f}]"


def median(values: list[float]) -> str:
    """Return a median as a table shows it."""
    middle = statistics.median(values)
    return f"{middle:,.0f}" if middle >= 100 else f"{middle:.3g}"


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
