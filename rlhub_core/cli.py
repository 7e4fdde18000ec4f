"""The command line: `rlhub list`, `rlhub train`, … Each command is a thin door to what the Python API does.

Exit codes: 0 good, 1 failed, 2 wrong use, 130 and 143 after Ctrl-C and SIGTERM.
"""

from __future__ import annotations

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from rlhub_core import screens
from rlhub_core.command import app as app
from rlhub_core.command import assignments, count, door
from rlhub_core.errors import ConfigError, printable
from rlhub_core.evaluation import LONGEST_EPISODE

Name = Annotated[str, typer.Argument(metavar="NAME", help="Full name, or a bare one that only one thing bears.")]
RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="The folder of a run.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Show no progress.")]
Step = Annotated[Any, count("Of the checkpoint, or best. Default: the newest.", "--step")]

Trust = Annotated[
    bool, typer.Option("--trust", help="Import code that the recipe names, which can do anything: trust its maker.")
]
Best = Annotated[bool, typer.Option("--best", help="The checkpoint of the best evaluation, as --step best.")]
ViewOf = Annotated[
    str, typer.Option("--view", metavar="VIEW", help="environment, or agent: beside it what the agent sees.")
]


@door("list")
def list_offers(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="environments, algorithms, callbacks, wrappers, adapters or commands; default all."
        ),
    ] = None,
) -> None:
    """List what is installed.

    In a pipe: one line each, with name, kind, distribution and description between tabs.
    """
    screens.offers(kind)


@door("info")
def info(name: Name) -> None:
    """Show everything about one algorithm, environment, callback, wrapper or adapter.

    \b
    rlhub info deep/dqn
    rlhub info CartPole-v1
    rlhub info core/evaluate
    """
    screens.info(name)


@door("plugins")
def plugins(
    tracebacks: Annotated[bool, typer.Option("--traceback", help="Show the traceback of what is broken.")] = False,
) -> None:
    """Show the installed plugins and whether they work."""
    screens.plugins(tracebacks)


@door("doctor")
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Import every algorithm, environment and so on as well.")
    ] = False,
) -> None:
    """Examine the installation; each finding comes with its cure. Exit code 1 where something is wrong."""
    from rlhub_core.doctor import examine

    if not screens.findings(examine(deep=deep)):
        raise typer.Exit(1)


@door("train")
def train(
    algorithm: Annotated[str, typer.Argument(metavar="ALGORITHM", help="Name, or a recipe: experiment.toml.")],
    environment: Annotated[
        str | None, typer.Argument(metavar="ENV", help="Name, with options as in atari/Breakout-v0:frame_skip=2.")
    ] = None,
    settings: Annotated[
        list[str] | None, typer.Argument(metavar="KEY=VALUE", help="Hyper-parameters; see rlhub info ALGORITHM.")
    ] = None,
    steps: Annotated[Any, count("Env steps, all environments together.", "--steps")] = None,
    num_envs: Annotated[Any, count("Environments side by side. Default: 1, or the preset's.", "--num-envs")] = None,
    seed: Annotated[Any, count("Makes everything. Default: 0.", "--seed")] = None,
    preset: Annotated[str | None, typer.Option(help="A configuration that the algorithm ships.")] = None,
    callback: Annotated[
        list[str] | None, typer.Option(metavar="NAME", help="Such as core/evaluate:every=10000; repeatable.")
    ] = None,
    wrapper: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Innermost first; repeatable.")] = None,
    reward_clip: Annotated[
        float | None, typer.Option(metavar="X", help="Learn from rewards clipped to [-X, X]; scores stay raw.")
    ] = None,
    terminal_on_life_loss: Annotated[
        bool | None, typer.Option("--terminal-on-life-loss", help="Learn as if a lost life ended the game.")
    ] = None,
    normalize: Annotated[
        str | None,
        typer.Option(
            metavar="WHAT", help="observations, rewards or both: observations,rewards; see rlhub info normalize."
        ),
    ] = None,
    log_every: Annotated[Any, count("Env steps between two lines of metrics.jsonl.", "--log-every")] = None,
    device: Annotated[str | None, typer.Option(help="auto (default), cpu, cuda, …")] = None,
    threads: Annotated[Any, count("Threads to compute with. Default: one a CPU that may be used.", "--threads")] = None,
    vectorization_mode: Annotated[
        str | None, typer.Option(metavar="MODE", help="sync, async or vector_entry_point.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run. Default: a new one in runs/.")
    ] = None,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Train an algorithm on an environment, or train what a recipe says.

    \b
    rlhub train deep/dqn CartPole-v1 --steps 50000
    rlhub train sb3/ppo atari/Breakout-v0 "learning_rate=linear(2.5e-4,0)" --steps 1e6 --num-envs 8
    rlhub train deep/dqn CartPole-v1 --steps 50000 --callback core/evaluate:every=5000 --out runs/x
    rlhub train runs/x/experiment.toml --seed 1 --out runs/y

    Ctrl-C saves and stops; rlhub resume goes on exactly from there.
    """
    from rlhub_core import training
    from rlhub_core.hub import default_hub

    common = {
        "steps": steps,
        "num_envs": num_envs,
        "reward_clip": reward_clip,
        "terminal_on_life_loss": terminal_on_life_loss,
        "normalize": normalize,
        "log_every": log_every,
        "vectorization_mode": vectorization_mode,
        "threads": threads,
    }
    if algorithm.endswith(".toml"):
        own = {str(environment): environment, "hyper-parameters": settings}
        own |= {"--preset": preset, "--callback": callback, "--wrapper": wrapper}
        common |= {"seed": seed, "device": device}
        run = training.run_experiment(_recipe(Path(algorithm), common, own), out, progress=not quiet, trust=trust)
    elif environment is None:
        raise ConfigError(f"Say where to train {algorithm}: rlhub train {algorithm} ENV, such as CartPole-v1.")
    elif steps is None and preset is None and not default_hub().find("algorithm", algorithm).plans:
        raise ConfigError("Say how long to train, in env steps of all environments together: --steps 50000.")
    else:
        run = training.train(
            algorithm,
            environment,
            config=assignments(settings or ()),
            seed=0 if seed is None else seed,
            device=device or "auto",
            preset=preset,
            callbacks=callback or (),
            wrappers=wrapper or (),
            folder=out,
            progress=not quiet,
            **common,
        )
    screens.ended(run)


@door("resume")
def resume(
    run: RunFolder,
    steps: Annotated[Any, count("A new last step, to train longer than the recipe says.", "--steps")] = None,
    quiet: Quiet = False,
    trust: Trust = False,
) -> None:
    """Go on with a run from its newest checkpoint.

    \b
    rlhub resume runs/x
    rlhub resume runs/x --steps 1e6
    """
    from rlhub_core import checkpoint, training

    before = checkpoint.steps(run / "checkpoints")
    resumed = training.resume(run, steps=steps, progress=not quiet, trust=trust)
    if before and resumed.steps == before[-1]:
        longer = f"rlhub resume {shlex.quote(str(run))} --steps {2 * max(resumed.steps, resumed.experiment.steps)}"
        typer.echo(f"Nothing was left to do. To train longer: {longer}")
    screens.ended(resumed)


@door("replay-update")
def replay_update(
    run: RunFolder,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Make the update again at which a run met a number that is not finite, and say what is wrong with it.

    \b
    rlhub replay-update runs/x

    The run is not changed. Exit code 1: the numbers are not those of then.
    """
    from rlhub_core import postmortem

    found = postmortem.replay_update(run)
    if as_json:
        typer.echo(json.dumps(postmortem.plain(dataclasses.asdict(found)), allow_nan=False))
    else:
        typer.echo(str(found))
    if found.reproduced is False:
        raise typer.Exit(1)


@door("evaluate")
def evaluate(
    run: RunFolder,
    episodes: Annotated[Any, count("Whole games to play.", "--episodes")] = 10,
    seed: Annotated[int, typer.Option(help="Of the environments.")] = 0,
    step: Step = None,
    env: Annotated[
        str | None, typer.Option(metavar="ENV", help="Another environment than the one of training.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    trust: Trust = False,
) -> None:
    """Play whole greedy episodes with a trained agent and print their score. The run is not changed.

    \b
    rlhub evaluate runs/x --episodes 100
    rlhub evaluate runs/x --env atari/Breakout-v0:sticky=0.25 --json
    """
    from rlhub_core import evaluation, training

    agent = training.load(run, step=step, trust=trust)
    result = evaluation.evaluate(agent, env, episodes, seed)
    low, high = result.interval
    if as_json:
        facts = {"mean": result.mean, "interval": [low, high], "min": min(result.returns), "max": max(result.returns)}
        typer.echo(json.dumps(facts | dataclasses.asdict(result)))
        return
    name = env or agent.environment.name
    typer.echo(printable(f"{agent.experiment.algorithm} on {name} after {agent.steps:,} steps, {episodes} episodes:"))
    typer.echo(f"  mean return {result.mean:.2f}  (95 % interval {low:.2f} to {high:.2f})")
    typer.echo(f"  from {min(result.returns):g} to {max(result.returns):g}, {sum(result.lengths):,} steps in all")
    if result.unfinished:
        typer.echo(f"  {result.unfinished} cut off after {max(result.lengths):,} steps")


@door("record")
def record(
    run: RunFolder,
    episodes: Annotated[Any, count("Episodes, one after another.", "--episodes")] = 1,
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".gif or .mp4. Default: videos/step-….gif in the run.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the environment.")] = 0,
    step: Step = None,
    best: Best = False,
    view: ViewOf = "environment",
    max_steps: Annotated[Any, count("Steps after which an episode is cut off.", "--max-steps")] = 1000,
    fps: Annotated[float | None, typer.Option(metavar="X", help="Frames per second. Default: the game's own.")] = None,
    trust: Trust = False,
) -> None:
    """Film a trained agent playing, as an animated GIF or an MP4.

    \b
    rlhub record runs/x
    rlhub record runs/x --episodes 3 --best --view agent --out breakout.mp4
    """
    from rlhub_core import training
    from rlhub_core.playing import recording

    agent = training.load(run, step=_step(step, best), trust=trust)
    path = out or run / "videos" / f"step-{agent.steps}.gif"
    typer.echo(recording.record(agent, path, episodes=episodes, seed=seed, fps=fps, max_steps=max_steps, view=view))


@door("watch")
def watch(
    run: RunFolder,
    env: Annotated[
        str | None, typer.Option(metavar="ENV", help="Another environment than the one of training.")
    ] = None,
    episodes: Annotated[Any, count("Episodes to show. Default: until you quit.", "--episodes")] = None,
    speed: Annotated[float, typer.Option(metavar="X", help="Times the game's own, 1/16 to 64.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Of the environment.")] = 0,
    step: Step = None,
    best: Best = False,
    view: ViewOf = "environment",
    terminal: Annotated[
        bool, typer.Option("--terminal", help="In the terminal, also where there is a display.")
    ] = False,
    human: Annotated[bool, typer.Option("--human", help="You play; m hands over to the agent and takes back.")] = False,
    keys: Annotated[
        str | None, typer.Option(metavar="KEY=ACTION,…", help="What your keys do: left=0,right=1,space=2.")
    ] = None,
    record: Annotated[Path | None, typer.Option(metavar="FILE", help=".gif or .mp4 of what was shown.")] = None,
    max_steps: Annotated[Any, count("Steps after which an episode is cut off.", "--max-steps")] = LONGEST_EPISODE,
    trust: Trust = False,
) -> None:
    """Watch a trained agent play, live, in a window or in the terminal.

    Keys: a slower, s faster, p pause, n one step, m take over (with --human), q quit.

    \b
    rlhub watch runs/x
    rlhub watch runs/x --best --view agent --speed 2
    rlhub watch runs/x --human --record mine.gif
    """
    from rlhub_core import training
    from rlhub_core.playing import watching

    agent = training.load(run, step=_step(step, best), trust=trust)
    returns = watching.watch(
        agent,
        env,
        episodes=episodes,
        seed=seed,
        speed=speed,
        max_steps=max_steps,
        view=view,
        human=human,
        keys=keys,
        record=record,
        terminal=terminal,
    )
    if returns:
        typer.echo(f"{len(returns)} episodes, mean return {sum(returns) / len(returns):.2f}")
    if record is not None and record.exists():
        typer.echo(record)


@door("plot")
def plot(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The folders of one or several runs.")],
    out: Annotated[
        Path | None, typer.Option(metavar="FILE", help=".png, .svg or .pdf. Default: plots/….png in the first run.")
    ] = None,
    metric: Annotated[
        str, typer.Option(metavar="NAME", help="Any name in metrics.jsonl, or evaluation/return_mean.")
    ] = "rollout/return_mean",
    x: Annotated[str, typer.Option("--x", metavar="WHAT", help="steps, seconds (of wall time) or episodes.")] = "steps",
    smooth: Annotated[Any, count("Values in the running mean.", "--smooth")] = None,
    band: Annotated[
        str, typer.Option(metavar="WHAT", help="Over seeds: std, ci (95 % interval), or none: every run by itself.")
    ] = "std",
) -> None:
    """Draw learning curves, of several runs in one picture; those that differ in their seed only as mean and band.

    \b
    rlhub plot runs/x
    rlhub plot runs/x runs/y --out compared.svg
    rlhub plot runs/x --metric train/loss --smooth 20
    rlhub plot runs/dqn-* runs/ppo-* --band ci --x seconds --out compared.pdf
    """
    from rlhub_core.reporting import plotting

    over = "" if x == "steps" else f"-over-{x}"
    path = out or runs[0] / "plots" / f"{metric.replace('/', '-')}{over}.png"
    plotting.plot(runs, path, metric=metric, x=x, smooth=smooth, band=band)  # type: ignore[arg-type]
    typer.echo(path)


@door("report")
def report(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The folders of one or several runs.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE.html", help="Default: report.html in the first run.")
    ] = None,
) -> None:
    """Write one page about a run, or comparing several: curves, evaluations, videos, recipe, how to reproduce it.

    \b
    rlhub report runs/x
    rlhub report runs/dqn-* runs/ppo-* -o compared.html

    The page is one file: it opens from disk, needs no network, and can be sent to anybody.
    """
    from rlhub_core.reporting import page

    typer.echo(page.report(runs, out or runs[0] / "report.html"))


def _step(step: Any, best: bool) -> Any:
    """Return which checkpoint is meant."""
    if best and step not in (None, "best"):
        raise ConfigError(f"--best and --step {step} name two checkpoints. Leave one out.")
    return "best" if best else step


def _recipe(file: Path, changes: dict[str, Any], own: dict[str, Any]) -> Any:
    """Read a recipe and change what may be changed from outside."""
    from rlhub_core.experiment import Experiment

    experiment = Experiment.read(file)
    given = [name for name, value in own.items() if value]
    if given:
        raise ConfigError(f"{file} says these itself: {', '.join(given)}. Change them in the file.")
    return dataclasses.replace(experiment, **{name: value for name, value in changes.items() if value is not None})


def main() -> None:
    """Run the command line (the console script `rlhub`)."""
    app()


if __name__ == "__main__":
    main()
