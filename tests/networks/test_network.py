"""Networks: their input space, a hash of their weights, and the device that they run on."""

import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network, placed, weights_hash

KNOWN = Network(nn.Identity(), "known", mean=(0.4, 0.5), std=(0.25, 0.2), input_size=(4, 6))


def test_images_are_normalised_channel_by_channel():
    images = torch.rand(3, 2, 4, 6, dtype=torch.float64)
    result = KNOWN.normalise(images)
    assert result.dtype == torch.float64
    for channel, (mean, std) in enumerate([(0.4, 0.25), (0.5, 0.2)]):
        torch.testing.assert_close(result[:, channel], (images[:, channel] - mean) / std)


def test_a_normalisation_that_is_unknown_or_does_not_fit_is_refused():
    with pytest.raises(InfodiscardError, match="normalisation of network 'bare' is not known"):
        Network(nn.Identity(), "bare").normalise(torch.rand(1, 2, 4, 6))
    with pytest.raises(InfodiscardError, match="images have 3 channels but the normalisation of 'known' has 2 means"):
        KNOWN.normalise(torch.rand(1, 3, 4, 6))


def test_images_of_another_size_are_refused():
    KNOWN.check_size((4, 6))
    Network(nn.Identity(), "any").check_size((9, 9))
    with pytest.raises(InfodiscardError, match="'mine' takes inputs of 4×6 pixels, but the images have 6×4"):
        KNOWN.check_size((6, 4), "mine")


def test_the_hash_changes_with_every_weight_and_buffer():
    network = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    before = weights_hash(network)
    assert weights_hash(network) == before
    for tensor in network.state_dict().values():
        tensor += 1
        after = weights_hash(network)
        assert after != before
        before = after
    assert weights_hash(network.double()) != before


def test_the_users_module_is_never_moved():
    module = nn.Linear(2, 2)
    same, device = placed(module, None)
    assert same is module and device == torch.device("cpu")
    assert placed(module, "cpu")[0] is module
    moved, device = placed(module, "meta")
    assert device.type == "meta" and moved.weight.is_meta and not module.weight.is_meta
    with pytest.raises(InfodiscardError, match="Device 'nonsense' cannot be used"):
        placed(module, "nonsense")


@pytest.mark.parametrize(
    ("mean", "std", "span", "message"),
    [
        ((0.5,), None, None, "'net' has a mean but no std; give both, or neither"),
        (None, (0.2,), (0.0, 1.0), "'net' has a std but no mean; give both, or neither"),
        ((0.5,), (0.2,), (0.0, 255.0), r"must be in \[0, 1\], but these go from 0 to 255; divide them by 255"),
        ((0.5,), (0.2,), (-2.1, 2.6), "from -2.1 to 2.6; they seem to be normalised already"),
        ((0.5,), (0.2,), (-0.4, 0.9), "they seem to be normalised already"),
        ((0.5,), (0.2,), (0.0, 1.1), "scale them to that range"),
        ((0.0,), (1.0,), (0.0, 255.0), "or give the module itself, which takes its inputs as they are"),
        ((123.7, 116.3, 103.5), (58.4, 57.1, 57.4), (0.0, 1.0), r"\(123.7, 116.3, 103.5\) and std \(58.4, .*0 … 255"),
        ((103.9,), (1.0,), (0.0, 255.0), "divide mean, std and images"),
        ((0.0,), (255.0,), (0.0, 255.0), "divide mean, std and images"),
    ],
)
def test_images_that_the_network_would_normalise_wrongly_are_refused(mean, std, span, message):
    with pytest.raises(InfodiscardError, match=message):
        Network(nn.Identity(), "net", mean, std).check_range(span)


@pytest.mark.parametrize(
    ("mean", "std", "span"),
    [
        (None, None, (-100.0, 300.0)),
        ((0.5,), (0.2,), (-0.0005, 1.0005)),
        ((0.5,), (1 / 255,), (0.0, 1.0)),
        ((20.0,), (8.0,), None),
    ],
)
def test_images_in_the_range_of_the_network_are_taken(mean, std, span):
    Network(nn.Identity(), "net", mean, std).check_range(span)
