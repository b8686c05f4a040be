"""Specs: the text that names a network, `KIND:NAME,key=value,…`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..errors import InfodiscardError

ALLOWED: dict[str, tuple[str, ...]] = {
    "zoo": ("width", "classes", "size", "damage"),
    "torchvision": ("classes", "size"),
}


@dataclass(frozen=True)
class Spec:
    """A network of the zoo or of a library, and its options.

    Attributes:
        kind: `demo`, `zoo`, `torchvision` or `timm`.
        name: within that kind.
        options: `width` (times the usual number of channels), `classes`, `size` (HEIGHTxWIDTH), `damage` (the block of
            a ResNet that a block without a skip follows), where given.
    """

    kind: str
    name: str
    options: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Spec:
        """Parses a spec.

        Raises:
            InfodiscardError: an option is not `key=value`, not one of the kind's, or given twice.
        """
        head, *parts = text.split(",")
        kind, _, name = head.partition(":")
        allowed = ALLOWED.get(kind, ())
        if parts and not allowed:
            raise InfodiscardError(
                f"'{head}' takes no options such as '{parts[0]}'; networks of the zoo and of torchvision do, as in "
                "'zoo:vgg16,width=0.25'."
            )
        options: dict[str, str] = {}
        for part in parts:
            key, equals, value = (piece.strip() for piece in part.partition("="))
            if not equals or not value or key not in allowed or key in options:
                raise InfodiscardError(
                    f"'{part}' in '{text}' cannot be taken; options of '{head}' are {', '.join(allowed)}, each once "
                    "and as key=value, as in 'zoo:vgg16,width=0.25'."
                )
            options[key] = value
        return cls(kind, name, options)

    def number(self, key: str, usual: float) -> float:
        """Returns an option that is a number above 0 and below a million.

        Raises:
            InfodiscardError: it is not such a number.
        """
        try:
            value = float(self.options.get(key, usual))
        except ValueError:
            value = -1.0
        if not 0 < value < 1e6:
            raise InfodiscardError(
                f"{key} was '{self.options[key]}'; give a number above 0 and below a million, such as {usual:g}."
            )
        return value

    def count(self, key: str, usual: int) -> int:
        """Returns an option that is a whole number above 0.

        Raises:
            InfodiscardError: it is not such a number.
        """
        value = self.number(key, usual)
        if value != int(value):
            raise InfodiscardError(f"{key} was '{self.options[key]}'; give a whole number, such as {usual}.")
        return int(value)

    def size(self) -> tuple[int, int] | None:
        """Returns the option `size` as (height, width); `None` if it is not given.

        Raises:
            InfodiscardError: it is no size.
        """
        text = self.options.get("size")
        if text is None:
            return None
        match = re.fullmatch(r"([1-9][0-9]*)(?:[x×]([1-9][0-9]*))?", text)
        if match is None:
            raise InfodiscardError(f"size was '{text}'; give pixels as one number or as HEIGHTxWIDTH, such as 64x64.")
        return int(match[1]), int(match[2] or match[1])
