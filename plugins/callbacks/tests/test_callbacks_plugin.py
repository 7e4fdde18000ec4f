"""What the package offers, without importing what it needs."""

from __future__ import annotations

import subprocess
import sys

HEAVY = ("matplotlib", "PIL", "torch", "tensorboard", "mlflow", "wandb", "av")


def test_the_plugin_itself_imports_nothing_heavy() -> None:
    code = f"import sys, rlhub_callbacks.plugin; print([name for name in {HEAVY} if name in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
