"""Benchmark of a cluster whose machines share nothing but a bucket: speed, and what the loss of a machine costs.

    sudo python -m benchmarks.two_nodes                  all of it; some minutes on two quiet cores
    sudo python -m benchmarks.two_nodes --samples 40     a first look

A machine is made of a network namespace (an address of its own, on a bridge) and a mount namespace (its own /tmp, home
and shared memory), both on this computer, with one core. They see each other through the network alone, and the run
through a bucket (a moto server) alone. Linux, root and the command `ip` are needed.

speed    two machines on Ray, against two plain processes that share the same work; the rate while both are at work
loss     the same again: one machine is killed, another one joins, and that stands still for a while; every value
         against one process's
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infodiscard import open_run
from infodiscard.api.run import Run
from infodiscard.results.verify import verify_run

BRIDGE, NET = "infodiscard0", "10.213.77"
HEAD, PORT = f"{NET}.2", 6379
BUCKET = "infodiscard"


def main(argv: Sequence[str] | None = None) -> None:
    """Runs both parts and prints what came out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="demo")
    parser.add_argument("--data", default="demo")
    parser.add_argument("--samples", type=int, default=12)
    parser.add_argument("--layers", default="layer1.?,layer2.?")
    parser.add_argument("--passes", type=int, default=256)
    options = parser.parse_args(argv)
    command = ["measure", options.network, "--data", options.data, "--samples", str(options.samples)]
    command += ["--layers", options.layers, "--max-passes", str(options.passes), "--block", "1"]
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster.started())
        where = Path(
            stack.enter_context(tempfile.TemporaryDirectory(dir="/var/tmp"))
        )  # where the first machine's log can be watched
        speed(cluster, command, where)
        loss(cluster, command, where)


def speed(cluster: Cluster, command: list[str], where: Path) -> None:
    """Compares two machines with two processes on the same work."""
    with cluster.machine(2), cluster.machine(3):
        cluster.measure([*command, "--out", f"s3://{BUCKET}/speed", "--log", str(where / "speed.jsonl")])
    together = rate(where / "speed.jsonl", 2)
    halves = [["--layers", layers] for layers in ("layer1.?", "layer2.?")]
    logs = [where / f"alone{part}" for part in range(2)]
    alone = [cluster.infodiscard([*command, *half, "--out", str(log)]) for half, log in zip(halves, logs, strict=True)]
    for process in alone:
        process.wait()
    apart = sum(rate(log / "log.jsonl", 1) for log in logs)
    print(f"speed: {together:.0f} passes/s on two machines, {apart:.0f} in two processes: {together / apart:.2f}")


def loss(cluster: Cluster, command: list[str], where: Path) -> None:
    """Kills a machine, stops another one for a while, and adds one; compares every value with one process's."""
    log = where / "loss.jsonl"
    whole = cluster.infodiscard([*command, "--out", str(where / "one")])
    whole.wait()
    count = len(open_run(where / "one").plan.units())
    with cluster.machine(2), ExitStack() as stack:
        second = stack.enter_context(cluster.machine(3))
        driver = cluster.driver([*command, "--out", f"s3://{BUCKET}/loss", "--log", str(log)])
        wait_for(log, count // 4, driver)
        second.kill()
        print(f"loss: a machine was killed when {len(units(log))} of {count} units were stored;", end=" ", flush=True)
        third = stack.enter_context(cluster.machine(4))
        wait_for(log, count // 2, driver)
        third.send(signal.SIGSTOP)
        time.sleep(10)
        third.send(signal.SIGCONT)
        driver.wait()
    shares = Counter(line["worker"].partition("/")[0] for line in units(log))
    print(f"{sum(shares.values())} were stored in all, by {len(shares)} machines: {sorted(shares.values())}")
    there, here = open_run(f"s3://{BUCKET}/loss"), open_run(where / "one")
    print(f"loss: damaged units {len(verify_run(f's3://{BUCKET}/loss').damaged)}; {differences(there, here)}")


def differences(there: Run, here: Run) -> str:
    """How two runs differ, in words."""
    one, other = there.dataset.load(), here.dataset.load()
    kinds = {str(name): one[name].dtype.kind == "f" for name in one.data_vars}
    unequal = [
        name for name, real in kinds.items() if not np.array_equal(one[name].values, other[name].values, equal_nan=real)
    ]
    return f"of {len(kinds)} variables, unequal to one process's: {', '.join(unequal) or 'none'}"


def units(log: Path) -> list[dict]:
    """The log's entries of finished units."""
    lines = map(json.loads, log.read_text().splitlines()) if log.exists() else ()
    return [line for line in lines if line["event"] == "unit"]


def rate(log: Path, workers: int) -> float:
    """Passes a second while all workers were at work."""
    found = units(log)
    times = [np.datetime64(line["time"].removesuffix("Z").removesuffix("+00:00")) for line in found]
    first, last = workers - 1, len(found) - workers
    seconds = (times[last] - times[first]) / np.timedelta64(1, "s")
    return float(sum(line["passes"] for line in found[workers : last + 1]) / seconds)


def wait_for(log: Path, count: int, driver: subprocess.Popen) -> None:
    """Waits until that many units are stored."""
    while len(units(log)) < count:
        if driver.poll() is not None:
            raise SystemExit(f"the run ended early, with {driver.returncode}")
        time.sleep(0.5)


@dataclass
class Machine:
    """A Ray node in namespaces of its own."""

    address: str
    name: str

    def pids(self) -> list[int]:
        """All processes that run there."""
        found = subprocess.run(["ip", "netns", "pids", self.name], capture_output=True, text=True, check=False)
        return [int(pid) for pid in found.stdout.split()]

    def send(self, number: int) -> None:
        """Sends a signal to all of them."""
        for pid in self.pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue

    def kill(self) -> None:
        """Ends them all at once, as a power cut does."""
        while self.pids():
            self.send(signal.SIGKILL)
            time.sleep(0.2)


@dataclass
class Cluster:
    """The bridge and the bucket, and what is on them.

    Attributes:
        environment: of every process.
    """

    environment: dict[str, str]

    @classmethod
    @contextmanager
    def started(cls) -> Iterator[Cluster]:
        """Makes the bridge and the bucket; removes them in the end."""
        run("ip", "link", "add", BRIDGE, "type", "bridge")
        run("ip", "addr", "add", f"{NET}.1/24", "dev", BRIDGE)
        run("ip", "link", "set", BRIDGE, "up")
        server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", f"{NET}.1", "-p", "5555"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        settings = {
            "AWS_ACCESS_KEY_ID": "any",
            "AWS_SECRET_ACCESS_KEY": "any",
            "AWS_DEFAULT_REGION": "us-east-1",
            "FSSPEC_S3_ENDPOINT_URL": f"http://{NET}.1:5555",
        }
        os.environ.update(settings)
        try:
            wait_until_open(f"{NET}.1", 5555)
            import s3fs

            s3fs.S3FileSystem(endpoint_url=settings["FSSPEC_S3_ENDPOINT_URL"]).mkdir(BUCKET)
            source = str(Path(__file__).parents[1] / "src")
            yield cls({**os.environ, "OMP_NUM_THREADS": "1", "RAY_worker_niceness": "0", "PYTHONPATH": source})
        finally:
            server.terminate()
            run("ip", "link", "del", BRIDGE)

    @contextmanager
    def machine(self, number: int) -> Iterator[Machine]:
        """A machine of one core that takes part; the one of number 2 is the first, and holds the cluster together."""
        name, address = f"infodiscard{number}", f"{NET}.{number}"
        run("ip", "netns", "add", name)
        run("ip", "link", "add", f"id{number}", "type", "veth", "peer", "name", "eth0", "netns", name)
        run("ip", "link", "set", f"id{number}", "master", BRIDGE, "up")
        for words in (f"addr add {address}/24 dev eth0", "link set eth0 up", "link set lo up"):
            run("ip", "-n", name, *words.split())
        part = ["--head", "--port", str(PORT)] if address == HEAD else ["--address", f"{HEAD}:{PORT}"]
        start = ["start", *part, "--node-ip-address", address, "--num-cpus", "1", "--block"]
        own = "for each in /tmp /dev/shm; do mount -t tmpfs tmpfs $each; done; export HOME=/tmp"
        ray = shlex.join([str(Path(sys.executable).with_name("ray")), *start, "--include-dashboard", "false"])
        subprocess.Popen(
            ["ip", "netns", "exec", name, "unshare", "--mount", "sh", "-c", f"{own}; exec {ray}"],
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
        )
        machine = Machine(address, name)
        try:
            wait_until_open(HEAD, PORT)
            time.sleep(5)
            yield machine
        finally:
            machine.kill()
            run("ip", "netns", "del", name)

    def driver(self, words: list[str]) -> subprocess.Popen:
        """Starts a command on the first machine."""
        (pid, *_) = [pid for pid in Machine(HEAD, "infodiscard2").pids() if "gcs_server" in command_of(pid)]
        inside = ["nsenter", f"--net=/proc/{pid}/ns/net", f"--mount=/proc/{pid}/ns/mnt"]
        return self.infodiscard([*words, "--engine", "ray", "--address", f"{HEAD}:{PORT}"], inside)

    def measure(self, words: list[str]) -> None:
        """Runs a command there to its end."""
        self.driver(words).wait()

    def infodiscard(self, words: list[str], before: Sequence[str] = ()) -> subprocess.Popen:
        """Starts a command."""
        command = [*before, sys.executable, "-m", "infodiscard.cli", *words]
        return subprocess.Popen(command, env=self.environment, stdout=subprocess.DEVNULL)


def command_of(pid: int) -> str:
    """The command line of a process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def wait_until_open(host: str, port: int, seconds: float = 60) -> None:
    """Waits until something listens there."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with socket.socket() as attempt:
            attempt.settimeout(1)
            if attempt.connect_ex((host, port)) == 0:
                return
        time.sleep(0.5)
    raise SystemExit(f"nothing listens on {host}:{port}")


def run(*words: str) -> None:
    """Runs a command that must succeed."""
    subprocess.run(words, check=True)


if __name__ == "__main__":
    main()
