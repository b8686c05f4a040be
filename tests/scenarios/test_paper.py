"""Pictures for papers: width, fonts, vectors, the user's own axes; Matplotlib is left as it was."""

import sys

import matplotlib
import pytest
from matplotlib.figure import Figure

from infodiscard.errors import InfodiscardError
from infodiscard.plots import layer_curve, map_sheet, paper_style
from synthetic import RESNET, shared_run

SMALL = {"layers": RESNET[:3], "samples": 5, "size": 6}
BOTH = ("sid", "ru")


@pytest.mark.parametrize("width", [3.3, 7])
def test_pictures_are_as_wide_as_the_column_and_nothing_leaves_them(width):
    run = shared_run(pictures=True, masks=True, metrics=BOTH, networks=("resnet20", "resnet32"), **SMALL)
    with paper_style(width):
        for figure in (run.plot_layers(), run.plot_maps(), run.plot_reconstructions()):
            assert width - 0.25 < figure.get_size_inches()[0] < width + 0.02
            figure.draw_without_rendering()
            box = figure.get_tightbbox()
            assert box.x0 >= -0.02 and box.x1 <= width + 0.02
            sizes = {text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()}
            assert max(sizes) <= 9 and min(sizes) >= 6
    assert run.plot_layers().get_size_inches()[0] >= 5.5


def test_fonts_are_embedded_as_truetype_and_files_hold_vectors(tmp_path):
    run = shared_run(**SMALL)
    with paper_style():
        run.plot_layers(tmp_path / "curve.pdf")
        run.plot_layers(tmp_path / "curve.svg")
    pdf = (tmp_path / "curve.pdf").read_bytes()
    assert b"/Subtype /TrueType" in pdf or b"/CIDFontType2" in pdf
    assert b"/Type3" not in pdf and b"/FontFile2" in pdf and b"/Subtype /Image" not in pdf
    svg = (tmp_path / "curve.svg").read_text()
    assert svg.count("<path") > 20 and "<image" not in svg


def test_matplotlib_is_left_as_it_was(monkeypatch):
    monkeypatch.delitem(sys.modules, "matplotlib.pyplot", raising=False)
    raw = lambda: {name: matplotlib.rcParams._get(name) for name in matplotlib.rcParams}  # noqa: E731
    before = raw()  # reading the backend the usual way would choose one
    with pytest.raises(RuntimeError), paper_style():
        shared_run(**SMALL).plot_layers()
        raise RuntimeError
    assert raw() == before
    assert "matplotlib.pyplot" not in sys.modules
    for wrong in (0.1, 50, "3.3", None):
        with pytest.raises(InfodiscardError, match=r"give inches from 2 to 20"), paper_style(wrong):
            pass


def test_a_curve_goes_into_axes_of_ones_own():
    run = shared_run(metrics=BOTH, **SMALL)
    figure = Figure(figsize=(6, 3))
    left, right = figure.subplots(1, 2)
    left.set_title("mine")
    assert run.plot_layers(ax=left) is figure
    layer_curve(run, metric="ru", ax=right)
    assert left.get_ylabel().startswith("SID") and right.get_ylabel().startswith("RU")
    assert left.get_title() == "mine" and len(figure.axes) == 2 and figure.get_size_inches().tolist() == [6, 3]
    own = layer_curve(run, metric="sid").axes[0]
    ours, theirs = (ax.containers[0].lines[0].get_ydata().tolist() for ax in (left, own))
    assert ours == theirs


def test_sheets_can_share_limits():
    sheet = map_sheet(shared_run(**SMALL), limits=(-1.0, 2.0))
    norm = sheet.axes[0].images[0].norm
    assert (norm.vmin, norm.vmax) == (-1, 2)
