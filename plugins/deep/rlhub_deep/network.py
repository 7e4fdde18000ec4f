"""A module with its weights in one flat tensor, trained by one optimiser, in fp32 or with a bf16 working copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from inspect import signature, unwrap
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rlhub_core import ConfigError, NonFiniteError
from rlhub_core.config import split_name
from rlhub_core.errors import did_you_mean, listed
from rlhub_deep.modules import output_layers, to_tensors
from rlhub_deep.noisy import NoisyLinear, draw_noise
from rlhub_deep.perceptron import ArrayFunction, Perceptron, Separate
from rlhub_deep.saving import to_torch, to_tree

Precision = Literal["fp32", "bf16"]
OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    "adam": torch.optim.Adam,
    "nadam": torch.optim.NAdam,
    "radam": torch.optim.RAdam,
    "rmsprop": torch.optim.RMSprop,
    "sgd": torch.optim.SGD,
}
ROUNDED = (nn.Linear, nn.modules.conv._ConvNd, nn.LayerNorm)  # layers that may compute in bf16
FEW = 16  # observations, for which numpy is faster
FUSED = (torch.optim.Adam, torch.optim.SGD)  # one pass over the weights instead of several


class Network:
    """A module whose weights, in fp32, are one flat tensor, and so are their gradients.

    Copying, averaging, clipping and optimising are then one operation each, whatever the layers. With "bf16" the layers
    of `ROUNDED`, all but the last, compute with a copy of their weights that is rounded to bfloat16 after every step:
    gradients of 16 bits move weights of 32. The last layer stays in fp32 because values rounded to three
    digits would tie actions.

    Args:
        module: maps observations [B, ...] to outputs [B, ...].
        precision: of its matrix products.
        given: the module is a user's: it is in `eval` mode except while it learns (dropout, batch normalisation).
        seed: of what a user's module draws from torch while it learns.
        shared: processes that are forked from this one read and write the same weights.

    Raises:
        ConfigError: where "bf16" is asked for and a user's module has layers that do not take it.
    """

    def __init__(
        self,
        module: nn.Module,
        precision: Precision = "fp32",
        *,
        given: bool = False,
        seed: int = 0,
        shared: bool = False,
    ) -> None:
        self.module, self.precision, self.given = module.eval(), precision, given
        self.seed, self.recorded = seed, 0
        if given and precision == "bf16":
            _check_layers(module)
        self.parameters = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.weights = torch.cat([parameter.detach().flatten().float() for parameter in self.parameters])
        if shared:
            self.weights.share_memory_()  # type: ignore[no-untyped-call] # before anything looks at where they are
        self.gradient = torch.zeros_like(self.weights)
        self._gradients = self._views(self.gradient)
        self._outputs: Tensor | None = None
        self._action: Tensor | None = None
        self._noisy = any(isinstance(layer, NoisyLinear) for layer in module.modules())
        rounded = _round_inputs(module) if precision == "bf16" else set()
        self._copies: list[tuple[Tensor, Tensor]] = []  # bf16, the fp32 it is rounded from
        for parameter, weight in zip(self.parameters, self._views(self.weights), strict=True):
            parameter.data = weight
            if id(parameter) in rounded:
                parameter.data = weight.bfloat16()
                self._copies.append((parameter.data, weight))
        self._by_hand = isinstance(module, (Perceptron, Separate)) and not list(module.encode.parameters())
        in_numpy = self._by_hand and precision == "fp32" and not self.weights.is_cuda
        self._in_numpy: ArrayFunction | None = module.of_arrays() if in_numpy else None  # type: ignore[operator]

    def __call__(self, observations: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Return outputs without gradients; noisy layers draw from `rng`, or are silent where there is none."""
        if self._noisy:
            draw_noise(self.module, rng)
        return self.again(observations)

    def again(self, observations: Any) -> Tensor:
        """Return outputs without gradients, with whatever noise was drawn last."""
        with torch.no_grad():
            outputs: Tensor = self.module(observations)
        return outputs.float()

    def of_arrays(self, observations: Any, rng: np.random.Generator | None = None) -> NDArray[np.float32]:
        """Return outputs as an array, of observations that are arrays."""
        if self._in_numpy is not None and len(observations) <= FEW:
            return self._in_numpy(observations)
        outputs: NDArray[np.float32] = self(to_tensors(observations, self.weights.device), rng).cpu().numpy()
        return outputs

    def record(self, observations: Any, rng: np.random.Generator | None = None) -> Tensor:
        """Return outputs, detached, and remember what `backward` needs."""
        if self._noisy:
            draw_noise(self.module, rng)
        if self._by_hand:
            return self.module.record(observations)  # type: ignore[operator,no-any-return]
        outputs = self._learning(observations) if self.given else self.module(observations)
        self._outputs = outputs.float()
        return self._outputs.detach()

    def record_actions(self, observations: dict[str, Any], heads: int | None = None) -> Tensor:
        """Return a critic's outputs [B, heads], detached, and remember what `action_gradient` needs.

        Args:
            observations: {"action": [B, n], "observation": …}.
            heads: only the first so many; none: all.
        """
        self._action = observations["action"].detach()
        if isinstance(self.module, Separate) and not self.given:
            return self.module.record(observations, heads)
        observations = {**observations, "action": self._action.requires_grad_()}
        outputs = self._learning(observations) if self.given else self.module(observations)
        self._outputs = outputs.float()[:, :heads]
        return self._outputs.detach()

    def backward(self, gradient: Tensor) -> None:
        """Write `self.gradient`, given the gradient of the loss with respect to the recorded outputs."""
        if self._by_hand:
            self.module.backward(gradient, self._gradients)  # type: ignore[operator]
            return
        assert self._outputs is not None
        given: Sequence[Tensor | None] = torch.autograd.grad(
            self._outputs, self.parameters, gradient, allow_unused=True
        )
        self._outputs = None
        for flat, each in zip(self._gradients, given, strict=True):
            if each is None:
                flat.zero_()
            else:
                flat.copy_(each)

    def action_gradient(self, gradient: Tensor) -> Tensor:
        """Return the gradient of the loss [B, n] with respect to the actions that were recorded.

        Args:
            gradient: [B, heads] of the loss with respect to the recorded outputs.
        """
        assert self._action is not None
        if isinstance(self.module, Separate) and not self.given:  # "action" is first, in alphabetical order
            return self.module.backward_to_inputs(gradient, self._action.shape[1])
        assert self._outputs is not None
        (found,) = torch.autograd.grad(self._outputs, self._action, gradient)
        self._outputs = None
        return found

    def _learning(self, observations: Any) -> Tensor:
        """Return the outputs of a user's module in training mode; what it draws follows from the seed and the count."""
        self.recorded += 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed((self.seed + self.recorded) % 2**63)
            self.module.train()
            outputs: Tensor = self.module(observations)
            self.module.eval()
        return outputs

    def unrecord(self) -> None:
        """Take back the count of the last recording, of an update that is not to have been."""
        self.recorded -= self.given

    def named_gradients(self) -> dict[str, NDArray[np.float32]]:
        """Return copies of the gradients, "gradient/layers.0.weight" and so on."""
        names = (name for name, parameter in self.module.named_parameters() if parameter.requires_grad)
        return {
            f"gradient/{name}": each.cpu().numpy().copy() for name, each in zip(names, self._gradients, strict=True)
        }

    def round(self) -> None:
        """Round the working copy anew, after `weights` have changed."""
        for low, weight in self._copies:
            low.copy_(weight)

    def follow(self, other: Network, tau: float = 1.0) -> None:
        """Become a copy of another network of this kind, or move the share `tau` of the way to it (Polyak)."""
        if tau == 1.0:
            self.weights.copy_(other.weights)
        else:
            self.weights.lerp_(other.weights, tau)
        for mine, theirs in zip(self.module.buffers(), other.module.buffers(), strict=True):
            mine.copy_(theirs)
        self.round()

    def copy(self) -> Network:
        """Return a second network with the same weights."""
        twin = Network(copy.deepcopy(self.module), self.precision, given=self.given, seed=self.seed)
        twin.follow(self)
        return twin

    def state(self) -> dict[str, Any]:
        """Return weights and buffers, as `restore` takes them."""
        buffers = to_tree(list(self.module.buffers()))
        return {"weights": to_tree(self.weights), "buffers": buffers, "recorded": self.recorded}

    def restore(self, saved: dict[str, Any]) -> None:
        """Become the network whose `state` was taken."""
        self.weights.copy_(torch.from_numpy(saved["weights"]))
        self.recorded = saved["recorded"]
        for mine, theirs in zip(self.module.buffers(), saved["buffers"], strict=True):
            mine.copy_(torch.from_numpy(theirs))
        self.round()

    def _views(self, flat: Tensor) -> list[Tensor]:
        pieces = torch.split(flat, [parameter.numel() for parameter in self.parameters])
        return [piece.view(each.shape) for piece, each in zip(pieces, self.parameters, strict=True)]


class Optimizer:
    """An optimiser of torch's, written as `name:option=value,…`, for the weights of one network.

    Args:
        network: whose `weights` it changes.
        written: "adam", "rmsprop:alpha=0.95,eps=0.01,centered=true": names of `OPTIMIZERS`, options of torch.

    Raises:
        ConfigError: for an unknown optimiser or option, or a value that torch refuses.
    """

    def __init__(self, network: Network, written: str) -> None:
        name, options = split_name(written)
        if name not in OPTIMIZERS:
            raise ConfigError(
                f"optimizer: {name!r} is unknown.{did_you_mean(name, OPTIMIZERS)} There are: {listed(OPTIMIZERS)}."
            )
        kind = OPTIMIZERS[name]
        known = [option for option in signature(kind).parameters if option not in ("params", "lr", "fused")]
        for option in options:
            if option not in known:
                raise ConfigError(f"optimizer: {name} has no option {option!r}. It has: {listed(known)}.")
        if kind in FUSED:
            options["fused"] = True
        self.network = network
        self._parameter = nn.Parameter(network.weights)
        self._parameter.grad = network.gradient
        try:
            self._optimizer = kind([self._parameter], **options)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigError(f"optimizer: {written!r} cannot be made: {str(error).rstrip('.')}.") from error
        self._step = unwrap(kind.step)  # torch's hooks for profilers take as long as a step of a small network

    def step(self, learning_rate: float, max_grad_norm: float | None) -> float:
        """Scale the gradient down to a norm, take one step, and return the norm it had.

        Raises:
            NonFiniteError: where that is no finite number, before anything has changed.
        """
        network = self.network
        norm: float = torch.linalg.vector_norm(network.gradient).item()
        if not math.isfinite(norm):
            found = {"gradient_norm": norm, **network.named_gradients()}
            raise NonFiniteError(f"the gradient's norm is {norm:g}", found=found)
        if max_grad_norm is not None and norm > max_grad_norm:
            network.gradient.mul_(max_grad_norm / norm)
        self._optimizer.param_groups[0]["lr"] = learning_rate
        with torch.no_grad():
            self._step(self._optimizer)
        network.round()
        return norm

    def share(self) -> None:
        """Have what it remembers in memory that processes forked from this one read and write."""
        if not self._optimizer.state:  # torch makes it in the first step: here is one of length 0
            self.network.gradient.zero_()
            self.step(0.0, None)
        for moments in self._optimizer.state.values():
            for moment in moments.values():
                moment.share_memory_()

    def state(self) -> dict[str, Any]:
        """Return its moments, as `restore` takes them."""
        return to_tree(self._optimizer.state_dict())  # type: ignore[no-any-return]

    def restore(self, saved: dict[str, Any]) -> None:
        """Become the optimiser whose `state` was taken."""
        self._optimizer.load_state_dict(to_torch(saved))


def _check_layers(module: nn.Module) -> None:
    layers = [layer for layer in module.modules() if list(layer.parameters(recurse=False))]
    known = (*ROUNDED, nn.modules.batchnorm._BatchNorm, nn.GroupNorm)
    others = [type(layer).__name__ for layer in layers if not isinstance(layer, known) and _is_torchs(layer)]
    if others:
        raise ConfigError(
            "precision: of torch's layers bf16 takes Linear, Conv, LayerNorm, BatchNorm and GroupNorm; your network "
            f"has {others[0]}. Use precision=fp32."
        )


def _is_torchs(layer: nn.Module) -> bool:
    return type(layer).__module__.startswith("torch.")


def _round_inputs(module: nn.Module) -> set[int]:
    """Make layers take inputs of their weights' type; return which weights to round: all but the last layer's."""
    layers = [layer for layer in module.modules() if isinstance(layer, ROUNDED)]
    kept = output_layers(module)
    for layer in layers:
        if _take_own_type not in layer._forward_pre_hooks.values():
            layer.register_forward_pre_hook(_take_own_type)
    return {id(weight) for layer in layers if not any(layer is last for last in kept) for weight in layer.parameters()}


def _take_own_type(layer: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(given.to(layer.weight.dtype) for given in inputs)  # type: ignore[arg-type]
