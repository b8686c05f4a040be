"""The parameters of σ cover the input exactly once."""

import pytest
import torch

from infodiscard.errors import InfodiscardError
from infodiscard.solver.sigma_space import SigmaSpace

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
    assert torch.equal(space.weights(torch.ones(1)), counts.float())
    assert counts.min() >= 1 and counts.sum() == shape[0] * shape[1] * shape[2]


def test_a_grid_that_does_not_divide_has_cells_of_nearly_equal_size():
    space = SigmaSpace.parse("grid:3", (1, 7, 8))
    expected = torch.tensor([[0] * 3 + [1] * 2 + [2] * 2]).T * 3 + torch.tensor([[0] * 3 + [1] * 3 + [2] * 2])
    assert torch.equal(space.expand(torch.arange(9).reshape(1, 3, 3))[0], expected)
    assert space.weights(torch.ones(1)).tolist() == [[[9, 9, 6], [6, 6, 4], [6, 6, 4]]]


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
