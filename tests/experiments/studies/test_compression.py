"""Claims of the studies of compression and distillation, on tables of known answers."""

from pathlib import Path

import pandas as pd

from infodiscard.experiments.datasets import DataFolder
from infodiscard.experiments.lab import Lab
from infodiscard.experiments.presets import CPU
from infodiscard.experiments.studies import compression, distillation
from infodiscard.experiments.verdicts import FAILS, HOLDS


def rows(network, **means):
    """A row for each seed and measure, with a little scatter."""
    return [
        {"network": network, "seed": seed, "measure": measure, "layer": "features.6", "mean": mean + 0.001 * seed**2}
        for seed in range(CPU.seeds)
        for measure, mean in means.items()
    ]


def test_the_highest_threshold_is_judged():
    lab = Lab(Path("nowhere"), DataFolder(), CPU)
    original, birds = compression.ARCHITECTURE, f"{compression.ARCHITECTURE} on birds"
    low, high = CPU.thresholds[0], CPU.thresholds[-1]
    table = pd.DataFrame(
        rows(original, sid=1.0, ru=0.5)
        + rows(compression._name(original, low), sid=2.0, ru=2.0)
        + rows(compression._name(original, high), sid=0.8, ru=0.51)
        + rows(birds, concentration=0.1)
        + rows(compression._name(birds, high), concentration=0.4)
    )
    claims = compression._claims(lab, table)
    assert [claim.verdict for claim in claims] == [HOLDS, HOLDS, FAILS]
    assert all(f"at {high:g} standard deviations" in claim.statistic for claim in claims)


def test_students_are_named_by_their_teachers():
    names = [distillation.student_name(teacher) for teacher in distillation.TEACHERS]
    assert names[0] == "alexnet from vgg16" and len(set(names)) == 3
