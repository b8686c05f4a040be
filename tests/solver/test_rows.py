"""Some samples, by number, are the same for the host and the device."""

import torch

from infodiscard.solver.rows import Rows


def test_they_are_chosen_and_split_alike_on_both_sides():
    rows = Rows.first(5)
    some = rows.kept(torch.tensor([True, False, True, True, False]))
    assert some.numbers == (0, 2, 3) and some.index.tolist() == [0, 2, 3] and len(some) == 3
    assert some.kept(torch.tensor([False, False, True])).numbers == (3,)
    assert [(part.numbers, part.index.tolist()) for part in some.split(2)] == [((0, 2), [0, 2]), ((3,), [3])]
    assert some.kept(torch.ones(3, dtype=torch.bool)) is some and some.split(3) == [some]
    none = some.kept(torch.zeros(3, dtype=torch.bool))
    assert not len(none) and none.split(2) == [] and none.index.dtype == torch.long and none.index.tolist() == []
