"""`rlhub import-sb3`; light until it is called."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def import_sb3(
    model: Annotated[Path, typer.Argument(metavar="MODEL.zip", help="What model.save() of Stable-Baselines3 wrote.")],
    settings: Annotated[
        list[str] | None,
        typer.Argument(metavar="KEY=VALUE", help="Hyper-parameters that the file does not tell, or to change."),
    ] = None,
    env: Annotated[str | None, typer.Option(metavar="ENV", help="Where it was trained; the file does not say.")] = None,
    algorithm: Annotated[
        str | None, typer.Option(metavar="NAME", help="sb3/ppo, …. Default: as the file says.")
    ] = None,
    wrapper: Annotated[list[str] | None, typer.Option(metavar="NAME", help="Innermost first; repeatable.")] = None,
    normalization: Annotated[
        str | None,
        typer.Option(metavar="FILE.pkl", help="What VecNormalize.save() wrote, if trained under it; or none."),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Folder of the run. Default: a new one in runs/.")
    ] = None,
    trust: Annotated[
        bool, typer.Option("--trust", help="Unpickle the file's functions: that can run any code it holds.")
    ] = False,
) -> None:
    """Make a run of a model that Stable-Baselines3 saved.

    \b
    rlhub import-sb3 model.zip --env CartPole-v1
    rlhub import-sb3 model.zip learning_rate=3e-4 --env CartPole-v1 --out runs/x
    rlhub import-sb3 model.zip --env Hopper-v5 --normalization vecnormalize.pkl
    rlhub evaluate runs/x
    rlhub resume runs/x --steps 1e6

    Nothing in the file is run: its pickles are read as data. Only with --trust are those of functions, such as a
    learning rate's schedule, unpickled, and a pickle can run any code: only for files that you made yourself.
    """
    from rlhub_core.command import assignments
    from rlhub_sb3.importing import import_zip

    run = import_zip(
        model,
        env,
        algorithm=algorithm,
        config=assignments(settings or ()),
        wrappers=wrapper or (),
        normalization=normalization,
        folder=out,
        trust=trust,
    )
    typer.echo(f"{run.experiment.algorithm}, {run.steps:,} steps, is now the run {run.folder}.")
