"""The decoder's shapes, exactness and independence of samples."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from infodiscard.decoders.architecture import BLOCKS, Decoder, Enlarging, ResidualBlock, grid_sizes
from infodiscard.errors import InfodiscardError
from random_decoders import RGB32, make, noise


def test_every_enlarging_is_exact_and_uses_every_cell():
    """All pairs of sizes: the formula of transposed convolutions gives the target, and nothing is cut off whole."""
    for overlap in (1, 2):
        for size in range(1, 40):
            for target in range(size, 4 * size + 60):
                one = Enlarging.between(size, target, overlap)
                assert (size - 1) * one.stride - 2 * one.padding + one.kernel == target
                assert one.kernel >= one.stride >= 1 and 0 <= one.padding < one.kernel
                assert one.padding <= one.kernel // 2


def test_the_first_blocks_enlarge_as_often_as_needed():
    assert grid_sizes((32, 32), (32, 32)) == []
    assert grid_sizes((34, 34), (32, 32)) == []
    assert grid_sizes((30, 30), (32, 32)) == [(32, 32)]
    assert grid_sizes((8, 8), (32, 32)) == [(16, 16), (32, 32)]
    assert grid_sizes((6, 6), (227, 227)) == [(29, 29), (57, 57), (114, 114), (227, 227)]
    assert grid_sizes((7, 7), (224, 224)) == [(28, 28), (56, 56), (112, 112), (224, 224)]
    assert grid_sizes((8, 4), (8, 32)) == [(8, 8), (8, 16), (8, 32)]


FEATURES = [
    ((16, 32, 32), RGB32, 0),
    ((32, 16, 16), RGB32, 1),
    ((64, 8, 8), RGB32, 2),
    ((10,), RGB32, 3),
    ((1,), RGB32, 3),
    ((), RGB32, 3),
    ((512, 1, 1), RGB32, 3),
    ((8, 30, 30), RGB32, 1),
    ((8, 34, 34), RGB32, 0),
    ((4, 20, 20), RGB32, 1),
    ((4, 4, 6), RGB32, 3),
    ((17, 6), RGB32, 3),
    ((3, 5, 7), (1, 37, 53), 3),
    ((8, 55, 55), (3, 227, 227), 2),
    ((8, 27, 27), (3, 227, 227), 3),
    ((8, 13, 13), (3, 227, 227), 4),
    ((8, 6, 6), (3, 227, 227), 4),
    ((600,), (3, 227, 227), 4),
    ((3, 1, 1), (3, 1, 1), 0),
]


@pytest.mark.parametrize(("feature", "size", "enlarging"), FEATURES)
def test_any_feature_is_taken_to_the_inputs_exact_size(feature, size, enlarging):
    decoder = make(feature, size)
    assert decoder(noise(2, *feature)).shape == (2, *size)
    blocks = [module for module in decoder.modules() if isinstance(module, ResidualBlock)]
    transposed = [isinstance(block.first, nn.ConvTranspose2d) for block in blocks]
    assert len(blocks) == BLOCKS == 6 and transposed == [True] * enlarging + [False] * (6 - enlarging)
    assert transposed == [isinstance(block.parallel, nn.ConvTranspose2d) for block in blocks]


@pytest.mark.parametrize(("feature", "size"), [(f, s) for f, s, _ in FEATURES if s[1] < 64])
def test_every_element_of_the_feature_matters(feature, size):
    decoder, x = make(feature, size), noise(1, *feature).requires_grad_()
    (gradient,) = torch.autograd.grad((decoder(x) * noise(1, *size, seed=2)).sum(), x)
    assert gradient.isfinite().all() and (gradient != 0).float().mean() > 0.8  # ReLUs are off in places


def test_a_place_of_the_feature_is_decoded_at_its_place():
    """A change in one corner's cell or token changes that corner of the output most."""
    for feature, cell in (((8, 8, 8), (0, slice(None), 7, 0)), ((8, 8, 2), (0, 7, 0)), ((65, 3), (0, 1 + 7 * 8))):
        decoder, x = make(feature), noise(1, *feature)
        other = x.clone()
        other[cell] += 1
        changed = (decoder(other) - decoder(x)).abs().sum((0, 1))
        assert changed[16:, :16].sum() > 0.9 * changed.sum()


def test_a_sample_is_decoded_on_its_own():
    for feature in ((16, 8, 8), (17, 6), (5,)):
        for decoder in (make(feature), make(feature).train()):
            x = noise(5, *feature)
            torch.testing.assert_close(decoder(x)[2:3], decoder(x[2:3]), rtol=1e-5, atol=1e-5)
            assert torch.equal(decoder(x), decoder(x))


@pytest.mark.parametrize("feature", [(4, 8, 8), (4, 4, 6), (17, 6), (5,)])
def test_calibration_standardises_each_channel_and_keeps_constant_ones_harmless(feature):
    decoder = make(feature)
    channels = decoder.grid.channels
    scale = torch.logspace(-2, 3, channels)
    x = noise(300, *feature)
    x = x * (scale if feature != (4, 8, 8) else scale[:, None, None]) + 7
    constant = (slice(None), 0) if feature == (4, 8, 8) else (..., 0)
    x[constant] = 3.0
    decoder.calibrate(x)
    rows = decoder._rows((decoder._arranged(x)) if feature in ((4, 8, 8), (5,)) else (x - decoder.mean) / decoder.std)
    torch.testing.assert_close(rows.mean(0), torch.zeros(channels), atol=1e-2, rtol=0)
    torch.testing.assert_close(rows.std(0)[-1], torch.tensor(1.0), atol=1e-2, rtol=0)
    assert rows[:, 0].abs().max() < 1e-5 and decoder.std[0] > 1
    decoder.calibrate(torch.full((3, *feature), 2.0))
    assert (decoder.std == 1).all()


def test_a_rescaled_feature_decodes_alike_after_calibration():
    one, other, x = make((4, 8, 8)), make((4, 8, 8)), noise(20, 4, 8, 8)
    one.calibrate(x)
    other.calibrate(1000 * x)
    torch.testing.assert_close(one(x), other(1000 * x), rtol=1e-4, atol=1e-4)


def test_wrong_shapes_are_refused():
    with pytest.raises(InfodiscardError, match=r"\(4, 4, 4\).*made for \(4, 8, 8\)"):
        make((4, 8, 8))(noise(1, 4, 4, 4))
    with pytest.raises(InfodiscardError, match="channels × height × width"):
        Decoder((4,), (32, 32))
    with pytest.raises(InfodiscardError, match="empty"):
        Decoder((0, 4, 4), RGB32)
    with pytest.raises(InfodiscardError, match="width is 0"):
        Decoder((4,), RGB32, 0)
