"""Tracking: one scale for all maps, and names that stay apart."""

from infodiscard.integrations import tracking
from infodiscard.integrations.tracking import distinct, pictures
from synthetic import shared_run

SMALL = {"layers": ("conv1", "relu#1", "relu_1"), "samples": 4, "size": 6}


BOTH = {"metrics": ("sid", "ru"), "networks": ("a", "b/c"), "pictures": True, "masks": True}


def test_maps_of_all_networks_share_a_scale(monkeypatch):
    seen = []
    monkeypatch.setattr(
        tracking, "map_sheet", lambda *_, **options: seen.append((options["metric"], options["limits"]))
    )
    run = shared_run(**BOTH, **SMALL)
    for network in run.plan.networks:
        for name, draw in pictures(run, network).items():
            if name.endswith("_map"):
                draw()
    assert len(seen) == 4 and len(set(seen)) == 2


def test_names_stay_apart():
    assert list(distinct(("a#1", "a_1", "a_1-2", "..", "__"), r"[^\w.-]").values()) == [
        *("a_1", "a_1-2", "a_1-2-2", "_", "__"),
    ]
