"""The feature distance and its gradient equal plain autograd, however they are batched."""

import pytest
import torch
from torch import nn

from infodiscard.errors import InfodiscardError
from infodiscard.networks.preserve import preserved
from infodiscard.networks.probe import Probe
from infodiscard.solver.feature_distance import FeatureDistance


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture(scope="module")
def net():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(2, 4, 3), nn.Softplus(), nn.Conv2d(4, 3, 3), nn.Tanh()).double().eval()


ROWS = torch.tensor([2, 0, 3])


@pytest.fixture
def case():
    return normal(4, 2, 6, 6), 0.3 * normal(3, 5, 2, 6, 6, seed=1)


def test_distance_and_gradient_against_autograd(net, case):
    inputs, noise = case
    with preserved(net):
        distance = FeatureDistance(Probe(net, "3"), inputs, batch_size=4)
        value, gradient = distance.gradient(ROWS, noise)
        plain = distance(ROWS, noise)
    assert value.shape == plain.shape == (3, 5) and gradient.shape == noise.shape
    for i, row in enumerate(ROWS):
        for j in range(5):
            z = noise[i, j].clone().requires_grad_()
            expected = (net((inputs[row] + z)[None]) - net(inputs[row][None])).square().sum()
            (slope,) = torch.autograd.grad(expected, z)
            torch.testing.assert_close(value[i, j], expected.detach())
            torch.testing.assert_close(gradient[i, j], slope)
    torch.testing.assert_close(plain, value)
    assert not gradient.requires_grad and not value.requires_grad and not plain.requires_grad
    assert not noise.requires_grad and all(parameter.grad is None for parameter in net.parameters())


def test_no_result_depends_on_the_batch_size(net, case):
    inputs, noise = case
    results = [FeatureDistance(net, inputs, batch_size=size).gradient(ROWS, noise) for size in (1, 4, 7, 15, 100)]
    for value, gradient in results[1:]:
        torch.testing.assert_close(value, results[0][0], rtol=1e-12, atol=1e-12)
        torch.testing.assert_close(gradient, results[0][1], rtol=1e-12, atol=1e-12)


def test_no_pass_is_larger_than_the_batch_size(case):
    inputs, noise = case
    sizes = []

    def feature(x):
        sizes.append(len(x))
        return x * 2

    distance = FeatureDistance(feature, inputs, batch_size=4)
    distance(ROWS, noise)
    assert sizes == [4, 4, 4, 4, 3]


def test_a_linear_feature_in_closed_form(case):
    inputs, noise = case
    distance = FeatureDistance(lambda x: 3 * x, inputs)
    value, gradient = distance.gradient(ROWS, noise)
    torch.testing.assert_close(value, 9 * noise.square().sum((2, 3, 4)))
    torch.testing.assert_close(gradient, 18 * noise)
    assert not distance(ROWS, torch.zeros_like(noise)).any()


def short_of_memory(limit, sizes, error):
    def feature(x):
        sizes.append(len(x))
        if len(x) > limit:
            raise error
        return x.sin()

    return feature


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["cuda", "cpu"],
)
def test_the_batch_is_halved_until_memory_suffices(case, error):
    inputs, noise = case
    expected = FeatureDistance(torch.sin, inputs).gradient(ROWS, noise)
    sizes = []
    distance = FeatureDistance(short_of_memory(2, sizes, error), inputs, batch_size=16)
    assert distance.batch_size == 4 or distance.batch_size == 2
    value, gradient = distance.gradient(ROWS, noise)
    assert distance.batch_size == 2
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient, expected[1])
    torch.testing.assert_close(distance(ROWS, noise), expected[0])
    sizes.clear()
    distance(ROWS, noise)
    assert max(sizes) == 2


def test_when_one_input_is_too_large_the_error_is_passed_on(case):
    inputs, _ = case
    with pytest.raises(torch.OutOfMemoryError):
        FeatureDistance(short_of_memory(0, [], torch.OutOfMemoryError("CUDA out of memory.")), inputs)


def test_other_errors_are_passed_on_at_once(case):
    inputs, noise = case
    sizes = []
    distance = FeatureDistance(short_of_memory(4, sizes, RuntimeError("shapes do not match")), inputs, batch_size=4)
    distance.batch_size = 16
    with pytest.raises(RuntimeError, match="shapes do not match"):
        distance(ROWS, noise)
    assert distance.batch_size == 16 and len(sizes) == 2


@pytest.mark.parametrize(
    "feature",
    [
        lambda x: x.detach() * 2,
        lambda x: nn.Parameter(torch.ones(2, 2)).expand(len(x), 2, 2),
        lambda x: (x > 0).double(),
    ],
    ids=["detached", "independent", "compared"],
)
def test_a_layer_without_gradient_is_refused(case, feature):
    inputs, noise = case
    distance = FeatureDistance(feature, inputs)
    with pytest.raises(InfodiscardError, match="passes no gradient back to the input"):
        distance.gradient(ROWS, noise)


@pytest.mark.parametrize("feature", [lambda x: x.sum(), lambda x: x.transpose(0, 1), lambda x: x.flatten(0, 1)])
def test_a_feature_that_is_not_one_row_per_input_is_refused(case, feature):
    with pytest.raises(InfodiscardError, match=r"has shape .* for 4 inputs; its first dimension must be the batch"):
        FeatureDistance(feature, case[0])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_feature_that_is_not_finite_is_refused(case, value):
    with pytest.raises(InfodiscardError, match="not finite"):
        FeatureDistance(lambda x: x / x.new_zeros(1) if value == float("inf") else x * value, case[0])


def test_one_number_per_input_is_a_feature(case):
    inputs, noise = case
    distance = FeatureDistance(lambda x: x.sum((1, 2, 3)), inputs)
    torch.testing.assert_close(distance(ROWS, noise), noise.sum((2, 3, 4)).square())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_are_summed_in_float32(dtype):
    inputs, noise = torch.zeros(1, 1, 100, 100), torch.full((1, 1, 1, 100, 100), 16.0)
    value, gradient = FeatureDistance(lambda x: x.to(dtype), inputs).gradient(torch.tensor([0]), noise)
    assert value.dtype == torch.float32 and value.item() == 2_560_000.0
    assert torch.equal(gradient, 2 * noise)


def test_it_works_under_inference_mode(net, case):
    inputs, noise = case
    expected = FeatureDistance(net, inputs).gradient(ROWS, noise)
    with torch.inference_mode():
        copies = inputs.clone(), noise.clone()
        with preserved(net):
            value, gradient = FeatureDistance(Probe(net, "output"), copies[0]).gradient(ROWS, copies[1])
    torch.testing.assert_close(value, expected[0])
    torch.testing.assert_close(gradient, expected[1])


# ---- passes with a gradient that fail ------------------------------------------------------------------------------


class Doubled(torch.autograd.Function):
    """A function without a backward pass."""

    @staticmethod
    def forward(ctx, x):
        return x * 2


def _in_place(x):
    one = x.exp()
    two = one.exp()
    one += 1
    return one + two


def _in_place_on_views(x):
    left, right = (x * 1).unbind(1)
    left += right
    return left


@pytest.mark.parametrize(
    ("feature", "says"),
    [
        (Doubled.apply, r"not with a gradient \(You must implement"),
        (_in_place, r"not with a gradient \(one of the variables needed .* modified by an inplace operation"),
        (_in_place_on_views, r"not with a gradient \(Output 0 of Unbind"),
    ],
)
def test_a_pass_that_has_no_gradient_is_told_apart(feature, says):
    distance, noise = FeatureDistance(feature, normal(2, 2)), normal(2, 3, 2, seed=1)
    rows = torch.arange(2)
    assert distance(rows, noise).shape == (2, 3)
    with pytest.raises(InfodiscardError, match=f"The network runs up to the layer, but {says}"):
        distance.gradient(rows, noise)


def test_a_feature_whose_size_hangs_on_the_input_is_refused():
    distance = FeatureDistance(lambda x: x[:, : 1 + int(x.sum() > 9)], torch.ones(1, 3))
    with pytest.raises(InfodiscardError, match=r"shape \(4, 2\) for 4 inputs and \(4, 1\) for 4; its size must depend"):
        distance(torch.zeros(1, dtype=torch.long), 9 * torch.ones(1, 4, 3))


def test_an_empty_feature_is_refused():
    with pytest.raises(InfodiscardError, match=r"The layer's output is empty, of shape \(1, 0\)"):
        FeatureDistance(lambda x: x[:, :0], torch.ones(1, 3))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
def test_distances_are_in_the_precision_of_the_samples_whatever_the_features(dtype):
    inputs, noise = normal(2, 3).float(), 0.1 * normal(2, 5, 3, seed=1).float()
    rows = torch.arange(2)
    found = FeatureDistance(lambda x: 3 * x.to(dtype), inputs).gradient(rows, noise)
    expected = FeatureDistance(lambda x: 3 * x, inputs).gradient(rows, noise)
    for one, two in zip(found, expected, strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, two, rtol=0.05, atol=0.05)
