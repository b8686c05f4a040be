"""What must not change of a model that is measured."""

import torch
from torch import nn


def state(model: nn.Module) -> dict[str, object]:
    """Everything about a model that must not change."""
    return {
        "weights": {name: tensor.clone() for name, tensor in model.state_dict().items()},
        "flags": [p.requires_grad for p in model.parameters()],
        "grads": [p.grad is None for p in model.parameters()],
        "modes": [m.training for m in model.modules()],
        "hooks": [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules()],
    }


def assert_same_state(before: dict, after: dict) -> None:
    assert all(torch.equal(before["weights"][name], after["weights"][name]) for name in before["weights"])
    assert {k: v for k, v in before.items() if k != "weights"} == {k: v for k, v in after.items() if k != "weights"}
