"""Plans: in which settings they differ, in words."""

from dataclasses import replace

from synthetic import make_plan


def test_settings_that_differ_are_named_as_a_run_stores_them():
    old = make_plan(metrics=("sid", "ru"))
    assert old == make_plan(metrics=("ru", "sid")) and old.differences(replace(old, block=1)) == []
    new = replace(old, settings=replace(old.settings, alpha=2.0, max_passes={"sid": 700, "ru": 300}, noise_on="x"))
    assert old.differences(new) == [
        "alpha was 1.5, now 2.0",
        "max_passes was 5000, now 700",
        "ru_max_passes was 1600, now 300",
        "noise_on was None, now x",
    ]
