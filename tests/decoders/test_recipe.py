"""Recipes of decoders: what is allowed."""

from __future__ import annotations

import pytest

from infodiscard.decoders.recipe import DecoderRecipe
from infodiscard.errors import InfodiscardError


@pytest.mark.parametrize("what", ["epochs", "batch_size", "lr", "width", "patience"])
def test_numbers_must_be_above_zero(what: str) -> None:
    with pytest.raises(InfodiscardError, match=what):
        DecoderRecipe(**{what: 0})
    with pytest.raises(InfodiscardError, match="validation share"):
        DecoderRecipe(validation_share=1.0)
