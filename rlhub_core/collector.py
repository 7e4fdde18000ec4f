"""Steps a vector environment; the one place that knows about autoreset, seeds, episodes and lost lives.

An environment's life is cut into *stretches*: one seeded reset, then episodes that follow one another by unseeded
resets, until the first episode that ends after `reseed_every` steps; then the next stretch begins. The seed of a
stretch is a pure function of (seed, environment index, stretch index). So the state of an environment is (stretch,
actions since its seeded reset), and it is restored by resetting with the same seed and replaying those actions: for
any environment that is deterministic given seed and actions, native vector environments included. One that takes more
with it from stretch to stretch, such as a count of games, has a settable attribute `carried`: a tree that
`rlhub_core.state` can save of what it took into the running stretch; once set, it is taken again at a reset with the
seed of that stretch. (Seeding every
episode would be simpler, but a seeded reset of ale-py's vector environment costs 92 ms, an unseeded one 6 ms.)
"""

from __future__ import annotations

import contextlib
import copy
import math
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from pathlib import Path
from typing import Any, NoReturn

import gymnasium
import numpy as np
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from numpy.typing import NDArray

from rlhub_core import checks, faults, state
from rlhub_core.action_log import ActionLog
from rlhub_core.errors import CheckpointError, ConfigError, EnvironmentContractError, EnvironmentFault
from rlhub_core.normalization import Normalization
from rlhub_core.protocol import Actor, ActType, Episode, ObsType, Transition
from rlhub_core.seeding import stretch_seeds
from rlhub_core.side_by_side import SideBySide
from rlhub_core.trees import leaves, overlap

_MAKE_SYNC = 'Make it with vectorization_mode="sync".'
_MASK = "action_mask"  # Gymnasium's name in `info`
_MASKS = "action_masks"  # the name of the method that Stable-Baselines3 asks
RECENT = 20  # transitions that are kept for a post-mortem; 100 would cost a step of CartPole 3 %, for want of cache
_CARRIED = "carried"  # what an environment took with it into its stretch, beyond the seed


class Collector:
    """Collects transitions from B environments.

    Args:
        env: a vector environment that honours `reset(options={"reset_mask": mask})`, as Gymnasium's do.
        seed: of all environments together.
        reseed_every: steps of one environment after which its next episode starts from a seed of its own.
        reward_clip: rewards are clipped to [-reward_clip, reward_clip] in transitions (never in episodes).
        terminal_on_life_loss: a lost life (`info["lives"]`) is a termination in transitions (never in episodes; the
            game goes on and nothing is reset).
        normalization: of observations and rewards in `observations` and transitions (never in episodes); its statistics
            are learnt here, once a step.

    Attributes:
        observations: [B, ...] what to act on next.
        raw_observations: [B, ...] the same as the environments gave it.
        first: [B] bool, true where that observation is the first of an episode.
        steps: env steps so far, all environments together.
        recent: the last steps, 20 transitions or one vector step, for a post-mortem.
        cut: asked after every step with its rewards [B] and where an episode ended [B], before anything is reset; where
            it answers true, every running episode is cut off there: truncated in the transition, and followed by one
            from a seed of its own. What it does to the environments meanwhile is over with that.
        lap: told by an algorithm that knows better what the time since the last call was spent on ("acting",
            "learning"); does nothing but where a `Stopwatch` listens.
    """

    def __init__(
        self,
        env: VectorEnv[Any, Any, Any],
        seed: int = 0,
        *,
        reseed_every: int = 10_000,
        reward_clip: float | None = None,
        terminal_on_life_loss: bool = False,
        normalization: Normalization | None = None,
    ) -> None:
        if env.metadata.get("autoreset_mode") is AutoresetMode.SAME_STEP:
            raise EnvironmentContractError(
                f"{env} resets an episode in the step that ends it (autoreset_mode=SAME_STEP), which hides its last "
                "observation. Make it with NEXT_STEP or DISABLED."
            )
        self.env, self.seed, self.reseed_every = env, seed, reseed_every
        self.reward_clip, self.terminal_on_life_loss = reward_clip, terminal_on_life_loss
        self.normalization = normalization
        self.cut: Callable[[NDArray[np.float64], NDArray[np.bool_]], bool] | None = None
        self.num_envs = env.num_envs
        self.observations: ObsType
        self.raw_observations: ObsType
        self.first: NDArray[np.bool_]
        self._lives: NDArray[Any] | None
        self._masks: NDArray[Any] | None  # [B, ...] `info["action_mask"]` of what to act on next
        self._told: NDArray[np.bool_]  # [B] whether it told so of the newest observation
        self._has: dict[str, bool] = {}  # which methods the environments have, asked when first needed
        self.steps = 0
        self.lap: Callable[[str], object] = _unmeasured
        self._time = 0  # vector steps
        self._stretch = np.zeros(self.num_envs, np.int64)  # [B] index
        self._begun = np.zeros(self.num_envs, np.int64)  # [B] vector step of its seeded reset
        self._oldest = 0  # vector step at which the oldest running stretch began
        self._log = ActionLog()
        self.recent: deque[Transition] = deque(maxlen=-(-RECENT // self.num_envs))
        self._returns = np.zeros(self.num_envs)  # [B] of the running episodes
        self._lengths = np.zeros(self.num_envs, np.int64)  # [B]
        self._evidence = np.zeros(self.num_envs)  # [B] a digest of the episodes that ended in the running stretch
        self._ended: list[Episode] = []
        # with its counters, as CPython takes longer to get at the attributes of an object that has more than 30
        self._checks = checks.Checks(env.single_observation_space, self.num_envs)
        faults.bound(env)
        self._shared: bool | None = None  # does the environment write into the observations it has handed out?
        self._handed_out: ObsType = None
        self._reset(np.ones(self.num_envs, np.bool_), self._seeds(self._stretch))
        if terminal_on_life_loss and self._lives is None:
            raise ConfigError("terminal_on_life_loss needs an environment that tells of lives; this one does not.")
        if normalization is not None:
            normalization.begin(self.raw_observations)
        self._look()

    @property
    def single_observation_space(self) -> Any:
        """The observation space of one environment, as it is learnt from."""
        if self.normalization is not None:
            return self.normalization.observation_space
        return self.env.single_observation_space

    @property
    def single_action_space(self) -> Any:
        """The action space of one environment."""
        return self.env.single_action_space

    @property
    def action_masks(self) -> NDArray[Any] | None:
        """Which actions [B, n] are possible now; None where the environment does not tell.

        It tells in `info["action_mask"]`, of every reset and step, or by a method `action_masks`.

        Raises:
            EnvironmentContractError: where it told at the first reset, but not now.
        """
        if self._masks is not None:
            if not self._told.all():
                raise EnvironmentContractError(
                    f"{self.env} told possible actions once, but not now. It must give "
                    f'info["{_MASK}"] at every reset and step.'
                )
            return self._masks
        if _MASKS not in self._has:
            with self._watching("call"):
                self._has[_MASKS] = has_method(self.env, _MASKS)
        if not self._has[_MASKS]:
            return None
        with self._watching("call"):
            return np.stack(self.env.call(_MASKS))  # type: ignore[attr-defined]

    def act(self, actor: Actor) -> ActType:
        """Return what an actor does now."""
        return act(actor, self.observations, self.first, lambda: self.action_masks)

    def step(self, actions: ActType) -> Transition:
        """Take one step in every environment and reset those whose episode ended.

        Args:
            actions: [B, ...] one for each environment.

        Raises:
            EnvironmentFault: where an environment misbehaves. Whatever is done with the collector raises it again.
            NonFiniteError: where it does so after an action that is no finite number.
        """
        observation = self.observations
        try:
            raw, raw_reward, terminated, truncated, info = self.env.step(actions)
            if self._time >= self._checks.at:
                self._check(raw, raw_reward, terminated, truncated, info)
        except Exception as error:
            self._raise(error, "step", actions)
        self._log.append(actions)
        self._time += 1
        self.steps += self.num_envs
        cut = self.cut is not None and self.cut(raw_reward, terminated | truncated)
        if cut:
            truncated = truncated | ~terminated
        try:
            ended = self._account(raw_reward, terminated, truncated)
        except Exception as error:  # rewards of another shape than they had when they were looked at
            self._raise(error, "step")
        self.raw_observations = successor = self._own(raw)
        if self._lives is not None:
            lost = self._update_lives(info)
            if self.terminal_on_life_loss:
                terminated = terminated | lost
        if self._masks is not None:
            self._update_masks(info, ~ended)
        if np.count_nonzero(ended):
            self._end(ended, anew=cut)
        reward = raw_reward
        if self.reward_clip is not None:
            reward = np.clip(raw_reward, -self.reward_clip, self.reward_clip)
        if self.normalization is None:
            self.observations = self.raw_observations
            transition = Transition(observation, actions, reward, successor, terminated, truncated, info)
            self.recent.append(transition)
            return transition
        try:
            reward = self.normalization.step(self.raw_observations, reward, terminated | truncated)
        except EnvironmentFault as fault:
            self._raise(fault, "step")
        self._look()
        same = successor is self.raw_observations  # no episode ended
        next_observation = self.observations if same else self.normalization.observations(successor)
        transition = Transition(observation, actions, reward, next_observation, terminated, truncated, info)
        self.recent.append(transition)
        return transition

    def restart(self, which: NDArray[np.bool_]) -> None:
        """Leave the running episodes of some environments [B] and begin new ones there, from seeds of their own."""
        self._next_stretch(which)
        self._reset(which, _where(which, self._seeds(self._stretch)))
        self.first = self._lengths == 0
        if self.normalization is not None:
            self.normalization.forget(which)
        self._look()

    def apart(self, env: int, seed: int) -> Collector:
        """Return a collector that takes over one of the environments, with the same learning view.

        This one is not to step any more, in the process where the other does.

        Args:
            env: index of the environment.
            seed: of the new collector.

        Raises:
            EnvironmentContractError: where the environments are stepped by one native or remote implementation, or are
                wrapped together.
        """
        if not isinstance(self.env, SyncVectorEnv):
            raise EnvironmentContractError(
                f"The environments of {self.env} cannot be taken apart. {_MAKE_SYNC} Wrappers go around single ones."
            )
        alone = self.env.envs[env]
        vec = SideBySide([lambda: alone], autoreset_mode=AutoresetMode.NEXT_STEP)
        faults.introduce(vec, faults.source_of(self.env))
        return Collector(
            vec,
            seed,
            reseed_every=self.reseed_every,
            reward_clip=self.reward_clip,
            terminal_on_life_loss=self.terminal_on_life_loss,
            normalization=self.normalization and self.normalization.apart(),
        )

    def episodes(self) -> Sequence[Episode]:
        """Return the episodes that ended since this was last asked."""
        if not self._ended:
            return ()
        ended, self._ended = self._ended, []
        return ended

    def save(self, folder: Path) -> None:
        """Write what `load` needs to bring every environment back to where it is.

        Raises:
            EnvironmentFault: where there is no finite number to write.
        """
        self._checks.raise_again()
        with self._watching("step"):
            self._check_finite()
        with self._watching("call"):
            carried = list(self.env.get_attr(_CARRIED)) if self._carries() else None  # type: ignore[attr-defined]
        state.save(
            folder,
            "collector",
            {
                "steps": self.steps,
                "time": self._time,
                "stretch": self._stretch,
                "begun": self._begun,
                "actions": self._log.tail(self._oldest),
                "returns": self._returns,
                "lengths": self._lengths,
                "evidence": self._evidence,
                "ended": [list(episode) for episode in self._ended],
                "checksum": self._checksum(),
                "carried": carried,
            },
        )
        if self.normalization is not None:
            self.normalization.save(folder)

    def load(self, folder: Path) -> bool:
        """Bring every environment back by replaying its actions; return whether that was exact.

        Where it was not, the environments go on with new episodes of their next stretch.
        """
        saved = state.load(folder, "collector")
        if len(saved["stretch"]) != self.num_envs:
            raise EnvironmentContractError(
                f"The collector was saved with {len(saved['stretch'])} environments, not {self.num_envs}."
            )
        steps, time = (state.whole(saved[name], f"The collector's {name}") for name in ("steps", "time"))
        self._stretch, self._begun = (
            state.same_kind(saved[name], getattr(self, f"_{name}"), f"The collector's {name}")
            for name in ("stretch", "begun")
        )
        self._oldest = int(self._begun.min())
        self._log = ActionLog(saved["actions"], start=self._oldest)
        if not 0 <= self._oldest <= self._begun.max() <= time <= self._oldest + len(self._log):
            raise CheckpointError("The collector was saved with another number of actions than of steps.")
        if saved.get("carried") is not None:
            self.env.set_attr(_CARRIED, saved["carried"])  # type: ignore[attr-defined]
        self._replay(time)
        if self.normalization is not None:
            self.normalization.load(folder)
        self._look()
        self.steps, self._time = steps, time
        self._ended = [Episode(*episode) for episode in saved["ended"]]
        exact = self._checksum() == saved["checksum"] and all(
            np.array_equal(getattr(self, f"_{name}"), saved[name]) for name in ("returns", "lengths", "evidence")
        )
        if not exact:
            self.restart(np.ones(self.num_envs, np.bool_))
        return exact

    def close(self) -> None:
        """Close the environment.

        Raises:
            EnvironmentFault: where that fails; nothing is left of environments in other processes nevertheless.
        """
        with self._watching("close"):
            self.env.close()

    def _end(self, ended: NDArray[np.bool_], *, anew: bool) -> None:
        envs = np.flatnonzero(ended)
        returns, lengths = self._returns[envs].tolist(), self._lengths[envs].tolist()
        if not all(map(math.isfinite, returns)):
            try:
                self._check_finite()
            except EnvironmentFault as fault:
                self._raise(fault, "step", self._log[self._time - 1])
        self._ended.extend(map(Episode, repeat(self.steps), returns, lengths, envs.tolist()))
        over = ended & (anew | (self._time - self._begun >= self.reseed_every))
        if not over.any():
            self._reset(ended, None)
            return
        self._next_stretch(over)
        self._reset(ended, _where(over, self._seeds(self._stretch)))

    def _carries(self) -> bool:
        """Return whether a seed is not all that its environments begin a stretch with."""
        if _CARRIED not in self._has:
            self._has[_CARRIED] = has_method(self.env, _CARRIED)
        return self._has[_CARRIED]

    def _next_stretch(self, which: NDArray[np.bool_]) -> None:
        self._stretch[which] += 1
        self._begun[which] = self._time
        self._oldest = int(self._begun.min())
        self._log.forget(self._oldest)

    def _account(
        self, reward: NDArray[Any], terminated: NDArray[np.bool_], truncated: NDArray[np.bool_]
    ) -> NDArray[np.bool_]:
        """Add a step to the running episodes and return where they ended."""
        self.first = ended = terminated | truncated
        self._returns += reward
        self._lengths += 1
        if np.count_nonzero(ended):  # a fifth of the time of ended.any()
            scores = self._returns[ended] + self._lengths[ended]
            self._evidence[ended] = 0.999 * self._evidence[ended] + scores  # the factor, so that the order counts
        return ended

    def _reset(self, which: NDArray[np.bool_], seeds: list[Any] | None) -> None:
        self._checks.raise_again()
        everywhere = seeds is not None and bool(which.all())
        before = self.raw_observations if not everywhere and self._checks.masked_resets else None
        options = None if everywhere else {"reset_mask": which.copy()}
        try:
            raw, info = self.env.reset(seed=seeds, options=options)  # type: ignore[arg-type]
            self._checks.resets += 1
            if seeds is not None or self._time < checks.STRICT or self._checks.resets % checks.EVERY == 0:
                self._check_reset(raw, info)
        except Exception as error:
            if isinstance(error, gymnasium.error.Error) and "Seed must be a python integer" in str(error):
                told = f"{self.env} takes no seed for each environment. {_MAKE_SYNC}"
                raise EnvironmentContractError(told) from error
            self._raise(error, "reset")
        self.raw_observations = self._own(raw)
        self.first = which
        self._returns[which] = 0.0
        self._lengths[which] = 0
        if seeds is not None:
            self._evidence[[seed is not None and bool(w) for seed, w in zip(seeds, which, strict=True)]] = 0.0
        if before is not None:
            self._check_masked_reset(before, which)
        if everywhere:
            self._lives = np.array(info["lives"]) if "lives" in info else None
            self._masks = np.array(info[_MASK]) if _MASK in info else None
            self._told = np.array(info.get(f"_{_MASK}", which))
            return
        if self._lives is not None:
            self._lives = np.where(which, info["lives"], self._lives)
        if self._masks is not None:
            self._update_masks(info, which)

    def _check(self, raw: ObsType, rewards: Any, terminated: Any, truncated: Any, info: Any) -> None:
        """Look at what a step gave: at every one in the beginning, now and then later."""
        self._checks.raise_again()
        strict = self._time < checks.STRICT
        self._checks.at = self._time + (1 if strict else checks.EVERY)
        fault = checks.outcome(rewards, terminated, truncated, info, self.num_envs)
        fault = fault or checks.no_number(self._returns, "sum of rewards since the last look")
        fault = fault or (self._form_fault() if strict else None) or self._checks.batch(raw, strict=strict)
        if fault is not None:
            raise fault

    def _check_reset(self, raw: ObsType, info: Any) -> None:
        fault = None if isinstance(info, dict) else checks.no_info(info)
        strict = self._time < checks.STRICT
        fault = fault or (self._form_fault() if strict else None) or self._checks.batch(raw, strict=strict)
        if fault is not None:
            raise fault

    def _check_finite(self) -> None:
        """Raise the fault in what a checkpoint would hold."""
        fault = checks.no_number(self._returns, "sum of rewards") or self._checks.batch(
            self.raw_observations, strict=False
        )
        if fault is not None:
            raise fault

    def _form_fault(self) -> EnvironmentFault | None:
        """Return the fault in observations as single environments in this process gave them."""
        inner = self.env.unwrapped
        return self._checks.apart(inner._env_obs) if isinstance(inner, SyncVectorEnv) else None

    def _raise(self, error: Exception, during: str, actions: ActType = None) -> NoReturn:
        """Raise an error as a fault that says where it is, or that it is one of the actions that led to it."""
        self._checks.raise_again()
        wrong = checks.of_actions(actions)
        if wrong is not None:
            self._checks.fail(wrong)
            raise wrong from error
        fault = error if isinstance(error, EnvironmentFault) else faults.explained(error, self.env, during)
        self._locate(fault, during)
        self._checks.fail(fault)
        if fault is error:
            raise fault
        raise fault from error

    def _locate(self, fault: EnvironmentFault, during: str) -> None:
        if fault.index is None and self.num_envs == 1:
            fault.index = 0
        seed = since = None
        if fault.index is not None:
            seed = self._seeds(self._stretch)[fault.index]
            since = int(self._time - self._begun[fault.index])
        name, offered_by = faults.identity(self.env)
        fault.locate(
            name, offered_by, during, self.num_envs, step=self._time * self.num_envs, seed=seed, since_seed=since
        )

    @contextlib.contextmanager
    def _watching(self, during: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._raise(error, during)

    def _update_lives(self, info: dict[str, Any]) -> NDArray[np.bool_]:
        if "lives" not in info:
            told = "The environment told lives once, but not now. It must give info['lives'] at every reset and step."
            self._raise(EnvironmentContractError(told), "step")
        lives = np.asarray(info["lives"])
        lost = lives < self._lives
        self._lives = lives
        return lost

    def _update_masks(self, info: dict[str, Any], which: NDArray[np.bool_]) -> None:
        """Take over the action masks of some environments [B]; the others go on or are about to be reset."""
        told = info.get(f"_{_MASK}", np.full(self.num_envs, _MASK in info))
        self._told = np.where(which, told, self._told)
        now = which & told
        if now.any():
            assert self._masks is not None
            self._masks = self._masks.copy()
            self._masks[now] = info[_MASK][now]

    def _own(self, raw: ObsType) -> ObsType:
        """Return observations that no later step overwrites; whether a copy is needed is found out once."""
        if self._shared is None:
            if self._handed_out is None:
                self._handed_out = raw
                return copy.deepcopy(raw)
            self._shared = overlap(self._handed_out, raw)
            self._handed_out = None
        return copy.deepcopy(raw) if self._shared else raw

    def _look(self) -> None:
        """Let `observations` be what the environments gave last, as it is learnt from."""
        raw = self.raw_observations
        self.observations = raw if self.normalization is None else self.normalization.observations(raw)

    def _seeds(self, stretches: NDArray[np.int64]) -> list[int]:
        return [int(seed) for seed in stretch_seeds(self.seed, np.arange(self.num_envs), stretches)]

    def _replay(self, until: int) -> None:
        """Repeat the logged actions, each environment starting where its own stretch began."""
        begun, first_step = self._begun, self._oldest
        seeds = self._seeds(self._stretch)
        self._reset(np.ones(self.num_envs, np.bool_), seeds)
        for time in range(first_step, until):
            starting = (begun == time) & (time > first_step)
            if starting.any():
                self._reset(starting, _where(starting, seeds))
            self._time = time
            with self._watching("step, repeated to restore it"):
                raw, reward, terminated, truncated, info = self.env.step(self._log[time])
            self.raw_observations = self._own(raw)
            ended = self._account(reward, terminated, truncated)
            if self._lives is not None:
                self._update_lives(info)
            if self._masks is not None:
                self._update_masks(info, ~ended)
            unseeded = ended & (begun != time + 1)
            if unseeded.any():
                self._reset(unseeded, None)
        starting = (begun == until) & (until > first_step)
        if starting.any():
            self._reset(starting, _where(starting, seeds))
        self.first = self._lengths == 0

    def _checksum(self) -> int:
        return zlib.crc32(b"".join(np.ascontiguousarray(leaf).tobytes() for leaf in leaves(self.raw_observations)))

    def _check_masked_reset(self, before: ObsType, which: NDArray[np.bool_]) -> None:
        self._checks.masked_resets -= 1
        for old, new in zip(leaves(before), leaves(self.raw_observations), strict=True):
            if not np.array_equal(old[~which], new[~which], equal_nan=old.dtype.kind == "f"):
                raise EnvironmentContractError(
                    f"{self.env} does not honour reset(options={{'reset_mask': mask}}): environments outside the mask "
                    f"changed. {_MAKE_SYNC}"
                )


def _unmeasured(account: str) -> None:
    """Nobody listens."""


def act(actor: Actor, observations: ObsType, first: NDArray[np.bool_], action_masks: Callable[[], Any]) -> ActType:
    """Return an actor's actions; one that is `masked` is also given the action masks, where there are any."""
    masks = action_masks() if getattr(actor, "masked", False) else None
    if masks is None:
        return actor(observations, first)
    return actor(observations, first, masks)  # type: ignore[call-arg] # as the word Actor says


def has_method(env: Any, name: str) -> bool:
    """Return whether the environments that a vector environment is made of have a method of a name."""
    inner = env.unwrapped
    if hasattr(inner, "envs"):
        return bool(inner.envs[0].has_wrapper_attr(name))
    if not hasattr(inner, "env_fns"):
        return False
    return bool(inner.call("has_wrapper_attr", name)[0])


def _where(which: NDArray[np.bool_], seeds: list[int]) -> list[int | None]:
    return [seed if chosen else None for seed, chosen in zip(seeds, which, strict=True)]
