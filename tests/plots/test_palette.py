"""The palette: its maps are even, and a network's colour depends on its place alone."""

from matplotlib import colormaps
from matplotlib.colors import to_rgb

from infodiscard.api.run import Run
from infodiscard.plots import layer_curve, palette
from synthetic import make_plan, make_run, values_of


def test_the_map_of_sid_grows_lighter_and_that_of_differences_has_its_lightest_in_the_middle():
    def lightness(code):  # CIE's, from the relative luminance
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(code)]
        return 116 * (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]) ** (1 / 3) - 16

    up = [lightness(colormaps[palette.MAP](step / 10)[:3]) for step in range(11)]
    assert up == sorted(up)
    both = [lightness(colormaps[palette.DIFFERENCE_MAP](step / 10)[:3]) for step in range(11)]
    assert both[:6] == sorted(both[:6]) and both[5:] == sorted(both[5:], reverse=True)


def test_no_two_networks_look_alike():
    styles = palette.network_styles([f"n{i}" for i in range(28)])
    assert len(set(styles.values())) == 28
    assert styles["n0"] == ("#0072B2", "-") and styles["n7"] == ("#0072B2", "--")


def test_a_network_keeps_its_colour_where_others_are_not_measured_yet():
    plan = make_plan(layers=("a",), samples=2, size=4, networks=("x", "y", "z"))
    whole = make_run(layers=("a",), samples=2, size=4, networks=plan.networks)
    part = Run.create(plan)
    for unit in part.pending()[1:]:
        part.write(unit, values_of(plan, unit))
    colours = [
        {text.get_text(): line.get_color() for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
        for legend in (layer_curve(run).axes[0].get_legend() for run in (whole, part))
    ]
    assert colours[1]["z"] == colours[0]["z"] == palette.COLOURS[2] and "x" not in colours[1]
