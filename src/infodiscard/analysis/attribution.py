"""Attribution maps beside which SID is shown: those of the paper's coherency study, and others of Captum's.

The gradient map, Grad-CAM and CAM are of a layer's feature f (`n × channels × h × w`) and of the logits y_c of given
classes, in the feature's resolution. They are in logits, or in logits per unit of the feature: the gradient map
therefore grows fourfold where a layer's parameters are made a quarter and the next layer's four times as large, while
SID and RU stay. Grad-CAM and CAM multiply the gradient by the feature, so that such a factor cancels. Saliency,
integrated gradients and occlusion are of the input, in its resolution, summed over its channels.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._pytree import tree_map_only

from ..errors import InfodiscardError
from ..networks.network import Network
from ..networks.outputs import choose, structure
from ..networks.preserve import preserved
from ..networks.probe import Probe


def gradient_map(network: nn.Module | Network, layer: str, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the norm of the logit's gradient at each position of a feature, √Σ_k (∂y_c/∂f_k)².

    Args:
        network: in eval mode; it is left as it was.
        layer: address of a layer whose feature is `n × channels × h × w`.
        inputs: in the network's normalised input space, `n × C × H × W`.
        targets: the classes c, int64, `n`.

    Returns:
        `n × h × w`, in logits per unit of the feature.

    Raises:
        InfodiscardError: the layer does not exist, is not called or has no maps; there is no such class; or the network
            is in training mode or gives no logits.
    """
    with preserved(_module(network)) as model:
        feature, logits = _Passage(model, layer).through(inputs)
        score = _of_classes(logits, targets).sum()
        # A feature that the logits do not depend on has a gradient of zero.
        (gradient,) = torch.autograd.grad(score, feature, allow_unused=True, materialize_grads=True)
    return gradient.square().sum(1).sqrt()


def jacobian_map(network: nn.Module | Network, layer: str, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns how much the sum of a feature's positive parts follows each pixel, mean_c |∂ Σ ReLU(f) / ∂x_c|.

    It is the map that the paper's second version (ICML 2022) compares pixel-wise values with.

    Args are as for `gradient_map`; the map is of no class, and so the same whatever `targets`.

    Returns:
        `n × H × W`, in units of the feature per unit of the input.

    Raises:
        InfodiscardError: as for `gradient_map`.
    """
    with preserved(_module(network)) as model:
        passage = _Passage(model, layer)
        feature, logits = passage.through(inputs)
        _of_classes(logits, targets)
        total = feature.relu().sum()
        (gradient,) = torch.autograd.grad(total, passage.leaf, allow_unused=True, materialize_grads=True)
    return gradient.abs().mean(1)


def grad_cam(network: nn.Module | Network, layer: str, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns Captum's Grad-CAM (Selvaraju et al. 2017), ReLU(Σ_k a_k f_k), a_k the mean of ∂y_c/∂f_k over positions.

    Args are as for `gradient_map`.

    Returns:
        `n × h × w`, in logits per position, none negative.

    Raises:
        InfodiscardError: as for `gradient_map`; or Captum is missing, or the layer is called more than once or gives
            more than one tensor.
    """
    method = _captum().LayerGradCam
    with preserved(_module(network)) as model:
        passage = _Passage(model, layer)
        with torch.no_grad():
            _, logits = passage.through(inputs)
        _of_classes(logits, targets)
        if not passage.whole:
            raise InfodiscardError(
                f"Layer '{layer}' is called more than once or gives more than one tensor, which Captum's Grad-CAM "
                "cannot tell apart; name a layer that is called once and gives one tensor, such as the block around it."
            )
        # A network that begins with an in-place operation would overwrite what belongs to the caller.
        maps = method(model, passage.module).attribute(inputs.clone(), targets, relu_attributions=True)
    return maps.detach()[:, 0]


def cam(network: nn.Module | Network, layer: str, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns the class activation map (Zhou et al. 2016), Σ_k w_ck f_k with the weights w of the final linear layer.

    It exists where global average pooling and one linear layer are all that follows the feature. Its mean over
    positions plus the class's bias is then the logit. Args are as for `gradient_map`.

    Returns:
        `n × h × w`, in logits.

    Raises:
        InfodiscardError: as for `gradient_map`; or something else follows the feature.
    """
    with preserved(_module(network)) as model, torch.no_grad():
        feature, logits = _Passage(model, layer).through(inputs)
        _of_classes(logits, targets)
        final = _final_linear(model, feature, logits)
        if final is None:
            raise InfodiscardError(
                f"Layer '{layer}' has no CAM, because what follows its {feature.shape[1]} channels is not just global "
                "average pooling and one linear layer; name the last convolutional feature of a network that ends so, "
                "or use Grad-CAM, which other layers have too."
            )
        return torch.einsum("nk,nkij->nij", final.weight[targets], feature)


def saliency(network: nn.Module | Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns Captum's Saliency (Simonyan et al. 2013), Σ over channels of |∂y_c/∂x|.

    Args:
        network: in eval mode; it is left as it was.
        inputs: in the network's normalised input space, `n × C × H × W`.
        targets: the classes c, int64, `n`.

    Returns:
        `n × H × W`, in logits per unit of the input, none negative.

    Raises:
        InfodiscardError: Captum is missing, there is no such class, or the network is in training mode or gives no
            logits.
    """
    return _of_input(network, inputs, targets, lambda model, x: _captum().Saliency(model).attribute(x, targets))


def integrated_gradients(network: nn.Module | Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns Captum's IntegratedGradients (Sundararajan et al. 2017) from the input 0, in 32 steps.

    Args and errors are as for `saliency`.

    Returns:
        `n × H × W`, in logits, of either sign; the sum of a map is about the logit less that of the input 0.
    """

    def attributed(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return _captum().IntegratedGradients(model).attribute(x, target=targets, n_steps=32, internal_batch_size=64)

    return _of_input(network, inputs, targets, attributed)


def occlusion(network: nn.Module | Network, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Returns Captum's Occlusion (Zeiler and Fergus 2014): how far the logit falls where a window is put to 0.

    The window is about a sixth of the input wide and moves by half of that; a pixel has the mean over its windows. Args
    and errors are as for `saliency`.

    Returns:
        `n × H × W`, in logits, of either sign.
    """
    sides = [max(1, round(size / 6)) for size in inputs.shape[2:]]
    window, strides = (inputs.shape[1], *sides), (inputs.shape[1], *(max(1, side // 2) for side in sides))

    def attributed(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
        found = _captum().Occlusion(model).attribute(x, window, strides, target=targets)
        return found[:, :1]  # the same in each channel

    with torch.no_grad():
        return _of_input(network, inputs, targets, attributed)


def _of_input(
    network: nn.Module | Network,
    inputs: torch.Tensor,
    targets: torch.Tensor,
    attributed: Callable[[nn.Module, torch.Tensor], torch.Tensor],
) -> torch.Tensor:
    """Returns a map of the input, summed over channels, `n × H × W`."""
    with preserved(_module(network)) as model:
        with torch.no_grad():
            _of_classes(model(inputs.clone()), targets)
        # A network that begins with an in-place operation would overwrite what belongs to the caller.
        safe = _Cloned(model)
        return attributed(safe, inputs.detach().clone().requires_grad_()).detach().sum(1)


class _Cloned(nn.Module):
    """A network that is given copies of its inputs, so that one that begins in place can be attributed to a leaf."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.plain = model

    def forward(self, x: torch.Tensor) -> Any:
        return self.plain(x.clone())


BASELINES: dict[str, Callable[[nn.Module | Network, str, torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "gradient": gradient_map,
    "grad_cam": grad_cam,
    "cam": cam,
    "jacobian": jacobian_map,
}


def upsampled(maps: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Brings maps, `n × h × w`, to the `size` (height, width) of images by bilinear interpolation."""
    return F.interpolate(maps[:, None], tuple(size), mode="bilinear", align_corners=False)[:, 0]


class _Passage(Probe):
    """A pass through the whole network that gives a layer's feature and the logits that follow from it.

    Attributes:
        whole: whether, in the last pass, the layer was called once and gave one tensor.
        leaf: the inputs of the last pass, which gradients can be taken of.
    """

    whole = False
    leaf: torch.Tensor

    @property
    def module(self) -> nn.Module:
        """The layer itself."""
        return self._layer

    def through(self, inputs: torch.Tensor) -> tuple[torch.Tensor, Any]:
        """Returns the feature (`n × channels × h × w`) and the network's output, with the graph between them.

        Raises:
            InfodiscardError: the layer was not called (as often as the address says), or its feature is no map.
        """
        outputs: list[Any] = []

        def catch(_module: nn.Module, _args: Any, output: Any) -> Any:
            outputs.append(output)
            # The network goes on with a copy, so that an in-place operation behind the layer cannot reach the feature.
            return tree_map_only(torch.Tensor, torch.clone, output)

        handle = self._layer.register_forward_hook(catch)
        try:
            # The second copy is for a network that begins with an in-place operation, which no leaf of a graph allows.
            self.leaf = inputs.detach().clone().requires_grad_(torch.is_grad_enabled())
            result = self._model(self.leaf.clone())
        finally:
            handle.remove()
        wanted = self._parsed.call or 0
        if wanted >= len(outputs):
            raise InfodiscardError(
                f"Layer '{self.address}' was called {len(outputs)} times in a forward pass; "
                + ("give a smaller number after #." if outputs else "name one that is used.")
            )
        self.whole = len(outputs) == 1 and isinstance(outputs[0], torch.Tensor)
        feature = choose(outputs[wanted], self._parsed.entry, self.address)
        if feature.ndim != 4:
            raise InfodiscardError(
                f"The feature of '{self.address}' is {structure(feature)}, which has no positions to map; name a layer "
                "whose feature is samples × channels × height × width."
            )
        return feature, result


def _captum() -> Any:
    """Returns Captum's attribution methods; raises InfodiscardError if it is not installed."""
    try:
        import captum.attr
    except ImportError as error:
        raise InfodiscardError("This map needs Captum; install it with pip install 'infodiscard[captum]'.") from error
    return captum.attr


def _module(network: nn.Module | Network) -> nn.Module:
    return network.module if isinstance(network, Network) else network


def _of_classes(logits: Any, targets: torch.Tensor) -> torch.Tensor:
    """Returns each sample's logit of its class, `n`; raises InfodiscardError if there is none."""
    if not isinstance(logits, torch.Tensor) or logits.ndim != 2:
        raise InfodiscardError(
            f"The network's output is {structure(logits)}; give a classifier, whose output is samples × classes."
        )
    count, classes = logits.shape
    if targets.shape != (count,) or targets.dtype != torch.int64:
        raise InfodiscardError(
            f"The targets are {structure(targets)}; give one class per input, an int64 tensor of shape ({count},)."
        )
    if count and not 0 <= int(targets.min()) <= int(targets.max()) < classes:
        raise InfodiscardError(
            f"The targets go from {int(targets.min())} to {int(targets.max())}, but the network has {classes} classes; "
            f"give numbers from 0 to {classes - 1}."
        )
    return logits.gather(1, targets[:, None])[:, 0]


def _final_linear(model: nn.Module, feature: torch.Tensor, logits: torch.Tensor) -> nn.Linear | None:
    """Returns the linear layer that takes the feature's mean over positions to the logits, if there is one.

    It is told by what it does, because the pooling before it can be written in many ways.
    """
    pooled, classes = feature.mean((2, 3)), logits.shape[1]
    tolerance = torch.finfo(logits.dtype).eps ** 0.5
    for module in model.modules():
        if not isinstance(module, nn.Linear) or module.weight.shape != (classes, pooled.shape[1]):
            continue
        made = F.linear(pooled, module.weight, module.bias)
        if torch.allclose(made, logits, rtol=tolerance, atol=tolerance * float(logits.abs().max())):
            return module
    return None
