"""What the plugin offers, and that saying so costs next to nothing."""

import subprocess
import sys
from importlib import import_module

import gymnasium
import numpy as np
from gymnasium.vector import SyncVectorEnv
from rlhub_atari import plugin
from rlhub_atari.vector import AtariVector

from rlhub_core import WrapperSpec

SPECS = {spec.id: spec for spec in plugin.rlhub_environments()}


def test_every_game_of_ale_is_offered_once() -> None:
    from ale_py.roms import get_all_rom_ids

    offered = [spec.kwargs["game"] for spec in plugin.rlhub_environments()]
    assert len(offered) == len(SPECS) == 104
    assert set(offered) == set(get_all_rom_ids()) - {"combat", "joust", "maze_craze", "warlords"}
    assert {"atari/Breakout-v0", "atari/SpaceInvaders-v0", "atari/MsPacman-v0", "atari/UpNDown-v0"} <= set(SPECS)
    assert all(spec.namespace == "atari" and spec.version == 0 for spec in SPECS.values())


def test_the_plugin_is_light() -> None:
    program = """
import sys
from rlhub_atari import plugin
assert len(list(plugin.rlhub_environments())) == 104 and list(plugin.rlhub_wrappers())
print([name for name in ("ale_py", "torch", "cv2") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_specs_make_environments() -> None:
    spec = SPECS["atari/Breakout-v0"]
    env = gymnasium.make(spec, sticky=0.25, max_frames=400)
    assert env.reset(seed=0)[0].shape == (4, 84, 84)
    assert env.spec is not None
    again = gymnasium.make(gymnasium.envs.registration.EnvSpec.from_json(env.spec.to_json()))
    np.testing.assert_array_equal(env.reset(seed=1)[0], again.reset(seed=1)[0])
    assert str(again) == str(env)

    native = gymnasium.make_vec(spec, num_envs=2, size=42)
    assert isinstance(native, AtariVector)
    assert native.reset(seed=0)[0].shape == (2, 4, 42, 42)
    assert native.spec is not None
    assert native.spec.kwargs["size"] == 42
    assert isinstance(gymnasium.make_vec(spec, num_envs=2, vectorization_mode="sync"), SyncVectorEnv)


def test_the_wrapper_is_offered() -> None:
    (spec,) = plugin.rlhub_wrappers()
    assert isinstance(spec, WrapperSpec)
    assert spec.name == "atari/skip_start"
    module, attribute = spec.entry_point.split(":")
    assert issubclass(getattr(import_module(module), attribute), gymnasium.Wrapper)
