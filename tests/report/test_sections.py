"""The sections about values: their lists choose among the panels that there are."""

from itertools import product

from infodiscard.report import content, sections
from pages import SMALL
from synthetic import make_run, shared_run


def test_lists_and_panels_have_the_same_keys():
    runs = {name: make_run(metrics=["sid", "ru"], seed=seed, **SMALL) for seed, name in enumerate("abc")}
    read = content.read(runs)
    curves, differences = sections.curves(read), sections.differences(read)
    assert [panel.scalar for panel in curves.panels] == [value for value, _ in curves.choices[0].options]
    values = ([value for value, _ in choice.options] for choice in differences.choices)
    assert list(differences.panels) == ["|".join(chosen) for chosen in product(*values)]
    assert [text for _, text in sections.pair_choice(read).options] == ["b − a", "c − a", "c − b"]


def test_what_is_said_depends_on_what_was_measured():
    read = content.read(shared_run(metrics=("sid", "ru"), **SMALL))
    curves, findings = sections.curves(read), sections.findings(read)
    assert curves.identity and curves.floors == ["RU"] and curves.reached == []
    assert (findings.corrected, findings.reached) == (["SID"], ["RU"])
    assert "What differs" not in findings.groups and sections.differences(read) is None
    old = content.read(make_run(old=True, **SMALL))
    assert sections.curves(old).reached == ["resnet20"] and sections.findings(old).reached == ["SID"]
