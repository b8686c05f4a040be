"""Elements of the page, built as a tree: whatever a text holds, it stays a text."""

from __future__ import annotations

import re
from typing import Any
from xml.etree.ElementTree import Element, tostring

Child = Element | str | None
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\ud800-\udfff]")  # what no page may hold


def element(tag: str, *children: Child, **attributes: Any) -> Element:
    """Returns an element; a trailing `_` of an attribute's name is dropped and `_` within is `-`; None and False: none.

    Args:
        tag: its name.
        children: elements and texts in their order; `None` is left out.
        attributes: to their texts; True is an attribute without a value.
    """
    made = Element(tag)
    for name, value in attributes.items():
        if value is not None and value is not False:
            made.set(name.rstrip("_").replace("_", "-"), "" if value is True else plain(str(value)))
    last: Element | None = None
    for child in children:
        if isinstance(child, Element):
            made.append(child)
            last = child
        elif child is not None and last is None:
            made.text = (made.text or "") + plain(child)
        elif child is not None:
            last.tail = (last.tail or "") + plain(child)  # type: ignore[union-attr]
    return made


def figure(value: float, form: str = ".3f") -> str:
    """Prints a number with a minus that is as wide as a plus; a dash where there is none."""
    return "–" if value != value else format(value, form).replace("-", "−").replace("inf", "∞")


def plain(text: str) -> str:
    """Returns a text without control characters and halves of characters, which are replaced."""
    return _CONTROL.sub("\ufffd", text)


def html(*parts: Element) -> str:
    """Returns elements as HTML, everything escaped."""
    return "\n".join(tostring(part, encoding="unicode", method="html") for part in parts)
