"""The folder of data sets for the studies: CIFAR-10, CUB-200-2011 and trained weights."""

from __future__ import annotations

import glob
from dataclasses import dataclass
from pathlib import Path

from ..errors import InfodiscardError

CUB_PAGE = "https://www.vision.caltech.edu/datasets/cub_200_2011/"
CUB_TABLES = (
    "images.txt",
    "image_class_labels.txt",
    "train_test_split.txt",
    "bounding_boxes.txt",
    "classes.txt",
    "images",
)


@dataclass(frozen=True)
class DataFolder:
    """The user's folder of data sets.

    Attributes:
        root: with `cifar10/` (Parquet files named `train-*` and `test-*`, as on the Hugging Face hub), perhaps
            `cifar100/` (`test*.parquet`, likewise), a folder of CUB-200-2011 as published (`CUB_200_2011/`, or another
            whose name begins with `cub`), and perhaps `weights/` with `resnet20_cifar10.safetensors` and so on. `None`:
            CIFAR-10 is downloaded, and there is nothing else.

    Raises:
        InfodiscardError: there is no such folder.
    """

    root: Path | None = None

    def __post_init__(self) -> None:
        if self.root is not None and not self.root.is_dir():
            raise InfodiscardError(f"There is no folder '{self.root}'; give the one with the data sets as --data-dir.")

    def cifar10(self, split: str) -> str:
        """Returns the spec of a split of CIFAR-10.

        Raises:
            InfodiscardError: there is a folder, but no such files in it.
        """
        if self.root is None or not (self.root / "cifar10").exists():
            return "cifar10"
        folder = self.root / "cifar10"
        files = sorted(folder.glob(f"{split}-*.parquet"))
        wanted = f"'{folder}/{split}-*.parquet'"
        get = (
            "huggingface-cli download uoft-cs/cifar10 --repo-type dataset fetches them; without a folder 'cifar10' the "
            "data set is downloaded by torchvision"
        )
        if not files:
            raise InfodiscardError(f"There are no files {wanted}; {get}.")
        total = files[0].stem.rpartition("-of-")[2]
        if total.isdigit() and len(files) < int(total):
            missing = next(
                name
                for name in (f"{split}-{i:05}-of-{total}.parquet" for i in range(int(total)))
                if not (folder / name).exists()
            )
            raise InfodiscardError(f"The data set is incomplete: '{folder / missing}' is missing; {get}.")
        return f"parquet:{glob.escape(str(folder))}/{split}-*.parquet"

    def cifar100(self) -> str | None:
        """Returns the spec of the test split of CIFAR-100, if it is there."""
        found = [] if self.root is None else sorted((self.root / "cifar100").glob("test*.parquet"))
        return f"parquet:{glob.escape(str(found[0].parent))}/test*.parquet" if found else None

    def of_classes(self, count: int) -> str | None:
        """Returns the spec of the test split with so many classes: 10 of CIFAR-10, or 100 of CIFAR-100 if it is there.

        Raises:
            InfodiscardError: as for `cifar10`.
        """
        return self.cifar10("test") if count == 10 else self.cifar100() if count == 100 else None

    def cub(self) -> str:
        """Returns the spec of CUB-200-2011.

        Raises:
            InfodiscardError: it is not there, or a file of it is missing.
        """
        entries = [] if self.root is None else sorted(self.root.iterdir())
        folder = next((path for path in entries if path.name.lower().startswith("cub") and path.is_dir()), None)
        if folder is None:
            where = "in a folder that --data-dir names" if self.root is None else f"in '{self.root}'"
            raise InfodiscardError(
                f"This study needs CUB-200-2011 (a folder 'CUB_200_2011' {where}); fetch and unpack it from {CUB_PAGE}."
            )
        missing = next((name for name in CUB_TABLES if not (folder / name).exists()), None)
        if missing is not None:
            raise InfodiscardError(
                f"The data set is incomplete: '{folder / missing}' is missing; fetch and unpack CUB-200-2011 again "
                f"from {CUB_PAGE}."
            )
        return f"cub:{folder}"

    def weights(self, network: str) -> Path | None:
        """Returns the file of well-trained CIFAR-10 weights of a ResNet, if there is one."""
        path = None if self.root is None else self.root / "weights" / f"{network}_cifar10.safetensors"
        return path if path is not None and path.exists() else None
