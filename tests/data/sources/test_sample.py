"""Samples: the geometry of boxes, crops and sizes."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

from infodiscard.data.masks import box_mask
from infodiscard.data.sources.sample import crop_window, decode, fit
from infodiscard.errors import InfodiscardError
from pictures import deep_png

RAMP = np.linspace(0, 1, 64).reshape(8, 8)


def encoded(array: np.ndarray, file_format: str, mode: str | None = None) -> bytes:
    """Returns an array as a picture file, converted to `mode` first."""
    picture, stream = Image.fromarray(array), BytesIO()
    (picture if mode is None else picture.convert(mode)).save(stream, file_format)
    return stream.getvalue()


def ramp(white: int, dtype: str = "uint16") -> np.ndarray:
    return (RAMP * white).round().astype(dtype)


def test_box_mask_counts_whole_pixels() -> None:
    mask = box_mask((2, 1, 3, 2), 6, 7)
    assert mask.sum() == 6 and mask[1:3, 2:5].all()


def test_crop_window_grows_about_the_centre_and_stops_at_the_edge() -> None:
    assert crop_window((4, 4, 4, 2), 1.0, 20, 20) == (slice(4, 6), slice(4, 8))
    assert crop_window((4, 4, 4, 2), 1.5, 20, 20) == (slice(4, 6), slice(3, 9))  # 4.25 … 5.75 … rounded
    assert crop_window((4, 4, 4, 2), 9.0, 20, 20) == (slice(0, 14), slice(0, 20))
    assert crop_window((4, 4, 4, 2), float("inf"), 20, 20) == (slice(0, 20), slice(0, 20))
    assert crop_window((25, 25, 4, 2), 1.0, 20, 20) == (slice(19, 20), slice(19, 20))


def test_fit_covers_and_crops_the_centre() -> None:
    """A picture twice as wide as the size loses its sides, and its mask with them."""
    image = torch.zeros(3, 8, 16)
    image[:, :, 4:12] = 1
    mask = box_mask((4, 2, 4, 4), 8, 16)
    small, small_mask = fit(image, mask, (4, 4))
    assert small.shape == (3, 4, 4) and small[:, :, 1:3].min() == 1 and small_mask is not None
    assert torch.equal(small_mask, box_mask((0, 1, 2, 2), 4, 4))


def test_fit_agrees_with_torchvision() -> None:
    from torchvision.transforms import functional

    for height, width in ((50, 37), (37, 51), (16, 33), (5, 4)):
        image = torch.rand(3, height, width, generator=torch.Generator().manual_seed(0))
        usual = functional.center_crop(functional.resize(image, 16, antialias=True), 16)
        torch.testing.assert_close(fit(image, None, (16, 16))[0], usual, atol=1e-5, rtol=0)


def test_fit_leaves_the_right_size_alone() -> None:
    image = torch.rand(3, 4, 5)
    assert torch.equal(fit(image, None, (4, 5))[0], image)


@pytest.mark.parametrize(
    "file",
    [
        encoded(ramp(255, "uint8"), "PNG"),
        encoded(ramp(255, "uint8"), "PNG", "P"),
        encoded(ramp(255, "uint8"), "PNG", "LA"),
        encoded(ramp(255, "uint8"), "PNG", "RGBA"),
        encoded(ramp(255, "uint8"), "TIFF", "CMYK"),
        encoded(ramp(65535), "PNG"),
        encoded(ramp(65535), "TIFF"),
        encoded(ramp(65535, ">u2"), "TIFF"),
        encoded(ramp(65535), "PPM"),
        encoded(RAMP.astype("float32"), "TIFF"),
        deep_png(ramp(65535)[..., None]),
        deep_png(np.repeat(ramp(65535)[..., None], 3, 2)),
        deep_png(np.repeat(ramp(65535)[..., None], 4, 2)),
    ],
    ids=range(13),
)
def test_pictures_of_every_depth_are_read_in_their_own_range(file: bytes) -> None:
    image = decode(file, "x.png")
    assert image.shape == (3, 8, 8) and image.is_contiguous()
    torch.testing.assert_close(image, torch.from_numpy(RAMP).float().expand(3, 8, 8), atol=1 / 255, rtol=0)


def test_a_picture_of_one_bit_is_black_and_white() -> None:
    image = decode(encoded(ramp(255, "uint8") > 127, "PNG"), "x.png")
    assert torch.equal(image, torch.from_numpy(RAMP > 0.5).float().expand(3, 8, 8))


def test_a_black_picture_of_16_bits_is_black() -> None:
    assert not decode(encoded(ramp(0), "PNG"), "x.png").any()


@pytest.mark.parametrize(
    ("file", "message"),
    [
        (encoded(ramp(4095), "PNG"), r"less than 25% of its 16 bits \(its values go from 0 to 4095\)"),
        (encoded(ramp(1023), "TIFF"), "less than 25%"),
        (deep_png(np.repeat(ramp(4095)[..., None], 3, 2)), "less than 25%"),
        (encoded(ramp(10**6, "int32"), "TIFF"), r"does not lie in \[0, 1\] .* 0 to 1e\+06"),
        (encoded(ramp(255, "float32"), "TIFF"), "does not lie in"),
        (encoded(RAMP.astype("float32") - 0.5, "TIFF"), "does not lie in"),
        (encoded(np.full((8, 8), np.nan, "float32"), "TIFF"), "does not lie in"),
    ],
    ids=range(7),
)
def test_a_picture_whose_white_is_not_known_is_refused(file: bytes, message: str) -> None:
    with pytest.raises(InfodiscardError, match=f"'x.tif' .*{message}.*convert it to 8 bits per channel"):
        decode(file, "x.tif")


UPRIGHT = {  # EXIF's orientation → how the picture is stored
    1: lambda picture: picture,
    2: np.fliplr,
    3: lambda picture: np.rot90(picture, 2),
    4: np.flipud,
    6: lambda picture: np.rot90(picture, 1),
    8: lambda picture: np.rot90(picture, 3),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("white", [255, 65535])
def test_pictures_are_turned_upright_as_exif_says(orientation: int, white: int) -> None:
    array, stream = ramp(white, "uint8" if white == 255 else "uint16")[:5], BytesIO()
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(UPRIGHT[orientation](array))).save(stream, "PNG", exif=exif)
    found = decode(stream.getvalue(), "x")
    torch.testing.assert_close(found, torch.from_numpy(array / white).float().expand(3, -1, -1))


@pytest.mark.parametrize("exif", [b"garbage", b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12\xff\xff"])
def test_broken_exif_data_leave_the_picture_as_it_is(exif: bytes) -> None:
    stream = BytesIO()
    Image.fromarray(ramp(255, "uint8")[:5]).save(stream, "PNG", exif=exif)
    assert decode(stream.getvalue(), "x").shape == (3, 5, 8)
