"""Locks on a run's place: one process writes there at a time."""

from __future__ import annotations

import errno
import json
import logging
import os
import secrets
import socket
import threading
import time
import weakref
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InfodiscardError
from .places import is_local, read_whole

logger = logging.getLogger("infodiscard")

LOCK = ".lock"
"""The lock's name in a run's directory."""

_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


def lock(place: Any) -> Lock | Lease:
    """Takes the lock on a run's directory; it is held until `release`, garbage collection or the process's end.

    Raises:
        InfodiscardError: another writer holds it.
    """
    return Lock(place) if is_local(place) else Lease(place)


def _taken(place: Any, holder: str = "") -> InfodiscardError:
    return InfodiscardError(
        f"Another process{holder} is writing the run in '{place}'; wait until it ends, or give another out."
    )


class Lock:
    """The lock on a local directory.

    The operating system lets go of it however the process ends, so a killed run leaves nothing to clean up. Where the
    platform or the file system has no such locks, nothing is locked.
    """

    lost = False

    def __init__(self, directory: Path) -> None:
        self._lock = FileLock(directory / LOCK, thread_local=False, fallback_to_soft=False)
        try:
            self._lock.acquire(blocking=False)
        except Timeout as error:
            raise _taken(directory) from error
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                raise

    def release(self) -> None:
        """Lets go of the lock; a second call does nothing."""
        self._lock.release()


class Lease:
    """The lock on a remote place: a small object that its holder writes again every few seconds.

    No clock but one's own is believed: whoever finds the object watches it, gives up when it changes, and takes it over
    when it has not changed for `expiry` seconds. Of several who do so at once, one wins: where the store can overwrite
    an object on condition that it is still the same (S3), it decides; elsewhere whoever wrote last, which the others
    see `pause` seconds later. A holder that was thought dead and comes back finds out within a beat (`lost`); what both
    have stored by then is the same, since results depend on the plan alone.

    Attributes:
        lost: whether another process has taken it.
    """

    beat, expiry, pause = 10.0, 45.0, 1.0  # seconds

    def __init__(self, place: Any) -> None:
        self._place, self._file, self.lost = place, place / LOCK, False
        self._token = secrets.token_hex(8)
        if not self._create():
            self._outlive()
        self._stop, self._mutex = threading.Event(), threading.Lock()
        self._release = weakref.finalize(self, _let_go, self._file, self._token, self._stop, self._mutex)
        threading.Thread(target=_keep_alive, args=(weakref.ref(self), self._stop, self.beat), daemon=True).start()

    def _content(self, count: int) -> bytes:
        about = {"host": socket.gethostname(), "pid": os.getpid(), "token": self._token, "beat": count}
        return json.dumps(about).encode()

    def _create(self) -> bool:
        """Creates the object unless it is there; returns whether it did."""
        fs, path, content = self._file.fs, self._file.path, self._content(0)
        try:
            fs.pipe_file(path, content, mode="create")
        except FileExistsError:
            return False
        except (NotImplementedError, ValueError):  # a place that cannot create a file only where there is none
            if fs.exists(path):
                return False
            fs.pipe_file(path, content)
        return True

    def _outlive(self) -> None:
        """Waits until the present holder shows that it lives, which raises, or has been silent for too long."""
        seen, holder = read_whole(self._file), ""
        with suppress(TypeError, ValueError, KeyError):
            about = json.loads(seen or b"")
            holder = f" ({about['host']}, process {about['pid']})"
        logger.warning(
            "'%s' is locked%s; waiting at most %g s to see whether that still runs.", self._place, holder, self.expiry
        )
        end = time.monotonic() + self.expiry
        while seen is not None and time.monotonic() < end:
            time.sleep(min(1.0, self.expiry / 10))
            now = read_whole(self._file)
            if now is not None and now != seen:
                raise _taken(self._place, holder)
            seen = now
        self._take_over(seen)

    def _take_over(self, seen: bytes | None) -> None:
        """Makes the object one's own if it is still as it was `seen`, or still absent.

        Raises:
            InfodiscardError: another process was quicker.
        """
        condition = self._condition()
        if read_whole(self._file) != seen:
            raise _taken(self._place)
        if seen is None or not condition or not self._overwrite(condition):
            if seen is not None:
                with suppress(FileNotFoundError):
                    self._file.fs.rm_file(self._file.path)
            if not self._create():
                raise _taken(self._place)
        time.sleep(self.pause)
        if read_whole(self._file) != self._content(0):
            raise _taken(self._place)

    def _condition(self) -> dict[str, str]:
        """Returns what makes a write fail unless the object is still the one that is there now; nothing off S3."""
        if self._file.protocol not in ("s3", "s3a"):
            return {}
        try:
            return {"IfMatch": self._file.fs.info(self._file.path)["ETag"]}
        except (FileNotFoundError, KeyError):
            return {}

    def _overwrite(self, condition: dict[str, str]) -> bool:
        """Writes the object on a condition; returns whether the store knows such. Whether it held, a reader sees."""
        try:
            self._file.fs.pipe_file(self._file.path, self._content(0), **condition)
        except OSError as error:
            return error.errno != errno.ENOSYS
        return True

    def renew(self, count: int) -> None:
        """Shows that the holder lives; finds out whether it still holds the lock."""
        with self._mutex:  # a release waits for the end of this, or its object would be written once more
            if self._stop.is_set():
                return
            condition = self._condition()
            content = read_whole(self._file)
            if content is None or json.loads(content).get("token") != self._token:
                self.lost = True
            else:
                self._file.fs.pipe_file(self._file.path, self._content(count), **condition)

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


def _let_go(file: Any, token: str, stop: threading.Event, mutex: threading.Lock) -> None:
    """Deletes the object of a lease, if it is still that one's, after a beat under way."""
    stop.set()
    with mutex, suppress(OSError, ValueError):
        content = read_whole(file)
        if content is not None and json.loads(content).get("token") == token:
            file.fs.rm_file(file.path)
