"""What trainings share: folders, seeds of epochs, and warnings."""

import logging
import sys
import warnings
from pathlib import Path

import pytest

from infodiscard.errors import InfodiscardError
from infodiscard.training.runtime import epoch_seed, make_folder, quiet, require_lightning


def test_a_folder_is_made_once_and_a_file_is_in_its_way(tmp_path: Path) -> None:
    assert make_folder(tmp_path / "a" / "b") == make_folder(tmp_path / "a" / "b") and (tmp_path / "a" / "b").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InfodiscardError, match=r"'.*file' cannot be made .*; choose another"):
        make_folder(tmp_path / "file")


def test_seeds_of_epochs_differ_and_stay() -> None:
    seeds = {epoch_seed(seed, epoch) for seed in range(20) for epoch in range(20)}
    assert len(seeds) == 400 and epoch_seed(0, 0) == 2968811710  # otherwise a resumed training would change


def test_only_lightnings_own_warnings_are_silenced() -> None:
    log = logging.getLogger("lightning.pytorch")
    before = log.level
    with pytest.warns(UserWarning, match="from elsewhere"), quiet():
        assert log.level == logging.WARNING
        warnings.warn("Checkpoint directory x exists and is not empty.", stacklevel=1)
        warnings.warn("from elsewhere", stacklevel=1)
    assert log.level == before


def test_lightning_is_asked_for_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightning", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[train\]'"):
        require_lightning()
