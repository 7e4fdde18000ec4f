"""The batch is the single world many times over, and keeps the promises of a vector environment."""

import inspect
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.error import ClosedEnvironmentError, InvalidAction, ResetNeeded
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from rlhub_gridworld import plugin
from rlhub_gridworld.single import GridWorld
from rlhub_gridworld.vector import GridWorldVector
from rlhub_gridworld.worlds import Empty, EmptyVector, Maze, MazeVector

import rlhub_core as rlhub
from rlhub_core import Collector, ConfigError, Hub
from rlhub_core.config import parameters
from rlhub_core.testing import check_exact_restore

HUB = Hub(plugins={"gridworld": plugin}, discover=False)
SPECS = {spec.name: spec for spec in plugin.rlhub_environments()}
SEEN: list[dict[str, Any]] = [
    {"observation": "index"},
    {"observation": "one_hot"},
    {"observation": "coordinates"},
    {"observation": "image"},
    {"observation": "one_hot", "view_radius": 2},
    {"observation": "image", "view_radius": 1},
]
CHANCE: dict[str, Any] = {"slip": 0.3, "start": "anywhere", "off_board": "end", "allow_unreachable": True}


def both(name: str, num_envs: int, **options: Any) -> tuple[Any, Any]:
    """Return the batch, and as many single worlds in Gymnasium's own vector environment."""
    batch = gymnasium.make_vec(SPECS[name], num_envs, **options)
    singles = gymnasium.make_vec(SPECS[name], num_envs, "sync", **options)
    assert type(batch) is not SyncVectorEnv
    return batch, singles


def same(one: Any, other: Any) -> None:
    """Assert that two results of `reset` or `step` agree, dtypes included."""
    for ours, theirs in zip(one, other, strict=True):
        np.testing.assert_equal(ours, theirs)
        assert getattr(ours, "dtype", None) == getattr(theirs, "dtype", None)


@pytest.mark.parametrize("options", [{}, CHANCE], ids=["plain", "chance"])
@pytest.mark.parametrize("seen", SEEN, ids=lambda seen: "-".join(map(str, seen.values())))
@pytest.mark.parametrize("name", SPECS)
def test_the_batch_is_the_single_world_step_by_step(name: str, seen: dict[str, Any], options: dict[str, Any]) -> None:
    batch, singles = both(name, 4, max_episode_steps=13, **seen, **options)
    for attribute in ("single_observation_space", "observation_space", "single_action_space", "action_space"):
        assert getattr(batch, attribute) == getattr(singles, attribute)
    rng = np.random.default_rng(1)
    for seed in (0, [5, 2**40, 3, 3]):
        same(batch.reset(seed=seed), singles.reset(seed=seed))
        for time in range(60):
            actions = rng.integers(0, 4, 4)
            result = batch.step(actions)
            same(result, singles.step(actions))
            assert result[0] in batch.observation_space
            assert batch.state.tolist() == [env.unwrapped.state for env in singles.envs]
            if time % 7 == 0:
                mask = rng.random(4) < 0.5
                mask[rng.integers(4)] = True
                seeds = [None, 11 + time, None, 12] if time % 2 else None
                same(
                    batch.reset(seed=seeds, options={"reset_mask": mask.copy()}),
                    singles.reset(seed=seeds, options={"reset_mask": mask.copy()}),
                )


def test_a_batch_of_a_maze_is_of_one_maze() -> None:
    single, batch = Maze(4, 7, layout_seed=9), MazeVector(3, 4, 7, 9)
    assert batch.P == single.P
    np.testing.assert_array_equal(batch.board, single.board)
    np.testing.assert_array_equal(batch.cells, single.cells)


def test_both_tell_their_headings() -> None:
    for env in both("Grid", 1)[0], GridWorld():
        assert env.headings == ("up", "down", "left", "right")


def test_every_world_lists_every_option_with_its_type_and_default() -> None:
    common = {name: listed for name, listed in parameters(GridWorld).items() if name != "map"}
    assert (common["slip"].type_name, common["slip"].default) == ("float", 0.0)
    assert list(parameters(Maze)) == ["height", "width", "layout_seed", *common]
    for world in (Empty, Maze, EmptyVector, MazeVector, GridWorldVector):
        assert common.items() <= parameters(world).items()


def test_both_take_the_same_keywords_with_the_same_defaults() -> None:
    single, vector = (dict(inspect.signature(call).parameters) for call in (GridWorld, GridWorldVector))
    del vector["num_envs"], vector["max_episode_steps"]
    assert list(single.values()) == list(vector.values())


@pytest.mark.parametrize("name", SPECS)
def test_an_environment_is_restored_by_its_actions(name: str) -> None:
    options: dict[str, Any] = {} if name in ("Cliff", "Grid4x4") else {"slip": 0.2, "start": "anywhere"}
    for mode in ("vector", "sync"):
        target = f"gridworld/{name}-v0"
        if mode == "sync":
            check_exact_restore(lambda name=name: gymnasium.make(SPECS[name], max_episode_steps=20, **options))
        else:
            source = rlhub.EnvironmentSource.of(target, {"max_episode_steps": 20, **options}, hub=HUB)
            check_exact_restore(source, num_envs=5)


@pytest.mark.parametrize("vector", [True, False])
def test_a_seed_and_actions_determine_everything_across_resets(vector: bool) -> None:
    def play(seed: int) -> list[Any]:
        env: Any = GridWorldVector(1, slip=0.5, start="anywhere") if vector else GridWorld(slip=0.5, start="anywhere")
        rng, tape = np.random.default_rng(0), [env.reset(seed=seed)[0]]
        for _ in range(5):
            tape += [
                env.step(np.array([a]) if vector else a)[0] for a in rng.integers(0, 4, 5).tolist() if not over(env)
            ]
            tape.append(env.reset()[0])
        return [int(np.squeeze(seen)) for seen in tape]

    def over(env: Any) -> bool:
        return not vector and not env._running

    assert play(7) == play(7)
    assert play(7) != play(8)


def test_the_episodes_of_one_seed_differ() -> None:
    env = GridWorld(start="anywhere")
    env.reset(seed=0)
    assert len({env.reset()[0] for _ in range(200)}) > 30


def test_what_was_never_seeded_draws_from_entropy() -> None:
    def starts(env: Any) -> Any:
        return [np.array(env.reset()[0]).tolist() for _ in range(10)]

    assert starts(GridWorld(start="anywhere")) != starts(GridWorld(start="anywhere"))
    batch = GridWorldVector(50, start="anywhere")
    assert len(set(batch.reset()[0].tolist())) > 10


def test_an_episode_that_is_over_begins_anew_in_the_next_step() -> None:
    env = GridWorldVector(2, "SG/..", max_episode_steps=3)
    assert env.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env.reset(seed=0)
    _, reward, terminated, truncated, info = env.step(np.array([3, 0]))
    assert (reward.tolist(), terminated.tolist(), truncated.tolist(), info) == (
        [1, 0],
        [True, False],
        [False, False],
        {},
    )
    observation, reward, terminated, truncated, _ = env.step(np.array([3, 1]))
    assert (observation.tolist(), reward.tolist()) == ([0, 2], [0, 0]), "the first began anew, its action was ignored"
    _, reward, terminated, truncated, _ = env.step(np.array([0, 0]))
    assert (terminated.tolist(), truncated.tolist()) == ([False, False], [False, True]), "its third step"
    observation, _, _, truncated, _ = env.step(np.array([3, 1]))
    assert (observation.tolist(), truncated.tolist()) == ([1, 0], [False, False])


def test_the_time_limit_is_gymnasiums() -> None:
    for options, limit in (({}, 1000), ({"max_episode_steps": 5}, 5), ({"max_episode_steps": -1}, None)):
        for env in both("FourRooms", 1, **options):
            env.reset(seed=0)
            ends = [i for i in range(1, 1100) if env.step(np.array([0]))[3][0]]
            assert ends[:1] == ([limit] if limit else [])
    made = rlhub.make("gridworld/Grid4x4-v0", max_episode_steps=None, hub=HUB)
    assert made.spec is not None
    assert made.spec.max_episode_steps == 100
    with pytest.raises(ConfigError, match="This world has no option 'max_episode_steps'"):
        rlhub.make(GridWorld, max_episode_steps=None)  # what a class is given is its own
    env = rlhub.make_vec("gridworld/WindyGrid-v0:max_episode_steps=none", 1, hub=HUB)
    env.reset(seed=0)
    assert [i for i in range(1, 1100) if env.step(np.array([0]))[3][0]] == [1000]
    for wrong in (0, None, 2.5):
        with pytest.raises(ConfigError, match=rf"^max_episode_steps must be .* or -1 for no limit, not {wrong}\.$"):
            GridWorldVector(1, max_episode_steps=wrong)
    with pytest.raises(ConfigError, match="num_envs must be a positive whole number, not 0"):
        GridWorldVector(0)


def test_observations_are_the_callers_to_keep_and_to_change() -> None:
    for seen in SEEN:
        env, untouched = GridWorldVector(3, **seen), GridWorldVector(3, **seen)
        env.reset(seed=0)[0][:] = 0
        untouched.reset(seed=0)
        kept = env.step(np.array([1, 3, 1]))[0]
        np.testing.assert_array_equal(kept, untouched.step(np.array([1, 3, 1]))[0])
        copy = kept.copy()
        env.step(np.array([1, 3, 3]))[0][:] = 0
        env.reset(options={"reset_mask": np.array([True, False, False])})[0][:] = 0
        np.testing.assert_array_equal(kept, copy)
        untouched.step(np.array([1, 3, 3]))
        assert env.state[1:].tolist() == untouched.state[1:].tolist()


def test_steps_and_actions_that_make_no_sense_are_refused_and_change_nothing() -> None:
    single, vector = GridWorld(), GridWorldVector(2)
    with pytest.raises(ResetNeeded, match=r"no episode to step: call reset\(\) first"):
        single.step(0)
    with pytest.raises(ResetNeeded, match=r"no episodes to step: call reset\(\) first"):
        vector.step(np.array([0, 0]))
    single.reset(seed=0)
    vector.reset(seed=0)
    for actions in ([0, 4], [-1, 0], [2**40, 0], [0.0, 1.0], [0], [[0], [0]], 1, [True, False]):
        with pytest.raises(
            InvalidAction, match=r"Actions must be (up 0, down 1, left 2 or right 3|2 integers, one for)"
        ):
            vector.step(np.array(actions))
    for action in (4, -1, 1.5, None, "up"):
        with pytest.raises(InvalidAction, match="is no action; there are up 0, down 1, left 2, right 3"):
            single.step(action)  # type: ignore[arg-type]
    assert single.step(3)[0] == vector.step(np.array([3, 1], np.uint8))[0][0]


def test_resets_that_make_no_sense_are_refused() -> None:
    env = GridWorldVector(2)
    with pytest.raises(ResetNeeded, match="The first reset must be of all environments"):
        env.reset(options={"reset_mask": np.array([True, False])})
    env.reset()
    for mask, error in (
        ([True, False], TypeError),
        (np.array([1, 0]), TypeError),
        (np.array([True]), ValueError),
        (np.array([False, False]), ValueError),
    ):
        with pytest.raises(error, match="reset_mask"):
            env.reset(options={"reset_mask": mask})
    with pytest.raises(ValueError, match="one entry for each environment, 2 in all, not 3"):
        env.reset(seed=[1, 2, 3])
    with pytest.raises(gymnasium.error.Error, match="non-negative integer, not -1"):
        env.reset(seed=-1)
    env.close()
    for forbidden in (env.reset, lambda: env.step(np.array([0, 0]))):
        with pytest.raises(ClosedEnvironmentError):
            forbidden()


@pytest.mark.parametrize("seed", [[1, 1.5], [3, -1], [1, "2"], [2, np.True_], 1.5, -3, [1], [1, 2, 3]])
def test_a_reset_that_is_refused_changes_nothing(seed: Any) -> None:
    env, untouched = (GridWorldVector(2, slip=0.5, start="anywhere") for _ in range(2))
    for each in (env, untouched):
        each.reset(seed=np.array([5, 6]))
    with pytest.raises((gymnasium.error.Error, ValueError), match=r"[Ss]eed must .*, not "):
        env.reset(seed=seed)
    for _ in range(5):
        same(env.step(np.array([3, 1])), untouched.step(np.array([3, 1])))
    same(env.reset(), untouched.reset())


def test_it_runs_under_the_collector() -> None:
    collector = Collector(rlhub.make_vec("gridworld/Grid4x4-v0", 8, hub=HUB), 0)
    rng = np.random.default_rng(0)
    lengths, returns = [], set()
    for _ in range(400):
        collector.step(rng.integers(0, 4, 8))
        for episode in collector.episodes():
            lengths.append(episode.length)
            returns.add(episode.return_)
    assert returns == {-1.0, 10.0}
    assert min(lengths) == 1


def test_rlhub_makes_them_and_says_what_is_wrong() -> None:
    env = rlhub.make("gridworld/Grid-v0:map=S../.xG,slip=0.5,wind=[0,0,0]", hub=HUB)
    assert len(env.unwrapped.cells) == 5  # type: ignore[attr-defined]
    vec = rlhub.make_vec("gridworld/Maze-v0:height=3,width=4,layout_seed=2", 3, hub=HUB)
    assert isinstance(vec, MazeVector)
    for make in (
        lambda **o: rlhub.make("gridworld/Maze-v0", hub=HUB, **o),
        lambda **o: rlhub.make_vec("gridworld/Maze-v0", 2, hub=HUB, **o),
    ):
        with pytest.raises(ConfigError, match="height must be a positive whole number, not 0"):
            make(height=0)
        with pytest.raises(ConfigError, match=r"layout_seed must be a whole number from 0, not 1\.5"):
            make(layout_seed=1.5)
        with pytest.raises(ConfigError, match="has no place for a start and a goal"):
            make(height=1, width=1)
        with pytest.raises(ConfigError, match=r"^This world has no option 'hight'\. Did you mean 'height'\?$"):
            make(hight=3)
        with pytest.raises(ConfigError, match=r"^This world has no option 'map'\. It has: .*, height, .*, wind\.$"):
            make(map="SG")
    with pytest.raises(ConfigError, match="has no place for a start and a goal"):
        rlhub.make("gridworld/Empty-v0", height=1, width=1, hub=HUB)
