"""What fits what: each algorithm takes the spaces that it says, and Stable-Baselines3 refuses the others."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from rlhub_sb3 import plugin
from rlhub_sb3.adapter import REFUSALS
from rlhub_sb3.plugin import ALGORITHMS, rlhub_algorithms
from rlhub_sb3.vec_env import CollectorVecEnv

import rlhub_core as rlhub
from rlhub_core.hub import default_hub

FLAT = {
    "Box": spaces.Box(-1, 1, (2,), np.float32),
    "Discrete": spaces.Discrete(3),
    "MultiDiscrete": spaces.MultiDiscrete([2, 3]),
    "MultiBinary": spaces.MultiBinary(2),
}
SHOWN = FLAT | {"Dict": spaces.Dict({"a": FLAT["Box"], "b": FLAT["Discrete"]})}
SPECS = {spec.name: spec for spec in rlhub_algorithms()}


def self_inflicted(name, shown, taken):
    """Return whether a pair is one that sb3-contrib takes and fails at later."""
    return {"ars": isinstance(shown, spaces.Dict), "recurrent_ppo": isinstance(taken, spaces.MultiBinary)}.get(name)


@pytest.mark.parametrize("name", [row[0] for row in ALGORITHMS])
def test_every_pair_that_sb3_refuses_is_refused(name, settings, plain_on):
    spec, kind = SPECS[f"sb3/{name}"], default_hub().load("algorithm", f"sb3/{name}")
    for shown in SHOWN.values():
        for taken in FLAT.values():
            if spec.misfit(shown, taken) is None:
                kind(shown, taken, kind.Config(**settings[name]), seed=0, total_steps=100, device="cpu")
            elif not self_inflicted(name, shown, taken):
                policy = "MultiInputPolicy" if isinstance(shown, spaces.Dict) else "MlpPolicy"
                with pytest.raises((*REFUSALS, AttributeError)):
                    plain_on(name, CollectorVecEnv(2, shown, taken), policy)


class Silent(gymnasium.Env):
    """Shows anything and ends after seven steps."""

    def __init__(self, shown, taken):
        self.observation_space, self.action_space = shown, taken

    def reset(self, *, seed=None, options=None):
        self.time = 0
        return self.observation_space.sample(), {}

    def step(self, action):
        assert action in self.action_space
        self.time += 1
        return self.observation_space.sample(), 0.0, self.time == 7, False, {}

    def action_masks(self):
        return np.ones(sum(getattr(self.action_space, "nvec", [getattr(self.action_space, "n", 0)])), np.int8)


@pytest.mark.parametrize("name", ["sac", "crossq", "qrdqn", "tqc", "trpo", "recurrent_ppo", "maskable_ppo", "ars"])
def test_what_fits_trains_and_acts(name, collector, algorithm):
    spec = SPECS[f"sb3/{name}"]
    for kind in spec.observation_spaces:
        taken = FLAT[spec.action_spaces[-1] if name != "maskable_ppo" else "Discrete"]
        here = collector(lambda kind=kind, taken=taken: Silent(SHOWN[kind], taken), num_envs=2)
        ours = algorithm(name, here, 64)
        list(ours.train(here, 64))
        assert len(ours.actor()(here.observations, here.first)) == 2


@pytest.mark.parametrize(
    ("name", "shown", "taken", "text"),
    [
        ("sac", "Box", "Discrete", "sb3/sac needs a Box action space; Silent has Discrete(3). Algorithms that fit: "),
        ("tqc", "Box", "MultiBinary", "sb3/tqc needs a Box action space; Silent has MultiBinary(2)."),
        ("qrdqn", "Box", "Box", "sb3/qrdqn needs a Discrete action space; Silent has Box("),
        ("maskable_ppo", "Box", "Box", "sb3/maskable_ppo needs a Discrete or MultiDiscrete or MultiBinary action"),
        ("crossq", "Dict", "Box", "sb3/crossq needs a Box or Discrete or MultiDiscrete or MultiBinary observation"),
    ],
)
def test_refusal_names_what_fits(name, shown, taken, text, tmp_path):
    class Here(Silent):
        def __init__(self):
            super().__init__(SHOWN[shown], FLAT[taken])

    Here.__name__ = "Silent"
    hub = rlhub.Hub({"sb3": plugin}, discover=False)
    with pytest.raises(rlhub.SpaceError) as error:
        rlhub.train(f"sb3/{name}", Here, steps=10, hub=hub, folder=tmp_path / "run")
    assert str(error.value).startswith(text)
    assert "sb3/" in str(error.value).partition("that fit: ")[2]
    assert not (tmp_path / "run").exists()


LISTS = {"a": FLAT["Box"], "b": FLAT["MultiDiscrete"]}


@pytest.mark.parametrize(
    ("name", "env", "config", "error", "text"),
    [
        ("sac", lambda: Silent(SHOWN["Dict"], FLAT["Box"]), {"her": True}, rlhub.SpaceError, "hindsight needs Dict"),
        ("dqn", lambda: Silent(FLAT["Box"], FLAT["Discrete"]), {"her": True}, rlhub.SpaceError, "hindsight needs Dict"),
        (
            "trpo",
            lambda: Silent(SHOWN["Dict"], FLAT["Box"]),
            {"sub_sampling_factor": 2},
            rlhub.ConfigError,
            "sub_sampling_factor must be 1 with Dict",
        ),
        (
            "recurrent_ppo",
            lambda: Silent(spaces.Dict(LISTS), FLAT["Box"]),
            {},
            rlhub.SpaceError,
            "cannot use the MultiDiscrete observations ['b']",
        ),
        (
            "maskable_ppo",
            lambda: Silent(FLAT["Box"], FLAT["MultiBinary"]),
            {},
            rlhub.EnvironmentContractError,
            "has shape (2,), not (4,): one number for each choice of MultiBinary(2)",
        ),
    ],
)
def test_what_would_fail_in_the_midst_of_a_run_is_refused_before(name, env, config, error, text, tmp_path):
    with pytest.raises(error) as raised:
        rlhub.train(f"sb3/{name}", env, steps=100, config=config, folder=tmp_path / "run", device="cpu")
    assert text in str(raised.value)


def test_hindsight_says_what_it_needs_of_an_environment(drift, tmp_path):
    class Mute(gymnasium.Env):
        def __init__(self):
            inner = drift("sac", goals=True)()
            self.observation_space, self.action_space = inner.observation_space, inner.action_space
            self.reset, self.step = inner.reset, inner.step

    options = {"steps": 50, "device": "cpu"}
    with pytest.raises(rlhub.EnvironmentContractError, match=r"a method compute_reward\(achieved_goal, desired_goal"):
        rlhub.train("sb3/sac", Mute, config={"her": True, "buffer_size": 100}, folder=tmp_path / "mute", **options)
    early = {"her": True, "learning_starts": 0, "buffer_size": 100}
    with pytest.raises(rlhub.ConfigError, match="before the end of the first episode"):
        rlhub.train("sb3/sac", drift("sac", goals=True), config=early, folder=tmp_path / "early", **options)
