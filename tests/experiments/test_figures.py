"""Figures of studies: labels by what the table holds."""

import numpy as np

from infodiscard.experiments.figures import curves, panels
from infodiscard.experiments.findings import layer_means
from studying import trained
from synthetic import make_run, shared_run


def test_means_of_an_older_run_are_as_reached_and_labelled_so():
    run = make_run(samples=8, size=8, old=True)
    table = layer_means(trained(), run)
    np.testing.assert_allclose(table["mean"], run.summary()["sid"], rtol=1e-5)
    assert set(table["basis"]) == {"reached"}
    drawn = [panels(1) for _ in range(2)]
    curves(drawn[0][1][0], table, "sid", ["resnet20"])
    curves(drawn[1][1][0], layer_means(trained(), shared_run(samples=8, size=8)), "sid", ["resnet20"])
    assert [ax[0].get_ylabel().startswith("SID reached") for _, ax in drawn] == [True, False]
