"""Knowledge distillation (the paper's Fig. 5a): AlexNet taught by VGG-16, ResNet-18 and ResNet-34."""

from __future__ import annotations

import pandas as pd

from ..contrasts import contrast, image_values
from ..figures import curves, panels
from ..findings import Findings, accuracies, layer_means
from ..lab import Lab, TrainedNetwork
from ..verdicts import direction
from .networks import POOLINGS

NAME, TITLE = "distillation", "does AlexNet discard less when a teacher helps it?"
TEACHERS = ("vgg16", "resnet18", "resnet34")
PLAIN = "alexnet"
LAYERS = (*POOLINGS[PLAIN], "classifier.6")


def run(lab: Lab) -> Findings:
    """Trains AlexNet with and without teachers, and measures SID after each pooling and at the logits."""
    runs = [(each, lab.sid(each, LAYERS)) for each in students(lab)]
    table = pd.concat([layer_means(*each) for each in runs], ignore_index=True)
    values = pd.concat([image_values(*each) for each in runs], ignore_index=True)
    text = "AlexNet distilled from {} discards less than one trained ordinarily."
    claims = []
    for teacher in TEACHERS:
        less = contrast(values, PLAIN, student_name(teacher), level=lab.preset.level)
        claims.append(
            direction(text.format(teacher), less, "SID of the ordinary minus the distilled, mean over layers,")
        )
    figure, axes = panels(1)
    curves(axes[0], table, "sid", [PLAIN, *map(student_name, TEACHERS)])
    axes[0].legend(fontsize=7, frameon=False)
    teachers = ", ".join(f"{each.name} {each.accuracy:.1%}" for each in map(lab.train_plain, TEACHERS))
    return Findings(NAME, TITLE, tuple(claims), table, {"distillation": figure},
                    (accuracies(table), f"Teachers' test accuracy: {teachers}."))  # fmt: skip


def students(lab: Lab) -> list[TrainedNetwork]:
    """Returns AlexNet trained ordinarily and by each teacher, with every seed."""
    made = []
    for seed in range(lab.preset.seeds):
        made.append(lab.train_plain(PLAIN, seed))
        for architecture in TEACHERS:
            teacher = lab.train_plain(architecture).weights
            made.append(lab.train_plain(PLAIN, seed, student_name(architecture), teacher=str(teacher)))
    return made


def student_name(teacher: str) -> str:
    """Returns what tables call the student of a teacher."""
    return f"{PLAIN} from {teacher}"
