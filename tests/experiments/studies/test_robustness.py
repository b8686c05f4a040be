"""Claims of the study of robustness, on tables of known answers."""

import pandas as pd

from infodiscard.experiments.studies import robustness
from infodiscard.experiments.verdicts import FAILS, HOLDS, UNKNOWN


def table(families, kept, sid=lambda seed: 0.0):
    """Networks of three seeds; the share that they keep by family, with a little scatter."""
    rows = [
        {"family": family, "network": family, "seed": seed, "sid": sid(seed + 3 * place), "last_sid": 0.0}
        | {kind: kept[family] + 0.01 * seed for kind in robustness.KINDS}
        for place, family in enumerate(families)
        for seed in range(3)
    ]
    return pd.DataFrame(rows)


def test_changed_networks_are_compared_with_the_original_of_their_seed():
    families = ("vgg16", "compressed", "alexnet", "distilled")
    claims = robustness._changed(table(families, {"vgg16": 0.8, "compressed": 0.6, "alexnet": 0.5, "distilled": 0.7}))
    assert [claim.verdict for claim in claims] == [HOLDS, HOLDS, FAILS, FAILS]
    assert "+0.200" in claims[0].statistic and "-0.200" in claims[2].statistic
    assert claims[0].text.startswith("Compressed") and claims[2].text.startswith("Distilled")


def test_ranks_say_whether_a_high_sid_goes_with_robustness():
    many = [f"family{i}" for i in range(6)]
    rising = table(many, {name: i / 10 for i, name in enumerate(many)}, sid=float)
    for each, verdict in ((rising, HOLDS), (rising.assign(sid=-rising["sid"]), FAILS), (rising[:3], UNKNOWN)):
        claims = robustness._ranks(each)
        assert [claim.verdict for claim in claims] == [verdict] * 2 and f"({len(each)} networks)" in claims[0].statistic
