"""What is seen: observations of every kind, and the world as text and as pictures."""

from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded
from gymnasium.spaces import Box, Discrete, MultiDiscrete
from rlhub_gridworld.single import GridWorld
from rlhub_gridworld.vector import GridWorldVector


def walk(actions: str = "", **options: Any) -> tuple[GridWorld, Any]:
    """Return a world and what is seen after some actions, each a letter of "udlr"."""
    env = GridWorld(**{"map": "aSA./O#xG", **options})
    seen, _ = env.reset(seed=0)
    for letter in actions:
        seen, *_ = env.step("udlr".index(letter))
    return env, seen


def test_index_is_the_number_of_the_state() -> None:
    env, seen = walk("l")
    assert env.observation_space == Discrete(len(env.cells))
    assert type(seen) is int
    assert seen == env.state
    assert env.cells[seen].tolist() == [1, 0, 0]


def test_one_hot_has_a_board_for_each_set_of_keys() -> None:
    env, seen = walk(observation="one_hot")
    assert env.observation_space == Box(0, 1, (2, 2, 4), np.int32)
    assert np.argwhere(seen).tolist() == [[0, 0, 1]]
    assert np.argwhere(walk("l", observation="one_hot")[1]).tolist() == [[1, 0, 0]]


def test_coordinates_tell_of_keys_and_of_being_off_the_board() -> None:
    env, seen = walk("l", observation="coordinates")
    assert env.observation_space == MultiDiscrete([2, 4, 2])
    assert seen.tolist() == [0, 0, 1]
    env, seen = walk("lu", observation="coordinates", off_board="end")
    assert env.observation_space == MultiDiscrete([3, 5, 2], start=[-1, -1, 0])
    assert seen.tolist() == [-1, -1, 0]
    assert seen in env.observation_space
    assert walk("u", observation="one_hot", off_board="end")[1].sum() == 0


def test_an_image_shows_the_board_and_where_the_agent_is() -> None:
    env, seen = walk(observation="image")
    assert env.observation_space == Box(0, 255, (16, 32, 3), np.uint8)
    moved = walk("l", observation="image")[1]
    changed = (seen != moved).any(-1).reshape(2, 8, 4, 8).any((1, 3))
    assert changed.tolist() == [[True, True, True, False], [False] * 4], "the agent, where it was, and the open door"
    off = walk("u", observation="image", off_board="end")[1]
    changed = (seen != off).any(-1).reshape(2, 8, 4, 8).any((1, 3))
    assert np.argwhere(changed).tolist() == [[0, 1]], "it is nowhere"


def test_every_tile_looks_different() -> None:
    env = GridWorld("abcdef.O/ABCDEFx#/S^v<>..G", observation="image", allow_unreachable=True)
    seen, _ = env.reset()
    tiles = seen.reshape(3, 8, 8, 8, 3).swapaxes(1, 2).reshape(24, -1)
    assert len(np.unique(tiles, axis=0)) == 24 - 2, "but for three pieces of floor"


PLANES = ("wall", "floor", "goal", "pit", "cliff", "up", "down", "left", "right", "key", "door")


def test_a_view_of_tiles_around_the_agent() -> None:
    env, seen = walk(observation="one_hot", view_radius=1)
    assert env.observation_space == Box(0, 1, (11, 3, 3), np.int32)
    assert [[PLANES[kind] for kind in row] for row in seen.argmax(0)] == [
        ["wall", "wall", "wall"],
        ["key", "floor", "door"],
        ["pit", "wall", "cliff"],
    ]
    assert (seen.sum(0) == 1).all()
    taken = walk("lr", observation="one_hot", view_radius=1)[1].argmax(0)
    assert [PLANES[kind] for kind in taken[1]] == ["floor"] * 3, "a key that is held and an open door look like floor"
    arrows = walk(map="v^>/<S./G..", observation="one_hot", view_radius=1)[1].argmax(0)
    assert [[PLANES[kind] for kind in row] for row in arrows] == [
        ["down", "up", "right"],
        ["left", "floor", "floor"],
        ["goal", "floor", "floor"],
    ]
    off = walk("u", observation="one_hot", view_radius=1, off_board="end")[1]
    assert (off.argmax(0) == 0).all(), "off the board all is wall"


def test_a_view_in_pixels_is_a_part_of_the_image() -> None:
    room: dict[str, Any] = {"map": ("#####", "#..O#", "#.S.#", "#G..#", "#####"), "observation": "image"}
    whole, near = walk(**room)[1], walk(view_radius=1, **room)[1]
    np.testing.assert_array_equal(near, whole[8:-8, 8:-8])
    far = walk(view_radius=3, **room)[1]
    assert far.shape == (56, 56, 3)
    np.testing.assert_array_equal(far[8:-8, 8:-8], whole)
    np.testing.assert_array_equal(far[:8, :8], whole[:8, :8], "outside the board is wall")


def test_text_shows_the_agent_and_what_keys_do() -> None:
    env, _ = walk(render_mode="ansi")
    assert env.render() == "a@A.\nO#xG\n"
    assert walk("lr", render_mode="ansi")[0].render() == ".@/.\nO#xG\n"
    assert walk("u", render_mode="ansi", off_board="end")[0].render() == "aSA.\nO#xG\n"


def test_pictures() -> None:
    env, _ = walk(render_mode="rgb_array", wind=[0, 0, 0, 1], allow_unreachable=True)
    picture: Any = env.render()
    assert (picture.shape, picture.dtype) == ((80, 160, 3), np.uint8)
    calm: Any = walk(render_mode="rgb_array")[0].render()
    assert picture[:40, 120:].tolist() != calm[:40, 120:].tolist(), "wind is drawn"
    np.testing.assert_array_equal(picture[:, :120], calm[:, :120])
    np.testing.assert_array_equal(calm[20, 60], [41, 98, 214])  # the agent's colour


def test_a_batch_renders_each_world() -> None:
    env = GridWorldVector(2, "S.G", render_mode="ansi")
    with pytest.raises(ResetNeeded, match="nothing to render"):
        env.render()
    env.reset(seed=0)
    env.step(np.array([3, 0]))
    assert env.render() == ("S@G\n", "@.G\n")
    pictures = GridWorldVector(2, "S.G", render_mode="rgb_array")
    pictures.reset(seed=0)
    frames = pictures.render()
    assert frames is not None
    assert [np.shape(frame) for frame in frames] == [(40, 120, 3)] * 2
    with pytest.raises(ResetNeeded, match="nothing to render"):
        GridWorld(render_mode="ansi").render()
