"""Environments and agents of Simple-DQN (Matiisen, 2015), and Gymnasium's environments as seen from there.

Its contract: `numActions()`, `restart()`, `act(action) -> reward`, `getScreen()`, `isTerminal()`, and where there is a
difference between the two, `setMode("train" | "test")`.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Literal

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.error import ResetNeeded
from numpy.typing import NDArray

from rlhub_core import Actor, ConfigError, EnvironmentContractError, SpaceError
from rlhub_legacy.contract import flag, limited, number
from rlhub_legacy.faults import described, wrong
from rlhub_legacy.randomness import OwnRandomness
from rlhub_legacy.screens import NoScreen, Screen, coloured, grey

NOOP = 0  # the action of every environment of Simple-DQN that lets time pass
Mode = Literal["train", "test"]


class SimpleDQN(gymnasium.Env[Screen, np.int64]):
    """A Simple-DQN environment as a Gymnasium environment that shows the last screens, uint8 [history, size, size].

    Each reset lets some time pass, as Simple-DQN's agent did: a number of actions 0 drawn from `history_length + 1`
    to `random_starts + 1`, their rewards lost. If the game ends meanwhile, another begins for the rest of them.

    In train mode a lost life ends an episode where their environment says so; their `restart` then goes on with the
    game. A reset with a seed begins a new game in either mode.

    Args:
        theirs: the environment, kept as `.theirs`.
        mode: given to their `setMode`, where there is one.
        history_length: screens in an observation, the newest last.
        random_starts: see above; None: no action before the first observation, in which all screens are the first.
        size: pixels; height and width of a screen.

    Raises:
        EnvironmentContractError: where a method of theirs returns something else than it should, naming it.
        ConfigError: for options that make no sense.
    """

    def __init__(
        self,
        theirs: Any,
        mode: Mode = "train",
        history_length: int = 4,
        random_starts: int | None = 30,
        size: int = 84,
    ) -> None:
        if history_length < 1 or size < 1:
            raise ConfigError(f"history_length and size must be at least 1, not {history_length} and {size}.")
        if random_starts is not None and random_starts < history_length:
            raise ConfigError(
                f"random_starts must be at least history_length, {history_length}, not {random_starts}; none: no "
                "action before the first observation."
            )
        self.theirs, self.mode, self.random_starts, self.size = theirs, mode, random_starts, size
        self._history_length = history_length
        self._randomness = OwnRandomness(theirs)
        with self._randomness():
            self._set_mode(mode)
            actions = theirs.numActions()
        if isinstance(actions, bool) or not isinstance(actions, int | np.integer) or actions < 1:
            raise wrong(theirs, "numActions()", actions, "a positive whole number")
        self.action_space = spaces.Discrete(int(actions))
        self.observation_space = spaces.Box(0, 255, (history_length, size, size), np.uint8)
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": 30}
        self.render_mode = "rgb_array"  # every environment has a screen
        self._screens: deque[Screen] = deque(maxlen=history_length)
        self._seeded = self._playing = False

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Screen, dict[str, Any]]:
        """Begin an episode, with a seed in a new game; options are nothing that theirs knows."""
        super().reset(seed=seed)
        if seed is not None or not self._seeded:  # some make their generator only when they are seeded
            self._randomness.seed(int(self.np_random.integers(2**31)) if seed is None else seed)
            self._seeded = True
        with self._randomness():
            if seed is not None:
                self._set_mode("test")  # in which their restart begins a new game whatever came before
            self.theirs.restart()
            if seed is not None:
                self._set_mode(self.mode)
        self._let_time_pass()
        while len(self._screens) < self._history_length:
            self._look()
        self._playing = True
        return np.array(self._screens), {}

    def step(self, action: Any) -> tuple[Screen, float, bool, bool, dict[str, Any]]:
        """Act, and look at what comes of it."""
        if not self._playing:
            raise ResetNeeded("There is no game to act in: call reset() first.")
        call = f"act({int(action)})"
        late = limited(self.theirs)
        with self._randomness():
            reward = number(self.theirs, call, self.theirs.act(int(action)))
            over = flag(self.theirs, "isTerminal()", self.theirs.isTerminal())
        cut = over and self._cut_off(late)
        self._look()
        return np.array(self._screens), reward, over and not cut, cut, {}

    def render(self) -> Screen:
        """Return their screen as it is, uint8 [height, width, 3]."""
        with self._randomness():
            screen = self.theirs.getScreen()
        self._grey(screen)
        return coloured(screen)

    def close(self) -> None:
        """Close theirs, where it can be closed."""
        close = getattr(self.theirs, "close", None)
        if callable(close):
            close()

    def _set_mode(self, mode: Mode) -> None:
        if callable(getattr(self.theirs, "setMode", None)):
            self.theirs.setMode(mode)

    def _let_time_pass(self) -> None:
        """Fill the history with what passes before the episode begins."""
        self._screens.clear()
        if self.random_starts is None:
            return
        for _ in range(self.np_random.integers(self._history_length, self.random_starts + 1) + 1):
            with self._randomness():
                number(self.theirs, f"act({NOOP})", self.theirs.act(NOOP))
                over = flag(self.theirs, "isTerminal()", self.theirs.isTerminal())
                if over:
                    self.theirs.restart()
            if over:
                self._screens.clear()
            self._look()

    def _look(self) -> None:
        with self._randomness():
            screen = self.theirs.getScreen()
        self._screens.append(self._grey(screen))

    def _grey(self, screen: Any) -> Screen:
        try:
            return grey(screen, self.size, self.size)
        except NoScreen as error:
            raise wrong(self.theirs, "getScreen()", screen, str(error)) from None

    def _cut_off(self, late: bool) -> bool:
        """Return whether a game that is over was cut off: as `isTruncated` tells, else by a time limit within.

        Args:
            late: whether the limit had been reached before, and nobody minded.
        """
        tell = getattr(self.theirs, "isTruncated", None)
        return flag(self.theirs, "isTruncated()", tell()) if callable(tell) else limited(self.theirs) and not late


class GymEnvironment:
    """A Gymnasium environment as Simple-DQN knows one.

    In train mode a lost life (`info["lives"]`) is terminal, and `restart` then goes on with the game. Beside their
    contract it has `isTruncated()`, for who wants to tell a time limit from an end.

    Args:
        env: with actions that are counted, and pictures as observations, or else `render_mode="rgb_array"`.
        screen_width, screen_height: pixels of what `getScreen` returns.
        seed: of the first restart.

    Raises:
        SpaceError: for other actions, or an environment that shows no pictures.
    """

    def __init__(
        self,
        env: gymnasium.Env[Any, Any],
        screen_width: int = 84,
        screen_height: int = 84,
        seed: int | None = None,
    ) -> None:
        if not isinstance(env, gymnasium.Env):
            raise ConfigError(f"GymEnvironment goes around a Gymnasium environment, not {env!r}: make that first.")
        if not isinstance(env.action_space, spaces.Discrete):
            raise SpaceError(f"Simple-DQN chooses among actions that are counted; {env} has {env.action_space}.")
        self.gym = env
        self._shape = screen_height, screen_width
        self._seed, self._mode = seed, "train"
        self._observed = _is_picture(env.observation_space)
        if not self._observed and env.render_mode != "rgb_array":
            raise SpaceError(
                f'{env} shows {env.observation_space}, which is no picture. Make it with render_mode="rgb_array".'
            )
        self._picture: Any = None
        self._lives: Any = None
        self._terminated = self._truncated = self._life_lost = False

    def numActions(self) -> int:
        """Return how many actions there are."""
        return int(self.gym.action_space.n)  # type: ignore[attr-defined]

    def seed(self, seed: int) -> None:
        """Seed the next restart that begins a game."""
        self._seed = seed

    def setMode(self, mode: Mode) -> None:
        """Let a lost life be terminal ("train") or not ("test")."""
        if mode not in ("train", "test"):
            raise ConfigError(f"The mode is 'train' or 'test', not {mode!r}.")
        self._mode = mode

    def restart(self) -> None:
        """Begin a new game; in train mode, after a lost life, go on with the game instead."""
        if self._life_lost and self._mode == "train" and not (self._terminated or self._truncated):
            self._life_lost = False
            return
        observation, info = self.gym.reset(seed=self._seed)
        self._seed = None
        self._take(observation, info)
        self._terminated = self._truncated = self._life_lost = False

    def act(self, action: int) -> float:
        """Take an action and return its reward."""
        if self._picture is None:
            raise ResetNeeded("There is no game to act in: call restart() first.")
        observation, reward, self._terminated, self._truncated, info = self.gym.step(
            action + self.gym.action_space.start  # type: ignore[attr-defined]
        )
        before = self._lives
        self._take(observation, info)
        self._life_lost = before is not None and self._lives is not None and self._lives < before
        return float(reward)

    def getScreen(self) -> Screen:
        """Return the newest screen, uint8 [screen_height, screen_width]."""
        if self._picture is None:
            raise ResetNeeded("There is nothing to see: call restart() first.")
        return _screen(self._picture, *self._shape)

    def isTerminal(self) -> bool:
        """Return whether the game is over or cut off, or in train mode a life was lost."""
        return self._terminated or self._truncated or (self._life_lost and self._mode == "train")

    def isTruncated(self) -> bool:
        """Return whether the game was cut off and could have gone on."""
        return self._truncated and not self._terminated

    def close(self) -> None:
        """Close the environment."""
        self.gym.close()

    def _take(self, observation: Any, info: dict[str, Any]) -> None:
        self._picture = _newest(observation) if self._observed else self.gym.render()
        self._lives = info.get("lives")


class GymAgent:
    """Plays as Simple-DQN's agent for Gym did: from the last screens, one action in twenty at random.

    Args:
        subject: a run, or an actor.
        num_actions: how many there are to draw from; a run knows.
        history_length: screens that the actor sees, and steps of a game that are random before it is asked.
        exploration_rate: probability of a random action.
        size: pixels; height and width of a screen.
        seed: of the random actions.

    Raises:
        ConfigError: for an actor without `num_actions`.
    """

    def __init__(
        self,
        subject: Any,
        num_actions: int | None = None,
        history_length: int = 4,
        exploration_rate: float = 0.05,
        size: int = 84,
        seed: int = 0,
    ) -> None:
        num_actions = getattr(getattr(subject, "action_space", None), "n", None) if num_actions is None else num_actions
        if num_actions is None or num_actions < 1:
            raise ConfigError("An actor does not tell how many actions there are: GymAgent(actor, num_actions=4).")
        self.num_actions = int(num_actions)
        self.history_length, self.exploration_rate = history_length, exploration_rate
        self._actor: Actor = subject.actor() if callable(getattr(subject, "actor", None)) else subject
        self._memory = np.zeros((1, history_length, size, size), np.uint8)
        self._rng = np.random.default_rng(seed)

    def add(self, observation: Any) -> None:
        """Remember a screen, uint8 in grey or RGB of any size, and forget the oldest."""
        self._memory[:, :-1] = self._memory[:, 1:]
        self._memory[:, -1] = _screen(_newest(observation), *self._memory.shape[2:])

    def get_action(self, t: int, observation: Any) -> int:
        """Return an action.

        Args:
            t: steps of the game so far.
            observation: the newest screen.
        """
        self.add(observation)
        if t < self.history_length or self._rng.random() < self.exploration_rate:
            return int(self._rng.integers(self.num_actions))
        first: NDArray[np.bool_] = np.array([t == self.history_length])
        return int(self._actor(self._memory.copy(), first)[0])


def _screen(picture: Any, height: int, width: int) -> Screen:
    try:
        return grey(picture, height, width)
    except NoScreen as error:
        raise EnvironmentContractError(f"The observation is {described(picture)}; expected {error}.") from None


def _is_picture(space: Any) -> bool:
    return isinstance(space, spaces.Box) and space.dtype == np.uint8 and len(space.shape) in (2, 3)


def _newest(observation: Any) -> Any:
    """Return the newest of stacked screens [k, h, w], or what is one screen."""
    stacked = np.ndim(observation) == 3 and np.shape(observation)[2] not in (1, 3)
    return observation[-1] if stacked else observation
