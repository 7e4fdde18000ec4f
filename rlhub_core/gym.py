"""Importing this module registers every environment of every installed plugin in Gymnasium.

    gymnasium.make("rlhub_core.gym:atari/Breakout-v0")

works in any process: Gymnasium imports what stands before the colon, and the entry points are strings, so that a
plugin's heavy modules are imported only when one of its environments is made.
"""

from __future__ import annotations

import gymnasium

from rlhub_core.hub import default_hub


def register() -> list[str]:
    """Register the environments and return their ids; an id that Gymnasium already knows is left alone."""
    offered = default_hub().offers("environment")
    for name, spec in offered.items():
        gymnasium.registry.setdefault(name, spec)
    return list(offered)


register()
