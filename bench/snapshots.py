#!/usr/bin/python3
"""What snapshots cost those who write, in memory and on disk, and how fast a node joins by one.

Nodes without TLS on this machine, Sets of 64-byte values over --keys keys. `load` measures a node or a
cluster while its nodes write a snapshot beside the same nodes while they do not, in pairs: a window
without, then writes until a snapshot begins, then a window inside its writing. How much of that window it
covered is measured, too. `join` lets a node with an empty disk join three under an open loop, and copies
the same snapshot over a plain TCP connection for comparison. Exit status: 0 when every call was answered
as it should be, else 1.
"""

import argparse
import glob
import json
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import compare
from cluster import is_ready, wait_for
from compare import Server, Skip, free_port

KEY_BYTES, VALUE_BYTES = 16, 64
BOUND_PER_KEY = 24  # Bytes that a file may need for a key beside it and its value.
FILL_SECONDS = 600
JOIN_SECONDS = 600
SHAPE = ["--connections", "8", "--streams", "64"]
# Open loop: more calls may be in flight, so that those that come due in a stall are sent in it.
OPEN_SHAPE = ["--connections", "8", "--streams", "256"]
WARMUP = 0.3
BEFORE_SECONDS = 2  # Writes in them are far fewer than what makes a snapshot due.
COPY_BYTES = 1 << 20
# A pair in which something else took more of the processors than this is measured again: what it did to
# one window it need not have done to the other.
OTHERS_MAX = 0.1
ATTEMPTS = 3  # For a pair.


class Node:
    """A process of ours with its files; what it says about itself, and what the system says."""

    def __init__(self, bench, name, bootstrap, settings):
        self.directory = os.path.join(bench.work_dir, name)
        os.mkdir(self.directory)
        self.data_dir = os.path.join(self.directory, "data")
        self.name, self.port, self.metrics_port = name, free_port(), free_port()
        lines = [f"data-dir: {self.data_dir}", f"node-name: {name}",
                 f"bootstrap: {'true' if bootstrap else 'false'}",
                 f"bind-addr: 127.0.0.1:{free_port()}", f"rpc-port: {self.port}",
                 f"metrics-port: {self.metrics_port}", "request-log: off", "insecure: true",
                 *settings]
        config = os.path.join(self.directory, "config.yaml")
        with open(config, "w") as out:
            out.write("\n".join(lines) + "\n")
        self.server = Server(name, [bench.program("mokv"), "--config-file", config], self.port,
                             self.directory)

    def metrics(self):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics",
                                    timeout=10) as page:
            lines = page.read().decode().splitlines()
        pairs = (line.rsplit(" ", 1) for line in lines if line and not line.startswith("#"))
        return {name: float(value) for name, value in pairs}

    def log_syncs(self):
        """How many flushes of the log there were, and the seconds that they took."""
        metrics = self.metrics()
        return [metrics["mokv_log_fsync_duration_seconds_" + name] for name in ("count", "sum")]

    def writes_snapshot(self):
        return bool(glob.glob(os.path.join(self.data_dir, "*", "*.writing")))

    def snapshots(self):
        """Whole files, the newest first."""
        return sorted(glob.glob(os.path.join(self.data_dir, "snapshots", "*.snap")),
                      key=os.path.getmtime, reverse=True)

    def memory(self, which):
        """VmRSS: now; VmHWM: the most since forget_peak."""
        with open(f"/proc/{self.server.process.pid}/status") as status:
            for line in status:
                if line.startswith(which + ":"):
                    return int(line.split()[1]) * 1024
        raise RuntimeError(f"no {which}")

    def forget_peak(self):
        with open(f"/proc/{self.server.process.pid}/clear_refs", "w") as out:
            out.write("5")


class Watch:
    """Notes when a node writes a snapshot, every few milliseconds."""

    PERIOD = 0.005

    def __init__(self, node):
        self._node = node
        self._seen = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._stop.wait(self.PERIOD):
            self._seen.append((time.monotonic(), self._node.writes_snapshot()))

    def stop(self):
        self._stop.set()
        self._thread.join()

    def covered(self, begin, end):
        looks = [writes for at, writes in list(self._seen) if begin <= at < end]
        return sum(looks) / max(1, len(looks))

    def writes_now(self):
        return bool(self._seen) and self._seen[-1][1]


class Bench:
    def __init__(self, options, work_dir):
        self.options = options
        self.work_dir = work_dir
        self.nodes = []
        self.good = True

    def program(self, name):
        path = os.path.join(self.options.bin, name)
        if not os.access(path, os.X_OK):
            raise Skip(f"{path} is not there; `make bench` builds it")
        return path

    def start(self, count, *settings):
        """The first node leads."""
        for i in range(count):
            self.nodes.append(Node(self, f"n{len(self.nodes)}", i == 0, settings))
        first = self.nodes[0]
        wait_for(lambda: is_ready(first.metrics_port), "the first node to lead")
        for node in self.nodes[1:count]:
            self.add(node)
        begin = time.monotonic()
        self.load("--preload", str(self.options.keys), *SHAPE, seconds=0.1, warmup=0)
        print(f"{count} node(s), {self.options.keys:,} keys set in {time.monotonic() - begin:.0f} s")

    def add(self, node):
        subprocess.run([self.program("mokvctl"), "--endpoints", f"127.0.0.1:{self.nodes[0].port}",
                        "--insecure", "--timeout", f"{JOIN_SECONDS}s", "member", "add", node.name,
                        f"127.0.0.1:{node.port}"], check=True, timeout=JOIN_SECONDS + 10,
                       stdout=subprocess.DEVNULL)

    def command(self, *arguments, seconds, warmup):
        """Sets at the leader."""
        return [self.program("mokv_load"), "--endpoint", f"127.0.0.1:{self.nodes[0].port}",
                "--reads", "0", "--keys", str(self.options.keys), "--key-bytes", str(KEY_BYTES),
                "--value-bytes", str(VALUE_BYTES), "--warmup", str(warmup), "--duration",
                str(seconds), "--json", *arguments]

    def load(self, *arguments, seconds, warmup=WARMUP):
        """The result, and when the measured time began and ended."""
        command = self.command(*(arguments or SHAPE), seconds=seconds, warmup=warmup)
        syncs, others = self.nodes[0].log_syncs(), self.others_seconds()
        begin = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, timeout=FILL_SECONDS)
        end = time.monotonic()
        if done.returncode not in (0, 1):
            raise Skip(done.stderr.strip() or f"mokv_load ended with {done.returncode}")
        result = json.loads(done.stdout)
        if not result["as_expected"]:
            self.good = False
            print(f"Unexpected answers: {done.stdout.strip()}")
        result["begin"], result["end"] = end - result["seconds"], end
        count, sync_seconds = (b - a for a, b in zip(syncs, self.nodes[0].log_syncs()))
        result["sync_us"] = sync_seconds / max(1, count) * 1e6
        result["others"] = (self.others_seconds() - others) / ((end - begin) * os.cpu_count())
        return result

    def others_seconds(self):
        """Processor time of all that is not part of this measurement, and of the kernel's threads."""
        with open("/proc/stat") as stat:
            user, nice, system, _, _, irq, softirq, steal = map(int, stat.readline().split()[1:9])
        busy = (user + nice + system + irq + softirq + steal) / compare.CLOCK_TICKS
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        ours = (children.ru_utime + children.ru_stime + time.process_time() +
                sum(node.server.cpu_seconds() for node in self.nodes))
        return busy - ours

    def open_load(self, rate, seconds, warmup=WARMUP):
        return self.load(*OPEN_SHAPE, "--rate", str(rate), "--arrivals", "random", "--seed",
                         str(self.options.seed), seconds=seconds, warmup=warmup)

    def stop(self):
        for node in self.nodes:
            node.server.stop()


def spread(values, digits=2):
    return (f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f}-"
            f"{max(values):,.{digits}f})")


def mib(size):
    return f"{size / 2**20:,.0f} MiB"


def write_until(bench, condition, what):
    """Writes as fast as it goes until then, and no longer."""
    writer = subprocess.Popen(bench.command(*SHAPE, seconds=FILL_SECONDS, warmup=0),
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_long(condition, what)
    finally:
        writer.kill()
        writer.wait()


def until_snapshot_begins(bench, watch):
    write_until(bench, watch.writes_now, "the begin of a snapshot")


def until_idle(bench, watch):
    wait_for_long(lambda: not watch.writes_now(), "the end of a snapshot")
    wait_for_long(lambda: not any(node.writes_snapshot() for node in bench.nodes),
                  "the end of the others' snapshots")
    time.sleep(0.5)  # So that old segments and files are removed, too.


def wait_for_long(condition, what):
    deadline = time.monotonic() + JOIN_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise Skip(f"waited {JOIN_SECONDS} s for: {what}")
        time.sleep(0.01)


def measure_pair(bench, watch, run):
    """A pair during which the machine had nothing else to do, or the last one that was tried."""
    for _ in range(ATTEMPTS):
        pair = try_pair(bench, watch, run)
        if pair["others"] <= OTHERS_MAX:
            break
        print(f"other work took {pair['others']:.0%} of the processors in a pair", flush=True)
    return pair


def try_pair(bench, watch, run):
    """The same without and with a snapshot being written; memory before and at its most."""
    until_idle(bench, watch)
    # Both windows follow upon the same.
    until = time.monotonic() + BEFORE_SECONDS
    write_until(bench, lambda: time.monotonic() > until, "the time of some writes")
    idle = [node.memory("VmRSS") for node in bench.nodes]
    without = run()
    until_snapshot_begins(bench, watch)
    for node in bench.nodes:
        node.forget_peak()
    written = run()
    return {"without": without, "with": written,
            "others": max(without["others"], written["others"]),
            "memory": max(node.memory("VmHWM") / before
                          for node, before in zip(bench.nodes, idle)),
            "covered": watch.covered(written["begin"], written["end"])}


def print_pairs(title, pairs, read):
    ratios = [read(pair["with"]) / read(pair["without"]) for pair in pairs]
    print(f"| {title} | {spread([read(pair['without']) for pair in pairs], 0)} | "
          f"{spread([read(pair['with']) for pair in pairs], 0)} | {spread(ratios)} | "
          f"{spread([pair['covered'] for pair in pairs])} |")


def seconds_to_write(bench, watch, rate):
    """How long a snapshot takes under the open loop."""
    until_snapshot_begins(bench, watch)
    begin = time.monotonic()
    worker = threading.Thread(target=lambda: bench.open_load(rate, 3))
    worker.start()
    wait_for_long(lambda: not watch.writes_now(), "the end of a snapshot")
    took = time.monotonic() - begin
    worker.join()
    return took


def run_load_part(bench):
    options = bench.options
    bench.start(options.nodes, "snapshot-log-bytes: 64KiB")
    watch = Watch(bench.nodes[0])
    try:
        until_idle(bench, watch)
        filled = bench.nodes[0].memory("VmRSS")
        peak = statistics.median(bench.load(seconds=2)["calls_per_second"] for _ in range(3))
        rate = options.rate or peak / 2
        took = seconds_to_write(bench, watch, rate)
        seconds = min(options.seconds, max(0.5, 0.9 * took - WARMUP - 0.1))
        print(f"peak {peak:,.0f} Sets/s; open loop at {rate:,.0f}, random arrivals, seed "
              f"{options.seed}; a snapshot takes {took:.1f} s beside it; windows of {seconds:.1f} s")
        closed, opened = [], []
        for _ in range(options.rounds):
            closed.append(measure_pair(bench, watch, lambda: bench.load(seconds=seconds)))
            opened.append(measure_pair(bench, watch, lambda: bench.open_load(rate, seconds)))
        until_idle(bench, watch)
    finally:
        watch.stop()
    print(f"\nother work took {spread([pair['others'] for pair in closed + opened])} of the processors")
    print("\n| | without | while one is written | ratio | of it covered |\n"
          "| --- | ---: | ---: | ---: | ---: |")
    print_pairs("closed loop, Sets/s", closed, lambda r: r["calls_per_second"])
    print_pairs("closed loop, p99 us", closed, lambda r: r["all"]["p99_us"])
    for percentile in ("p50", "p99", "p99.9", "max"):
        print_pairs(f"open loop, {percentile} us", opened,
                    lambda r, p=percentile: r["all"][p + "_us"])
    print_pairs("open loop, flush of the log, mean us", opened, lambda r: r["sync_us"])
    print_memory(bench, filled, closed + opened)
    print_files(bench)


def print_memory(bench, filled, pairs):
    print(f"\nresident at most while one is written, of what it was before: "
          f"{spread([pair['memory'] for pair in pairs])}; after the fill {mib(filled)}, at the end "
          f"{mib(bench.nodes[0].memory('VmRSS'))}")


def print_files(bench):
    metrics = bench.nodes[0].metrics()
    if metrics["mokv_raft_is_leader"] != 1:
        bench.good = False
        print("The first node does not lead any more: what was measured is something else.")
    keys, data = metrics["mokv_store_keys"], metrics["mokv_store_data_bytes"]
    for path in bench.nodes[0].snapshots()[:1]:
        size = os.path.getsize(path)
        print(f"snapshot file: {size:,} bytes for {keys:,.0f} keys with {data:,.0f} bytes of keys and "
              f"values: {size / data:.3f} of them, {size / (data + BOUND_PER_KEY * keys):.3f} of "
              f"them and {BOUND_PER_KEY} a key")


# --- joining


def copy_over_loopback(path, target, sync):
    """Seconds until all bytes of the file are in another, read from a TCP connection."""
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        with socket.create_connection(listener.getsockname()) as out, open(path, "rb") as source:
            out.sendfile(source)
        os._exit(0)
    begin = time.monotonic()
    connection, _ = listener.accept()
    buffer = memoryview(bytearray(COPY_BYTES))
    with open(target, "wb", buffering=0) as out:
        while size := connection.recv_into(buffer):
            out.write(buffer[:size])
        if sync:
            os.fsync(out.fileno())
    took = time.monotonic() - begin
    connection.close()
    listener.close()
    os.waitpid(child, 0)
    assert os.path.getsize(target) == os.path.getsize(path)
    os.remove(target)
    return took


class OpenLoop(threading.Thread):
    """Windows of the same load one after the other, until it is stopped."""

    def __init__(self, bench, rate):
        super().__init__()
        self.windows = []
        self._bench, self._rate = bench, rate
        self._stop_asked = threading.Event()

    def run(self):
        while not self._stop_asked.is_set():
            self.windows.append(self._bench.open_load(self._rate, 2, warmup=0))

    def stop(self):
        self._stop_asked.set()
        self.join()

    def percentiles(self, begin, end, name):
        return [w["all"][name + "_us"] for w in self.windows
                if w["end"] > begin and w["begin"] < end]


def join_once(bench, loop):
    """Adds a node with an empty disk; when its phases ended, in seconds from its adding."""
    leader = bench.nodes[0]
    before = leader.metrics()
    joiner = Node(bench, f"n{len(bench.nodes)}", False, ["snapshot-log-bytes: 256MiB"])
    bench.nodes.append(joiner)
    begin = time.monotonic()
    adding = threading.Thread(target=lambda: bench.add(joiner))
    adding.start()
    phases = {}

    def note(name, is_over):
        if name not in phases and is_over:
            phases[name] = time.monotonic() - begin

    deadline = begin + JOIN_SECONDS
    while "caught up" not in phases and time.monotonic() < deadline:
        committed = leader.metrics()["mokv_raft_commit_index"]
        now = joiner.metrics()
        note("first part", now["mokv_snapshot_fetched_bytes"] > 0)
        note("all here", "first part" in phases and
             now["mokv_snapshot_fetched_bytes"] == now["mokv_snapshot_fetch_bytes"])
        note("installed", now["mokv_snapshots_installed_total"] > 0)
        note("caught up", now["mokv_raft_applied_index"] >= committed)
        time.sleep(0.02)
    adding.join()
    end = time.monotonic()
    phases["a voter"] = end - begin
    after = leader.metrics()
    changed = {name: after[name] - before[name] for name in
               ("mokv_raft_term", "mokv_raft_leader_changes_total", "mokv_raft_disk_stalls_total")}
    memory = joiner.memory("VmHWM") / joiner.memory("VmRSS")
    return {"begin": begin, "end": end, "phases": phases, "changed": changed, "memory": memory,
            "resident": joiner.memory("VmRSS"), "leader_resident": leader.memory("VmRSS")}


def run_join_part(bench):
    options = bench.options
    bench.start(3, "snapshot-log-bytes: 256MiB")
    leader = bench.nodes[0]
    watch = Watch(leader)
    try:
        # The log must begin behind a snapshot, or the node would be given entries.
        until_snapshot_begins(bench, watch)
        until_idle(bench, watch)
        peak = bench.load(seconds=2)["calls_per_second"]
        rate = options.rate or peak / 5
        loop = OpenLoop(bench, rate)
        loop.start()
        try:
            quiet = time.monotonic()
            time.sleep(4)
            joined = join_once(bench, loop)
        finally:
            loop.stop()
        until_idle(bench, watch)
    finally:
        watch.stop()
    path = leader.snapshots()[0]
    size = os.path.getsize(path)
    target = os.path.join(bench.work_dir, "copy")
    copies = {sync: [copy_over_loopback(path, target, sync) for _ in range(options.rounds)]
              for sync in (False, True)}
    metrics = leader.metrics()
    print(f"{metrics['mokv_store_keys']:,.0f} keys, {mib(metrics['mokv_store_data_bytes'])} of keys and "
          f"values, snapshot of {mib(size)}; open loop at {rate:,.0f} Sets/s of a peak of {peak:,.0f}")
    print("joining, seconds from its adding: " +
          ", ".join(f"{name} {at:.2f}" for name, at in joined["phases"].items()))
    caught_up = joined["phases"].get("caught up", float("nan"))
    for sync, times in copies.items():
        print(f"copy over loopback{' and fsync' if sync else ''}: {spread(times)} s; joining took "
              f"{caught_up / statistics.median(times):.1f} times that")
    for name in ("p50", "p99", "p99.9", "max"):
        before = loop.percentiles(quiet, joined["begin"], name)
        during = loop.percentiles(joined["begin"], joined["end"], name)
        print(f"{name} us: before {spread(before, 0)}, while it joins {spread(during, 0)}")
    print(f"meanwhile at the leader: {joined['changed']}")
    print(f"resident at most, of what it is afterwards: {joined['memory']:.2f} ("
          f"{mib(joined['resident'])}; the leader's {mib(joined['leader_resident'])})")
    print_files(bench)


def parse_options():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=["load", "join"])
    parser.add_argument("--bin", default=os.path.join(os.path.dirname(here), "bin"))
    parser.add_argument("--nodes", type=int, default=1, help="for load: 1 or 3")
    parser.add_argument("--keys", type=int, default=4_000_000)
    parser.add_argument("--rounds", type=int, default=5, help="pairs of each kind; copies")
    parser.add_argument("--seconds", type=float, default=4, help="a window at most")
    parser.add_argument("--rate", type=float, default=0,
                        help="of the open loop; 0: half of the peak, for join a fifth")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--work-dir", help="for data and logs; on the disk to be measured")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    return options


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that servers are stopped.
    print(f"{compare.machine()}; median (smallest-largest)")
    with tempfile.TemporaryDirectory(prefix="mokv-bench-", dir=options.work_dir) as work_dir:
        bench = Bench(options, work_dir)
        try:
            run_load_part(bench) if options.part == "load" else run_join_part(bench)
        finally:
            bench.stop()
    return 0 if bench.good else 1


if __name__ == "__main__":
    sys.exit(main())
