"""Where a run lies: a directory on this machine, or any place that fsspec reaches; and who may write there."""

from __future__ import annotations

import json
import logging
import os
import secrets
import shutil
import socket
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..core.files import write_atomically
from ..errors import InfodiscardError

logger = logging.getLogger("infodiscard")

STATUS, LOG = "status.json", "log.jsonl"
"""What lies in a run's directory beside its store and its lock."""


def as_place(given: Any) -> Any:
    """Returns a local directory as a `Path`, and a URL such as `s3://bucket/run` as a `upath.UPath`, alike in use.

    Raises:
        InfodiscardError: a URL of no known kind, or the library that reaches it is missing.
    """
    if isinstance(given, Path) or hasattr(given, "storage_options"):
        return given.expanduser()
    text = os.fspath(given)
    kind, url, rest = text.partition("://")
    if not url:
        return Path(text).expanduser()
    if kind == "file":
        return Path(rest)
    try:
        from upath import UPath

        # Other processes write there too, so a listing that was true a moment ago is not believed.
        place = UPath(text, use_listings_cache=False)
        place.fs  # noqa: B018 - opens the library behind it, which may be missing
    except ImportError as error:
        raise InfodiscardError(
            f"'{text}' needs a library that is missing ({error}); install it with pip install 'infodiscard[s3]' for "
            "S3, or universal_pathlib and fsspec's library for another place."
        ) from error
    except ValueError as error:
        raise InfodiscardError(
            f"'{text}' is no place that can be reached ({error}); give a directory, or a URL such as s3://bucket/run."
        ) from error
    return place


def zarr_store(place: Any) -> Any:
    """Returns what Zarr and xarray open for a place."""
    if isinstance(place, Path):
        return str(place)
    from zarr.storage import FsspecStore

    return FsspecStore.from_url(str(place), storage_options=dict(place.storage_options))


def names_in(place: Any) -> list[str]:
    """Returns what a directory holds, sorted; nothing if it is not there."""
    return sorted(item.name for item in place.iterdir()) if place.exists() else []


def remove(place: Any) -> None:
    """Removes a directory and all that is in it."""
    if isinstance(place, Path):
        shutil.rmtree(place)
    else:
        place.fs.rm(place.path, recursive=True)


def write_whole(place: Any, content: bytes) -> None:
    """Writes a small file so that a reader, or a kill, meets the old one or the new one and never a part."""
    if not isinstance(place, Path):
        place.fs.pipe_file(place.path, content)
        return

    def write(temporary: Path) -> None:
        temporary.write_bytes(content)

    write_atomically(place, write)


def read_whole(place: Any) -> bytes | None:
    """Returns a small file's content as it is now; `None` if it is not there."""
    try:
        return place.read_bytes() if isinstance(place, Path) else place.fs.cat_file(place.path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def lock(place: Any) -> Lock | Lease:
    """Takes the lock on a run's directory; it is held until `release`, garbage collection or the process's end.

    Raises:
        InfodiscardError: another writer holds it.
    """
    return Lock(place) if isinstance(place, Path) else Lease(place)


def _taken(place: Any, holder: str = "") -> InfodiscardError:
    return InfodiscardError(
        f"Another process{holder} is writing the run in '{place}'; wait until it ends, or give another out."
    )


class Lock:
    """The lock on a local directory.

    The operating system lets go of it however the process ends, so a killed run leaves nothing to clean up. Where the
    platform or the file system has no such locks, nothing is locked.
    """

    name = ".lock"
    lost = False

    def __init__(self, directory: Path) -> None:
        descriptor = os.open(directory / self.name, os.O_RDWR | os.O_CREAT, 0o644)
        self._close = weakref.finalize(self, os.close, descriptor)
        try:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self.release()
            raise _taken(directory) from error
        except (ImportError, OSError):
            pass

    def release(self) -> None:
        """Lets go of the lock; a second call does nothing."""
        self._close()


class Lease:
    """The lock on a remote place: a small object that its holder writes anew every few seconds.

    No clock but one's own is believed: whoever finds the object watches it, gives up when it changes, and takes it over
    when it has not changed for `expiry` seconds. Should two take it over at the same moment, or a holder that was
    thought dead come back, one of them finds out within a beat (`lost`); what both have stored by then is the same,
    since results depend on the plan alone.

    Attributes:
        lost: whether somebody else has taken it.
    """

    name = Lock.name
    beat, expiry = 10.0, 45.0  # seconds

    def __init__(self, place: Any) -> None:
        self._file, self.lost = place / self.name, False
        self._token = secrets.token_hex(8)
        if not self._create(0):
            self._outlive(place)
        self._stop = threading.Event()
        self._release = weakref.finalize(self, _let_go, self._file, self._token, self._stop)
        threading.Thread(target=_keep_alive, args=(weakref.ref(self), self._stop, self.beat), daemon=True).start()

    def _create(self, count: int) -> bool:
        """Makes the object unless it is there; returns whether it made it."""
        fs, path, content = self._file.fs, self._file.path, self._content(count)
        try:
            fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, ValueError):  # a place that cannot make a file only where there is none
            if fs.exists(path):
                return False
            fs.pipe_file(path, content)
        return True

    def _content(self, count: int) -> bytes:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "token": self._token, "beat": count}
        return json.dumps(about).encode()

    def _outlive(self, place: Any) -> None:
        """Waits until the present holder shows that it lives, which raises, or has been silent for too long."""
        seen, holder = read_whole(self._file), ""
        with suppress(TypeError, ValueError, KeyError):
            about = json.loads(seen or b"")
            holder = f" ({about['host']}, process {about['pid']})"
        logger.warning(
            "'%s' is locked%s; waiting at most %g s to see whether that still runs.", place, holder, self.expiry
        )
        end = time.monotonic() + self.expiry
        while seen is not None and time.monotonic() < end:
            time.sleep(min(1.0, self.expiry / 10))
            now = read_whole(self._file)
            if now is not None and now != seen:
                raise _taken(place, holder)
            seen = now
        with suppress(FileNotFoundError):
            self._file.fs.rm_file(self._file.path)
        if not self._create(0):
            raise _taken(place)

    def renew(self, count: int) -> None:
        """Shows that the holder lives; finds out whether it still holds the lock."""
        found = read_whole(self._file)
        if found is None or json.loads(found).get("token") != self._token:
            self.lost = True
        else:
            self._file.fs.pipe_file(self._file.path, self._content(count))

    def release(self) -> None:
        """Lets go of the lock; a second call does nothing."""
        self._release()


def _keep_alive(lease: weakref.ref[Lease], stop: threading.Event, beat: float) -> None:
    """Renews a lease until it is released, lost or forgotten."""
    count = 0
    while not stop.wait(beat):
        held = lease()
        if held is None or held.lost:
            return
        count += 1
        with suppress(OSError):  # out of reach for a moment; the next beat may get through
            held.renew(count)
        del held


def _let_go(file: Any, token: str, stop: threading.Event) -> None:
    """Deletes the object of a lease, if it is still that one's."""
    stop.set()
    with suppress(OSError, ValueError):
        found = read_whole(file)
        if found is not None and json.loads(found).get("token") == token:
            file.fs.rm_file(file.path)
