"""The budget of passes is divided so that it is never exceeded."""

import pytest

from infodiscard.solver.correction import GROUPS
from infodiscard.solver.effort import FRESH_DRAWS, MIN_PASSES, Effort


@pytest.mark.parametrize("passes", [MIN_PASSES, 200, 1000, 5000, 100_000])
def test_what_is_kept_for_the_end_leaves_room_for_two_steps(passes):
    effort = Effort(max_passes=passes)
    before = (effort.coarse[1] + 16) / 3  # δ_f², and the small noise beside the first step
    assert before + 2 * effort.draws / 2 + effort.end_passes <= passes
    assert effort.reserve(3) < passes or passes < 256


@pytest.mark.parametrize("passes", [MIN_PASSES, 200, 1000, 5000, 100_000])
def test_draws_of_the_correction_fill_its_groups(passes):
    effort = Effort(max_passes=passes)
    assert effort.fresh_draws % GROUPS == 0 and FRESH_DRAWS <= effort.fresh_draws <= effort.check_draws


def test_coarse_estimates_are_cheaper_than_fine_ones():
    effort = Effort(precision=0.02)
    assert effort.fine == (0.02, 1000) and effort.coarse == (0.08, 250)
