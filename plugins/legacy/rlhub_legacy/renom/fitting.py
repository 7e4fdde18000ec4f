"""`fit` and `test`: any algorithm of rlhub in ReNom's epochs, with ReNom's arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv

import rlhub_core
from rlhub_core import Callback, ConfigError, Experiment, Run, config
from rlhub_core.evaluation import check_same_spaces, subject_of
from rlhub_core.hub import default_hub
from rlhub_core.parts import make_callbacks
from rlhub_legacy.renom.adapter import Mode, ReNomEnv, Timing, checked_timing
from rlhub_legacy.renom.epochs import Epochs, play
from rlhub_legacy.renom.settings import after_random, exploration, translated

Env = gymnasium.Env[Any, Any]
NAME = "legacy/renom_epochs"


def fit(
    algorithm: Any,
    env: Any,
    *,
    epoch: int = 500,
    epoch_step: int = 250_000,
    random_step: int = 0,
    test_step: int | None = None,
    greedy_step: int | None = None,
    min_greedy: float | None = None,
    max_greedy: float | None = None,
    test_greedy: float = 1.0,
    batch_size: int | None = None,
    update_period: int | None = None,
    train_frequency: int | None = None,
    hook_timing: Timing = "documented",
    num_envs: int | None = None,
    config: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback | str] = (),
    **settings: Any,
) -> Run:
    """Train as ReNom RL's `fit` did and return the run; `epochs(run)` says what became of each epoch.

    The hooks of the environment are called: `start`, then for each epoch `epoch`, `epoch_step` after each step, and
    `test_start`, `test_epoch_step`, `test_close` in its test, and `close`. Its stop rules are asked after each step. An
    algorithm that learns from whole rollouts may take a few more steps after the last epoch, of which no hook knows.

    Args:
        algorithm: a name ("deep/dqn"), a class, or an algorithm object.
        env: a ReNom environment, its class, a factory, or anything that `rlhub_core.train` takes; or a pair [training,
            test]. The training part of a pair may itself be a list of objects, one an environment side by side.
            Without a pair, tests are played in the (first) environment of training.
        epoch: how many.
        epoch_step: steps of each environment in an epoch.
        random_step: steps of random actions before the first epoch, without hooks; nothing is learnt before their end.
        test_step: steps of a test; None: one episode; 0: no tests.
        greedy_step: steps over which the probability of the greedy action rises linearly, from the end of the random
            steps; this and the two below go to algorithms that explore ε-greedily, as ε = 1 - greedy.
        min_greedy: at their beginning (ReNom's default 0, where any of the three is given).
        max_greedy: at their end and after (ReNom's default 0.9).
        test_greedy: probability of the greedy action in tests.
        batch_size: transitions an update learns from.
        update_period: env steps between two updates of the target network.
        train_frequency: env steps between two updates.
        hook_timing: "documented": `epoch` and `test_start` follow their reset; "0.4.2": they come before it.
        num_envs: environments side by side (default 1).
        config: hyper-parameters; they win over the translated ones above.
        callbacks: as for `rlhub_core.train`.
        settings: anything else that `rlhub_core.train` takes: seed, folder, wrappers, ...

    Raises:
        ConfigError: for an argument that the algorithm has no counterpart of, naming it.
    """
    if "steps" in settings or "preset" in settings:
        raise ConfigError("fit says how long it trains by epoch, epoch_step and random_step, and takes no preset.")
    train_env, test_env = _pair(env)
    side_by_side = len(train_env) if isinstance(train_env, list) else num_envs or 1
    if num_envs is not None and num_envs != side_by_side:
        raise ConfigError(f"num_envs is {num_envs}, but there are {side_by_side} environments for training.")
    greedy = exploration(min_greedy, max_greedy, greedy_step)
    made = _epochs(epoch, epoch_step, random_step, test_step, test_greedy, greedy, checked_timing(hook_timing))
    total = (random_step + epoch * epoch_step) * side_by_side
    hyper_parameters = translated(
        algorithm, batch_size, update_period, train_frequency, greedy, random_step * side_by_side, total, config
    )
    made.test_env = None if test_env is None else _adapted(test_env, hook_timing)
    begun: tuple[Mode, tuple[str, ...]] = ("off", ("start",)) if random_step else ("train", ("start", "epoch"))
    return rlhub_core.train(
        algorithm,
        _for_training(train_env, hook_timing, begun),
        steps=total,
        num_envs=side_by_side,
        config=hyper_parameters,
        callbacks=(made, *callbacks),
        **settings,
    )


def resume(folder: str | Path, env: Any = None, **live: Any) -> Run:
    """Go on with a run of `fit`, exactly where it was left, and return it at its end.

    Args:
        folder: of the run.
        env: what `fit` was given, unless that was a name.
        live: other live objects, as for `rlhub_core.resume`.
    """
    experiment = Experiment.read(Path(folder))
    text = next((text for text in experiment.callbacks if text.startswith(NAME)), None)
    if text is None:
        raise ConfigError(f"{folder} is no run of rlhub_legacy.renom.fit. Resume it with rlhub_core.resume.")
    (made,), _ = make_callbacks(default_hub(), [text])
    assert isinstance(made, Epochs)
    hook_timing = checked_timing(made.hook_timing)
    train_env, test_env = _pair(env)
    made.test_env = None if test_env is None else _adapted(test_env, hook_timing)
    begun: tuple[Mode, tuple[str, ...]] = ("off", ())  # a checkpoint says the rest
    again = None if train_env is None else _for_training(train_env, hook_timing, begun)
    hyper_parameters = dict(live.pop("config", None) or {})
    if made.random_step and config.is_mention(experiment.hyper_parameters.get("epsilon")):
        first = made.random_step * experiment.num_envs
        hyper_parameters.setdefault("epsilon", after_random(experiment.algorithm, first, made.exploration))
    callbacks = (made, *(live.pop("callbacks", None) or ()))
    return rlhub_core.resume(folder, env=again, callbacks=callbacks, config=hyper_parameters or None, **live)


def play_test(
    subject: Any,
    env: Any = None,
    *,
    test_step: int | None = None,
    test_greedy: float = 1.0,
    seed: int = 0,
    hook_timing: Timing = "documented",
) -> float:
    """Play a test as ReNom RL's `test` did, with its hooks, and return the sum of all rewards.

    Args:
        subject: a run, or an actor.
        env: as for `fit`, the second of a pair, wrapped as in training; for a run that of its training unless given.
        test_step: steps, over as many episodes as they take; None: one episode.
        test_greedy: probability of the greedy action.
        seed: of the environment, and of random actions.
        hook_timing: as for `fit`.
    """
    if test_step is not None and test_step < 1:
        raise ConfigError(f"test_step must be a positive number of steps, or None for one episode, not {test_step!r}.")
    tested = env[1] if isinstance(env, list | tuple) else env
    trained_in = getattr(subject, "environment", None)
    wrappers = () if tested is None or trained_in is None else trained_in.wrappers
    actor, source = subject_of(subject, tested, wrappers, {})
    one = source.make() if not isinstance(source.origin, VectorEnv) else source.origin.unwrapped.envs[0]  # type: ignore[attr-defined]
    check_same_spaces(subject, one, source.name)
    if isinstance(one.unwrapped, ReNomEnv):
        one.unwrapped.hook_timing = checked_timing(hook_timing)
    try:
        return play(actor, one, test_step, seed, greedy=test_greedy)[0]
    finally:
        if not source.is_instance:
            one.close()


def _epochs(*arguments: Any) -> Epochs:
    """Return the callback, its arguments checked."""
    names = ("epoch", "epoch_step", "random_step", "test_step", "test_greedy", "exploration", "hook_timing")
    return Epochs(**config.bind(Epochs, dict(zip(names, arguments, strict=True)), "fit", kind="argument"))


def _pair(env: Any) -> tuple[Any, Any]:
    """Return what to train in and what to test in, None for the same."""
    if not isinstance(env, list | tuple):
        return env, None
    if len(env) != 2:
        raise ConfigError(f"A list of environments is a pair [training, test]; this one has {len(env)}.")
    train_env, test_env = env
    if isinstance(train_env, list | tuple) and not train_env:
        raise ConfigError("The list of environments for training is empty.")
    return (list(train_env) if isinstance(train_env, list | tuple) else train_env), test_env


def _for_training(env: Any, hook_timing: Timing, begun: tuple[Mode, tuple[str, ...]]) -> Any:
    """Return environments for `rlhub_core.train` whose first reset calls the hooks that `fit` begins with."""
    ready = partial(_adapted, hook_timing=hook_timing, begun=begun)
    if isinstance(env, list):
        makers = [partial(ready, each) for each in env]
        return SyncVectorEnv(makers, autoreset_mode=AutoresetMode.NEXT_STEP)
    if isinstance(env, str | gymnasium.Env | VectorEnv):
        return env if not isinstance(env, gymnasium.Env) else ready(env)
    return _Factory(env, ready) if callable(env) else ready(env)


def _adapted(env: Any, hook_timing: Timing, begun: tuple[Mode, tuple[str, ...]] | None = None) -> Env:
    """Return one environment as Gymnasium's, ready for its first reset."""
    made = rlhub_core.make(env) if isinstance(env, str) or callable(env) else rlhub_core.adapt(env)
    if isinstance(made.unwrapped, ReNomEnv):
        made.unwrapped.hook_timing = checked_timing(hook_timing)
        if begun is not None:
            made.unwrapped.begin(*begun[1], mode=begun[0])
    return made


class _Factory:
    """Makes adapted environments of a user's class or factory, under its name."""

    def __init__(self, factory: Callable[..., Any], ready: Callable[[Any], Env]) -> None:
        self._factory, self._ready = factory, ready
        self.__name__ = getattr(factory, "__name__", type(factory).__name__)
        self.__qualname__ = getattr(factory, "__qualname__", self.__name__)
        self.__module__ = getattr(factory, "__module__", type(factory).__module__)

    def __call__(self, **options: Any) -> Env:
        return self._ready(self._factory(**options))
