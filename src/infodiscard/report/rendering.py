"""Templates of the page (Jinja2), filled in so that whatever a text holds, it stays a text."""

from __future__ import annotations

import re
from importlib.resources import files

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from ..core.numbers import printed

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # what no page may hold


def render(template: str, **views: object) -> str:
    """Returns a template of `templates/` filled in: every value is escaped and rid of control characters."""
    return ENVIRONMENT.get_template(template).render(**views)


def asset(name: str) -> str:
    """Returns a file of this package, with the line ends that browsers see."""
    return files(__package__).joinpath(name).read_text(encoding="utf-8").replace("\r\n", "\n")


def formatted(value: float, form: str = ".3f") -> str:
    """Returns a number in print, its minus as wide as a plus; a dash where there is none."""
    return printed(value, form).replace("-", "−")


def plain(value: object) -> str:
    """Returns a value as text in which control characters and halves of characters are replaced; markup as it is."""
    return value if isinstance(value, Markup) else _CONTROL.sub("\ufffd", str(value))


ENVIRONMENT = Environment(
    loader=PackageLoader(__package__),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=plain,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
)
ENVIRONMENT.filters |= {
    "formatted": formatted,
    "g": lambda value: format(value, "g"),
    "zip": lambda a, b: list(zip(a, b, strict=True)),
}
ENVIRONMENT.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
