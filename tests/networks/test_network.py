"""Networks: their input space, a hash of their weights, and the device that they run on."""

import math
import threading

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import measure
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


def test_scalars_arrays_and_lists_are_taken():
    images = torch.rand(2, 3, 4, 4)
    expected = (images - 0.5) / 0.25
    for mean, std in ((0.5, 0.25), ([0.5] * 3, np.full(3, 0.25)), (torch.tensor(0.5), (np.float32(0.25),))):
        network = Network(nn.Identity(), "n", mean, std)
        torch.testing.assert_close(network.normalise(images), expected)
        assert network.normalisation(3) == "0.5 0.5 0.5 / 0.25 0.25 0.25"
        assert {type(value) for value in (*network.mean, *network.std)} == {float}
    for size in (4, np.int64(4), [4, 4], torch.Size([4, 4]), torch.tensor([4, 4])):
        assert Network(nn.Identity(), "n", input_size=size).input_size == (4, 4)
    assert Network(nn.Identity(), "n", default_layers="layer1").default_layers == ("layer1",)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        *(({"std": (0.5, std)}, "std of 'n' was .*; it must be one positive") for std in (0, -1.0, math.inf, math.nan)),
        ({"std": "0.5"}, "std of 'n' was '0.5'"),
        ({"std": True}, "std of 'n' was True"),
        ({"mean": math.nan}, "mean of 'n' was nan; it must be one number per channel"),
        ({"mean": ("a",)}, "mean of 'n' was 'a'"),
        ({"input_size": 0}, r"input_size of 'n' was 0; it must be \(height, width\), or one number for both"),
        ({"input_size": (4, 4, 3)}, r"input_size of 'n' was \(4, 4, 3\)"),
        ({"input_size": 4.5}, r"input_size of 'n' was .*4.5"),
        ({"input_size": "4x4"}, "input_size of 'n' was .*'4x4'"),
        ({"name": 5}, "name was 5; it must be a text"),
        ({"module": "resnet18"}, "module was 'resnet18'; it must be a torch.nn.Module"),
    ],
)
def test_what_is_no_input_space_gets_a_sentence(given, says):
    network = Network(**{"module": nn.Identity(), "name": "n"} | given)
    for use in (network.check, lambda: measure(network, torch.rand(1, 2, 4, 4), ["output"], progress=False)):
        with pytest.raises(InfodiscardError, match=says):
            use()


class Locked(nn.Linear):
    """A module that cannot be copied."""

    def __init__(self):
        super().__init__(2, 2)
        self.lock = threading.Lock()


def test_a_module_that_cannot_be_copied_stays_where_it_is_or_is_told():
    module = Locked()
    assert placed(module, "cpu:0") == (module, torch.device("cpu"))
    with pytest.raises(InfodiscardError, match=r"cannot be copied to the device 'meta' \(TypeError: cannot pickle"):
        placed(module, "meta")
    module = nn.Linear(2, 2)
    module.last = module(torch.ones(1, 2))
    with pytest.raises(InfodiscardError, match=r"cannot be copied to the device 'meta' \(RuntimeError: Only Tensors"):
        placed(module, "meta")
    for device in ([], "cuda:999", 2.5):
        with pytest.raises(InfodiscardError, match="cannot be used"):
            placed(module, device)


HALVES = torch.tensor([[1.0, 0.0], [0.0, 0.5]])
KINDS = {
    "sparse": lambda values: values.to_sparse(),
    "compressed": lambda values: values.to_sparse_csr(),
    "quantised": lambda values: torch.quantize_per_tensor(values, 0.25, 0, torch.qint8),
    "complex": lambda values: torch.complex(values, values).conj(),
    "float8": lambda values: values.to(torch.float8_e4m3fn),
    "nested": lambda values: torch.nested.nested_tensor(list(values)),
    "jagged": lambda values: torch.nested.nested_tensor(list(values), layout=torch.jagged),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", KINDS)
def test_the_hash_covers_tensors_of_every_kind(kind):
    def digest(values):
        module = nn.Module()
        module.register_buffer("values", KINDS[kind](values))
        return weights_hash(module)

    assert digest(HALVES) == digest(HALVES.clone()) and digest(HALVES) != digest(2 * HALVES)


def test_a_network_with_a_sparse_parameter_is_measured():
    network = nn.Sequential(nn.Linear(6, 4)).eval()
    network.adjacency = nn.Parameter(torch.eye(4).to_sparse(), requires_grad=False)
    run = measure(network, torch.rand(2, 6), ["0"], max_passes=96, progress=False)
    assert run.complete


def test_sharded_weights_are_refused(tmp_path):
    distributed = pytest.importorskip("torch.distributed.fsdp")
    store = torch.distributed.FileStore(str(tmp_path / "store"), 1)
    torch.distributed.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mesh = torch.distributed.device_mesh.init_device_mesh("cpu", (1,))
        network = nn.Sequential(nn.Linear(6, 4)).eval()
        distributed.fully_shard(network, mesh=mesh)
        for _ in range(2):
            with pytest.raises(InfodiscardError, match="sharded over processes"):
                measure(network, torch.rand(2, 6), ["0"], max_passes=96, progress=False)
            network(torch.rand(2, 6))  # gathers them
    finally:
        torch.distributed.destroy_process_group()
