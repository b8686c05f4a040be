"""Every name of a layer that is listed can be measured, matched, stored, drawn, printed and exported."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import check, compare, list_layers, measure, open_run
from infodiscard.integrations.tracking import scalars
from infodiscard.report import write_report
from shell import call
from small_network import images

NAMES = (
    *("c[0]", "c[1]", "x#1", "a*b", "why?", "with space", "sla/sh", "sla", "öl ß", "日本語", "😀", "$m$^{", "_hidden"),
    *("[red]bold[/red]", "[/]", "<b>&amp;", "quo\"te's", "back\\slash", "com,ma", "%d {x}", "output[1]", "100", "a\tb"),
    *("new\nline", ":col:on", "-dash", "=eq", "c[", "c]", "x" * 120),
)
pytestmark = pytest.mark.filterwarnings("ignore:Glyph .* missing from font")
OPTIONS = {"max_passes": 96, "progress": False}


class Odd(nn.Module):
    """A network whose layers have names of all kinds."""

    def __init__(self):
        super().__init__()
        kinds = [nn.Conv2d(3, 4, 3), *(nn.ReLU() for _ in NAMES[1:])]
        self.b = nn.ModuleDict(dict(zip(NAMES, kinds, strict=True)))

    def forward(self, x):
        for module in self.b.values():
            x = module(x)
        return x


@pytest.fixture(scope="module")
def odd():
    torch.manual_seed(0)
    return Odd().eval()


@pytest.fixture(scope="module")
def run(odd, tmp_path_factory):
    names = [layer.name for layer in list_layers(odd, images())]
    assert names == [*(f"b.{name}" for name in NAMES), "output"]
    return measure(odd, images(2), names, out=tmp_path_factory.mktemp("odd") / "run", **OPTIONS)


def test_each_alone_and_all_by_a_pattern(odd, run):
    for name in run.plan.layers["Odd"]:
        assert measure(odd, images(1), [name], **OPTIONS).plan.layers["Odd"] == (name,)
    assert measure(odd, images(2), ["**"], out=run.path, **OPTIONS).created == run.created


def test_they_are_stored_tabled_and_drawn(run, tmp_path):
    stored = open_run(run.path)
    assert tuple(stored.summary()["layer"]) == run.plan.layers["Odd"] and np.isfinite(stored.dataset["sid"]).all()
    assert len(compare({"a": run, "b": stored})) == len(run.plan.layers["Odd"]) and check(run, stored).passed
    for draw in (stored.plot_layers, stored.plot_maps):
        for ending in ("png", "svg"):
            draw(tmp_path / f"picture.{ending}")
    assert write_report(stored, tmp_path / "report").exists() and "[red]" in stored._repr_html_()


def test_they_are_printed(run):
    for words in (("report", run.path), ("compare", f"a={run.path}", f"b={run.path}"), ("status", run.path)):
        result = call(*words)
        assert result.exit_code == 0, result.output
    assert "[red]bold[/red]" in call("report", run.path).stdout


def test_their_names_as_numbers_of_a_tracker_are_apart(run):
    names = {name for name in scalars(run, run.summary(), "Odd") if name.startswith("sid/")}
    assert len(names) == len(run.plan.layers["Odd"]) and all(name.count("/") == 1 for name in names)
