"""Rendering: what a template is given stays a text, and no template is left out of the checks."""

import re
import tomllib
from pathlib import Path

import pytest
from jinja2 import UndefinedError

import infodiscard
from infodiscard.report.rendering import ENVIRONMENT, asset, formatted, plain, render
from pages import HOSTILE, Page

TEMPLATES = sorted(ENVIRONMENT.list_templates())


def rendered(source, **views):
    return ENVIRONMENT.from_string(source).render(**views)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_text_stays_a_text_in_elements_attributes_and_json(name):
    text = rendered('<p title="{{ name }}">{{ name }}</p><script>{{ [name]|tojson }}</script>', name=name)
    page = Page(text)
    assert [tag for tag, _ in page.tags] == ["p", "script"] and page.of("p")[0] == {"title": plain(name)}
    assert page.text == plain(name).strip() and page.data == [name]


def test_control_characters_and_halves_of_characters_are_replaced():
    assert rendered("{{ text }}", text="a\x00\ud800\r\x7f\n\tb") == "a\ufffd\ufffd\ufffd\ufffd\n\tb"
    assert rendered("{% macro m(x) %}<i>{{ x }}</i>{% endmacro %}{{ m(text) }}", text="\x01<") == "<i>\ufffd&lt;</i>"


def test_what_is_missing_is_an_error():
    with pytest.raises(UndefinedError):
        rendered("{{ missing }}")
    with pytest.raises(UndefinedError):
        render("texts.html.j2", title="a")


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_compiles_and_says_why_what_is_not_escaped_is_safe(name):
    ENVIRONMENT.get_template(name)
    source = ENVIRONMENT.loader.get_source(ENVIRONMENT, name)[0]
    assert "autoescape" not in source and not re.search(r"\bon\w+=", source)
    for before, line in zip(["", *source.splitlines()], source.splitlines(), strict=False):
        assert "|safe" not in line.replace(" ", "") or before.startswith("{# Safe: ")


def test_all_templates_are_packed():
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))
    package = Path(infodiscard.__file__).parent
    patterns = project["tool"]["setuptools"]["package-data"]["infodiscard"]
    packed = {path for pattern in patterns for path in package.glob(pattern)}
    every = {path for path in (package / "report").rglob("*.*") if path.suffix not in (".py", ".pyc")}
    assert every <= packed and len(TEMPLATES) > 20


def test_numbers_in_print():
    assert [formatted(value) for value in (-1.0, float("nan"), float("-inf"))] == ["−1.000", "–", "−∞"]
    assert formatted(0.5, "+.1f") == "+0.5" and "\r" not in asset("style.css")
