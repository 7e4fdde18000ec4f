"""The report page: what it says, that nothing in it can become markup, and that it stays small and by itself."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import browser
import numpy as np
import pytest
from PIL import Image

import rlhub_core as rlhub
from rlhub_core import ConfigError, RlhubError, RunError
from rlhub_core.reporting.charts import short, ticks


class Outline(HTMLParser):
    """The elements of a page with their attributes, and the text of each heading, cell and so on."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._inside: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img", "source"):
            self._inside.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._inside.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self._inside[-1], data.strip()))

    def all(self, *tags: str) -> list[str]:
        """Return the texts directly inside such elements."""
        return [text for tag, text in self.texts if tag in tags]

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of every such element."""
        return [attributes for name, attributes in self.elements if name == tag]

    @property
    def charts(self) -> dict[str, Any]:
        """The numbers of each chart by its title."""
        titles = self.all("figcaption")
        numbers = [text for tag, text in self.texts if tag == "script" and text.startswith("{")]
        return {title: json.loads(text) for title, text in zip(titles, numbers, strict=True)}


@pytest.fixture
def run(toy: Path, tmp_path: Path) -> Callable[..., Path]:
    """`run(name, **settings)` trains for 400 steps and returns the folder."""

    def train(name: str, **settings: Any) -> Path:
        settings = {"callbacks": ["core/evaluate:every=100,episodes=3"], **settings}
        rlhub.train("toy/random", "toy/Corridor-v0", steps=400, folder=tmp_path / name, **settings)
        return tmp_path / name

    return train


def test_a_page_tells_everything_of_a_run(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("a run", config={"right": "linear(1.0, 0.5, 400)"})
    (folder / "profile.json").write_text(json.dumps({"seconds": {"environment": 3.0, "acting": 1.0}}))
    rlhub.record(rlhub.load(folder), folder / "videos/step-400.gif")
    page = Outline(rlhub.report(folder, tmp_path / "pages" / "x.html"))
    assert page.all("h1") == ["toy/random on toy/Corridor-v0"]
    assert page.all("h2") == [
        *("Result", "Learning curve", "Videos", "Evaluations", "Hyper-parameters over time", "Other metrics"),
        *("Where the time went", "Recipe", "Made with", "How to reproduce it"),
    ]
    assert {"400", "complete"} <= set(page.all("dd"))
    assert {"100", "200", "300", "400", "hyper_parameters.right", "linear(1.0, 0.5, 400)", "3.0 s (75%)"} <= set(
        page.all("th", "td")
    )
    assert list(page.charts) == [
        *("Return of an episode in toy/Corridor-v0", "right", "rollout/length_mean", "time/steps_per_second"),
        "train/noise",
    ]
    code = page.all("code")
    assert f"rlhub evaluate '{folder}'" in code[0]
    assert code[1] == (folder / "experiment.toml").read_text().strip()
    [film] = page.attributes("img")
    assert film["alt"] == "toy/random playing toy/Corridor-v0. After 400 steps."
    assert str(film["src"]).startswith("data:image/gif;base64,R0lGOD")


def test_charts_hold_what_was_recorded(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("x")
    [line] = Outline(rlhub.report(folder, tmp_path / "x.html")).charts["Return of an episode in toy/Corridor-v0"][
        "lines"
    ]
    loaded = rlhub.load(folder)
    assert len(line["x"]) == len(loaded.episodes)
    assert line["x"][-1] == loaded.episodes[-1].step
    assert line["points"][0] == pytest.approx(
        [100, loaded.evaluations[0].mean, *loaded.evaluations[0].interval], rel=1e-4
    )


def test_several_runs_are_compared(run: Callable[..., Path], tmp_path: Path) -> None:
    folders = [run(f"r{seed}", seed=seed) for seed in range(2)] + [run("other", config={"right": 0.9})]
    page = Outline(rlhub.report(folders, tmp_path / "x.html"))
    labels = ["r0 (toy/random · seed 0)", "toy/random · seed 1", "other (toy/random · seed 0)"]
    cells = page.all("th", "td")
    assert set(labels) <= set(cells)
    [returns] = [chart for title, chart in page.charts.items() if title.startswith("Return")]
    assert [(line["label"], "low" in line) for line in returns["lines"]] == [
        ("toy/random · 2 seeds", True),
        ("other (toy/random · seed 0)", False),
    ]
    at = cells.index("hyper_parameters.right")
    assert cells[at : at + 4] == ["hyper_parameters.right", "0.7", "0.7", "0.9"]
    assert "algorithm" in cells  # among those that are the same
    assert cells.index("algorithm") > at


def test_the_steps_of_a_plan_are_sweeps(tmp_path: Path) -> None:
    learnt, plan = tmp_path / "learnt", tmp_path / "plan"
    rlhub.train("tabular/q_learning", "FrozenLake-v1", steps=500, folder=learnt)
    rlhub.train("tabular/value_iteration", "FrozenLake-v1", folder=plan)
    alone = Outline(rlhub.report(plan, tmp_path / "alone.html"))
    facts = dict(zip(alone.all("dt"), alone.all("dd"), strict=True))
    assert "Env steps" not in facts
    assert int(facts["Sweeps"].replace(",", "")) > 1
    assert facts["State"] == "planned; it ends when it has converged"
    assert set(alone.all("p")) & {"sweeps", "environment steps"} == {"sweeps"}
    both = Outline(rlhub.report([learnt, plan], tmp_path / "both.html"))
    assert "Env steps or Sweeps" in both.all("th")


def test_a_run_that_has_recorded_nothing_has_a_page(toy: Path, tmp_path: Path) -> None:
    rlhub.train("toy/random", "toy/Corridor-v0", steps=1, folder=tmp_path / "run")
    page = Outline(rlhub.report(tmp_path / "run", tmp_path / "x.html"))
    assert "No episode has ended and nothing was evaluated yet." in page.all("p")
    assert page.charts == {}


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_nothing_that_a_run_says_becomes_markup(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r")
    before = Outline(rlhub.report(folder, tmp_path / "before.html"))
    recipe = (folder / "experiment.toml").read_text()
    hostile_text = json.dumps(HOSTILE).replace("\\", r"\\")
    (folder / "experiment.toml").write_text(re.sub('"toy/(Corridor-v0|random)"', hostile_text, recipe))
    metrics = (folder / "metrics.jsonl").read_text()
    (folder / "metrics.jsonl").write_text(metrics.replace("train/noise", json.dumps(HOSTILE)[1:-1]))
    (folder / "provenance.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    (folder / "profile.json").write_text(json.dumps({"seconds": {HOSTILE: 1.0}}))
    (folder / "videos").mkdir()
    (folder / "videos" / "<b onload=alert(3)>.gif").write_bytes(b"GIF89a")
    hostile = folder.rename(tmp_path / "<script>alert(4)<%script>")
    after = Outline(rlhub.report(hostile, tmp_path / "after.html"))
    assert len(after.attributes("script")) == len(before.attributes("script"))
    assert [film["alt"] for film in after.attributes("img")] == [
        f"{HOSTILE} playing {HOSTILE}. <b onload=alert(3)>.gif."
    ]
    assert not after.attributes("b")
    assert not any(name.startswith("on") for _, attributes in after.elements for name in attributes)
    assert HOSTILE in after.all("td")
    assert HOSTILE in after.charts


def test_a_page_needs_nothing_from_outside(run: Callable[..., Path], tmp_path: Path) -> None:
    page = Outline(rlhub.report(run("r"), tmp_path / "x.html"))
    addresses = [
        value for _, attributes in page.elements for name, value in attributes.items() if name in ("src", "href")
    ]
    assert addresses
    assert all(str(address).startswith(("#", "data:")) for address in addresses)
    assert not re.search(r"https?://|url\(|@import", (tmp_path / "x.html").read_text())


def test_headings_labels_and_alternatives(run: Callable[..., Path], tmp_path: Path) -> None:
    page = Outline(rlhub.report(run("r"), tmp_path / "x.html"))
    assert page.attributes("html") == [{"lang": "en"}]
    drawings = [each for each in page.attributes("svg") if each.get("aria-hidden") != "true"]
    assert drawings
    assert all(each["role"] == "img" and "from" in str(each["aria-label"]) for each in drawings)
    ids = {each["id"] for each in page.attributes("h2")}
    assert {str(link["href"])[1:] for link in page.attributes("a")} == ids
    assert all(each["scope"] in ("row", "col") for each in page.attributes("th"))


def film(path: Path, frames: int, side: int) -> None:
    """Write a GIF of noise, which does not compress."""
    path.parent.mkdir(exist_ok=True)
    random = np.random.default_rng(0)
    images = [Image.fromarray(random.integers(0, 255, (side, side), np.uint8)) for _ in range(frames)]
    images[0].save(path, save_all=True, append_images=images[1:], duration=50)


def test_videos_are_made_smaller_or_left_out(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run("r")
    film(folder / "videos/step-100.gif", 12, 100)
    film(folder / "videos/step-400.gif", 12, 640)
    (folder / "videos/step-200.mp4").write_bytes(bytes(3_000_000))
    (folder / "videos/step-300.mp4").write_bytes(bytes(3_000))
    monkeypatch.setattr("rlhub_core.reporting.page.LARGEST", 700_000)
    path = rlhub.report(folder, tmp_path / "x.html")
    page = Outline(path)
    assert path.stat().st_size < 700_000
    shown = [text for text in page.all("summary") if text.startswith("After")]
    assert shown == ["After 400 steps", "After 300 steps", "After 100 steps"]
    assert "Made smaller: one frame in 4." in page.all("p")
    [left] = [text for text in page.all("p") if "left out" in text]
    assert left == (f"After 200 steps: left out, so that this page stays small (3.0 MB): {folder}/videos/step-200.mp4")
    [moving] = page.attributes("video")
    assert moving["aria-label"] == "toy/random playing toy/Corridor-v0. After 300 steps."


def test_a_film_that_is_broken_and_too_large_is_left_out(
    run: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = run("r")
    (folder / "videos").mkdir()
    (folder / "videos/step-1.gif").write_bytes(bytes(2_000_000))
    monkeypatch.setattr("rlhub_core.reporting.page.LARGEST", 1_000_000)
    assert "left out" in rlhub.report(folder, tmp_path / "x.html").read_text()


def test_the_page_of_a_killed_run(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"step": 500, "time/sec')
    shutil.rmtree(folder / "checkpoints")
    (folder / "profile.json").write_text("{not JSON")
    assert "Where the time went" not in Outline(rlhub.report(folder, tmp_path / "x.html")).all("h2")


EMPTY = '{"step": 1, "mean": 0, "returns": [], "lengths": [], "unfinished": 0}\n'


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("metrics.jsonl", "what\n"),
        ("episodes.csv", "head\n1,2\n"),
        ("evaluations.jsonl", "{}\n"),
        ("evaluations.jsonl", EMPTY),
    ],
)
def test_records_that_cannot_be_read(run: Callable[..., Path], tmp_path: Path, file: str, text: str) -> None:
    folder = run("r")
    (folder / file).write_text(text)
    with pytest.raises(RunError, match=r"r holds records that cannot be read: .*\. Restore its files\."):
        rlhub.report(folder, tmp_path / "x.html")


def test_what_cannot_be_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"A report is an \.html, not '\.pdf': x\.pdf"):
        rlhub.report(tmp_path, "x.pdf")
    with pytest.raises(ConfigError, match="There is nothing to report: name at least one run"):
        rlhub.report([], "x.html")
    with pytest.raises(RunError, match=r"is no run: it has no experiment\.toml"):
        rlhub.report(tmp_path, "x.html")


def test_returns_that_are_not_finite_are_left_out(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r")
    with (folder / "episodes.csv").open("a") as file:
        file.write("401,nan,1,0\n402,inf,1,0\n")
    with (folder / "evaluations.jsonl").open("a") as file:
        file.write('{"step": 400, "mean": NaN, "returns": [NaN, 1], "lengths": [1, 1], "unfinished": 0}\n')
    [chart] = [c for t, c in Outline(rlhub.report(folder, tmp_path / "x.html")).charts.items() if t.startswith("Ret")]
    assert max(chart["lines"][0]["x"]) <= 400
    assert len(chart["lines"][0]["points"]) == 4


def test_a_folder_whose_name_is_no_text(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r").rename(tmp_path / "r\udcff")
    assert "r?" in rlhub.report(folder, tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(0, 10, [0, 2, 4, 6, 8, 10]), (-1.2, 0.3, [-1, -0.5, 0]), (0, 1e6, [0, 2e5, 4e5, 6e5, 8e5, 1e6])],
)
def test_ticks_are_round(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 4 if low else 5) == expected


def test_numbers_are_short() -> None:
    assert [short(value) for value in (0, 0.25, 20_000, -1_500, 2.5e6)] == ["0", "0.25", "20k", "-1.5k", "2.5M"]


needs_chromium = pytest.mark.skipif(
    browser.chromium() is None, reason="no Chromium on the PATH: apt-get install chromium"
)


@needs_chromium
def test_in_a_browser(run: Callable[..., Path], tmp_path: Path) -> None:
    folders = [run(f"r{seed}", seed=seed) for seed in range(2)]
    folders += [run("<img src=x onerror=alert(1)>", config={"right": 0.9})]
    rlhub.record(rlhub.load(folders[0]), folders[0] / "videos/step-400.gif")
    path = rlhub.report(folders, tmp_path / "x.html")
    with browser.page() as page:
        for width, scheme in ((1200, "light"), (360, "dark")):
            page.open(path, width, scheme=scheme)
            assert page.complaints == []
            assert page.requests == [path.as_uri()]
            assert page.ask("document.documentElement.scrollWidth") <= width
        dark = page.ask("getComputedStyle(document.body).backgroundColor")
        page.open(path, 1200)
        assert page.ask("getComputedStyle(document.body).backgroundColor") != dark
        assert page.ask("document.querySelector('.video img').complete && innerWidth > 0") is True
        _hover(page)
        _keys(page)
        page.pdf(tmp_path / "x.pdf")
        assert (tmp_path / "x.pdf").read_bytes().startswith(b"%PDF")
        assert page.complaints == []


def _told(page: browser.Page) -> str | None:
    return page.ask("(told => told.hidden ? null : told.textContent)(document.querySelector('.plot .told'))")  # type: ignore[no-any-return]


def _hover(page: browser.Page) -> None:
    page.ask("document.querySelector('.plot').scrollIntoView({block: 'center'})")
    box = json.loads(page.ask("JSON.stringify(document.querySelector('.plot').getBoundingClientRect())"))
    assert _told(page) is None
    page.point(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told = str(_told(page))
    assert told.startswith("200 environment steps")
    assert "toy/random · 2 seeds: " in told
    assert "<img src=x onerror=alert(1)> (toy/random · seed 0): " in told
    assert re.search(r"evaluation 0\.\d+ \[", told)
    page.point(1, 1)
    assert _told(page) is None


def _keys(page: browser.Page) -> None:
    page.ask("document.querySelector('.plot').focus({focusVisible: true})")
    for key, step in (("End", "400"), ("ArrowLeft", "392"), ("Home", "0"), ("ArrowRight", "8")):
        page.press(key)
        assert str(_told(page)).startswith(f"{step} environment steps")
        spoken = page.ask("document.querySelector('.plot').getAttribute('aria-valuetext')")
        assert spoken.startswith(f"{step} environment steps")
    page.press("Escape")
    assert _told(page) is None


@needs_chromium
def test_colours_have_contrast_enough(run: Callable[..., Path], tmp_path: Path) -> None:
    path = rlhub.report(run("r"), tmp_path / "x.html")
    names = ["--text", "--quiet", "--link", *(f"--c{n}" for n in range(7))]
    with browser.page() as page:
        for scheme in ("light", "dark"):
            page.open(path, scheme=scheme)
            style = "getComputedStyle(document.documentElement).getPropertyValue"
            grounds = [luminance(page.ask(f"{style}('{ground}')")) for ground in ("--page", "--card")]
            for name in names:
                colour = luminance(page.ask(f"{style}('{name}')"))
                worst = min((max(colour, g) + 0.05) / (min(colour, g) + 0.05) for g in grounds)
                assert worst >= (3.0 if name.startswith("--c") else 4.5), (scheme, name)  # WCAG AA: graphics, text


def luminance(colour: str) -> float:
    """Return the relative luminance of "#rgb" or "#rrggbb", as WCAG 2.2 defines it."""
    digits = colour.strip().lstrip("#")
    digits = "".join(2 * digit for digit in digits) if len(digits) == 3 else digits
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def test_films_are_told_apart_and_the_latest_are_first(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r")
    (folder / "videos").mkdir()
    for name in ("steps-000000010000", "best-000000020000", "evaluation-000000015000"):
        film(folder / "videos" / f"{name}.gif", 2, 8)
    said = Outline(rlhub.report(folder, tmp_path / "x.html")).all("summary")
    assert said[:3] == ["After 20,000 steps, the best so far", "After 15,000 steps", "After 10,000 steps"]


def test_the_best_evaluation_is_a_number(run: Callable[..., Path], tmp_path: Path) -> None:
    folder = run("r")
    file = folder / "evaluations.jsonl"
    unknown = '{"step": 50, "mean": NaN, "returns": [NaN], "lengths": [1], "unfinished": 0}\n'
    file.write_text(unknown + file.read_text())
    assert "nan at step" not in rlhub.report(folder, tmp_path / "x.html").read_text()


@pytest.mark.parametrize(
    ("write", "what", "name"),
    [
        (rlhub.report, "report", "x.html"),
        (rlhub.plot, "plot", "x.png"),
        (lambda run, path: rlhub.record(rlhub.load(run), path, max_steps=2), "film", "x.gif"),
    ],
)
def test_where_nothing_can_be_written(
    run: Callable[..., Path], tmp_path: Path, write: Callable[[Path, Path], Any], what: str, name: str
) -> None:
    folder = run("r")
    (tmp_path / name).mkdir()
    with pytest.raises(RlhubError, match=rf"^A {what} cannot be written to .*{name}: Is a directory\.$"):
        write(folder, tmp_path / name)
    (tmp_path / "file").write_text("")
    with pytest.raises(RlhubError, match=rf"^A {what} cannot be written to .*{name}: (Not a dir|File exists)"):
        write(folder, tmp_path / "file" / name)
