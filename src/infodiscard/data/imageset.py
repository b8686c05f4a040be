"""A set of labelled images with masks of the object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch

from ..errors import InfodiscardError, whole


@dataclass(frozen=True)
class ImageSet:
    """Images as a network's transforms would leave them, before normalisation.

    Attributes:
        images: float32, `N × C × H × W`, in [0, 1].
        labels: int64, `N`, indices into `classes`; `None` if there are none.
        masks: bool, `N × H × W`, true on the object (a segmentation, or a bounding box); `None` if there are none.
        names: N unique ids of the samples; no noise depends on them, but on a sample's content and the seed.
        classes: what the labels mean; empty if nothing says it.
        source: the spec that it was loaded from, for the record.
        unreadable: names of images that could not be decoded, and are zeros here → why.
        options: how they were loaded from `source`, for the record: `split`, `crop`, `size` and `annotations`, as on
            the command line, where these matter.
        notes: what is odd about the set, in sentences, such as pictures without an object.

    Raises:
        InfodiscardError: the parts do not fit together.
    """

    images: torch.Tensor
    labels: torch.Tensor | None = None
    masks: torch.Tensor | None = None
    names: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    source: str = ""
    unreadable: Mapping[str, str] = field(default_factory=dict)
    options: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.images.ndim != 4:
            raise InfodiscardError(
                f"The images have shape {tuple(self.images.shape)}; give them as samples × channels × height × width."
            )
        count, _, height, width = self.images.shape
        if not self.names:
            object.__setattr__(self, "names", tuple(str(i) for i in range(count)))
        if len(self.names) != count or len(set(self.names)) != count:
            raise InfodiscardError(
                f"There are {count} images but {len(set(self.names))} different names; give each image its own name."
            )
        if self.labels is not None and self.labels.shape != (count,):
            raise InfodiscardError(
                f"There are {count} images but the labels have shape {tuple(self.labels.shape)}; give one label "
                "per image."
            )
        if self.labels is not None and not are_whole(self.labels):
            raise InfodiscardError(
                "The labels are not whole numbers; give the number of each image's class, or no labels."
            )
        if (
            self.labels is not None
            and self.classes
            and not 0 <= int(self.labels.min()) <= int(self.labels.max()) < len(self.classes)
        ):
            raise InfodiscardError(
                f"The labels go from {int(self.labels.min())} to {int(self.labels.max())} but there are "
                f"{len(self.classes)} classes; give labels from 0, and a name for each class."
            )
        if self.masks is not None and self.masks.shape != (count, height, width):
            raise InfodiscardError(
                f"The masks have shape {tuple(self.masks.shape)}; the images need ({count}, {height}, {width})."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        """Describes the set in one line."""
        size = "×".join(map(str, self.images.shape[1:]))
        parts = [f"{len(self)} images of {size}", self.source]
        parts += [f"{len(self.classes)} classes" if self.classes else "labels"] if self.labels is not None else []
        parts += ["masks"] if self.masks is not None else []
        return f"<ImageSet of {', '.join(filter(None, parts))}>"

    def take(self, n: int) -> ImageSet:
        """Returns the first `n` samples (all of them if there are fewer).

        Raises:
            InfodiscardError: `n` is less than 1.
        """
        return self.select(slice(whole("n", n, "a whole number of samples, 1 or more", 1)))

    def select(self, rows: slice | list[int]) -> ImageSet:
        """Returns the samples at these places, in this order; a slice does not copy the images."""
        places = range(len(self))[rows] if isinstance(rows, slice) else rows
        return replace(
            self,
            images=self.images[rows],
            labels=None if self.labels is None else self.labels[rows],
            masks=None if self.masks is None else self.masks[rows],
            names=tuple(self.names[place] for place in places),
        )

    def known_labels(self) -> torch.Tensor:
        """Returns the labels, int64, `N`.

        Raises:
            InfodiscardError: there are none.
        """
        if self.labels is None:
            raise InfodiscardError(f"The images of '{self.source}' have no labels; give a set that has them.")
        return self.labels


def are_whole(values: torch.Tensor) -> bool:
    """Whether all values are whole numbers, in whatever type; NaN and infinite ones are not."""
    return not values.is_complex() and bool(((values.double() - values.double().round()) == 0).all())


def unique(names: Iterable[str]) -> tuple[str, ...]:
    """Returns the names in order, the second and later bearers of one marked `#2`, `#3`, ….

    A set may hold one picture's file name twice (in two folders' archives, say), but its samples need ids of their own.
    """
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, k = name, 1
        while candidate in taken:
            k += 1
            candidate = f"{name}#{k}"
        taken.add(candidate)
        result.append(candidate)
    return tuple(result)
