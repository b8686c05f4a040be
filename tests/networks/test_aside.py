"""Large tensors are put back to the last bit, from a file that is written once, without a copy in memory."""

import pytest
import torch
from torch import nn

import pretend_device
from infodiscard.networks import aside
from infodiscard.networks.aside import Aside, is_large, set_aside
from infodiscard.networks.preserve import preserved
from infodiscard.networks.state import State


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch):
    """Several pieces of a small tensor."""
    monkeypatch.setattr(aside, "LARGE", 400)
    monkeypatch.setattr(aside, "PIECE", 128)


def values(*shape, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.bool, torch.cfloat])
def test_it_is_put_back_to_the_last_bit(dtype):
    tensor = values(20, 25, dtype=dtype)
    before, place = tensor.clone(), tensor.data_ptr()
    kept = set_aside(tensor)
    assert is_large(tensor) and not is_large(tensor[0, :5]) and kept.same(tensor)
    tensor[7:].zero_()
    assert not kept.same(tensor)
    kept.write(tensor)
    assert torch.equal(tensor, before) and tensor.data_ptr() == place and kept.same(tensor)


def test_bits_count_and_not_numbers():
    tensor = values(200)
    tensor[3], tensor[199] = torch.nan, 0.0
    kept = set_aside(tensor)
    assert kept.same(tensor)
    tensor[199] = -0.0
    assert not kept.same(tensor)


def test_another_size_and_views_with_gaps():
    tensor, wide = values(200), values(30, 40)
    turned = wide.T
    kept, of_turned = set_aside(tensor), set_aside(turned)
    tensor.resize_(3)
    kept.write(tensor)
    assert torch.equal(tensor, values(200))
    wide.add_(1)
    assert not of_turned.same(turned)
    of_turned.write(turned)
    assert torch.equal(wide, values(30, 40))


def test_a_file_is_written_once_as_long_as_nothing_changes(monkeypatch):
    model, written = nn.Linear(30, 30).eval(), []
    real = aside._written
    monkeypatch.setattr(aside, "_written", lambda tensor: written.append(tensor.shape) or real(tensor))
    for _ in range(3):
        with preserved(model):
            model(torch.ones(1, 30))
    assert written == [(30, 30)]
    with torch.no_grad():
        model.weight.add_(1)
    changed = model.weight.clone()
    with pytest.raises(ArithmeticError), preserved(model):
        model.weight.data.zero_()
        raise ArithmeticError
    assert written == [(30, 30)] * 2 and torch.equal(model.weight, changed)


def test_the_file_goes_with_the_tensor():
    tensor = values(200)
    file = set_aside(tensor).file
    assert not file.closed
    del tensor
    assert file.closed


def test_where_no_file_can_be_written_it_is_copied(monkeypatch):
    def full(**_):
        raise OSError("No space left on device")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    model = nn.Linear(30, 30)
    before, state = model.weight.clone(), State.of(model)
    model.weight.data.zero_()
    assert state.changed().names == ["weight"]
    state.restore()
    assert torch.equal(model.weight, before) and isinstance(set_aside(values(200)).file, torch.Tensor)


def test_on_a_device_it_is_written_to_the_host_a_piece_at_a_time():
    with pretend_device.accelerator() as device:
        there = pretend_device.There(values(200))
        kept = set_aside(there)
        assert device.waits["copy to the host"] == 7 and kept.same(there)
        there.zero_()
        assert not kept.same(there)
    assert isinstance(kept, Aside)
