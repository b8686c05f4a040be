"""The engines: the same work in this process and on a Ray cluster, through lost workers and lost nodes."""

import os
import signal
import threading
import time
import warnings

import numpy as np
import pytest
import torch

import jobs
from infodiscard import InfodiscardError, data, measure, open_run, zoo
from infodiscard.measurement.engines import LocalEngine, find_engine
from infodiscard.results.verify import verify_run

ray = pytest.importorskip("ray", reason="Ray is not installed")

from infodiscard.measurement.engines.ray import RayEngine  # noqa: E402 - after it is known that Ray is there

pytestmark = [
    pytest.mark.slow,
    # Ray's own, of its sockets, files and processes, which it leaves to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning:ray"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:ray"),
]


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two nodes on this machine, of one core each; others can be added and taken away."""
    from ray.cluster_utils import Cluster

    # Workers usually stand back behind every other process of the machine.
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = Cluster(initialize_head=True, head_node_args=head)
        made.add_node(num_cpus=1)
        made.wait_for_nodes()
        yield made
        made.shutdown()


@pytest.fixture
def engine(cluster):
    """An engine on it, which connects and disconnects by itself."""
    return RayEngine(cluster.address)


@pytest.fixture(scope="module")
def whole():
    """The job, done in this process."""
    return jobs.job(None)


def test_a_cluster_finds_what_this_process_finds_to_the_last_bit(tmp_path, cluster, engine, whole):
    jobs.same(jobs.job(tmp_path / "run", engine=engine), whole)
    assert not ray.is_initialized()
    assert not verify_run(tmp_path / "run").damaged
    workers = {line.split('"worker": "')[1].split('"')[0] for line in _units(tmp_path / "run")}
    assert len({worker.partition("/")[0] for worker in workers}) == 2, "both nodes took part"


def _units(out):
    return [line for line in (out / "log.jsonl").read_text().splitlines() if '"event": "unit"' in line]


@pytest.mark.parametrize(
    "options", [{"start": "before"}, {"block": 5}, {"layers": ["layer3"], "metrics": ["sid", "ru"]}]
)
def test_chains_blocks_and_both_metrics(tmp_path, cluster, options):
    """Also in memory, where workers send back what they find; and on one worker, where everything has its turn."""
    given = {"samples": 6, "max_passes": 300} | options
    if "metrics" in options:
        given["samples"] = 2
    alone = jobs.job(None, **given)
    jobs.same(jobs.job(None, engine=RayEngine(cluster.address, workers=1), **given), alone)
    jobs.same(jobs.job(tmp_path / "run", engine=RayEngine(cluster.address), **given), alone)


def test_an_interrupted_run_is_continued_by_either_engine(tmp_path, engine, whole):
    out = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        jobs.job(out, engine=Impatient(LocalEngine(), 5))
    assert len(open_run(out).pending()) == 19
    with pytest.raises(KeyboardInterrupt):
        jobs.job(out, engine=Impatient(engine, 5))
    left = len(open_run(out).pending())
    assert 14 >= left >= 10, "the units in flight may have been stored"
    jobs.same(jobs.job(out), whole)


class Impatient:
    """An engine that is interrupted after so many units."""

    def __init__(self, engine, units):
        self._engine, self._units, self.device_type = engine, units, engine.device_type

    def run(self, run, work):
        for count, finished in enumerate(self._engine.run(run, work), 1):
            yield finished
            if count == self._units:
                raise KeyboardInterrupt


def test_killed_workers_are_replaced_and_nothing_is_lost(tmp_path, cluster, whole):
    out, killed = tmp_path / "run", []

    def kill():
        """kill -9 of whichever worker was heard of last, three times."""
        patience = time.monotonic() + 120
        while len(killed) < 3 and time.monotonic() < patience:
            time.sleep(0.2)
            lines = _units(out) if (out / "log.jsonl").exists() else []
            last = int(lines[-1].split('"worker": "')[1].split('"')[0].partition("/")[2]) if lines else None
            if last is not None and last not in killed:
                try:
                    os.kill(last, signal.SIGKILL)
                    killed.append(last)
                except ProcessLookupError:
                    pass

    hunter = threading.Thread(target=kill)
    hunter.start()
    run = jobs.job(out, engine=RayEngine(cluster.address), max_passes=256)
    hunter.join()
    assert len(killed) >= 1
    jobs.same(run, whole)


def test_a_node_killed_mid_run_is_done_without(tmp_path, cluster, whole):
    out, gone = tmp_path / "run", []
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()

    def kill():
        patience = time.monotonic() + 120
        while time.monotonic() < patience and (not (out / "log.jsonl").exists() or len(_units(out)) < 3):
            time.sleep(0.05)
        cluster.remove_node(node, allow_graceful=False)
        gone.append(len(_units(out)))

    hunter = threading.Thread(target=kill)
    hunter.start()
    run = jobs.job(out, engine=RayEngine(cluster.address))
    hunter.join()
    assert gone and gone[0] < 24, "it was killed while the run went on"
    jobs.same(run, whole)


def test_a_network_from_a_users_file_travels_with_its_code(tmp_path, engine):
    (tmp_path / "net.py").write_text(
        "import torch\n\nclass Own(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n        self.conv = torch.nn.Conv2d(3, 4, 3)\n"
        "    def forward(self, x):\n        return torch.tanh(self.conv(x))\n\n"
        "def build():\n    torch.manual_seed(0)\n    return Own()\n"
    )
    network = zoo.load(f"{tmp_path / 'net.py'}:build", mean=(0, 0, 0), std=(1, 1, 1), input_size=(8, 8))
    images = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    options = {"layers": ["output"], "max_passes": 300, "block": 1, "progress": False}
    jobs.same(measure(network, images, engine=engine, **options), measure(network, images, **options))


def test_samples_that_fail_on_a_worker_are_named(engine):
    images = data.load("demo", 4)
    unreadable = {images.names[1]: "it is broken"}
    from dataclasses import replace

    options = {"layers": ["layer1"], "max_passes": 256, "block": 2, "progress": False}
    run = measure(zoo.load("demo"), replace(images, unreadable=unreadable), engine=engine, **options)
    assert list(run.failures()["sample"]) == [images.names[1]]
    assert np.isfinite(run.to_dataframe()["sid"]).all() and len(run.to_dataframe()) == 3


def test_what_goes_wrong_on_a_worker_is_one_sentence(tmp_path, engine, monkeypatch):
    with pytest.raises(InfodiscardError, match="does not see the run in"):
        jobs.job("memory://here/only", engine=engine)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), Unpicklable())
    with pytest.raises(InfodiscardError, match="cannot be sent to other processes"):
        measure(network, torch.rand(1, 3, 8, 8), layers=["0"], engine=engine, progress=False)


class Unpicklable(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lock = threading.Lock()

    def forward(self, x):
        return x


def test_bad_engines_are_told(cluster):
    with pytest.raises(InfodiscardError, match="engine was 'spark'; it can be 'local' or 'ray'"):
        find_engine("spark")
    for wrong in ({"workers": 0}, {"gpus": 1.5}, {"gpus": -1}, {"cpus": 0}):
        with pytest.raises(InfodiscardError, match="give"):
            RayEngine(**wrong)
    with pytest.raises(InfodiscardError, match="no room for a unit"):
        jobs.job(None, engine=RayEngine(cluster.address, gpus=1))
    with pytest.raises(InfodiscardError, match="No Ray cluster can be reached"):
        jobs.job(None, engine=RayEngine("127.0.0.1:1"))
