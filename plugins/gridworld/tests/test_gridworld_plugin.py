"""What the plugin offers, that saying so costs next to nothing, and that its page tells the truth."""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import readme
from rlhub_gridworld import plugin
from rlhub_gridworld.single import GridWorld

SPECS = {spec.id: spec for spec in plugin.rlhub_environments()}
PAGE = Path(__file__).parents[1] / "README.md"


def test_the_plugin_is_light() -> None:
    program = """
import sys
from rlhub_gridworld import plugin
assert len(list(plugin.rlhub_environments())) == 8
print([name for name in ("PIL", "torch", "matplotlib", "rlhub_gridworld.single") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_specs_survive_being_written() -> None:
    for spec in SPECS.values():
        env = gymnasium.make(spec, slip=0.25, max_episode_steps=7)
        assert env.spec is not None
        again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
        assert str(again) == str(env)
        np.testing.assert_equal(again.reset(seed=3)[0], env.reset(seed=3)[0])
        assert again.unwrapped.P == env.unwrapped.P  # type: ignore[attr-defined]


def test_the_page_does_what_it_says(tmp_path: Path) -> None:
    command = [sys.executable, str(Path(readme.__file__)), str(PAGE)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith("2 blocks ran\n")


def test_the_page_names_every_world_with_its_limit_and_every_option() -> None:
    page = PAGE.read_text()
    for spec in SPECS.values():
        (row,) = re.findall(rf"^\| `{spec.id}` .*\| ([\d ]+) \|$", page, re.MULTILINE)
        assert int(row.replace(" ", "")) == spec.max_episode_steps
    for name in inspect.signature(GridWorld).parameters:
        assert f"`{name}`" in page, name
