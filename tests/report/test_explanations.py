"""Explanations: of what was measured only, in the words of its kind of input."""

from infodiscard.report import content, explanations
from infodiscard.report.rendering import ENVIRONMENT
from pages import SMALL, Page, run_of_lines
from synthetic import make_run, shared_run


def text_of(read):
    template = ENVIRONMENT.get_template("sections/reading.html.j2")
    return Page(template.render(view=explanations.reading(read))).text


def test_convergence_is_explained_as_each_metric_has_it():
    both = text_of(content.read(shared_run(metrics=("sid", "ru"), **SMALL)))
    assert "SID has converged if the corrected value" in both and "RU has converged if its gap" in both
    assert "A value has converged if its gap" in text_of(content.read(make_run(old=True, **SMALL)))
    corrected = text_of(content.read(shared_run(**SMALL)))
    assert "has converged if its gap" not in corrected and "(of SID from above)" in corrected


def test_the_words_are_those_of_the_kind_of_input():
    text = text_of(content.read(run_of_lines()))
    assert "Every token is given" in text and "averaged over tokens" in text and "pixel" not in text


def test_a_metric_without_an_explanation_of_its_own_has_its_long_name():
    view = explanations.Reading({"toy": explanations.Meaning("TOY", "a toy of it")}, "pixel", False, [], ["TOY"])
    page = Page(ENVIRONMENT.get_template("sections/reading.html.j2").render(view=view))
    assert "TOY : a toy of it, in nats per pixel." in page.text and "A value has converged" in page.text


def test_the_solver_speaks_of_each_network_and_metric():
    solver = explanations.solver(content.read({"a": shared_run(**SMALL), "b": shared_run(metrics=("ru",), **SMALL)}))
    assert list(solver.groups) == ["SID of a", "RU of b"] and len(solver.tables) == 2
    assert any("The decoders' own error" in sentence for sentence in solver.groups["RU of b"])
    assert not any("decoder" in sentence for sentence in solver.groups["SID of a"])
