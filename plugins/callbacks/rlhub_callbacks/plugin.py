"""What this package offers, as data."""

from __future__ import annotations

from collections.abc import Iterator

from rlhub_core import CallbackSpec, hookimpl

CALLBACKS = (
    ("video", "video:Video", "films episodes at chosen steps, on evaluations or new bests"),
    ("csv", "wide_csv:CSV", "everything a run records as one wide table, metrics.csv"),
    ("early_stop", "early_stop:EarlyStop", "ends the run when evaluations have stopped to improve"),
    ("epochs", "epochs:Epochs", "training in epochs, each with a test and a checkpoint that is kept"),
    ("metrics_printer", "metrics_printer:MetricsPrinter", "prints chosen metrics as plain lines, aligned"),
    ("mlflow", "mlflow:MLflow", "sends what a run records to MLflow, by default to a local store"),
    ("profile", "profile:Profile", "where the time goes: environment, acting, learning, callbacks, checkpoints"),
    ("renom_log", "renom_log:RenomLog", "ReNom RL's records of episodes and epochs, with its messages"),
    ("simple_dqn_csv", "simple_dqn_csv:SimpleDqnCsv", "Simple-DQN's statistics: sixteen columns, a row for each phase"),
    ("tensorboard", "tensorboard:TensorBoard", "writes what a run records for TensorBoard"),
    ("time_limit", "time_limit:TimeLimit", "ends the run after so much wall time"),
    ("wandb", "wandb:WandB", "sends what a run records to Weights & Biases, or writes it offline"),
)


@hookimpl
def rlhub_callbacks() -> Iterator[CallbackSpec]:
    """One callback a module."""
    for name, target, description in CALLBACKS:
        yield CallbackSpec(f"callbacks/{name}", f"rlhub_callbacks.{target}", description)
