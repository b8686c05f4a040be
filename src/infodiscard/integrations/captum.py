"""SID and RU with Captum's verb: `SID(model, layer).attribute(inputs)`.

Nothing here needs Captum. It is for code that has Captum's methods in it already, its metrics and its visualisation.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence, Set
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from ..api.measure import measure
from ..api.run import Run
from ..core.kinds import find_layout
from ..core.metrics import METRICS
from ..core.settings import Settings
from ..data.inputs import network_cap
from ..errors import InfodiscardError, nearest
from ..networks.addresses import OUTPUT
from ..networks.network import Network
from ..networks.preserve import unwrap
from ..solver.entropy import GAUSSIAN_CONSTANT

OPTIONS = (
    *(name for name in Settings.names("quantity", "limit", "noise", "search") if name != "start"),
    "block",
)
"""What `attribute` takes for the solver, with the meaning and defaults that they have in `infodiscard.measure`."""

Tensors = torch.Tensor | tuple[torch.Tensor, ...]


def importance(discarded: torch.Tensor, spread: float = 1.0) -> torch.Tensor:
    """Converts a map of SID or RU to importance: high where the layer uses the pixel, 0 where it ignores it.

    It is the information through a channel that adds the map's noise to a Gaussian pixel, I_i = ½ log(1 + s²/σ_i²),
    with s the pixel's standard deviation and σ_i = exp(H_i − C). The order of pixels is that of the map, reversed, and
    nothing is rescaled by image or layer, so that values compare wherever the maps do.

    Args:
        discarded: SID or RU, in nats per pixel, any shape.
        spread: s, in the network's input space; 1 is that of normalised images.

    Returns:
        Nats per pixel that are left, none negative, in the shape of `discarded`.

    Raises:
        InfodiscardError: the spread is not a positive number.
    """
    if not (isinstance(spread, int | float) and math.isfinite(spread) and spread > 0):
        raise InfodiscardError(f"spread was {spread!r}; give the inputs' standard deviation, a positive number.")
    return F.softplus(2 * (math.log(spread) + GAUSSIAN_CONSTANT - discarded)) / 2


class SID:
    """Strict information discarding of one layer, as an attribution method.

    Args:
        model: the network, in eval mode; or a `Network`, whose normalisation then sets the cap of σ.
        layer: its address (see `infodiscard.networks.addresses`), or the module itself.

    Attributes:
        runs: of the last call, which say how far to trust its values: one, or one per input or sample where these are
            measured apart.

    Raises:
        InfodiscardError: the model is no module, or the layer is not one of its modules.
    """

    metric = "sid"
    _decoders: str | Path | None = None

    def __init__(self, model: nn.Module | Network, layer: str | nn.Module) -> None:
        self._network = model if isinstance(model, Network) else Network(model, type(model).__name__)
        self._model = self._network.module
        if not isinstance(self._model, nn.Module):
            raise InfodiscardError(f"model was a {type(model).__name__}; give a torch.nn.Module or a Network.")
        self._layer = layer if isinstance(layer, str) else _address(self._model, layer)
        self.runs: list[Run] = []

    def attribute(
        self,
        inputs: Tensors,
        additional_forward_args: Any = None,
        *,
        kind: str | Sequence[str | None] | None = None,
        internal_batch_size: int | None = None,
        show_progress: bool = False,
        return_convergence_delta: bool = False,
        **options: Any,
    ) -> Any:
        """Returns how much of each pixel (token, time step, feature) the layer discards: high = it ignores the pixel.

        Args:
            inputs: in the network's normalised input space, `n × C × H × W`, or inputs of another `kind`, such as
                embeddings; or a tuple of what the network takes, each of which is then measured by itself, with the
                others as they are.
            additional_forward_args: what the network takes after these, one value or a tuple. A tensor whose first
                dimension is n belongs to the inputs one by one.
            kind: what the inputs are, as in `infodiscard.measure`: `tokens` (`n × T × D`) or `series` (`n × C × L`);
                images and tables (`n × F`) are recognised by their shape. Of a tuple, one for all or one each.
            internal_batch_size: noisy inputs in one forward pass; no result depends on it.
            show_progress: draw a progress bar.
            return_convergence_delta: also return how far from its target the feature distance was.
            options: of the solver, those in `OPTIONS`.

        Returns:
            Nats per pixel (token, …) in the shape, type and place of `inputs`, a tuple if they are one; a pixel's
            channels share its value, as do a token's values and a time step's channels. With the delta a pair of this
            and E/(αδ_f²) − 1, `n`; of several inputs that farthest from 0.

        Raises:
            InfodiscardError: any input that cannot be measured, or an option that does not exist.
        """
        self._check(options)
        several = inputs if isinstance(inputs, tuple) else (inputs,)
        added = additional_forward_args
        added = () if added is None else added if isinstance(added, tuple) else (added,)
        kinds = [kind] * len(several) if kind is None or isinstance(kind, str) else list(kind)
        if len(kinds) != len(several):
            raise InfodiscardError(
                f"kind names {len(kinds)} kinds for {len(several)} inputs; give one for all or one each."
            )
        self.runs = []
        settings = {"batch_size": internal_batch_size, "progress": show_progress, **options}
        results = [self._measured((*several, *added), at, settings | {"kind": each}) for at, each in enumerate(kinds)]
        maps, deltas = zip(*results, strict=True)
        result = maps if isinstance(inputs, tuple) else maps[0]
        if not return_convergence_delta:
            return result
        stacked = torch.stack(deltas)
        return result, stacked.gather(0, stacked.abs().argmax(0, keepdim=True))[0]

    def importance(
        self, inputs: Tensors, additional_forward_args: Any = None, *, spread: float = 1.0, **others: Any
    ) -> Tensors:
        """Returns how much of each pixel reaches the layer: high = it uses the pixel, 0 = it ignores it.

        Args:
            inputs: as for `attribute`.
            additional_forward_args: as for `attribute`.
            spread: the inputs' standard deviation in the network's input space; see `importance` in this module.
            **others: as for `attribute`, but for the delta.

        Returns:
            Nats per pixel, none negative, like `attribute`'s.

        Raises:
            InfodiscardError: as for `attribute`.
        """
        importance(torch.zeros(1), spread)  # before the long work, not after it
        if others.pop("return_convergence_delta", False):
            raise InfodiscardError("importance returns no delta; ask attribute for return_convergence_delta.")
        discarded = self.attribute(inputs, additional_forward_args, **others)
        if isinstance(discarded, tuple):
            return tuple(importance(each, spread) for each in discarded)
        return importance(discarded, spread)

    def _check(self, options: dict[str, Any]) -> None:
        unknown = [name for name in options if name not in OPTIONS]
        if unknown:
            raise InfodiscardError(
                f"attribute has no option '{unknown[0]}'; the nearest are {nearest(unknown[0], OPTIONS)}, and a target "
                "is not needed: the value is of a layer, not of a class."
            )

    def _measured(
        self, arguments: tuple[Any, ...], place: int, settings: dict[str, Any]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Measures the argument at `place`; returns its map, like it, and the delta, `n`."""
        inputs = arguments[place]
        if not isinstance(inputs, torch.Tensor):
            raise InfodiscardError(f"inputs was a {type(inputs).__name__}; give a tensor, or a tuple of tensors.")
        layout = find_layout(settings["kind"], tuple(inputs.shape))
        settings = settings | {"kind": layout.name}
        settings["cap"] = network_cap(self._network, settings.get("cap", Settings.cap))
        others = [i for i in range(len(arguments)) if i != place]
        owned = {
            i for i in others if isinstance(each := arguments[i], torch.Tensor) and each.shape[:1] == inputs.shape[:1]
        }
        # Which row of a noisy batch belongs to which input is not known, so such inputs are measured one by one.
        parts = [slice(i, i + 1) for i in range(len(inputs))] if owned else [slice(None)]
        runs = []
        for part in parts:
            rest = {i: arguments[i][part] if i in owned else arguments[i] for i in others}
            with _called_with(self._model, rest, place, owned):
                runs.append(self._run(inputs[part], settings))
        self.runs += runs
        maps = torch.cat([_cells(run, f"{self.metric}_map") for run in runs])
        distance = METRICS[self.metric].own("feature_distance")
        deltas = torch.cat([_cells(run, distance) / run.plan.settings.alpha - 1 for run in runs])
        spread = layout.unchart(maps)[:, None].expand(layout.inside(inputs).shape)
        return layout.outside(spread).to(inputs, copy=True), deltas.to(inputs)

    def _run(self, inputs: torch.Tensor, settings: dict[str, Any]) -> Run:
        # Without the normalisation: the inputs are normalised already.
        network = Network(self._model, self._network.name)
        return measure(network, inputs, [self._layer], [self.metric], decoders=self._decoders, **settings)


class RU(SID):
    """Reconstruction uncertainty of one layer, as an attribution method: high = the pixel cannot be recovered.

    `attribute` and `importance` are SID's, and so are the arguments and errors but for `decoders`.

    Args:
        decoders: where the layer's decoder is; the user's cache by default (`infodiscard.training.train_decoders`).
    """

    metric = "ru"

    def __init__(self, model: nn.Module | Network, layer: str | nn.Module, decoders: str | Path | None = None) -> None:
        super().__init__(model, layer)
        self._decoders = decoders


def _address(model: nn.Module, layer: nn.Module) -> str:
    """Returns the name of a module within the network."""
    plain = unwrap(model)
    for name, module in plain.named_modules():
        if module is layer:
            return name or OUTPUT
    raise InfodiscardError(
        f"The layer, a {type(layer).__name__}, is not a module of this {type(plain).__name__}; give one of its own "
        "modules, or the name of one as in model.named_modules()."
    )


def _cells(run: Run, variable: str) -> torch.Tensor:
    """Returns a variable of the only network and layer of a run, samples first."""
    return torch.from_numpy(run.dataset[variable].values[0, 0])


@contextmanager
def _called_with(model: nn.Module, others: Mapping[int, Any], place: int, owned: Set[int]) -> Iterator[None]:
    """Lets a network be called with the argument at `place` alone, and adds the others.

    Those that are `owned` have a single row, which is repeated as often as that argument has rows.
    """
    if not others:
        yield
        return

    def add(_module: nn.Module, args: tuple[torch.Tensor]) -> tuple[Any, ...]:
        (noisy,) = args
        whole = {place: noisy}
        for i, each in others.items():
            each = each.detach().to(noisy.device) if isinstance(each, torch.Tensor) else each
            whole[i] = each.expand(len(noisy), *each.shape[1:]) if i in owned else each
        return tuple(whole[i] for i in sorted(whole))

    handle = unwrap(model).register_forward_pre_hook(add)
    try:
        yield
    finally:
        handle.remove()
