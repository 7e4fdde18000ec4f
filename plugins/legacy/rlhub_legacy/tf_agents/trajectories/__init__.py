"""Time steps, by TF-Agents' names."""

from rlhub_legacy.tf_agents.trajectories import time_step
from rlhub_legacy.tf_agents.trajectories.time_step import (
    StepType,
    TimeStep,
    restart,
    termination,
    transition,
    truncation,
)

__all__ = ["StepType", "TimeStep", "restart", "termination", "time_step", "transition", "truncation"]
