"""The quality of decoders, against reconstructions of known error."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.data import ImageSet
from infodiscard.networks.network import Network
from infodiscard.training.decoder_quality import quality
from infodiscard.training.train_decoders import train_decoders
from tiny_decoders import QUICK


@pytest.mark.slow
def test_test_images_and_half_precision(network: Network, images: ImageSet, tmp_path: Path) -> None:
    np.savez(tmp_path / "test.npz", images=images.images[:6].numpy())
    spec = f"npz:{tmp_path / 'test.npz'}"
    found = train_decoders(
        network, images, "conv1", tmp_path, test_data=spec, test_samples=5, samples=20, half=True, **QUICK
    )["conv1"]
    assert found.held_out == f"5 images of '{spec}'" and found.origin.recipe.samples == 20
    assert found.quality == quality(network, {"conv1": found.module}, images.images[:5])["conv1"]


def test_quality_is_what_it_says(network: Network, images: ImageSet) -> None:
    class Exact(nn.Linear):
        """Gives the inputs back, whatever the feature; a tenth brighter, if asked."""

        def __init__(self, shift: float) -> None:
            super().__init__(1, 1)
            self.shift = shift

        def forward(self, features: torch.Tensor) -> torch.Tensor:
            return network.normalise(images.images * 0.9 + self.shift)

    dimmed = ImageSet(images.images * 0.9)
    exact, brighter = (
        quality(network, {"conv1": Exact(shift)}, dimmed.images, batch_size=40)["conv1"] for shift in (0.0, 0.1)
    )
    assert exact["mse"] == 0 and exact["psnr"] == pytest.approx(100) and exact["ssim"] == pytest.approx(1, abs=1e-4)
    assert brighter["psnr"] == pytest.approx(20, abs=1e-3) and brighter["ssim"] < 1
    assert brighter["mse"] == pytest.approx(np.mean(np.square(0.1 / np.array(network.std))), rel=1e-4)
