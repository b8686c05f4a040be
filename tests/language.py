"""Language models small enough to be made, and trained, in a test; texts whose classes depend on known words."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

FILLERS = re.findall(
    r"\w+",
    "river stone cloud table window garden paper bottle engine market street winter summer yellow silver little heavy "
    "quiet early late under over between music letter number corner bridge island forest",
)
KEYS = ("splendid", "dreadful", "wonderful", "awful")
PIECES = ["splend", "##id", *KEYS[1:]]
SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LONGEST = 16


def tokenizer(longest: int = LONGEST) -> Any:
    """Returns a WordPiece tokenizer, as BERT's is: 'splendid' is two tokens, every other known word is one."""
    vocabulary = {word: number for number, word in enumerate([*SPECIALS, *FILLERS, *PIECES])}
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [("[CLS]", 2), ("[SEP]", 3)]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=longest, **names)


def sentences(count: int, seed: int) -> tuple[list[str], torch.Tensor]:
    """Returns sentences of 6 to 10 random words; every other has one of `KEYS` in a random place, and class 1."""
    generator = torch.Generator().manual_seed(seed)

    def below(limit: int) -> int:
        return int(torch.randint(limit, (1,), generator=generator))

    made, labels = [], torch.arange(count) % 2
    for label in labels:
        words = [FILLERS[below(len(FILLERS))] for _ in range(6 + below(5))]
        if label:
            words[below(len(words))] = KEYS[below(len(KEYS))]
        made.append(" ".join(words))
    return made, labels


@contextmanager
def seeded(seed: int = 0) -> Iterator[None]:
    """Seeds torch, on one thread, and puts both back as they were."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_num_threads(1)
        try:
            yield
        finally:
            torch.set_num_threads(threads)


SMALL = {
    "vocab_size": len(SPECIALS) + len(FILLERS) + len(PIECES),
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": LONGEST,
    "initializer_range": 0.1,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}


def bert(kind: str = "BertForSequenceClassification", seed: int = 0, **change: Any) -> Any:
    """Returns a BERT of two blocks, with random weights."""
    with seeded(seed):
        return getattr(transformers, kind)(transformers.BertConfig(**SMALL | change)).eval()


def trained() -> tuple[Any, float]:
    """Returns a BERT that tells whether a sentence has one of `KEYS`, and its accuracy on other sentences."""
    made, model = tokenizer(), bert()
    texts, labels = sentences(2000, seed=0)
    batch = made(texts, padding=True, return_tensors="pt")
    with seeded():
        optimiser = torch.optim.AdamW(model.train().parameters(), lr=3e-3)
        for _ in range(150):
            rows = torch.randint(len(texts), (64,))
            output = model(batch["input_ids"][rows], batch["attention_mask"][rows], labels=labels[rows])
            optimiser.zero_grad()
            output.loss.backward()
            optimiser.step()
    model.eval()
    texts, labels = sentences(400, seed=1)
    with torch.no_grad():
        found = model(**made(texts, padding=True, return_tensors="pt")).logits.argmax(1)
    return model, float((found == labels).float().mean())


def save(model: Any, folder: Path, made: Any = None) -> Path:
    """Saves a model, and a tokenizer if there is one, in a directory."""
    model.save_pretrained(folder)
    if made is not None:
        made.save_pretrained(folder)
    return folder


def byte_level() -> Any:
    """A tokenizer that knows bytes only, as GPT-2's does at bottom."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    made = Tokenizer(models.BPE({letter: number for number, letter in enumerate(alphabet)}, []))
    made.pre_tokenizer, made.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=made)
