"""MLflow: an experiment, read back with its own client."""

import io
import sys

import numpy as np
import pandas as pd
import pytest

from infodiscard import InfodiscardError
from infodiscard.integrations.mlflow import to_mlflow
from synthetic import shared_run

SMALL = {"layers": ("conv1", "relu#1", "relu_1"), "samples": 4, "size": 6}


BOTH = {"metrics": ("sid", "ru"), "networks": ("a", "b/c"), "pictures": True, "masks": True}


def test_mlflow_reads_what_the_summary_says(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")  # a database needs more of MLflow than its core
    run, uri, before = shared_run(**BOTH, **SMALL), f"file:{tmp_path / 'store'}", mlflow.get_tracking_uri()
    numbers = to_mlflow(run, "mine", uri, step=3)
    assert len(to_mlflow(run, "mine", uri)) == 2 and mlflow.get_tracking_uri() == before
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("mine")
    assert len(client.search_runs([experiment.experiment_id])) == 4
    for number, network in zip(numbers, ("a", "b/c"), strict=True):
        logged = client.get_run(number)
        assert logged.info.run_name == network and logged.info.status == "FINISHED"
        table = run.summary().set_index(["network", "layer"]).loc[network]
        assert logged.data.metrics["sid/relu_1"] == pytest.approx(float(table["sid"]["relu#1"]))
        assert logged.data.metrics["ru_se/relu_1-2"] == pytest.approx(float(table["ru_se"]["relu_1"]))
        assert client.get_metric_history(number, "sid/conv1")[0].step == 3
        assert logged.data.params["alpha"] == "1.5" and logged.data.tags["hash/weights/a"] == "ab" * 32
        names = {item.path for item in client.list_artifacts(number)}
        assert {"sid_map.png", "ru_map.png", "sid_by_layer.png", "summary.csv", "values.csv"} <= names
        with open(client.download_artifacts(number, "values.csv"), encoding="utf-8") as file:
            values = pd.read_csv(io.StringIO(file.read()))
        expected = run.to_dataframe()
        assert np.allclose(values["sid"], expected[expected["network"] == network]["sid"])
    assert not (tmp_path / "mlruns").exists()


def test_a_missing_library_names_the_extra(monkeypatch):
    run = shared_run(**SMALL)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(InfodiscardError, match=r"pip install 'infodiscard\[mlflow\]'"):
        to_mlflow(run)
