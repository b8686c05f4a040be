"""TensorBoard: event files, read back with its own reader."""

import sys

import pytest
from typer.testing import CliRunner

from infodiscard import InfodiscardError
from infodiscard.api.run import Run
from infodiscard.cli import app
from infodiscard.integrations.tensorboard import to_tensorboard
from synthetic import RESNET, make_plan, make_run, shared_run

SMALL = {"layers": ("conv1", "relu#1", "relu_1"), "samples": 4, "size": 6}


BOTH = {"metrics": ("sid", "ru"), "networks": ("a", "b/c"), "pictures": True, "masks": True}


def events(folder):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    return reader.EventAccumulator(str(folder)).Reload()


def test_tensorboard_reads_what_the_summary_says(tmp_path):
    pytest.importorskip("tensorboard")
    run = shared_run(**BOTH, **SMALL)
    folders = to_tensorboard(run, tmp_path / "board", step=7)
    assert folders == [tmp_path / "board" / "a", tmp_path / "board" / "b_c"]
    names = {"conv1": "conv1", "relu#1": "relu_1", "relu_1": "relu_1-2"}
    for folder, network in zip(folders, ("a", "b/c"), strict=True):
        found = events(folder)
        table = run.summary().drop(columns="trust").set_index(["network", "layer"]).loc[network]
        columns = [f"{column}/{names[layer]}" for column in table for layer in table.index]
        assert sorted(found.Tags()["scalars"]) == sorted(columns)
        for column in ("sid", "sid_se", "sid_corrected", "sid_corrected_se", "ru", "concentration", "gap", "converged"):
            for layer, name in names.items():
                (event,) = found.Scalars(f"{column}/{name}")
                assert event.step == 7 and event.value == pytest.approx(float(table[column][layer]), rel=1e-6)
        assert set(found.Tags()["images"]) == {"sid_by_layer", "sid_map", "ru_by_layer", "ru_map", "reconstruction"}
        (picture,) = found.Images("sid_map")
        assert picture.encoded_image_string[:4] == b"\x89PNG" and picture.height > 100
        (text,) = found.Tensors("made/text_summary")
        assert b"alpha" in text.tensor_proto.string_val[0] and b"hash/weights/a" in text.tensor_proto.string_val[0]


def test_what_is_missing_is_left_out(tmp_path):
    pytest.importorskip("tensorboard")
    part = make_run(units=1, layers=RESNET[:2], samples=1, size=4, networks=("a", "b"))
    (folder,) = to_tensorboard(part, tmp_path)
    tags = events(folder).Tags()["scalars"]
    assert "sid/conv1" in tags and "sid_se/conv1" not in tags and "sid/layer1.0" not in tags
    with pytest.raises(InfodiscardError, match="Nothing of this run is measured yet"):
        to_tensorboard(Run.create(make_plan(samples=1, size=4)), tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_a_missing_library_names_the_extra(tmp_path, monkeypatch):
    run = shared_run(**SMALL)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[tensorboard\]'"):
        to_tensorboard(run, tmp_path)


def test_the_command(tmp_path):
    pytest.importorskip("tensorboard")
    call = lambda *words: CliRunner().invoke(app, ["export", *map(str, words)])  # noqa: E731
    make_run(tmp_path / "run", **SMALL)
    result = call(tmp_path / "run", "--tensorboard", tmp_path / "board")
    assert result.exit_code == 0, result.output
    assert str(tmp_path / "board" / "resnet20") in result.output
    assert "sid/conv1" in events(tmp_path / "board" / "resnet20").Tags()["scalars"]
    for words, match in (
        ((tmp_path / "run",), "give --tensorboard DIR or --mlflow URI"),
        ((tmp_path / "nowhere", "--tensorboard", tmp_path), "does not exist"),
        ((tmp_path / "run", "--mlflow", "nonsense://x"), "MLflow could not be written to at nonsense://x"),
        ((tmp_path / "run", "--tensorboard", "/proc/none"), "Could not write for TensorBoard in '/proc/none'"),
    ):
        result = call(*words)
        assert result.exit_code == 2 and match in " ".join(result.stderr.split()), result.output
