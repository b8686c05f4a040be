"""Decoders with random weights, and features for them."""

import torch
from torch import nn

from infodiscard.decoders.architecture import Decoder

RGB32 = (3, 32, 32)


def make(feature_shape, input_shape=RGB32, width=2, seed=0):
    """A decoder whose blocks do something, as those of a trained one."""
    torch.manual_seed(seed)
    decoder = Decoder(feature_shape, input_shape, width)
    for module in decoder.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.normal_(module.weight, std=0.2)
    return decoder.eval()


def noise(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
