"""Text sets: tokens and words of texts, and texts that are too long."""

import pytest

pytest.importorskip("transformers", reason="transformers is not installed")
import transformers
from tokenizers import Tokenizer, models

import language
from infodiscard import InfodiscardError, data


@pytest.fixture
def untrained(tmp_path):
    """The directory of a model with random weights and its tokenizer."""
    return language.save(language.bert(), tmp_path / "random", language.tokenizer())


def test_a_text_in_tokens_and_words():
    texts = data.text(["", "  Splendid river, stone", "cloud  unheard"], language.tokenizer())
    assert texts.names == ("2: Splendid river, stone", "3: cloud unheard")
    assert texts.tokens[0] == ("[CLS]", "  Splend", "id", " river", ",", " stone", "[SEP]")
    assert texts.words[0] == (-1, 0, 0, 1, 2, 3, -1)
    assert texts.tokens[1] == ("[CLS]", "cloud", "  unheard", "[SEP]", "", "", "")
    assert texts.words[1] == (-1, 0, 1, -1, -1, -1, -1) and texts.ids[1, 2] == 1  # [UNK], shown as it was written
    assert texts.valid.tolist() == [[True] * 7, [True] * 4 + [False] * 3] and not texts.cut


def letters():
    """A tokenizer that does not know words: to it, a text is one."""
    known = {letter: number for number, letter in enumerate("abcdéñ日本 ")}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(known, [])))


@pytest.mark.parametrize(
    ("made", "line", "words"),
    [
        (language.byte_level, "né 🙂 日本  x", ["né", "🙂", "日本", "x"]),
        (letters, "abc dé  日本 d", ["abc", "dé", "日本", "d"]),
    ],
)
def test_no_character_is_lost_or_doubled(made, line, words):
    texts = data.text([line], made())
    assert "".join(texts.tokens[0]) == line
    spans: dict[int, str] = {}
    for token, word in zip(texts.tokens[0], texts.words[0], strict=True):
        spans[word] = spans.get(word, "") + token
    assert [text.strip() for text in spans.values() if text.strip()] == words
    assert sorted(spans) == list(range(len(spans)))


def test_files_are_read_as_they_come(tmp_path):
    path = tmp_path / "texts.txt"
    path.write_bytes("\ufeffriver stone\r\n\r\nstone\u2028cloud\nriver".encode())
    assert data.text(path, language.tokenizer()).names == ("1: river stone", "3: stone cloud", "4: river")
    path.write_bytes(b"river\n\xff\xfe\n")
    assert len(data.text(path, language.tokenizer(), 1)) == 1  # no line is read that is not asked for
    with pytest.raises(InfodiscardError, match=r"Line 2 of '.*' is not UTF-8 \(byte 1 of the line\)"):
        data.text(path, language.tokenizer(), 2)


def test_long_texts_are_refused_or_cut(untrained):
    line = " ".join(["river"] * 20)
    with pytest.raises(InfodiscardError, match="Line 2 of The sequence has 22 tokens, but the model takes 16 at most"):
        data.text(["stone", line], untrained)
    cut = data.text(["stone", line], untrained, truncate=True)
    assert cut.ids.shape == (2, 16) and cut.tokens[1][-1] == "[SEP]"
    assert cut.cut == ("2: river river river river riv… (cut to 16 of 22 tokens)",) and cut.names[1] == cut.cut[0]
    plain = language.tokenizer()
    plain.model_max_length = 10**30
    assert data.text([line], plain).ids.shape == (1, 22)
    plain.save_pretrained(untrained)  # then the model's own configuration says it
    with pytest.raises(InfodiscardError, match="takes 16 at most"):
        data.text([line], untrained)
