"""A bare environment id: Gymnasium's own wins, else it is that of the one plugin that offers it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import pytest
from gymnasium.envs.registration import EnvSpec

import rlhub_core as rlhub
from rlhub_core import EnvironmentSource, Experiment, Hub, NotFoundError, envs
from rlhub_core.testing import ActionMatters

TARGET = "rlhub_core.testing:ActionMatters"


@pytest.fixture(autouse=True)
def _clean_registry() -> Iterator[None]:
    before, by_the_way = dict(gymnasium.registry), set(envs._registered_by_the_way)
    yield
    gymnasium.registry.clear()
    gymnasium.registry.update(before)
    envs._registered_by_the_way.clear()
    envs._registered_by_the_way.update(by_the_way)


def offering(*ids: str, entry_point: Any = TARGET) -> Any:
    @rlhub.hookimpl
    def rlhub_environments() -> Any:
        return [EnvSpec(id, entry_point=entry_point) for id in ids]

    return SimpleNamespace(rlhub_environments=rlhub_environments)


def hub(**plugins: Any) -> Hub:
    return Hub(plugins, discover=False)


def test_it_is_what_the_one_plugin_offers() -> None:
    one = hub(old=offering("old/Tiny-v0"), other=offering("other/Else-v0"))
    assert isinstance(rlhub.make("Tiny-v0", hub=one).unwrapped, ActionMatters)
    assert EnvironmentSource.of("Tiny-v0", hub=one).name == "old/Tiny-v0"
    assert EnvironmentSource.of("Tiny-v0:a=1", hub=one).origin == "old/Tiny-v0"
    assert rlhub.make_vec("Tiny-v0", 2, hub=one).num_envs == 2


def test_an_id_that_gymnasium_calls_deprecated_is_one_that_it_does_not_know() -> None:
    assert EnvironmentSource.of("Pendulum-v0", hub=hub(old=offering("old/Pendulum-v0"))).origin == "old/Pendulum-v0"


def test_what_gymnasium_knows_is_gymnasiums() -> None:
    one = hub(old=offering("old/CartPole-v1"))
    assert EnvironmentSource.of("CartPole-v1", hub=one).origin == "CartPole-v1"
    gymnasium.register("Mine-v0", entry_point=TARGET)
    assert EnvironmentSource.of("Mine-v0", hub=hub(old=offering("old/Mine-v0"))).origin == "Mine-v0"


def test_where_two_offer_it_both_are_named() -> None:
    two = hub(old=offering("old/Tiny-v0"), other=offering("other/Tiny-v0"))
    with pytest.raises(NotFoundError, match=r"'Tiny-v0' is offered by old/Tiny-v0 \(old\) and other/Tiny-v0 \(other\)"):
        rlhub.make("Tiny-v0", hub=two)


def test_where_nobody_offers_it_the_error_is_the_old_one() -> None:
    with pytest.raises(
        NotFoundError, match=r"No environment is called 'Frobnicat-v0'\. Did you mean 'old/Frobnicate-v0'"
    ):
        rlhub.make("Frobnicat-v0", hub=hub(old=offering("old/Frobnicate-v0")))


def test_a_name_with_a_module_is_left_alone() -> None:
    assert EnvironmentSource.of("somewhere:Tiny-v0", hub=hub(old=offering("old/Tiny-v0"))).origin == "somewhere:Tiny-v0"


def test_what_a_plugins_environment_registers_by_the_way_changes_no_meaning() -> None:
    def make() -> Any:
        for name in ("Tiny-v0", "Small-v0"):
            gymnasium.register(name, entry_point=TARGET)
        return ActionMatters()

    one = hub(old=offering("old/Tiny-v0", entry_point=make), other=offering("other/Small-v0"))
    assert EnvironmentSource.of("Tiny-v0", hub=one).origin == "old/Tiny-v0"
    rlhub.make("Tiny-v0", hub=one)
    assert "Tiny-v0" in gymnasium.registry
    assert EnvironmentSource.of("Tiny-v0", hub=one).origin == "old/Tiny-v0"
    assert EnvironmentSource.of("Small-v0", hub=one).origin == "other/Small-v0"


def test_the_recipe_keeps_the_full_name_and_is_read_as_it_stands(tmp_path: Path) -> None:
    run = rlhub.train("tabular/q_learning", "Taxi-v3", steps=300, folder=tmp_path / "run")
    assert Experiment.read(run.folder).environment == "legacy/Taxi-v3"
    assert rlhub.load(run.folder).environment.name == "legacy/Taxi-v3"
    recipe = run.folder / "experiment.toml"
    recipe.write_text(recipe.read_text().replace("legacy/Taxi-v3", "Taxi-v3"))
    with pytest.raises(NotFoundError, match="Taxi-v3"):
        rlhub.load(run.folder)
