"""Networks: the Nature CNN on images, a multi-layer perceptron on everything else, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from gymnasium import Space
from gymnasium.spaces import Box, Discrete
from torch import Tensor, nn

from rlhub_core import ConfigError

Factory = Callable[[Space[Any], int], nn.Module]
"""`factory(observation_space, outputs)` returns a module that maps observations [B, ...] to outputs [B, outputs]."""

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}
SMALLEST_IMAGE = 36  # pixels a side: what the Nature CNN's strides leave something of


class Encode(nn.Module):
    """Observations as they come -> what a network reads: floats, pixels in 0..1, channels first, one-hot classes."""

    def __init__(self, space: Space[Any]) -> None:
        super().__init__()
        self.classes = int(space.n) if isinstance(space, Discrete) else None
        self.start = int(space.start) if isinstance(space, Discrete) else 0
        self.channels_last = is_image(space) and _channels_last(space)
        self.stacked = is_image(space) and len(space.shape or ()) == 4
        self.scale = 1 / 255 if isinstance(space, Box) and space.dtype == "uint8" else 1.0

    def forward(self, observations: Tensor) -> Tensor:
        """Map [B, ...] to floats."""
        if self.classes is not None:
            return nn.functional.one_hot(observations.long() - self.start, self.classes).float()
        inputs = observations.float()
        if self.scale != 1.0:
            inputs = inputs * self.scale
        if self.stacked:  # [B, k, H, W, C]: a stack of colour images
            return inputs.permute(0, 1, 4, 2, 3).flatten(1, 2)
        return inputs.permute(0, 3, 1, 2) if self.channels_last else inputs


def nature_cnn(space: Space[Any], outputs: int) -> nn.Module:
    """Return the network of Mnih et al. (2015), table 1, for images of any size from 36 × 36 on.

    Hidden weights are drawn as He et al. (2015) derive for ReLU. With PyTorch's default, six times smaller in variance
    a layer, the values of different Breakout screens differ by 0.0006 at first, and units die untaught.
    """
    shape = space.shape or ()
    with torch.no_grad():
        channels = Encode(space)(torch.zeros(1, *shape)).shape[1]
    trunk = nn.Sequential(
        Encode(space),
        nn.Conv2d(channels, 32, 8, 4),
        nn.ReLU(),
        nn.Conv2d(32, 64, 4, 2),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, 1),
        nn.ReLU(),
        nn.Flatten(),
    )
    with torch.no_grad():
        features = trunk(torch.zeros(1, *shape)).shape[1]
    body = nn.Sequential(*trunk, nn.Linear(features, 512), nn.ReLU())
    for layer in body:
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return nn.Sequential(*body, nn.Linear(512, outputs))


def mlp(space: Space[Any], outputs: int, hidden_sizes: Sequence[int] = (64, 64), activation: str = "relu") -> nn.Module:
    """Return a multi-layer perceptron on flattened observations."""
    with torch.no_grad():
        size = Encode(space)(torch.as_tensor(space.sample())[None]).flatten(1).shape[1]
    layers: list[nn.Module] = [Encode(space), nn.Flatten()]
    for hidden in hidden_sizes:
        layers += [nn.Linear(size, hidden), ACTIVATIONS[activation]()]
        size = hidden
    return nn.Sequential(*layers, nn.Linear(size, outputs))


def make_network(
    space: Space[Any],
    outputs: int,
    *,
    factory: Factory | None,
    hidden_sizes: Sequence[int],
    activation: str,
    seed: int,
) -> nn.Module:
    """Return a network for an observation space, its weights drawn from `seed` alone.

    Raises:
        ConfigError: where the user's network gives outputs of another shape, naming both.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if factory is not None:
            network = factory(space, outputs)
        elif is_image(space):
            network = nature_cnn(space, outputs)
        else:
            network = mlp(space, outputs, hidden_sizes, activation)
        network.eval()
        with torch.no_grad():
            given = tuple(network(torch.as_tensor(space.sample())[None]).shape)
    if given != (1, outputs):
        raise ConfigError(f"network: for one observation it must give shape {(1, outputs)}, not {given}.")
    return network


def is_image(space: Space[Any]) -> bool:
    """Return whether a space is of images, large enough for the Nature CNN."""
    shape = space.shape or ()
    if not isinstance(space, Box) or len(shape) not in (3, 4):
        return False
    sides = shape[1:3] if len(shape) == 4 else shape[:2] if _channels_last(space) else shape[1:]
    return min(sides) >= SMALLEST_IMAGE


def _channels_last(space: Space[Any]) -> bool:
    shape = space.shape or ()
    return len(shape) == 3 and shape[2] < min(shape[:2])


def choose_device(name: str) -> torch.device:
    """Return the device of a name; "auto" is a GPU where there is one.

    Raises:
        ConfigError: for one that is unknown or not there.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"device {name!r} cannot be used here: {str(error).splitlines()[0]}") from error
