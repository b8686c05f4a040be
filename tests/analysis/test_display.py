"""Which variable stands for a metric in print, the error of its mean, and what is corrected when a run is stored."""

import math
from html import unescape

import numpy as np
import pandas as pd
import pytest
import torch

from infodiscard.analysis.display import called, is_reached, lacking, mean_error, plain, shown, systematic
from infodiscard.api.run import Run
from infodiscard.core.metrics.variable import FAILURES
from infodiscard.errors import InfodiscardError
from infodiscard.measurement import unit as storing
from infodiscard.report import write_page
from infodiscard.solver.correction import SYSTEMATIC, contrast
from infodiscard.solver.entropy import GAUSSIAN_CONSTANT
from infodiscard.solver.sid import Solution
from infodiscard.solver.sigma_space import SigmaSpace
from synthetic import RESNET, make_plan, make_run, older

SMALL = {"layers": RESNET[:3], "samples": 6, "size": 6}
NAN = math.nan


def frame(reached, corrected):
    return pd.DataFrame({"sid": reached, "sid_corrected": corrected}, dtype=np.float32)


def test_the_corrected_value_stands_for_a_metric_where_every_table_has_one():
    both, none = frame([1, 2], [1.5, NAN]), frame([1, 2], [NAN, NAN])
    old = both[["sid"]]
    assert shown("sid", both) == shown("sid", both, both) == "sid_corrected"
    assert shown("sid", none) == shown("sid", old) == shown("sid", both, old) == shown("sid", both, none) == "sid"
    assert shown("sid_reached", both) == "sid" and shown("sid_corrected", old) == "sid_corrected"
    assert [shown(name, both) for name in ("ru", "concentration", "passes")] == ["ru", "concentration", "passes"]
    assert [plain(name) for name in ("sid", "sid_reached", "sid_corrected", "ru_reached")] == [
        *["sid"] * 3,
        "ru_reached",
    ]
    assert is_reached("sid") and not is_reached("sid_corrected") and not is_reached("ru")
    assert (called("SID", "sid"), called("SID", "sid_corrected"), called("RU", "ru")) == ("SID (reached)", "SID", "RU")


def test_the_error_of_a_corrected_mean_has_a_part_that_samples_do_not_lessen():
    reached = np.random.default_rng(0).normal(size=400)
    for n in (4, 400):
        table = frame(reached[:n], reached[:n] + 0.3)
        scatter = table["sid"].std() / n**0.5
        assert systematic(table, "sid_corrected") == pytest.approx(0.3 * SYSTEMATIC, rel=1e-5)
        assert mean_error(table, "sid_corrected") == pytest.approx(math.hypot(scatter, 0.3 * SYSTEMATIC), rel=1e-5)
        assert mean_error(table, "sid") == pytest.approx(scatter, rel=1e-5) and systematic(table, "sid") == 0
    assert math.isnan(mean_error(frame([1.0], [1.1]), "sid_corrected"))


def test_what_lacks_a_corrected_value_is_counted_among_what_was_measured():
    table = frame([1, 2, 3, NAN], [1, NAN, 3, NAN])
    assert lacking(table, "sid") == lacking(table, "sid_corrected") == pytest.approx(1 / 3)
    assert lacking(table, "sid_reached") == lacking(table, "ru") == lacking(table[["sid"]], "sid") == 0
    assert systematic(frame([1, 2], [1.5, NAN]), "sid_corrected") == pytest.approx(0.5 * SYSTEMATIC)


# -- storing -----------------------------------------------------------------------------------------------------------


def solution(space, n=2, **other):
    """A solution with random σ and corrections."""
    rng = torch.Generator().manual_seed(0)
    free = [torch.randn(n, *space.shape, generator=rng) for _ in range(2)]
    given = {
        "log_sigma": free[0],
        "shift": free[1],
        "shift_se": free[1].abs() + 0.1,
        "correction": torch.tensor([0.25, 0.5])[:n],
        "correction_se": torch.tensor([0.01, 0.02])[:n],
        **{name: torch.ones(n) for name in ("distance", "distance_se", "gap", "passes", "capped_share")},
        **{name: torch.ones(n, dtype=torch.bool) for name in ("converged", "cap_matters")},
    }
    return Solution(**given | other)


@pytest.mark.parametrize("sigma", ["pixel", "unit", "grid:2"])
def test_a_solution_is_stored_as_reached_and_as_corrected(sigma):
    space = SigmaSpace.parse(sigma, (3, 4, 6))
    found, masks = solution(space), torch.zeros(2, 4, 6, dtype=torch.bool)
    masks[:, 1:3, 1:4] = True
    values = storing.sid_variables(found, space, masks)
    units = space.expand(found.log_sigma) + GAUSSIAN_CONSTANT
    torch.testing.assert_close(values["sid"], units.mean((1, 2, 3)))
    torch.testing.assert_close(values["sid_corrected"], values["sid"] + torch.tensor([0.25, 0.5]))
    torch.testing.assert_close(values["sid_corrected_se"], torch.tensor([0.01, 0.02]))
    assert values["correction_map"].shape == values["sid_map"].shape == (2, 4, 6)
    torch.testing.assert_close(values["correction_map"], space.expand(found.shift).mean(1), rtol=2**-8, atol=0)
    errors = space.expand(found.shift_se)  # of a pixel's channels each has its own, where each has a σ of its own
    errors = errors.square().mean(1).sqrt() / errors.shape[1] ** 0.5
    torch.testing.assert_close(values["correction_se_map"], errors, rtol=2**-8, atol=0)
    assert not (values["correction_map"].view(torch.int32) & 0xFFFF).any()  # half of the bytes compress to nothing
    missing, error = contrast(found.shift, found.shift_se, found.correction, space, masks)
    torch.testing.assert_close(values["concentration_corrected"], values["concentration"] + missing)
    torch.testing.assert_close(values["concentration_corrected_se"], error)
    assert "concentration_corrected" not in storing.sid_variables(found, space, None)


def test_a_value_that_cannot_be_corrected_is_no_failure():
    """A sample with no safe correction stays measured; one whose σ is not finite does not."""
    space = SigmaSpace.parse("pixel", (1, 3, 3))
    lost = {
        "correction": torch.tensor([NAN, 0.5]),
        "correction_se": torch.tensor([NAN, 0.02]),
        "gap": torch.full((2,), NAN),
    }
    masks = torch.eye(3, dtype=torch.bool).expand(2, 3, 3)
    values = {
        name: value.numpy() for name, value in storing.sid_variables(solution(space, **lost), space, masks).items()
    }
    for name in ("concentration_corrected", "concentration_corrected_se"):
        assert np.isnan(values[name]).tolist() == [1, 0] and np.isfinite(values["concentration"]).all()
    failure = np.zeros(2, np.uint8)
    storing._withdraw(values, failure)
    assert (
        not failure.any() and np.isfinite(values["sid"]).all() and np.isnan(values["sid_corrected"]).tolist() == [1, 0]
    )
    values["sid"][1] = np.inf
    storing._withdraw(values, failure)
    assert failure.tolist() == [0, FAILURES.index("feature_not_finite")]
    assert np.isnan(values["sid_corrected"]).all() and np.isnan(values["correction_map"][1]).all()


# -- older runs --------------------------------------------------------------------------------------------------------


def test_an_older_run_is_opened_shown_and_not_continued(tmp_path):
    make_run(tmp_path / "old", old=True, masks=True, pictures=True, **SMALL)
    run = Run.open(tmp_path / "old")
    assert "sid_corrected" not in run.dataset and "uncorrected_share" not in run.summary()
    page = write_page(run).read_text(encoding="utf-8")
    assert "SID (reached)" in page and "Concentration (reached)" in page and "Reached and corrected" not in page
    assert "SID (reached)" not in write_page(make_run(tmp_path / "new", **SMALL)).read_text(encoding="utf-8")
    assert "reached<br>" in run._repr_html_() or "<br>reached" in run._repr_html_()
    with older():
        Run.create(make_plan(**SMALL), tmp_path / "begun").close()
    with pytest.raises(InfodiscardError, match=r"can be read but not continued \(format 2, now 3\)"):
        Run.resume_or_create(make_plan(**SMALL), tmp_path / "begun")


def test_a_page_of_an_older_and_a_newer_run_says_which_is_as_reached(tmp_path):
    runs = {"before": make_run(old=True, **SMALL), "after": make_run(seed=1, **SMALL)}
    page = unescape(write_page(runs, tmp_path / "page.html").read_text(encoding="utf-8"))
    assert "As reached, not corrected: before." in page and "Reached and corrected." in page
    assert "'before' has no corrected values: reached ones are compared" in page
