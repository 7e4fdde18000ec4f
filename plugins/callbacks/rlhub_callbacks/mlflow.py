"""MLflow: a local SQLite store unless a server is named."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from rlhub_callbacks.files import needed
from rlhub_callbacks.recorded import Line, recipe, run_name
from rlhub_callbacks.tracker import Tracker
from rlhub_core import Run, option

MOST_METRICS, MOST_PARAMS = 1_000, 100  # that one call takes
LONGEST_PARAM = 6_000  # characters
IMPATIENCE = {  # unless the user says otherwise: by default a dead server stops a call for minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
}


@dataclass
class MLflow(Tracker):
    """Sends what a run records to MLflow, hyper-parameters once, a resumed run into the same MLflow run."""

    store: str | None = option(None, "URI of server or store; none: MLFLOW_TRACKING_URI, else sqlite:///mlflow.db")
    experiment: str = option("rlhub", "MLflow's experiment, made where there is none")

    kind = "mlflow"
    title = "MLflow"

    def on_start(self, run: Run) -> None:
        """Look for MLflow, then as every tracker.

        Raises:
            ConfigError: where MLflow is not installed.
        """
        for name, value in IMPATIENCE.items():
            os.environ.setdefault(name, value)
        needed(lambda: import_module("mlflow"), "callbacks/mlflow", "MLflow", "mlflow")
        super().on_start(run)

    def connect(self, run: Run, id_: str | None) -> str:
        """Make a run of the experiment, with the recipe as parameters, or go on with the one of the id."""
        self._client: Any = import_module("mlflow").MlflowClient(tracking_uri=self._uri())
        self._run_id = id_ or self._begin(run)
        if id_ is not None:
            self._client.update_run(id_, status="RUNNING")
        return self._run_id

    def send(self, recorded: Sequence[Line]) -> None:
        """Write the numbers of lines."""
        metric, now = import_module("mlflow.entities").Metric, int(time.time() * 1_000)
        numbers = [
            metric(name, float(number), now, line.step) for line in recorded for name, number in line.numbers.items()
        ]
        for begin in range(0, len(numbers), MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=numbers[begin : begin + MOST_METRICS])

    def disconnect(self, run: Run) -> None:
        """Mark the run as finished, or as stopped before its last step."""
        self._client.set_terminated(self._run_id, "FINISHED" if run.steps >= run.experiment.steps else "KILLED")

    def _uri(self) -> str:
        return self.store or os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{Path('mlflow.db').resolve()}"

    def _begin(self, run: Run) -> str:
        known = self._client.get_experiment_by_name(self.experiment)
        experiment = known.experiment_id if known else self._client.create_experiment(self.experiment)
        id_: str = self._client.create_run(experiment, run_name=run_name(run)).info.run_id
        param = import_module("mlflow.entities").Param
        params = [param(name, str(value)[:LONGEST_PARAM]) for name, value in recipe(run).items()]
        for begin in range(0, len(params), MOST_PARAMS):
            self._client.log_batch(id_, params=params[begin : begin + MOST_PARAMS])
        return id_
