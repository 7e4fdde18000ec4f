"""Modules that read observations: the Nature CNN on images, a perceptron on everything else, or the user's own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from gymnasium import Space
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete
from torch import Tensor, nn

from rlhub_core import ConfigError, SpaceError
from rlhub_core.errors import squeezed
from rlhub_core.memory import Held, check_run
from rlhub_deep.noisy import NoisyLinear
from rlhub_deep.perceptron import Constant, Perceptron, Separate

Factory = Callable[[Space[Any], int], nn.Module]
"""`factory(observation_space, outputs)` returns a module that maps observations [B, ...] to outputs [B, outputs]."""

Activation = Literal["relu", "tanh", "elu"]
ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "tanh": nn.Tanh, "elu": nn.ELU}
Initialization = Literal["he", "xavier", "orthogonal", "pytorch"]
SMALLEST_IMAGE = 36  # pixels a side: what the Nature CNN's strides leave something of


class Image(nn.Module):
    """Images as they come -> channels first, pixels as they are."""

    def __init__(self, space: Space[Any]) -> None:
        super().__init__()
        self.channels_last, self.stacked = _channels_last(space), len(space.shape or ()) == 4
        self.channels = int(self(torch.zeros(1, *(space.shape or ()))).shape[1])

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, ...] to [B, C, H, W]."""
        if self.channels_last:
            images = images.movedim(-1, -3)
        return images.flatten(1, 2) if self.stacked else images  # [B, k, C, H, W]: k images in colour


class PixelConv(nn.Conv2d):
    """A convolution of pixels 0..255 that behaves as one of pixels 0..1.

    It divides its few weights by 255 instead of every pixel; and 0..255 are whole in bfloat16, their 255ths are not.
    Memory holds the channels of a pixel side by side from here on, with which all convolutions are quicker.
    """

    def __init__(self, space: Space[Any], channels: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__(channels, outputs, kernel, stride)
        self.scale = 1 / 255 if space.dtype == "uint8" else 1.0

    def forward(self, pixels: Tensor) -> Tensor:
        """Map [B, C, H, W] of any type."""
        weight = self.weight * self.scale if self.scale != 1.0 else self.weight
        pixels = pixels.movedim(1, -1).contiguous().movedim(-1, 1).to(weight.dtype)  # channels last, for vmap too
        return nn.functional.conv2d(pixels, weight, self.bias, self.stride)


class ImageNorm(nn.LayerNorm):
    """Layer normalisation of images, over all of their pixels and channels."""

    def __init__(self, channels: int, height: int, width: int) -> None:
        super().__init__((height, width, channels))

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, C, H, W]."""
        return super().forward(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Flatten(nn.Module):
    """Images -> one row each, pixel by pixel as memory has them."""

    def forward(self, images: Tensor) -> Tensor:
        """Map [B, C, H, W] to [B, H W C]."""
        return images.permute(0, 2, 3, 1).flatten(1)


class Flat(nn.Module):
    """Observations that are no images -> one row of floats each: classes one-hot, bytes in 0..1."""

    starts: Tensor  # of every class's numbers

    def __init__(self, space: Space[Any]) -> None:
        super().__init__()
        if not isinstance(space, (Box, Discrete, MultiDiscrete, MultiBinary)):
            raise SpaceError(
                f"A network cannot read {squeezed(space)}: only Box, Discrete, MultiDiscrete, MultiBinary."
            )
        self.classes: list[int] = []
        if isinstance(space, Discrete):
            self.classes, starts = [int(space.n)], [int(space.start)]
        elif isinstance(space, MultiDiscrete):
            self.classes, starts = space.nvec.flatten().tolist(), space.start.flatten().tolist()
        if self.classes:
            self.register_buffer("starts", torch.tensor(starts), persistent=False)
        self.scale = 1 / 255 if isinstance(space, Box) and space.dtype == "uint8" else 1.0
        self.plain = not self.classes and self.scale == 1.0  # it only flattens
        self.features = int(self(torch.as_tensor(space.sample())[None]).shape[1])

    def forward(self, observations: Tensor) -> Tensor:
        """Map [B, ...] to [B, features]."""
        if self.classes:
            columns = (observations.reshape(len(observations), -1).long() - self.starts).unbind(1)
            return torch.cat(
                [nn.functional.one_hot(c, n) for c, n in zip(columns, self.classes, strict=True)], 1
            ).float()
        inputs = observations.float()
        if inputs.ndim != 2:
            inputs = inputs.reshape(len(inputs), -1)
        return inputs * self.scale if self.scale != 1.0 else inputs


class Streams(nn.Module):
    """Several heads side by side on the same features: of a dueling network, the state's value and the advantages."""

    def __init__(self, heads: Sequence[nn.Module]) -> None:
        super().__init__()
        self.heads = nn.ModuleList(heads)

    def forward(self, features: Tensor) -> Tensor:
        """Map [B, features] to [B, outputs of all heads]."""
        return torch.cat([head(features) for head in self.heads], 1)


class Mixed(nn.Module):
    """Observations of several kinds by name: images through convolutions each, the rest as it is, in one row."""

    def __init__(self, space: Dict, layer_norm: bool) -> None:
        super().__init__()
        self.names = list(space)  # some of which a ModuleDict would not take
        self.parts = nn.ModuleList(features(part, layer_norm) for part in space.values())

    def forward(self, observations: dict[str, Tensor]) -> Tensor:
        """Map a dict of [B, ...] to [B, features]."""
        parts = zip(self.names, self.parts, strict=True)
        return torch.cat([part(observations[name]).float() for name, part in parts], 1)


def convolutions(space: Space[Any], layer_norm: bool) -> nn.Sequential:
    """Return the convolutions of Mnih et al. (2015), table 1, for images of any size from 36 × 36 on."""
    image = Image(space)
    layers: list[nn.Module] = [image]
    for convolution in (
        PixelConv(space, image.channels, 32, 8, 4),
        nn.Conv2d(32, 64, 4, 2),
        nn.Conv2d(64, 64, 3, 1),
    ):
        layers.append(convolution)
        if layer_norm:
            layers.append(ImageNorm(*nn.Sequential(*layers)(torch.zeros(1, *(space.shape or ()))).shape[1:]))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, Flatten())


def features(space: Space[Any], layer_norm: bool = False) -> nn.Module:
    """Return a module that maps observations [B, ...] to features [B, n]."""
    if isinstance(space, Dict):
        return Mixed(space, layer_norm)
    return convolutions(space, layer_norm) if is_image(space) else Flat(space)


def make_module(
    space: Space[Any],
    heads: Sequence[int],
    *,
    hidden_sizes: Sequence[int] | None = None,
    activation: Activation = "relu",
    layer_norm: bool = False,
    noisy: bool = False,
    initialization: Initialization | None = None,
    factory: Factory | None = None,
    seed: int,
) -> nn.Module:
    """Return a module from observations [B, ...] to outputs [B, sum(heads)], its weights drawn from `seed` alone.

    On images it is the Nature CNN, whose hidden layer each head has for itself (Wang et al. 2016, section 4.2); on
    anything else a perceptron, whose heads share all hidden layers.

    Args:
        space: of one observation.
        heads: outputs of each head: one, or value and advantages of a dueling network.
        hidden_sizes: units of the hidden layers (default: 512 on images, else 64 and 64).
        activation: of the hidden layers; convolutions have ReLU.
        layer_norm: normalise before every activation.
        noisy: noisy linear layers (Fortunato et al. 2018).
        initialization: of the weights, with biases of zero; "he" leaves the last layer, and all leave noisy layers, as
            they are. Default: "he" on images, else "pytorch". With PyTorch's own, six times smaller in variance a
            layer, the values of different Breakout screens differ by 0.0006 at first, and units die untaught.
        factory: the user's own, in place of all that.
        seed: of the weights.

    Raises:
        ConfigError: where the user's module gives outputs of another shape, naming both, or is to be noisy and is not.
        SpaceError: for observations of other kinds.
    """
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if factory is not None:
            return _checked(factory(space, sum(heads)), space, sum(heads), noisy)
        images = has_images(space)
        sizes = list(hidden_sizes if hidden_sizes is not None else (512,) if images else (64, 64))
        encode = features(space, layer_norm)
        width = int(encode(example(space)).shape[1])
        _check_fits([width, *sizes], len(heads) if images else 1)
        linear = NoisyLinear if noisy else nn.Linear

        def tail(outputs: int) -> nn.Sequential:
            layers = _hidden([width, *sizes], activation, layer_norm, linear)
            return nn.Sequential(*layers, linear([width, *sizes][-1], outputs))

        if not (images or layer_norm or noisy):
            module: nn.Module = Perceptron(encode, [width, *sizes, sum(heads)], activation)
        elif images and len(heads) > 1:
            module = nn.Sequential(encode, Streams([tail(outputs) for outputs in heads]))
        else:
            module = nn.Sequential(encode, *tail(sum(heads)))
        _initialize(module, initialization or ("he" if images else "pytorch"))
    return module


class Head(NamedTuple):
    """What `make_heads` is asked for."""

    outputs: int
    gain: float = 1.0  # of its last layer, where that is initialised orthogonally
    constant: float | None = None  # what its outputs begin as, if they are to depend on no observation


def make_heads(
    space: Space[Any],
    heads: Sequence[Head],
    *,
    hidden_sizes: Sequence[int] | None = None,
    activation: Activation = "tanh",
    layer_norm: bool = False,
    initialization: Initialization | None = None,
    share_hidden: bool = True,
    factory: Factory | None = None,
    option: str = "network",
    seed: int,
) -> nn.Module:
    """Return a module from observations [B, ...] to the outputs of several heads, its weights drawn from `seed` alone.

    On images the heads share all but their last layer (Mnih et al. 2016, section 5.1), or the convolutions alone, and
    hidden layers have ReLU; on anything else they share nothing.

    Args:
        space: of one observation.
        heads: a policy's and a value's, two critics', ….
        hidden_sizes: units of the hidden layers (default: 512 on images, else 64 and 64).
        activation: of the hidden layers.
        layer_norm: normalise before every activation.
        initialization: of the weights, with biases of zero (default: "orthogonal", with the heads' gains).
        share_hidden: on images, the layers between convolutions and last ones too.
        factory: the user's own, in place of all that.
        option: what the factory is called in errors.
        seed: of the weights.

    Raises:
        ConfigError, SpaceError: as `make_module`.
    """
    widths = [head.outputs for head in heads]
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        if factory is not None:
            return _checked(factory(space, sum(widths)), space, sum(widths), False, option)
        images, encode = has_images(space), features(space, layer_norm)
        sizes = list(hidden_sizes if hidden_sizes is not None else (512,) if images else (64, 64))
        sizes = [int(encode(example(space)).shape[1]), *sizes]
        _check_fits(sizes, 1 if images and share_hidden else len(heads))

        def made(head: Head, of: Callable[[int], nn.Module]) -> Any:
            return of(head.outputs) if head.constant is None else Constant(torch.full((head.outputs,), head.constant))

        if images and share_hidden:
            last = [made(head, lambda outputs: nn.Linear(sizes[-1], outputs)) for head in heads]
            module: nn.Module = nn.Sequential(encode, *_hidden(sizes, "relu", layer_norm), Streams(last))
        elif images or layer_norm:

            def tail(outputs: int) -> nn.Module:
                between = _hidden(sizes, "relu" if images else activation, layer_norm)
                return nn.Sequential(*between, nn.Linear(sizes[-1], outputs))

            module = nn.Sequential(encode, Streams([made(head, tail) for head in heads]))
        else:

            def perceptron(outputs: int) -> nn.Module:
                return Perceptron(nn.Identity(), [*sizes, outputs], activation)

            module = Separate(encode, [made(head, perceptron) for head in heads], widths)
        gains = [head.gain for head in heads if head.constant is None]
        _initialize(module, initialization or "orthogonal", gains)
    return module


def output_layers(module: nn.Module) -> list[nn.Linear]:
    """Return the linear layers that nothing follows: the last one, or the last one of every stream."""
    split = [part for part in module.modules() if isinstance(part, (Streams, Separate))]
    ends = [list(head.modules())[-1] for part in split for head in part.heads]
    linear = [layer for layer in module.modules() if isinstance(layer, nn.Linear)]
    return [layer for layer in linear if any(layer is end for end in ends)] or linear[-1:]


def is_image(space: Space[Any]) -> bool:
    """Return whether a space is of images, large enough for the Nature CNN."""
    shape = space.shape or ()
    if not isinstance(space, Box) or len(shape) not in (3, 4):
        return False
    return min(shape[-3:-1] if _channels_last(space) else shape[-2:]) >= SMALLEST_IMAGE


def has_images(space: Space[Any]) -> bool:
    """Return whether a space is of images, or a Dict with some."""
    return any(map(has_images, space.values())) if isinstance(space, Dict) else is_image(space)


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


def to_tensors(observations: Any, device: torch.device) -> Any:
    """Return an array, or a dict of arrays, as tensors."""
    if isinstance(observations, dict):
        return {name: to_tensors(part, device) for name, part in observations.items()}
    return torch.as_tensor(observations, device=device)


def _checked(module: Any, space: Space[Any], outputs: int, noisy: bool, option: str = "network") -> nn.Module:
    if not isinstance(module, nn.Module):
        raise ConfigError(f"{option}: (observation space, outputs) must give a torch.nn.Module, not {module!r}.")
    try:
        given = tuple(module.eval()(example(space)).shape)
    except Exception as error:  # whatever a user's code raises
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise ConfigError(f"{option}: it cannot read one observation of {squeezed(space)}: {reason}") from error
    if given != (1, outputs):
        raise ConfigError(f"{option}: for one observation it must give shape {(1, outputs)}, not {given}.")
    if noisy and not any(isinstance(layer, NoisyLinear) for layer in module.modules()):
        raise ConfigError("noisy: your network has no noisy layer. Build it of rlhub_deep.noisy.NoisyLinear.")
    return module


def _check_fits(sizes: Sequence[int], copies: int) -> None:
    """Raise ConfigError where hidden layers take more memory than there is, before any is made: a kill says nothing."""
    weights = copies * sum(inputs * units for inputs, units in pairwise(sizes))
    needed = Held("weights, gradients, two moments", 16 * weights, "hidden_sizes")
    check_run([needed], f"A network of hidden_sizes={list(sizes[1:])}")


def _hidden(
    sizes: Sequence[int], activation: Activation, layer_norm: bool, linear: type[nn.Module] = nn.Linear
) -> list[nn.Module]:
    """Return layers from `sizes[0]` to `sizes[-1]` units, each with its activation."""
    layers: list[nn.Module] = []
    for inputs, units in pairwise(sizes):
        layers += [linear(inputs, units), *[nn.LayerNorm(units)] * layer_norm, ACTIVATIONS[activation]()]
    return layers


def _initialize(module: nn.Module, how: Initialization, gains: Sequence[float] | None = None) -> None:
    """Draw weights; orthogonal output layers have their `gains`, everything else that of ReLU."""
    last = output_layers(module)
    for layer in module.modules():
        if how == "pytorch" or isinstance(layer, NoisyLinear) or not isinstance(layer, (nn.Conv2d, nn.Linear)):
            continue
        if how == "he" and any(layer is end for end in last):
            continue  # no ReLU follows; small values at first
        if how == "he":
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        elif how == "xavier":
            nn.init.xavier_uniform_(layer.weight)
        else:
            ends = [] if gains is None else [gain for end, gain in zip(last, gains, strict=True) if layer is end]
            nn.init.orthogonal_(layer.weight, ends[0] if ends else 2**0.5)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)


def example(space: Space[Any]) -> Any:
    """Return a batch of one observation."""
    if isinstance(space, Dict):
        return {name: example(part) for name, part in space.items()}
    return torch.as_tensor(space.sample())[None]


def _channels_last(space: Space[Any]) -> bool:
    shape = (space.shape or ())[-3:]
    return len(shape) == 3 and shape[2] < min(shape[:2])
