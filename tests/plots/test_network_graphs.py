"""Networks as graphs and heat maps: the numbers and colours are the run's, verdicts are those of compare."""

from dataclasses import replace

import numpy as np
import pytest

from infodiscard.analysis.paired import compare_runs
from infodiscard.api.run import Run
from infodiscard.errors import InfodiscardError
from infodiscard.plots import heat_map, network_graph, paper_style
from infodiscard.plots.palette import MAP
from synthetic import make_plan, make_run, values_of

LAYERS = ("stem", "a", "b")
STAGES = (("input", ()), ("stem", (0,)), ("a", (1,)), ("b", (1, 2)), ("head", (3,)))


@pytest.fixture(scope="module")
def run():
    plan = replace(make_plan(LAYERS, 6, ("one", "two"), 6), stages={"one": STAGES, "two": STAGES})
    run = Run.create(plan)
    for unit in run.pending():
        run.write(unit, values_of(plan, unit, shift=0.3 * (unit.network == "two" and unit.layer == "a")))
    return run


def printed(value):
    return f"{value:.2f}".replace("-", "−")


def test_layers_have_their_mean_its_colour_and_the_verdict(run):
    from matplotlib import colormaps

    figure = network_graph(run)
    first, second, bar = figure.axes
    means = run.summary().set_index(["network", "layer"])["sid_corrected"]
    verdicts = compare_runs(run).set_index("layer")["verdict"]
    assert verdicts["a"] == "more" and verdicts["stem"] == "same"
    for ax, network in ((first, "one"), (second, "two")):
        texts = [text.get_text() for text in ax.texts]
        assert {*LAYERS, "input", "head", network} <= {*texts}
        for layer, box in zip(LAYERS, [each for each in ax.patches if each.get_width() > 0.3], strict=True):
            share = (means[network, layer] - bar.get_ylim()[0]) / np.ptp(bar.get_ylim())
            np.testing.assert_allclose(box.get_facecolor(), colormaps[MAP](share), atol=0.01)
            assert any(text.startswith(printed(means[network, layer])) for text in texts)
            assert (verdicts[layer] in texts) == (network == "two")
    notes = figure.texts[0].get_text()
    assert "computed from" in notes and "against one" in notes and "not to be trusted" in notes  # b has not converged


def test_a_network_is_chosen_and_a_run_without_stages_says_so(tmp_path):
    run = make_run(layers=LAYERS, samples=2, size=4, networks=("one", "two"))
    figure = run.plot_network(tmp_path / "graph.svg", networks=["two"])
    assert len(figure.axes) == 2 and "not recorded" in figure.texts[0].get_text()
    assert "stem" not in [text.get_text() for text in figure.texts] and (tmp_path / "graph.svg").stat().st_size > 1000
    with pytest.raises(InfodiscardError, match="No network 'three'"):
        network_graph(run, ["three"])
    with pytest.raises(InfodiscardError, match="has no 'ru'"):
        network_graph(run, metric="ru")
    with paper_style():
        assert network_graph(run).get_size_inches()[0] == pytest.approx(3.3, abs=0.01)


def test_the_heat_map_holds_every_mean_in_numbers(run):
    ax, bar = run.plot_heat_map().axes
    means = run.summary().pivot(index="layer", columns="network", values="sid_corrected").loc[list(LAYERS)]
    np.testing.assert_allclose(ax.images[0].get_array(), means.to_numpy(), rtol=1e-6)
    assert [text.get_text().split(" ")[0] for text in ax.texts] == [printed(mean) for mean in means.to_numpy().ravel()]
    assert [label.get_text() for label in ax.get_yticklabels()] == [*LAYERS]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["one", "two"]
    assert bar.get_ylabel().startswith("SID (nats/pixel)")
    other = heat_map(make_run(layers=LAYERS, samples=2, size=4, metrics=["ru"]))
    assert other.axes[1].get_ylabel().startswith("RU")
