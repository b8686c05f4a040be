"""Inputs: parts of them, their hashes, pictures and caps."""

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard.data.coerce import coerce_inputs
from infodiscard.data.inputs import CAP_RANGES, Inputs, network_cap, sample_caps
from infodiscard.errors import InfodiscardError
from infodiscard.networks.network import Network


def test_a_part_that_is_sent_away_takes_no_other_samples_along():
    whole = coerce_inputs(torch.rand(200, 3, 8, 8), masks=torch.rand(200, 8, 8) > 0.5)
    part = whole.part(slice(10, 12))
    assert len(pickle.dumps(part)) > 150_000  # all of them, since it is a view
    sent = pickle.loads(pickle.dumps(part.owned()))
    assert len(pickle.dumps(part.owned())) < 10_000
    assert sent.values.equal(whole.values[10:12]) and sent.masks.equal(whole.masks[10:12])
    assert sent.names == ("10", "11") and sent.span == whole.span


def images(n=3, channels=2, height=4, width=5):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_hashes_change_with_the_content_only():
    x, masks = images(), images()[:, 0] > 0.5
    found = coerce_inputs(x, masks).hashes()
    assert set(found) == {"images", "masks"} and set(coerce_inputs(x).hashes()) == {"images"}
    assert found == Inputs(x.clone(), ("p", "q", "r"), masks.clone(), (0, 1, 2)).hashes()
    assert coerce_inputs(x.transpose(2, 3).contiguous().transpose(2, 3), masks).hashes() == found
    changed, other = x.clone(), masks.clone()
    changed[2, 1, 3, 4] += 1e-6
    other[2, 3, 4] ^= True
    assert coerce_inputs(changed, masks).hashes()["images"] != found["images"]
    assert coerce_inputs(changed, masks).hashes()["masks"] == found["masks"]
    assert coerce_inputs(x, other).hashes()["masks"] != found["masks"]
    assert coerce_inputs(x.flip(0)).hashes()["images"] != found["images"]


def test_pictures_lie_in_the_unit_interval():
    x = images(channels=3)
    assert np.array_equal(Inputs(x, ("0", "1", "2")).pictures()["images"], x.numpy())
    normalised = Inputs((x - 0.5) / 0.2, ("0", "1", "2")).pictures()["images"]
    assert normalised.min() == 0 and normalised.max() == 1
    np.testing.assert_allclose(normalised, ((x - x.min()) / (x.max() - x.min())).numpy(), atol=1e-6)
    assert Inputs(images(channels=2), ("0", "1", "2")).pictures() == {"images": None, "masks": None}


KNOWN = Network(nn.Identity(), "known", mean=(0.4, 0.5), std=(0.25, 0.2))
UNKNOWN = Network(nn.Identity(), "unknown")


def test_the_cap_of_a_network_is_a_number_where_its_range_is_known():
    assert network_cap(KNOWN, 2) == 2.0 and network_cap(UNKNOWN, 0.5) == 0.5
    assert network_cap(KNOWN, "range") == pytest.approx(CAP_RANGES / 0.2)
    assert network_cap(UNKNOWN, "range") == "range" and network_cap(KNOWN, "data") == "data"


def test_the_cap_of_a_sample_is_its_own():
    x = 3 * images()
    caps = sample_caps(x, "range", 1.5, 0.01)
    assert caps.tolist() == pytest.approx([10 * float(each.max() - each.min()) for each in x])
    assert torch.equal(sample_caps(x[[2, 0]], "range", 1.5, 0.01), caps[[2, 0]])
    spreads = [float(each.std(correction=0)) for each in x]
    assert sample_caps(x, "data", 1.5, 0.01).tolist() == pytest.approx(spreads)
    assert sample_caps(x, 7.0, 1.5, 0.01) == 7.0


def test_the_cap_of_a_constant_sample_leaves_room_for_the_noise():
    flat = torch.ones(2, 2, 4, 4)
    assert sample_caps(flat, "range", 1.5, 0.01).tolist() == pytest.approx([10.0, 10.0])
    assert sample_caps(flat, "data", 1.5, 0.01).tolist() == pytest.approx([0.015**0.5] * 2)


def test_the_former_cap_is_that_of_all_samples():
    x = images()
    data = coerce_inputs(x)
    normalised = (x - torch.tensor([0.4, 0.5]).view(2, 1, 1)) / torch.tensor([0.25, 0.2]).view(2, 1, 1)
    assert data.former_cap(UNKNOWN, "range") == pytest.approx(CAP_RANGES * float(x.max() - x.min()))
    assert data.former_cap(KNOWN, "data") == pytest.approx(float(normalised.std()))
    assert data.former_cap(UNKNOWN, "data") == pytest.approx(float(x.std()))


@pytest.mark.parametrize("cap", [0, -1.0, float("nan"), float("inf"), "ranges", "", None])
def test_other_caps_are_refused(cap):
    with pytest.raises(InfodiscardError, match="it can be 'range', 'data' or a positive number"):
        network_cap(KNOWN, cap)


def test_a_normalisation_for_other_channels_is_refused():
    with pytest.raises(InfodiscardError, match="images have 3 channels but the normalisation of 'known' has 2 means"):
        KNOWN.normalise(images(channels=3))
