"""σ spreads over the input as it should, and noise belongs to its sample."""

import pytest
import torch

from infodiscard.errors import InfodiscardError
from infodiscard.solver.noise import SampleNoise, SigmaSpace

SPACES = [
    ("pixel", (3, 6, 5)),
    ("unit", (3, 6, 5)),
    ("grid:1", (3, 6, 5)),
    ("grid:2", (1, 6, 8)),
    ("grid:4", (3, 7, 5)),
    ("grid:5", (2, 5, 9)),
    ("grid:6", (3, 6, 6)),
]


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize(("name", "shape"), SPACES)
def test_gather_is_the_adjoint_of_expand(name, shape):
    space = SigmaSpace.parse(name, shape)
    values, units = normal(4, 2, *space.shape), normal(4, 2, *shape, seed=1)
    spread = space.expand(values).expand(4, 2, *shape)
    gathered = space.gather(units)
    assert gathered.shape == values.shape
    torch.testing.assert_close((spread * units).sum((2, 3, 4)), (values * gathered).sum((2, 3, 4)))


@pytest.mark.parametrize(("name", "shape"), SPACES)
def test_every_parameter_covers_its_units_and_every_unit_has_one(name, shape):
    space = SigmaSpace.parse(name, shape)
    numbers = torch.arange(space.shape[0] * space.shape[1] * space.shape[2]).reshape(space.shape)
    owner = space.expand(numbers).expand(shape)
    counts = torch.bincount(owner.flatten(), minlength=numbers.numel()).reshape(space.shape)
    assert torch.equal(space.weights(), counts.float())
    assert counts.min() >= 1 and counts.sum() == shape[0] * shape[1] * shape[2]


def test_a_grid_that_does_not_divide_has_cells_of_nearly_equal_size():
    space = SigmaSpace.parse("grid:3", (1, 7, 8))
    expected = torch.tensor([[0] * 3 + [1] * 2 + [2] * 2]).T * 3 + torch.tensor([[0] * 3 + [1] * 3 + [2] * 2])
    assert torch.equal(space.expand(torch.arange(9).reshape(1, 3, 3))[0], expected)
    assert space.weights().tolist() == [[[9, 9, 6], [6, 6, 4], [6, 6, 4]]]


def test_shapes_of_the_spaces():
    shape = (3, 4, 5)
    assert [SigmaSpace.parse(name, shape).shape for name in ("pixel", "unit", "grid:2")] == [
        (1, 4, 5),
        shape,
        (1, 2, 2),
    ]


@pytest.mark.parametrize(
    "name", ["", "pixels", "grid", "grid:", "grid:0", "grid:-2", "grid:2.5", "grid:5", "unit:2", None]
)
def test_other_spaces_are_refused(name):
    with pytest.raises(InfodiscardError, match="it can be 'pixel', 'unit' or 'grid:G' with G from 1 to 4"):
        SigmaSpace.parse(name, (3, 4, 5))


@pytest.fixture
def samples():
    return normal(4, 3, 6, 5, seed=3).float()


def draw(samples, rows, count=4, seed=0, purpose="fit"):
    return SampleNoise(samples, seed, purpose).draw(rows, count)


def test_noise_is_standard_normal_and_repeatable(samples):
    noise = draw(samples, [0, 1, 2, 3], 200)
    assert noise.shape == (4, 200, 3, 6, 5) and noise.dtype == samples.dtype
    assert abs(noise.mean()) < 4 / noise.numel() ** 0.5 and abs(noise.var() - 1) < 4 * (2 / noise.numel()) ** 0.5
    assert torch.equal(noise, draw(samples, [0, 1, 2, 3], 200))
    # Independent between samples and between draws.
    flat = noise[:, :2].flatten(0, 1).flatten(1).double()
    assert (torch.corrcoef(flat) - torch.eye(8)).abs().max() < 4.5 / flat.shape[1] ** 0.5


def test_noise_does_not_depend_on_batch_order_or_place(samples):
    noise = draw(samples, [0, 1, 2, 3])
    assert torch.equal(draw(samples[2:3], [0])[0], noise[2])
    assert torch.equal(draw(samples.flip(0), [0, 1, 2, 3]), noise.flip(0))
    assert torch.equal(draw(samples, [3, 1]), noise[[3, 1]])
    assert torch.equal(draw(torch.stack([samples[1], samples[1]]), [0, 1]), noise[[1, 1]])


def test_noise_goes_on_for_each_sample_by_itself(samples):
    stream = SampleNoise(samples, 0, "fit")
    first, second = stream.draw([0, 1], 2), stream.draw([1, 2], 2)
    alone = SampleNoise(samples[1:2], 0, "fit")
    assert torch.equal(first, draw(samples, [0, 1], 2))
    assert torch.equal(first[1:], alone.draw([0], 2)) and torch.equal(second[:1], alone.draw([0], 2))
    assert torch.equal(second[1:], draw(samples, [2], 2))
    assert not torch.equal(second[0], first[1])


def test_noise_depends_on_content_seed_and_purpose(samples):
    noise = draw(samples, [0])
    changed = samples.clone()
    changed[0, 2, 5, 4] += 1e-6
    for other in (draw(changed, [0]), draw(samples, [0], seed=1), draw(samples, [0], purpose="check")):
        correlation = torch.corrcoef(torch.stack([noise.flatten(), other.flatten()]))[0, 1]
        assert abs(correlation) < 4.5 / noise.numel() ** 0.5
    changed[1] = 0
    assert torch.equal(draw(samples, [2]), draw(changed, [2]))


def test_the_global_random_state_is_untouched(samples):
    state = torch.get_rng_state()
    noise = draw(samples, [0, 1])
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(3)
    assert torch.equal(draw(samples, [0, 1]), noise)
    torch.set_rng_state(state)
