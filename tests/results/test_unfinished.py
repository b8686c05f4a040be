"""What is kept of a unit that was interrupted."""

import torch

from infodiscard.results.plan import Unit
from infodiscard.results.unfinished import Unfinished

UNIT, TENSORS = Unit("net", "layer", 0, 2), {"a": torch.arange(6.0).view(2, 3), "b": torch.tensor(True)}


def test_it_is_for_the_same_samples_of_the_same_run_alone(tmp_path):
    kept = Unfinished(tmp_path, "now")
    assert kept.kept(UNIT, ("sid", "x")) is None
    kept.keep(UNIT, ("sid", "x"), TENSORS)
    found = Unfinished(tmp_path, "now").kept(UNIT, ("sid", "x"))
    assert found is not None and all(torch.equal(found[name], value) for name, value in TENSORS.items())
    assert kept.kept(UNIT, ("sid", "y")) is None and Unfinished(tmp_path, "later").kept(UNIT, ("sid", "x")) is None
    assert kept.kept(Unit("net", "layer", 2, 4), ("sid", "x")) is None
    kept.forget()
    assert kept.kept(UNIT, ("sid", "x")) is None and not list(tmp_path.iterdir())


def test_a_broken_file_is_as_good_as_none_and_a_run_in_memory_keeps_none(tmp_path):
    kept = Unfinished(tmp_path, "now")
    kept.keep(UNIT, ("sid", "x"), TENSORS)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    assert kept.kept(UNIT, ("sid", "x")) is None
    nowhere = Unfinished(None, "now")
    nowhere.keep(UNIT, ("sid", "x"), TENSORS)
    assert nowhere.kept(UNIT, ("sid", "x")) is None
