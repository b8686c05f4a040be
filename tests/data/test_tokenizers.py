"""Tokenizers: loaded from a directory, with how long a text the model beside them takes."""

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")

import language
from infodiscard.data.tokenizers import load_tokenizer, longest_text
from infodiscard.errors import InfodiscardError


def test_a_tokenizer_comes_back_as_it_was_saved(tmp_path):
    saved = language.tokenizer()
    saved.save_pretrained(tmp_path)
    loaded = load_tokenizer(tmp_path)
    assert loaded.is_fast and loaded("splendid river")["input_ids"] == saved("splendid river")["input_ids"]
    assert longest_text(tmp_path) is None  # no model is beside it


def test_a_model_says_how_long_a_text_may_be(tmp_path):
    language.save(language.bert(max_position_embeddings=64), tmp_path / "net", language.tokenizer())
    assert longest_text(tmp_path / "net") == 64


def test_a_directory_without_a_tokenizer_is_refused(tmp_path):
    with pytest.raises(InfodiscardError, match=r"has no tokenizer.json; save there a tokenizer"):
        load_tokenizer(tmp_path)
