"""sb3-contrib's algorithms, one row each, with what each needs differently; `adapter` has what they have in common."""

from __future__ import annotations

from typing import Any

from gymnasium import spaces
from torch.nn.utils import parameters_to_vector

from rlhub_core import Collector, ConfigError, EnvironmentContractError, MissingExtraError, PluginError, SpaceError
from rlhub_sb3.adapter import SB3Algorithm
from rlhub_sb3.spaces import choices
from rlhub_sb3.vec_env import CollectorVecEnv

try:
    import sb3_contrib
    from sb3_contrib.common.recurrent.type_aliases import RNNStates
except ImportError as error:
    if isinstance(error, ModuleNotFoundError) and error.name == "sb3_contrib":
        raise MissingExtraError("sb3-contrib", "rlhub-sb3[contrib]") from error
    raise PluginError(
        f"sb3-contrib is installed but cannot be imported ({type(error).__name__}: {error}). "
        "Try: pip install --upgrade 'rlhub-sb3[contrib]'."
    ) from error


class _ARS(sb3_contrib.ARS):
    """sb3-contrib's, with a rollout's start announced before its perturbations are drawn, as in all other algorithms.

    Its weights are always those of its policy, and each step of the environments counts once; sb3-contrib counts it
    once for every environment that still plays (more than one only where `n_eval_episodes` is).
    """

    _counted: Any = None  # the observations of the step counted last

    def _do_one_update(self, callback: Any, async_eval: Any) -> None:
        callback.on_rollout_start()
        super()._do_one_update(callback, async_eval)

    def _trigger_callback(self, _locals: dict[str, Any], _globals: dict[str, Any], callback: Any, n_envs: int) -> None:
        if _locals["new_observations"] is not self._counted:
            self._counted = _locals["new_observations"]
            super()._trigger_callback(_locals, _globals, callback, n_envs)

    def set_parameters(self, *arguments: Any, **options: Any) -> None:
        super().set_parameters(*arguments, **options)  # on a CPU the policy shares their memory, elsewhere not
        self.weights: Any = parameters_to_vector(self.policy.parameters()).detach()


class ARS(SB3Algorithm, model=_ARS, policy="LinearPolicy"):
    """Augmented random search (Mania et al. 2018): each candidate plays whole episodes of its own."""

    def _attached(self, env: CollectorVecEnv, collector: Collector) -> None:
        env.resets = True


class CrossQ(SB3Algorithm, model=sb3_contrib.CrossQ):
    """Soft actor-critic with batch normalisation instead of target networks (Bhatt et al. 2024)."""


class MaskablePPO(SB3Algorithm, model=sb3_contrib.MaskablePPO, name="maskable_ppo", masked=True):
    """PPO that never takes an impossible action (Huang & Ontañón 2022)."""

    def _attached(self, env: CollectorVecEnv, collector: Collector) -> None:
        masks = collector.action_masks
        if masks is None:
            raise EnvironmentContractError(
                f"{self._name} needs an environment that tells which actions are possible: {collector.env} gives no "
                'info["action_mask"] and has no method action_masks. Without them, use sb3/ppo.'
            )
        wanted = choices(collector.single_action_space)
        if masks.shape != (collector.num_envs, wanted):
            raise EnvironmentContractError(
                f"{self._name}: the action mask of {collector.env} has shape {masks.shape[1:]}, not ({wanted},): one "
                f"number for each choice of {collector.single_action_space}, one dimension after the other."
            )


class QRDQN(SB3Algorithm, model=sb3_contrib.QRDQN):
    """Deep Q-network that learns the return's quantiles (Dabney et al. 2018)."""


class RecurrentPPO(SB3Algorithm, model=sb3_contrib.RecurrentPPO, name="recurrent_ppo", policy="{}LstmPolicy"):
    """PPO whose policy and value remember the episode so far in an LSTM."""

    def _check(self) -> None:
        parts = self._spaces[0].spaces if isinstance(self._spaces[0], spaces.Dict) else {}
        lists = [name for name, part in parts.items() if isinstance(part, spaces.MultiDiscrete)]
        if lists:  # torch's LSTM refuses the numpy integer that Stable-Baselines3 gives for their size
            raise SpaceError(f"{self._name} cannot use the MultiDiscrete observations {lists}. Flatten them.")

    def _memory(self) -> Any:
        return tuple(map(tuple, self._model._last_lstm_states))  # type: ignore[attr-defined] # of actor, of critic

    def _remember(self, memory: Any) -> None:
        self._model._last_lstm_states = RNNStates(*memory)  # type: ignore[attr-defined]


class TQC(SB3Algorithm, model=sb3_contrib.TQC):
    """Soft actor-critic whose critics' highest quantiles are left out (Kuznetsov et al. 2020)."""


class TRPO(SB3Algorithm, model=sb3_contrib.TRPO):
    """Trust region policy optimisation (Schulman et al. 2015)."""

    def _check(self) -> None:
        if isinstance(self._spaces[0], spaces.Dict) and self._config.sub_sampling_factor != 1:
            raise ConfigError(f"{self._name}: sub_sampling_factor must be 1 with Dict observations.")
