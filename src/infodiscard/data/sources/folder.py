"""A folder of pictures, or of a folder per class; with boxes or masks, if they lie beside the pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ...errors import InfodiscardError
from .annotations import find
from .annotations.match import match
from .annotations.objects import Annotation, Annotations
from .files import SUFFIXES, directory, files_in, folders_in, name_of
from .sample import Sample, decode

IMAGES = "images"
"""A folder that is no class if it is the only one: the pictures lie in it, and their annotations beside it."""


@dataclass(frozen=True)
class _Layout:
    """Where the pictures of a folder are.

    Attributes:
        home: the folder that was given.
        root: what the names of the pictures are relative to; `home`, or `images` in it.
        classes: a folder each, in order of name; empty if the pictures lie in `root` itself.
        masks: folder of masks, if there is one.
    """

    home: Path
    root: Path
    classes: tuple[Path, ...]
    masks: Path | None

    def files(self, suffixes: set[str]) -> Iterator[tuple[Path, int | None]]:
        """Yields the files that lie where pictures do, in the order of their paths, with the number of their class."""
        if not self.classes:
            yield from ((path, None) for path in files_in(self.root, suffixes, deep=False))
        for label, folder in enumerate(self.classes):
            yield from ((path, label) for path in files_in(folder, suffixes))


def read(path: str, annotations: str | None) -> tuple[Iterator[Sample], tuple[str, ...], tuple[str, ...]]:
    """Returns the pictures in the order of their paths, named by path; the classes; and what is odd about the set.

    Args:
        path: a folder with pictures in it, which have no class; or with folders, of which each is a class.
        annotations: a `.csv` file, COCO's `.json` file, a folder of Pascal VOC's `.xml` files or a folder of masks;
            `None` for what lies in the folder.

    Raises:
        InfodiscardError: the folder is missing, holds no pictures, or its annotations cannot be read or do not fit.
    """
    layout = _layout(directory(path, "folder"), path)
    classes = tuple(name_of(folder, layout.root) for folder in layout.classes)
    found = _annotations(layout) if annotations is None else find.named(annotations)
    if found is None:
        return _samples(layout, None), classes, ()
    names = [name_of(file, layout.root) for file, _ in layout.files(SUFFIXES)]
    pairs = match(names, found.by_name, found.file)
    by_name = {name: found.by_name[written] for name, written in pairs.items()}
    return _samples(layout, by_name), classes, _checked(names, pairs, found, path)


def _annotations(layout: _Layout) -> Annotations | None:
    xml = [file for file, _ in layout.files(find.XML)]
    return find.beside(layout.home, layout.masks, xml, layout.root)


def _layout(home: Path, path: str) -> _Layout:
    """Finds the pictures in a folder."""
    own = next(files_in(home, SUFFIXES, deep=False), None)
    masks = next((folder for folder in folders_in(home) if folder.name.lower() == find.MASKS), None)
    rest = [folder for folder in folders_in(home) if folder not in (masks, *find.annotation_folders(home))]
    if masks is not None and own is None and not _are_masks(masks, rest):
        rest, masks = sorted([*rest, masks]), None  # a class of that name
    if own is None and [folder.name for folder in rest] == [IMAGES]:
        inner = _layout(rest[0], path)
        return _Layout(home, inner.root, inner.classes, masks or inner.masks)
    if own is None and not rest:
        raise InfodiscardError(
            f"'{path}' holds no pictures ({', '.join(sorted(SUFFIXES))}) ; give a folder of them, or one that has "
            "a folder of pictures per class."
        )
    if own is None:
        return _Layout(home, home, tuple(rest), masks)
    if filled := next((folder for folder in rest if next(files_in(folder, SUFFIXES), None)), None):
        raise InfodiscardError(
            f"'{path}' holds pictures itself ('{own.name}'), and folders with pictures ('{filled.name}') as if they "
            "were classes; move one or the other elsewhere."
        )
    return _Layout(home, home, (), masks)


def _are_masks(folder: Path, classes: list[Path]) -> bool:
    """Whether a picture in a folder is the mask of one in these."""
    stems = {path.stem.removesuffix("_mask") for path in files_in(folder, SUFFIXES)}
    return any(path.stem in stems for each in classes for path in files_in(each, SUFFIXES))


def _checked(names: list[str], pairs: Mapping[str, str], found: Annotations, path: str) -> tuple[str, ...]:
    """Returns a sentence if some annotations are of no picture; raises InfodiscardError if all are."""
    absent = list(found.by_name.keys() - set(pairs.values()))
    if names and not pairs:
        first = f"the first is '{next(iter(found.by_name))}'" if found.by_name else "it names none"
        raise InfodiscardError(
            f"No picture of '{path}' is in '{found.file}' ({first}); name them there as in the folder, such as "
            f"'{names[0]}'."
        )
    if not absent:
        return ()
    return (f"Pictures in '{found.file}' that are not in '{path}': {len(absent)}, such as '{min(absent)}'.",)


def _samples(layout: _Layout, annotations: Mapping[str, Annotation] | None) -> Iterator[Sample]:
    for path, label in layout.files(SUFFIXES):
        name = name_of(path, layout.root)
        annotation = None if annotations is None else annotations.get(name, _nothing)
        yield Sample(name, partial(_decode, path, name, annotation), label)


def _decode(path: Path, name: str, annotation: Annotation | None) -> tuple[torch.Tensor, torch.Tensor | None]:
    image = decode(path, name)
    return image, None if annotation is None else annotation(name, *image.shape[1:])


def _nothing(name: str, height: int, width: int) -> torch.Tensor:
    """Returns the mask of a picture without an annotation."""
    return torch.zeros(height, width, dtype=torch.bool)
