"""What a run was made with: every distribution in play, Python, platform, threads, git commit."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, distribution, version
from typing import Any

from packaging.requirements import Requirement

from rlhub_core.threads import in_force, of_blas, usable_cpus


def provenance(distributions: list[str], environment_facts: dict[str, Any]) -> dict[str, Any]:
    """Return the facts as JSON can hold them.

    Args:
        distributions: those that offered the parts of the run; what they need is added.
        environment_facts: what the environment says of itself in `metadata["provenance"]` (a ROM's checksum, say).
    """
    torch = sys.modules.get("torch")  # never imported from here
    return {
        "distributions": _versions(["rlhub-core", *distributions]),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu_count": os.cpu_count(),
        "usable_cpus": usable_cpus(),
        "environment_threads": in_force(),
        "torch_threads": torch.get_num_threads() if torch is not None else None,
        "blas_threads": of_blas(),
        "environment": environment_facts,
        "git_commit": _git_commit(),
    }


def _versions(names: list[str]) -> dict[str, str]:
    """Return the versions of distributions and of all that they need and that is installed."""
    versions: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in versions or not name:
            continue
        try:
            versions[name] = version(name)
            requirements = map(Requirement, distribution(name).requires or ())
        except PackageNotFoundError:
            continue
        waiting += [need.name for need in requirements if need.marker is None or need.marker.evaluate({"extra": ""})]
    return dict(sorted(versions.items()))


def _git_commit() -> str | None:
    """Return the commit of the working directory, marked where files differ from it; None outside a repository."""
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return commit.stdout.strip()
