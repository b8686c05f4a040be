"""Collection: arguments and labels from whatever holds them."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from infodiscard.data.coerce import coerce_inputs
from infodiscard.data.collect import collect_arguments
from infodiscard.errors import InfodiscardError


def images(n=3, channels=2, height=4, width=5):
    return torch.rand(n, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_items_with_something_other_than_a_class_have_no_labels():
    assert coerce_inputs([(image, "cat") for image in images()]).labels is None
    assert coerce_inputs([(image, torch.zeros(4)) for image in images()]).labels is None


def test_unusual_arrays_are_taken():
    x = images().numpy()
    frozen = x.copy()
    frozen.flags.writeable = False
    assert np.array_equal(coerce_inputs(frozen).values.numpy(), x)
    assert np.array_equal(coerce_inputs(x[:, ::-1]).values.numpy(), x[:, ::-1])
    assert np.array_equal(coerce_inputs(x.astype(">f4")).values.numpy(), x)
    masks = x[:, 0] > 0.5
    masks.flags.writeable = False
    assert np.array_equal(coerce_inputs(x, masks[:, ::-1]).masks.numpy(), masks[:, ::-1])


def test_bytes_and_floats_in_one_set_are_refused():
    bright = (255 * torch.rand(3, 4, 4)).byte()
    for items in ([bright, torch.rand(3, 4, 4)], [(torch.rand(3, 4, 4), 0), (bright, 1)]):
        with pytest.raises(InfodiscardError, match="Some images are integers and others floats"):
            collect_arguments(items, None)
    with pytest.raises(InfodiscardError, match="Some inputs 'x' are integers and others floats"):
        collect_arguments([{"x": bright}, {"x": torch.rand(3, 4, 4)}], None)


ROWS = torch.rand(3, 4, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("as_loader", [False, True])
@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        (torch.tensor([2, 0, 1]), (2, 0, 1)),
        (torch.tensor([2, 0, 1], dtype=torch.uint8), (2, 0, 1)),
        (torch.tensor([True, False, True]), (1, 0, 1)),
        (torch.tensor([2.0, 0.0, 1.0]), (2, 0, 1)),
        (torch.tensor([0.1, 0.7, 0.9]), None),
        (torch.tensor([1.0, 0.0, 0.5], dtype=torch.bfloat16), None),
        (torch.tensor([0.0, float("nan"), 1.0]), None),
        (torch.tensor([0.0, float("inf"), 1.0]), None),
        (torch.tensor([1j, 2j, 0j]), None),
        (torch.eye(3), None),
    ],
)
def test_only_whole_numbers_are_classes(labels, expected, as_loader):
    data = TensorDataset(ROWS, labels)
    inputs, found = collect_arguments(DataLoader(data, 2) if as_loader else data, None)
    assert torch.equal(inputs[0], ROWS) and found == expected


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([1, 0, 2], (1, 0, 2)),
        ([np.int64(1), np.int64(0), np.int64(2)], (1, 0, 2)),
        ([np.array(1), np.array(0), np.array(2)], (1, 0, 2)),
        ([0.5, 1.5, 2.5], None),
        ([1.0, float("nan"), 2.0], None),
        (["cat", "dog", "cat"], None),
        ([np.str_("cat")] * 3, None),
        ([None, 1, 2], None),
        ([[0, 1], [1], [2]], None),
        ([{"box": 1}] * 3, None),
    ],
)
def test_labels_of_any_type(labels, expected):
    assert collect_arguments(list(zip(ROWS, labels, strict=True)), None)[1] == expected


def test_numbers_and_texts_beside_tensors_are_no_inputs():
    items = [{"input": row, "label": i, "caption": "a cat", "weight": 0.5} for i, row in enumerate(ROWS)]
    inputs, labels = collect_arguments(items, None)
    assert list(inputs) == ["input"] and torch.equal(inputs["input"], ROWS) and labels == (0, 1, 2)
    inputs, labels = collect_arguments([{"x": row, "label": torch.tensor(i)} for i, row in enumerate(ROWS)], None)
    assert list(inputs) == ["x", "label"] and labels is None  # a tensor may be what the network is conditioned on


class Stream(IterableDataset):
    def __init__(self, rows=ROWS):
        self.rows = rows

    def __iter__(self):
        return iter(self.rows)


class LongStream(Stream):
    def __len__(self):
        return len(self.rows)


class Arrays(Dataset):
    def __len__(self):
        return 3

    def __getitem__(self, place):
        return ROWS[place].numpy(), place


@pytest.mark.parametrize(
    ("data", "labels"),
    [
        (pd.DataFrame(ROWS.numpy(), columns=list("abcd"), index=[7, 3, 5]), None),
        (Stream(), None),
        (LongStream(), None),
        (Stream([(row, i) for i, row in enumerate(ROWS)]), (0, 1, 2)),
        (DataLoader(Stream(), 2), None),
        (Arrays(), (0, 1, 2)),
        (list(ROWS.numpy().astype(">f4")), None),
        (ROWS.numpy().astype(np.longdouble), None),
    ],
)
def test_what_holds_inputs_is_taken(data, labels):
    inputs, found = collect_arguments(data, None)
    torch.testing.assert_close(inputs[0].float(), ROWS)
    assert found == labels


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            pd.DataFrame({"a": [0.5, 0.1], "b": ["x", "y"]}),
            "array of object; give an array of floats, without columns of",
        ),
        (ROWS.numpy().astype(complex), "array of complex128"),
        (Stream([]), "holds nothing where an image tensor is needed"),
        ([{"x": "text", "label": 1}], "holds a str where"),
    ],
)
def test_what_holds_no_numbers_is_refused(data, message):
    with pytest.raises(InfodiscardError, match=message):
        collect_arguments(data, None)


def test_a_table_of_whole_numbers_is_refused():
    with pytest.raises(InfodiscardError, match=r"The inputs are integers \(int64\)"):
        coerce_inputs(pd.DataFrame({"a": [1, 2], "b": [3, 4]}))
