"""Runs what a Markdown page shows, in order, in the working directory: `python readme.py README.md`.

Blocks of ```python and ```bash are run; those whose first line is `# file: PATH` are written there instead. Other
blocks (```console, ```text, …) are only to be read.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str]]:
    """Return (language, text) of every fenced block of a page."""
    return BLOCK.findall(page.read_text())


def file_of(text: str) -> str | None:
    """Return the path that a block names in its first line, if it does."""
    found = re.match(r"# file: (\S+)\n", text)
    return found.group(1) if found else None


def write_files(page: Path, folder: Path) -> None:
    """Write every block that names a file."""
    for _, text in blocks(page):
        if name := file_of(text):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)


def run(page: Path) -> int:
    """Run every block that is meant to be run; return how many there were."""
    write_files(page, Path())
    count = 0
    for language, text in blocks(page):
        if language not in ("python", "bash") or file_of(text):
            continue
        command = ["bash", "-euo", "pipefail", "-c", text] if language == "bash" else [sys.executable, "-c", text]
        print(f"--- {language}: {text.strip().splitlines()[-1][:100]}", flush=True)
        subprocess.run(command, check=True)
        count += 1
    return count


if __name__ == "__main__":
    print(f"{run(Path(sys.argv[1]))} blocks ran")
