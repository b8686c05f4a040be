"""Numbers in print."""

from __future__ import annotations

import math


def printed(value: float, form: str = ".3f") -> str:
    """Returns a number in print: a dash where there is none, "∞" for infinity, and 0 without a minus.

    Args:
        value: the number.
        form: how `format` prints it, such as ".3f", "+.3f", ".0%" or "d".
    """
    if math.isnan(value):
        return "–"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if form.endswith("d"):
        return format(value, form)
    sign, digits = (form[0], form[1:]) if form[:1] == "+" else ("", form)
    return format(value, f"{sign}z{digits}")
