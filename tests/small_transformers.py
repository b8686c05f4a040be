"""Transformers of the Hugging Face library, made from small configurations; whoever asks is skipped without it."""

import pytest
import torch

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
SMALL = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 16, "intermediate_size": 32}


def bert(kind="BertModel"):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = transformers.BertConfig(vocab_size=20, max_position_embeddings=16, initializer_range=0.3, **SMALL)
        return getattr(transformers, kind)(config).eval()


def gpt2():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.GPT2Model(
            transformers.GPT2Config(vocab_size=20, n_positions=16, n_embd=16, n_layer=2, n_head=2)
        ).eval()


def vit():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return transformers.ViTModel(transformers.ViTConfig(image_size=16, patch_size=8, **SMALL)).eval()
