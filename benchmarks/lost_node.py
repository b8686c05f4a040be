"""Benchmark of a lost node: a Ray cluster of two loses one mid-run, and its results are compared with one process's.

    python -m benchmarks.lost_node --data cifar10 --samples 500

Both nodes run on this machine, of one core each, under Ray's own cluster utilities. The second is killed when a fifth
of the work is stored.
"""

from __future__ import annotations

import argparse
import json
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import torch

from infodiscard import data, measure, zoo
from infodiscard.api.run import Run
from infodiscard.measurement.engines.ray import RayEngine
from infodiscard.results.verify import verify_run


def main() -> None:
    """Runs both, and prints how the work was shared and how far the results differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="demo")
    parser.add_argument("--weights")
    parser.add_argument("--data", default="cifar10")
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--layers", default="layer1,layer2,layer3")
    parser.add_argument("--passes", type=int, default=256)
    parser.add_argument("--out", type=Path, default=Path("runs/lost-node"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    network = zoo.load(options.network, options.weights)
    images = data.load(options.data, options.samples)
    job = {"layers": options.layers.split(","), "max_passes": options.passes, "progress": False}
    begin = time.monotonic()
    there = cluster_run(network, images, job, options.out / "cluster")
    middle = time.monotonic()
    here = measure(network, images, out=options.out / "local", **job)
    report(there, here, middle - begin, time.monotonic() - middle)


def cluster_run(network: zoo.Network, images: data.ImageSet, job: dict, out: Path) -> Run:
    """Measures on two nodes, of which one is killed."""
    from ray.cluster_utils import Cluster

    # By default workers run at a lower priority than every other process of the machine.
    head = {"num_cpus": 1, "include_dashboard": False, "_system_config": {"worker_niceness": 0}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = Cluster(initialize_head=True, head_node_args=head)
        node = cluster.add_node(num_cpus=1)
        cluster.wait_for_nodes()

    def kill() -> None:
        while not (out / "log.jsonl").exists() or len(units(out)) * 5 < len(Run.open(out).plan.units()):
            time.sleep(1)
        cluster.remove_node(node, allow_graceful=False)
        print(f"A node was killed when {len(units(out))} units were stored.", flush=True)

    threading.Thread(target=kill, daemon=True).start()
    try:
        return measure(network, images, out=out, engine=RayEngine(cluster.address), **job)
    finally:
        cluster.shutdown()


def units(out: Path) -> list[dict]:
    """Returns the log's entries of finished units."""
    lines = map(json.loads, (out / "log.jsonl").read_text().splitlines())
    return [line for line in lines if line["event"] == "unit"]


def report(there: Run, here: Run, cluster_seconds: float, local_seconds: float) -> None:
    """Prints how far two runs differ, and which nodes worked."""
    assert there.path is not None
    nodes: dict[str, int] = {}
    for unit in units(there.path):
        node = unit["worker"].partition("/")[0]
        nodes[node] = nodes.get(node, 0) + 1
    problems = len(there.to_dataframe())
    print(f"{problems:,} problems; units by node: {nodes}; damaged chunks: {len(verify_run(there.path).damaged)}")
    print(f"Cluster {cluster_seconds:.0f} s (two nodes, then one), one process {local_seconds:.0f} s.")
    one, other = there.dataset, here.dataset
    for name in one.data_vars:
        a, b = one[name].values, other[name].values
        same = np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        print(f"{name:<22} {'equal to the last bit' if same else f'differs by at most {np.nanmax(np.abs(a - b)):.2g}'}")


if __name__ == "__main__":
    main()
