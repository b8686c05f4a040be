"""Random pictures, and their files."""

from __future__ import annotations

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image


def pixels(seed: int = 0, height: int = 8, width: int = 10, channels: int = 3) -> np.ndarray:
    """Returns a random picture, uint8 `height × width × channels`."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), dtype=np.uint8)


def png(picture: np.ndarray) -> bytes:
    stream = BytesIO()
    Image.fromarray(picture.squeeze()).save(stream, "PNG")
    return stream.getvalue()


def write_pictures(folder: Path, *names: str, height: int = 8, width: int = 10) -> Path:
    """Writes random pictures, PNG whatever their names end in, and returns the folder."""
    for seed, name in enumerate(names):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(pixels(seed, height, width)))
    return folder


def deep_png(picture: np.ndarray) -> bytes:
    """Returns a PNG of 16 bits per channel, which Pillow reads but does not write in colour; `H × W × 1 … 4`."""
    height, width, channels = picture.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0),
        b"IDAT": zlib.compress(b"".join(b"\0" + row.astype(">u2").tobytes() for row in picture)),
        b"IEND": b"",
    }
    parts = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks.items()]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
