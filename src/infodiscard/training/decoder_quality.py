"""Quality of decoders: how well they reconstruct held-out images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import nn

from ..data import ImageSet
from ..errors import InfodiscardError
from ..networks.network import Network
from ..networks.preserve import preserved
from .feature_extractor import FeatureExtractor
from .image_split import ImageSplit, load_images


def quality(
    network: Network, modules: Mapping[str, nn.Module], images: torch.Tensor, batch_size: int = 128
) -> dict[str, dict[str, float]]:
    """Returns how well decoders reconstruct images, by layer.

    Args:
        network: whose layers they decode.
        modules: the decoders by layer, on any device.
        images: float32, `N × C × H × W`, in [0, 1].
        batch_size: images at once.

    Returns:
        For each layer `mse`, in the normalised input space; and, of the reconstruction converted back to [0, 1] and
        clipped there, `psnr` (dB) and `ssim` (Wang et al. 2004, Gaussian window of 11 pixels), means over images.
        `ssim` is omitted where images are no larger than its window.
    """
    sums: dict[str, dict[str, float]] = {layer: {} for layer in modules}
    if not modules:
        return sums
    with preserved(network.module) as module, torch.no_grad():
        extract = FeatureExtractor(network, module)
        for batch in images.split(batch_size):
            features, inputs = extract(batch, list(modules))
            for layer, feature in features.items():
                decoded = modules[layer](feature.to(next(modules[layer].parameters()).device)).cpu()
                for name, values in _similarity(network, decoded, inputs, batch).items():
                    sums[layer][name] = sums[layer].get(name, 0.0) + values.double().sum().item() / len(images)
    return sums


def _similarity(
    network: Network, decoded: torch.Tensor, inputs: torch.Tensor, images: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Returns the measures of each reconstruction, `batch`, from `batch × C × H × W`."""
    mean, std = torch.tensor(network.mean).view(-1, 1, 1), torch.tensor(network.std).view(-1, 1, 1)
    shown = (decoded * std + mean).clamp(0, 1)
    error = (shown - images).square().mean((1, 2, 3)).clamp(min=1e-10)
    values = {"mse": (decoded - inputs).square().mean((1, 2, 3)), "psnr": -10 * error.log10()}
    if min(images.shape[2:]) > 11:
        from torchmetrics.functional.image import structural_similarity_index_measure as ssim  # comes with Lightning

        values["ssim"] = ssim(shown, images, data_range=1.0, reduction="none")  # type: ignore[assignment]
    return values


def quality_images(
    test_data: str | ImageSet | None, data: str | ImageSet, samples: int | None, network: Network, split: ImageSplit
) -> tuple[torch.Tensor, str]:
    """Returns the images to measure the quality on (floats in [0, 1], `N × C × H × W`), and a description of them.

    Args:
        test_data: images or their spec; `None` for the test split of the training data if they have one, else the
            validation images.
        data: the training images, or their spec.
        samples: how many test images; `None` for all.
        network: whose layers are decoded.
        split: of the training images.

    Raises:
        InfodiscardError: they cannot be loaded, or have another shape than the training images.
    """
    if test_data is None and isinstance(data, str) and data.partition(":")[0] in ("cifar10", "cub"):
        test_data = data
    if test_data is None:
        return split.take(split.validation), f"{_count(len(split.validation))} held out of '{split.source}'"
    images = load_images(test_data, samples, network, "test")
    if images.images.shape[1:] != split.shape:
        raise InfodiscardError(
            f"The test images have shape {tuple(images.images.shape[1:])} but the training images {split.shape}; give "
            "images of one size."
        )
    return images.images, f"{_count(len(images))} of '{images.source or 'images'}'"


def _count(images: int) -> str:
    return "1 image" if images == 1 else f"{images} images"
