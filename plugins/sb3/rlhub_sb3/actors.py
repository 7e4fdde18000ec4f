"""How a model acts: greedily, and exploring as in training."""

from __future__ import annotations

import copy
import random
from typing import TYPE_CHECKING, Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.noise import ActionNoise

from rlhub_core.actors import ACTION_VALUES, STATE_VALUE
from rlhub_sb3.streams import Streams

if TYPE_CHECKING:
    from rlhub_sb3.adapter import SB3Algorithm


class Greedy:
    """Acts by the mode of the policy; where that is recurrent, it remembers the running episodes."""

    def __init__(self, algorithm: SB3Algorithm) -> None:
        self.masked = algorithm._masked
        self._algorithm = algorithm
        self._state: Any = None  # of a recurrent policy

    def __call__(self, observations: Any, first: NDArray[np.bool_], action_masks: Any = None) -> Any:
        if np.all(first):
            self._state = None  # so that another number of environments may begin
        more = {"action_masks": action_masks} if self.masked else {}
        actions = self._actions(observations, first, **more)
        return actions.astype(self._algorithm.model.action_space.dtype, copy=False)

    def values(self, observations: Any) -> dict[str, NDArray[Any]]:
        """Return what the policy's network says of actions or states; nothing where it has none for that alone."""
        policy: Any = self._algorithm.model.policy
        policy.set_training_mode(False)  # as `predict` does
        with th.no_grad():
            seen, _ = policy.obs_to_tensor(observations)
            if hasattr(policy, "q_net"):
                return {ACTION_VALUES: policy.q_net(seen).cpu().numpy()}
            if hasattr(policy, "quantile_net"):
                return {ACTION_VALUES: policy.quantile_net(seen).mean(1).cpu().numpy()}
            if hasattr(policy, "predict_values") and not hasattr(policy, "lstm_actor"):  # which needs its memory
                return {STATE_VALUE: policy.predict_values(seen).flatten().cpu().numpy()}
        return {}

    def _actions(self, observations: Any, first: NDArray[np.bool_], **more: Any) -> NDArray[Any]:
        return self._predicted(observations, first, deterministic=True, **more)

    def _predicted(self, observations: Any, first: NDArray[np.bool_], **more: Any) -> NDArray[Any]:
        predict = self._algorithm.model.predict
        actions, self._state = predict(observations, state=self._state, episode_start=first, **more)
        return actions


class Explorer(Greedy):
    """Acts as in training, with generators and action noise of its own."""

    def __init__(self, algorithm: SB3Algorithm, seed: int) -> None:
        super().__init__(algorithm)
        own = random.Random(f"{seed}/explorer").getrandbits(31)
        self._streams, self._samples = Streams(own, algorithm.model.device), np.random.default_rng(own)
        self._noises: list[ActionNoise] = []  # of each environment

    def _actions(self, observations: Any, first: NDArray[np.bool_], **more: Any) -> NDArray[Any]:
        model = self._algorithm.model
        space = model.action_space
        trainings, space._np_random = space._np_random, self._samples
        try:
            with self._streams:
                actions = self._predicted(observations, first, deterministic=False, **more)
                return actions if model.action_noise is None else self._noisy(actions, first)
        finally:
            space._np_random = trainings

    def _noisy(self, actions: NDArray[Any], first: NDArray[np.bool_]) -> NDArray[Any]:
        policy, noise = self._algorithm.model.policy, self._algorithm.model.action_noise
        if len(self._noises) != len(actions):
            self._noises = [copy.deepcopy(getattr(noise, "base_noise", noise)) for _ in actions]  # type: ignore[misc]
        for each, begins in zip(self._noises, first, strict=True):
            if begins:
                each.reset()
        noisy = policy.scale_action(actions) + np.stack([each() for each in self._noises])
        return policy.unscale_action(np.clip(noisy, -1, 1))
