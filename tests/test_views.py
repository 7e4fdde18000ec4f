"""Films as MP4, and the view of what the agent sees and thinks."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import av
import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete, Tuple
from PIL import Image

import rlhub_core as rlhub
from rlhub_core import ConfigError, EnvironmentContractError, RlhubError
from rlhub_core.actors import values_of, with_values
from rlhub_core.playing.drawing import Canvas
from rlhub_core.playing.film import Film
from rlhub_core.playing.stage import Moment, Stage
from rlhub_core.playing.views import Numbers, overlaid, sections, stacked_frames, view_of

ORANGE = (213, 94, 0)


class Playground(gymnasium.Env[Any, Any]):
    """An environment of any spaces whose episodes last three steps."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, seen: Any = None, actions: int = 3, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = seen or Discrete(5)
        self.action_space = Discrete(actions)
        self._time = 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(0)
        self._time = 0
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._time += 1
        return self.observation_space.sample(), 1.0, self._time == 3, False, {}

    def render(self) -> Any:
        return np.full((30, 41, 3), 60 * self._time, np.uint8)


def last(observations: Any, first: Any) -> Any:
    """Choose action 1."""
    return np.ones(len(first), np.int64)


def decoded(path: Path) -> list[Any]:
    """Return the frames of an MP4."""
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def viewed(actor: Any = last, episodes: int = 1, **options: Any) -> list[Any]:
    """Return the frames of some episodes in the view of the agent."""
    with Stage(actor, Playground, (), options, values=True) as stage:
        view = view_of(stage, "agent")
        return [view(moment) for _ in range(episodes) for moment in stage.episode(0, 10)]


def shows(frame: Any, colour: tuple[int, int, int]) -> int:
    """Return how many pixels have nearly a colour."""
    return int((np.abs(frame.astype(int) - colour).max(-1) < 40).sum())


def test_an_mp4_shows_every_step_and_stays_at_the_end(tmp_path: Path) -> None:
    path = rlhub.record(last, tmp_path / "x.mp4", Playground, episodes=2)
    frames = decoded(path)
    assert frames[0].shape == (240, 328, 3)  # enlarged eight times
    assert [round(float(frame.mean()) / 60) for frame in frames] == [0, 1, 2, 3, *[3] * 6, 0, 1, 2, 3, *[3] * 6]
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert float(stream.average_rate or 0) == 10
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")


def test_an_mp4_of_odd_size_has_its_edge_repeated(tmp_path: Path) -> None:
    odd = Film()
    odd.add(np.full((321, 335, 3), 200, np.uint8))
    odd.write(tmp_path / "x.mp4", 30.0)
    (frame,) = decoded(tmp_path / "x.mp4")
    assert frame.shape == (322, 336, 3)
    assert frame.min() > 190


def test_the_same_play_gives_the_same_film(tmp_path: Path) -> None:
    gifs = [rlhub.record(last, tmp_path / f"{name}.gif", Playground, view="agent") for name in "ab"]
    assert gifs[0].read_bytes() == gifs[1].read_bytes()
    films = [decoded(rlhub.record(last, tmp_path / f"{name}.mp4", Playground, view="agent")) for name in "ab"]
    for one, other in zip(*films, strict=True):  # x264 gives the same pictures, not always the same bytes
        np.testing.assert_allclose(one.astype(int), other.astype(int), atol=12)


def test_a_film_that_cannot_be_written_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: Any) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(RlhubError, match=r"^A film cannot be written to .*x\.mp4: no space left\.$"):
        rlhub.record(last, tmp_path / "x.mp4", Playground)
    assert list(tmp_path.iterdir()) == []


def test_frames_of_two_sizes_make_no_film() -> None:
    one = Film()
    one.add(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(
        EnvironmentContractError, match=r"of one size: the first was \[4, 4, 3\], this one is \[4, 5, 3\]"
    ):
        one.add(np.zeros((4, 5, 3), np.uint8))


def test_without_what_writes_or_draws(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rlhub_core.errors.find_spec", lambda name: None)
    said = "An MP4 needs av, which is not installed. Try: pip install 'rlhub-core[video]'."
    with pytest.raises(RlhubError, match=f"^{re.escape(said)}$"):
        rlhub.record(last, tmp_path / "x.mp4", Playground)
    with pytest.raises(
        RlhubError, match=r"^Pictures need PIL, which is not installed\. Try: pip install 'rlhub-core\[me"
    ):
        rlhub.record(last, tmp_path / "x.mp4", Playground, view="agent")


def test_there_is_no_other_view(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^There is no view 'brain'\. There are: environment, agent\.$"):
        rlhub.record(last, tmp_path / "x.gif", Playground, view="brain")


@pytest.mark.parametrize(
    ("seen", "parts"),
    [
        (Discrete(5), ["State"]),
        (MultiDiscrete([3, 4]), ["State"]),
        (Box(-1, 1, (4,), np.float32), ["Numbers"]),
        (Box(-np.inf, np.inf, (40,), np.float64), ["Numbers"]),
        (Box(0, 255, (4, 84, 84), np.uint8), ["Frames"]),
        (Box(0, 255, (96, 96, 3), np.uint8), ["Frames"]),
        (Box(0, 1, (300, 400, 1), np.float32), ["Frames"]),
        (Box(0, 255, (4, 60, 50, 3), np.uint8), ["Frames"]),
        (Dict({"camera": Box(0, 255, (20, 20), np.uint8), "speed": Box(0, 1, (2,))}), ["Frames", "Numbers"]),
        (Tuple([Discrete(3), Discrete(4)]), ["State", "State"]),
        (gymnasium.spaces.Text(4), []),
    ],
)
def test_every_observation_has_its_picture(seen: Any, parts: list[str]) -> None:
    assert [type(section).__name__ for section in sections(seen)] == parts
    if parts:
        frames = viewed(seen=seen)
        assert len({frame.shape for frame in frames}) == 1
        assert not np.array_equal(frames[0][:, -280:], frames[1][:, -280:])


def test_the_newest_frame_is_tinted_where_something_moved() -> None:
    space = Box(0, 255, (4, 6, 6), np.uint8)
    observation = np.zeros((4, 6, 6), np.uint8)
    observation[:, 0] = 150  # a wall, that stays
    for time in range(4):
        observation[time, 3, time] = 240  # a ball, that flies
    picture = overlaid(stacked_frames(observation, space)).astype(int)
    assert (picture[0] == 150).all()
    red, green, blue = picture[3, 3]
    assert red > 200 > green > blue
    for time in range(3):
        assert np.ptp(picture[3, time]) == 0  # grey
        assert 0 < picture[3, time, 0] < 120


def test_on_a_bright_ground_what_is_darker_is_tinted() -> None:
    space = Box(0, 255, (6, 6, 3), np.uint8)
    alone = np.full((6, 6, 3), (10, 200, 30), np.uint8)
    assert (overlaid(stacked_frames(alone, space)) == alone).all()  # one frame in its own colours
    stack = np.full((6, 6, 2), 255, np.uint8)
    stack[2, 2, 0] = stack[2, 3, 1] = 0
    picture = overlaid(stacked_frames(stack, Box(0, 255, (6, 6, 2), np.uint8)))
    assert picture[2, 3].tolist() == [255, 138, 46]
    assert picture[2, 2].tolist() == [0, 0, 0]


def test_action_values_are_shown_and_the_chosen_one_is_marked() -> None:
    told = with_values(last, lambda seen: {"action_values": np.array([[0.0, 2.0, -np.inf]] * len(seen))})
    with_strip, without = viewed(told), viewed()
    assert with_strip[0].shape[0] >= without[0].shape[0]
    assert shows(with_strip[0], ORANGE) > 60
    assert shows(without[0], ORANGE) == 0
    assert shows(with_strip[3], ORANGE) == 0  # the episode is over, nothing is chosen


def test_many_actions_have_the_chosen_one_among_them() -> None:
    def act(observations: Any, first: Any) -> Any:
        return np.full(len(first), 77)

    told = with_values(act, lambda seen: {"action_values": np.arange(100.0)[None]})
    assert shows(viewed(told, actions=100)[0], ORANGE) > 60


def test_a_state_value_is_a_line_that_begins_anew_with_each_episode() -> None:
    values = itertools.cycle([-3.5, 2.0, 4.0, 1.0])
    told = with_values(last, lambda seen: {"state_value": np.full(len(seen), next(values))})
    frames = viewed(told, episodes=2)
    assert shows(frames[1], (0, 114, 178)) > shows(frames[0], (0, 114, 178))
    assert shows(frames[4], (0, 114, 178)) == shows(frames[0], (0, 114, 178))


def test_actors_tell_values_only_where_they_have_them() -> None:
    assert values_of(last, np.zeros((2, 1))) == {}
    told = with_values(last, lambda seen: {"action_values": seen, "else": seen})
    assert list(values_of(told, np.zeros((2, 1)))) == ["action_values"]
    assert told(np.zeros((2, 1)), np.zeros(2, np.bool_)).tolist() == [1, 1]


def test_gifs_have_the_view_too(tmp_path: Path) -> None:
    path = rlhub.record(last, tmp_path / "x.gif", Playground, view="agent")
    with Image.open(path) as shown:
        assert (shown.n_frames, shown.size) == (4, (41 * 14 + 300, 420))  # type: ignore[attr-defined]
    assert list(tmp_path.iterdir()) == [path]


def test_a_network_that_diverged_is_shown_all_the_same() -> None:
    values = itertools.cycle([np.nan, 2.0, np.inf, 1.0])
    told = with_values(last, lambda seen: {"state_value": np.full(len(seen), next(values))})
    frames = viewed(told)
    assert [shows(frame, ORANGE) > 0 for frame in frames] == [False, True, False, True]


def test_a_number_that_is_none_leaves_the_scale() -> None:
    numbers = Numbers(Box(-np.inf, np.inf, (1,)), "seen", lambda whole: whole)
    drawn = []
    for number in (np.nan, 1.0):
        canvas = Canvas(300, 100)
        numbers.draw(canvas, 0, Moment(None, np.array([number]), None))
        drawn.append(shows(canvas.pixels(), (0, 114, 178)))
    assert drawn[0] == 0
    assert drawn[1] > 0
