"""Every number that a model reads after it is built follows a schedule; the others say why they cannot."""

from __future__ import annotations

import pytest
from rlhub_sb3.parameters import AS_SCHEDULE, FIXED
from rlhub_sb3.plugin import ALGORITHMS

import rlhub_core as rlhub
from rlhub_core import config
from rlhub_core.hub import default_hub

NAMES = [row[0] for row in ALGORITHMS]
FIRST = {  # for what is None or a text by default
    **{"clip_range_vf": 0.2, "target_kl": 0.5, "n_top": 1, "ent_coef": 0.1, "target_entropy": -1.0},
    **{"max_grad_norm": 1.0},
}


def parameters(name):
    return config.parameters(default_hub().load("algorithm", f"sb3/{name}").Config)


def held(model, name):
    """Return what a model works with."""
    if name in AS_SCHEDULE:
        return getattr(model, AS_SCHEDULE[name])(0.5)
    if name == "train_freq":
        return model.train_freq.frequency
    return float(
        getattr(model, "ent_coef_tensor" if hasattr(model, "ent_coef_tensor") and name == "ent_coef" else name)
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_number_read_after_construction_follows_a_schedule(name, algorithm, collector, drift, settings):
    known = {key: parameter for key, parameter in parameters(name).items() if parameter.scheduled}
    begin = {key: settings[name].get(key, FIRST.get(key, parameter.default)) for key, parameter in known.items()}
    begin |= {"learning_starts": 10} if "learning_starts" in known else {}
    end = {key: first + 1 if known[key].counts else 0.9 * first + 0.01 for key, first in begin.items()}
    for key in ("gamma", "gae_lambda"):
        end |= {key: 0.9} if key in known else {}
    total = 300 if name == "ars" else 160
    changing = {key: lambda step, key=key: end[key] if step > 20 else begin[key] for key in begin}
    here = collector(drift(name), num_envs=2)
    ours = algorithm(name, here, total, **changing)
    list(ours.train(here, total))
    assert {key: held(ours.model, key) for key in known} == pytest.approx(end)
    for buffer in ("rollout_buffer", "replay_buffer"):
        for key in ("gamma", "gae_lambda"):
            copied = getattr(getattr(ours.model, buffer, None), key, None)
            assert copied is None or copied == pytest.approx(end[key])


@pytest.mark.parametrize("name", NAMES)
def test_numbers_are_scheduled_or_say_why_not(name):
    kind = default_hub().load("algorithm", f"sb3/{name}").Config
    numbers = {key for key, known in parameters(name).items() if {"int", "float"} & set(known.type_name.split())}
    fixed = {key for key in numbers if not parameters(name)[key].scheduled}
    assert fixed == numbers & set(FIXED)
    for key in fixed:
        with pytest.raises(rlhub.ConfigError) as error:
            config.bind(kind, {key: "linear(1, 2)"}, f"sb3/{name}")
        assert str(error.value).startswith(f"sb3/{name}: {key} cannot follow a schedule: {FIXED[key]}; it must be ")


@pytest.mark.parametrize("name", ["qrdqn", "dqn"])
def test_a_run_made_longer_explores_as_at_its_end(name, algorithm, collector, drift):
    here = collector(drift(name), num_envs=2)
    ours = algorithm(name, here, 100, exploration_final_eps=0.25, exploration_fraction=0.5)
    list(ours.train(here, 100))
    rates = [progress.metrics["hyper_parameters/epsilon"] for progress in ours.train(here, 1_000)]
    assert len(rates) > 2
    assert set(rates) == {0.25}
