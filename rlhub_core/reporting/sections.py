"""The sections of a report, each from the facts of one or several runs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from xml.etree.ElementTree import Element

from rlhub_core.evaluation import Evaluation
from rlhub_core.reporting.charts import COLOURS, chart, legend_of
from rlhub_core.reporting.curves import Curve, labelled, over_seeds, settings
from rlhub_core.reporting.embedding import embedded, videos_of
from rlhub_core.reporting.facts import LAST, Facts
from rlhub_core.reporting.markup import Child, h

MOST_CHARTS = 40
SCHEDULES = "hyper_parameters/"
RETURNS_TITLE = "Return of an episode"
SHOWN_FIRST = ("python", "platform", "device", "cpu_count", "torch_threads", "git_commit")
Section = Element | None


def section(title: str, *children: Child | Iterable[Child]) -> Element:
    """Return a section with a heading and an id made of it."""
    name = "".join(letter if letter.isalnum() else "-" for letter in title.lower())
    return h("section", h("h2", title, id=name), *children, aria_labelledby=name)


def summary(runs: Sequence[Facts]) -> Section:
    """Return how each run went: the numbers of one large, those of several in a table."""
    if len(runs) > 1:
        told = [_summarised(run) for run in runs]
        rows = [[run.label, *each.values()] for run, each in zip(runs, told, strict=True)]
        heads = ("Run", *(" or ".join(dict.fromkeys(names)) for names in zip(*told, strict=True)))
        return section("Result", table(heads, rows, "How each run went", class_="numbers"))
    numbers = [h("div", h("dt", name), h("dd", value)) for name, value in _summarised(runs[0]).items()]
    return section("Result", h("dl", numbers))


def _summarised(run: Facts) -> dict[str, str]:
    recipe = run.experiment
    last = run.evaluations[-1] if run.evaluations else None
    best = run.best_evaluation
    over = f"(last {min(LAST, len(run.episodes))})"
    ended = "complete" if run.steps >= recipe.steps else f"{run.steps / recipe.steps:.0%} of {recipe.steps:,}"
    if run.plans:
        ended = "planned; it ends when it has converged"
    counted = "Sweeps" if run.plans else "Env steps"
    return {
        "Training return": "–" if run.last_return is None else f"{run.last_return:.1f} {over}",
        "Last evaluation": _score(last),
        "Best evaluation": "–" if best is None else f"{best.mean:.1f} at step {best.step:,}",
        counted: f"{run.steps:,}",
        "Time": duration(run.seconds) if run.seconds else "–",
        "Sweeps/s" if run.plans else "Steps/s": f"{run.speed:,.0f}" if run.speed else "–",
        "State": f"stopped: {run.stopped}" if run.stopped else ended,
    }


def learning_curves(runs: Sequence[Facts]) -> Section:
    """Return the returns over env steps, one chart for each environment, seeds averaged."""
    charts = []
    for environment in dict.fromkeys(run.experiment.environment for run in runs):
        there = [run for run in runs if run.experiment.environment == environment]
        title = f"{RETURNS_TITLE} in {environment}"
        charts += [_chart(title, there, runs, Facts.returns, legend=True)]
    if not any(chart is not None for chart in charts):
        return section("Learning curve", h("p", "No episode has ended and nothing was evaluated yet."))
    note = "Lines are running means of training episodes; dots single episodes; points with bars evaluations."
    seeds = " Runs that differ in their seed only are one line, with one standard deviation to either side."
    some = len(settings([run.experiment for run in runs])) < len(runs)
    how = " Point at a chart, or focus it and press the arrow keys, to read its values."
    return section(
        "Learning curve", h("p", note + seeds * some, h("span", how, class_="screen"), class_="note"), charts
    )


def metrics(runs: Sequence[Facts], title: str, wanted: Callable[[str], bool]) -> Section:
    """Return a small chart for each recorded metric that is wanted."""
    names = sorted(name for name in {each for run in runs for each in run.metrics} if wanted(name))
    charts = [
        _chart(name.removeprefix(SCHEDULES), runs, runs, partial(Facts.curve, metric=name))
        for name in names[:MOST_CHARTS]
    ]
    shown = [each for each in charts if each is not None]
    if not shown:
        return None
    left = f"{len(names) - MOST_CHARTS} more are in metrics.jsonl." if len(names) > MOST_CHARTS else ""
    legend = _chart_legend(runs) if len(runs) > 1 else None
    return section(title, legend, h("div", shown, class_="multiples"), h("p", left) if left else None)


def _chart(
    title: str,
    runs: Sequence[Facts],
    everyone: Sequence[Facts],
    read: Callable[[Facts], Curve | None],
    *,
    legend: bool = False,
) -> Section:
    curves = [curve for run in runs if (curve := read(run)) is not None]
    if not curves:
        return None
    drawn = _labelled(over_seeds(curves, "std"), everyone)
    units = {"sweeps" if run.plans else "environment steps" for run in runs}
    unit = " or ".join(sorted(units))
    return chart(title, drawn, [_look(curve, everyone) for curve in drawn], unit=unit, legend=legend)


def _labelled(curves: Sequence[Curve], everyone: Sequence[Facts]) -> list[Curve]:
    """Give lone curves the labels of their runs, which tell them apart from all others on the page."""
    labels = {run.folder: run.label for run in everyone}
    return [own if own.seeds > 1 else replace(own, label=labels.get(own.folder, own.label)) for own in labelled(curves)]


def _look(curve: Curve, everyone: Sequence[Facts]) -> int:
    """Return the number of its colour and dashes: that of its setting, the same in every chart."""
    groups = settings([run.experiment for run in everyone])
    folders = [run.folder for run in everyone]
    return next(number for number, group in enumerate(groups) if folders.index(curve.folder) in group)


def _chart_legend(runs: Sequence[Facts]) -> Element:
    groups = settings([run.experiment for run in runs])
    labels = [
        runs[group[0]].label
        if len(group) == 1
        else f"{runs[group[0]].experiment.algorithm} · {len(group)} seeds, mean and standard deviation"
        for group in groups
    ]
    return legend_of(labels, range(len(groups)))


def evaluations(runs: Sequence[Facts]) -> Section:
    """Return the evaluations in a table: a row for each env step, a column for each run."""
    scored = [run for run in runs if run.evaluations]
    if not scored:
        return None
    by_step = [{evaluation.step: evaluation for evaluation in run.evaluations} for run in scored]
    rows = [[f"{step:,}", *(_score(each.get(step)) for each in by_step)] for step in sorted(set().union(*by_step))]
    heads = ("Env steps", *(run.label for run in scored))
    note = "Mean return of whole greedy episodes, with the 95 % interval of the mean and the number of episodes."
    return section("Evaluations", h("p", note, class_="note"), table(heads, rows, "Evaluations", class_="numbers"))


def _score(evaluation: Evaluation | None) -> str:
    if evaluation is None:
        return "–"
    low, high = evaluation.interval
    cut = f", {evaluation.unfinished} cut off" if evaluation.unfinished else ""
    return f"{evaluation.mean:.1f} [{low:.1f}, {high:.1f}] ({len(evaluation.returns)}{cut})"


def videos(runs: Sequence[Facts], room: int) -> Section:
    """Return the videos of the runs as far as there is room, the latest of each run first."""
    films: list[Element] = []
    for run in runs:
        found = videos_of(run.folder)
        shown = f"{run.experiment.algorithm} playing {run.experiment.environment}"
        elements = []
        for path in found:
            element, taken = embedded(path, shown, room)
            room -= taken + 1000
            elements.append(element)
        if elements:
            films += [h("h3", run.label), h("div", elements, class_="videos")]
    return section("Videos", films) if films else None


def time_spent(runs: Sequence[Facts]) -> Section:
    """Return where the time went, of runs that were profiled."""
    profiled = [run for run in runs if run.profile]
    if not profiled:
        return None
    parts = list(dict.fromkeys(part for run in profiled for part in run.profile))
    rows = []
    for part in parts:
        seconds = [(run.profile.get(part, 0.0), sum(run.profile.values())) for run in profiled]
        rows.append([part, *(f"{spent:,.1f} s ({spent / whole:.0%})" for spent, whole in seconds)])
    bars = [
        h("div", h("p", run.label) if len(profiled) > 1 else None, _bar(run.profile, parts), class_="spent")
        for run in profiled
    ]
    legend = h("ul", [h("li", h("i", class_=f"c{i % COLOURS}"), part) for i, part in enumerate(parts)], class_="legend")
    heads = ("Part", *(run.label for run in profiled))
    return section("Where the time went", bars, legend, table(heads, rows, "Seconds of each part"))


def _bar(profile: Mapping[str, float], parts: Sequence[str]) -> Element:
    whole = sum(profile.values())
    shares = [(index, profile.get(part, 0.0) / whole) for index, part in enumerate(parts)]
    pieces = [h("i", class_=f"c{index % COLOURS}", style=f"width:{share:.3%}") for index, share in shares]
    return h("div", pieces, class_="bar", aria_hidden="true")  # the table below says it in words


def recipe(runs: Sequence[Facts]) -> Section:
    """Return the settings: of one run all, of several those that differ and, folded, those that do not."""
    return section("Recipe", _compared([run.label for run in runs], [run.recipe for run in runs], "Setting"))


def provenance(runs: Sequence[Facts]) -> Section:
    """Return what the runs were made with."""
    told = [run.made_with for run in runs]
    if not any(told):
        return None
    names = [*SHOWN_FIRST, *sorted({name for each in told for name in each})]
    ordered = [{name: each[name] for name in dict.fromkeys(names) if name in each} for each in told]
    return section("Made with", _compared([run.label for run in runs], ordered, "What"))


def _compared(labels: Sequence[str], columns: Sequence[Mapping[str, str]], head: str) -> list[Child]:
    names = list(dict.fromkeys(name for column in columns for name in column))
    if len(columns) == 1:
        rows = [[name, columns[0][name]] for name in names]
        return [_folded(f"All {len(rows)}", table((head, "Value"), rows, head), True)]
    differ = [name for name in names if len({column.get(name) for column in columns}) > 1]
    rows = [[name, *(column.get(name, "–") for column in columns)] for name in differ]
    alike = [[name, columns[0][name]] for name in names if name not in differ]
    return [
        table((head, *labels), rows, f"{head}s that differ") if rows else h("p", "The runs do not differ here."),
        _folded(f"{len(alike)} that are the same", table((head, "Value"), alike, "The same for all"), False),
    ]


def reproduce(runs: Sequence[Facts]) -> Section:
    """Return the commands that make each run again, and its recipe."""
    parts: list[Child] = [h("p", "Install the versions under “Made with”, save a recipe as experiment.toml, and:")]
    for run in runs:
        folder = shlex.quote(str(run.folder))
        commands = f"rlhub train experiment.toml --out runs/again\nrlhub resume {folder}\nrlhub evaluate {folder}"
        live = sorted({argument for _, argument in run.experiment.mentions()})
        note = f"The recipe only mentions live objects; pass them again in Python: {', '.join(live)}." if live else ""
        parts += [
            h("h3", run.label) if len(runs) > 1 else None,
            h("pre", h("code", f"{commands}\nrlhub record {folder}"), tabindex=0),
            h("p", note) if note else None,
            _folded("experiment.toml", h("pre", h("code", run.toml), tabindex=0), False),
        ]
    return section("How to reproduce it", parts)


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str, class_: str | None = None) -> Element:
    """Return a table that scrolls by itself where it is too wide; the first cell of a row is its heading."""
    body = [h("tr", h("th", row[0], scope="row"), [h("td", cell) for cell in row[1:]]) for row in rows]
    inside = h(
        "table", h("thead", h("tr", [h("th", head, scope="col") for head in heads])), h("tbody", body), class_=class_
    )
    return h("div", inside, class_="scroll", role="region", aria_label=caption, tabindex=0)


def _folded(title: str, inside: Element, unfolded: bool) -> Element:
    return h("details", h("summary", title), inside, open=unfolded)


def duration(seconds: float) -> str:
    """Return seconds in words: 45 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
