"""Transformers of the Hugging Face library, made from small configurations: the embeddings of tokens, hidden states."""

import numpy as np
import pytest
import torch
from torch import nn

from infodiscard import InfodiscardError, list_layers, measure
from infodiscard.networks.features import LayerFeatures
from infodiscard.networks.preserve import preserved
from small_transformers import bert, gpt2, vit
from unchanged import assert_same_state, state

transformers = pytest.importorskip("transformers", reason="transformers is not installed")
FAST = {"max_passes": 256, "progress": False}


def ids(n=2, tokens=5):
    return torch.randint(0, 20, (n, tokens), generator=torch.Generator().manual_seed(0))


def test_hidden_states_stand_where_they_are_made():
    """By the module that first has them: `embeddings` passes the tensor on that its LayerNorm has made."""
    model = bert()
    embeddings = model.get_input_embeddings()(ids()).detach()
    layers = list_layers(model, {"inputs_embeds": embeddings})
    names = [layer.name for layer in layers]
    states = [name for name in names if name.startswith("hidden_states")]
    assert states == [f"hidden_states[{i}]" for i in range(3)]
    for maker, made in zip(("embeddings", "encoder.layer.0.output", "encoder.layer.1.output"), states, strict=True):
        assert names.index(f"{maker}.LayerNorm") + 1 == names.index(made) < names.index(maker)
    same = LayerFeatures(model, ["embeddings.LayerNorm", states[0], "embeddings"])(ids()).values()
    assert all(torch.equal(feature, next(iter(same))) for feature in same)
    assert [layer.shape for layer in layers if layer.name in states] == [(5, 16)] * 3


def test_a_hidden_state_is_what_the_model_returns():
    model, images = vit(), torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = model(images, output_hidden_states=True).hidden_states
    found = LayerFeatures(model, ["hidden_states[0]", "hidden_states[2]"])(images)
    assert all(torch.equal(found[f"hidden_states[{i}]"], expected[i]) for i in (0, 2))


@pytest.mark.parametrize("make", [bert, gpt2, lambda: bert("BertForSequenceClassification")])
@pytest.mark.parametrize("asked", [False, True])
def test_only_the_hooks_that_were_there_stay(make, asked):
    """A transformer hooks itself when it is first asked for hidden states; if it was us who asked, not for long."""
    model, calls = make(), []
    if asked:
        model(ids(), output_hidden_states=True)
    model.register_forward_hook(lambda *_: calls.append("after"))
    next(model.children()).register_forward_pre_hook(lambda *_, **__: calls.append("before"), with_kwargs=True)
    before, hooks = state(model), [dict(module._forward_hooks) for module in model.modules()]
    list_layers(model, ids())
    measure(model, {"input_ids": ids(1)}, ["hidden_states[1]"], **FAST)
    with pytest.raises(InfodiscardError, match="has no layer 'hidden_states'"):
        measure(model, {"input_ids": ids(1)}, ["hidden_states[9]"], **FAST)
    with pytest.raises(KeyError), preserved(model):
        model(ids(), output_hidden_states=True)
        raise KeyError
    assert_same_state(before, state(model))
    assert hooks == [dict(module._forward_hooks) for module in model.modules()]
    calls.clear()
    for _ in range(2):
        assert len(model(ids(), output_hidden_states=True).hidden_states) == 3
    assert calls == ["before", "after"] * 2


@pytest.mark.parametrize(
    ("make", "layers"),
    [
        (bert, ["hidden_states[0]", "encoder.layer.0", "output"]),
        (gpt2, ["hidden_states[1]", "h.1.attn", "output[last_hidden_state]"]),
    ],
)
def test_tokens_are_measured_on_their_embeddings(make, layers):
    model = make()
    before = state(model)
    run = measure(model, {"input_ids": ids(1)}, layers, **FAST)
    assert run.dataset["sid_map"].shape == (1, 3, 1, 5) and run.plan.kind == "tokens"
    assert np.isfinite(run.dataset["sid_map"].values).all()
    assert_same_state(before, state(model))
    embeddings = model.get_input_embeddings()(ids(1)).detach()
    same = measure(model, {"inputs_embeds": embeddings}, layers, **FAST)
    np.testing.assert_array_equal(same.dataset["sid_map"], run.dataset["sid_map"])


def test_a_module_that_returns_a_model_output_stands_for_its_last_hidden_state():
    model = bert()
    features = LayerFeatures(model, ["encoder", "encoder[last_hidden_state]", "encoder[0]", "hidden_states[2]"])(ids())
    first, *others = features.values()
    assert len(others) == 3 and all(torch.equal(first, other) for other in others)
    run = measure(model, {"input_ids": ids(1)}, ["encoder", "hidden_states[2]"], **FAST)
    np.testing.assert_array_equal(*run.dataset["sid_map"][0])


def test_images_of_a_vision_transformer():
    model = vit()
    before = state(model)
    images = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    run = measure(model, images, ["embeddings", "hidden_states[1]", "output"], **FAST)
    assert run.dataset["sid_map"].dims[-2:] == ("y", "x") and np.isfinite(run.dataset["sid"].values).all()
    assert_same_state(before, state(model))


@pytest.mark.parametrize("left", [False, True])
def test_padding_changes_no_token(left):
    """By the attention mask that a tokenizer gives with it."""
    model, tokens = bert("BertForSequenceClassification"), ids(2, 5)
    blank = torch.zeros(2, 3, dtype=torch.long)
    whole = torch.cat([blank, tokens] if left else [tokens, blank], 1)
    mask = torch.zeros_like(whole)
    inside = slice(3, 8) if left else slice(0, 5)
    mask[:, inside] = 1
    options = FAST | {"layers": ["hidden_states[1]", "output"], "cap": 20.0}
    bare = measure(model, {"input_ids": tokens, "attention_mask": torch.ones_like(tokens)}, **options).dataset
    padded = measure(model, {"input_ids": whole, "attention_mask": mask}, **options).dataset
    np.testing.assert_allclose(padded["sid_map"][..., inside], bare["sid_map"], atol=1e-5)
    assert padded["sid_map"].isnull().sum() == 2 * 2 * 3
    np.testing.assert_allclose(padded["sid"], bare["sid"], atol=1e-5)


def test_ids_that_cannot_be_embedded_are_refused():
    with pytest.raises(InfodiscardError, match="ids hold numbers up to 20, which the network has no embedding of"):
        measure(bert(), {"input_ids": ids() + (ids() == 19)}, ["output"], **FAST)
    with pytest.raises(InfodiscardError, match=r"a Linear has no get_input_embeddings\(\)"):
        measure(nn.Linear(3, 2), {"input_ids": ids()}, ["output"], **FAST)
    with pytest.raises(InfodiscardError, match=r"input_ids are float32 of shape \(2, 5\); give whole numbers"):
        measure(bert(), {"input_ids": ids().float()}, ["output"], noise_on="input_ids", **FAST)
