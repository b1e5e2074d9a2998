#!/usr/bin/python3
"""How long a node with many keys takes to restart, as a table in Markdown.

A node is filled through its own door by mokv_load, stopped, and started again: the time counts from
the start of the process until /readyz answers 200. Then keys are read, so that a fast start that
lost something is no success. Exit status: 0 when every restart ended ready and complete, else 1.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from common import free_port, parse_size, resident_bytes

READY_SECONDS = 600  # Ten million keys on a slow disk.
READS = 20_000


def bytes_under(directory):
    return sum(os.path.getsize(os.path.join(path, name))
               for path, _, names in os.walk(directory) for name in names)


class Node:
    """One bootstrapped node without TLS; its data directory stays from start to start."""

    def __init__(self, program, directory, snapshot_log_bytes):
        self.program = program
        self.directory = directory
        self.rpc_port, self.metrics_port = free_port(), free_port()
        self.data_dir = os.path.join(directory, "data")
        self.config = os.path.join(directory, "config.yaml")
        with open(self.config, "w") as out:
            out.write(f"data-dir: {self.data_dir}\nnode-name: restart\nbootstrap: true\n"
                      f"bind-addr: 127.0.0.1:{free_port()}\nrpc-port: {self.rpc_port}\n"
                      f"metrics-port: {self.metrics_port}\nrequest-log: off\ninsecure: true\n"
                      f"snapshot-log-bytes: {snapshot_log_bytes}\n")
        self.process = None

    def start(self):
        """Seconds until it is ready."""
        begin = time.monotonic()
        with open(os.path.join(self.directory, "log"), "ab") as log:
            self.process = subprocess.Popen([self.program, "--config-file", self.config],
                                            stdout=log, stderr=log)
        while not self._is_ready():
            if self.process.poll() is not None:
                raise RuntimeError(f"the node ended with {self.process.returncode}: {self._said()}")
            if time.monotonic() - begin > READY_SECONDS:
                raise RuntimeError(f"not ready after {READY_SECONDS} s: {self._said()}")
            time.sleep(0.005)
        return time.monotonic() - begin

    def stop(self, how=signal.SIGTERM):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(how)
            self.process.wait()

    def _is_ready(self):
        try:
            url = f"http://127.0.0.1:{self.metrics_port}/readyz"
            with urllib.request.urlopen(url, timeout=1) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            return False

    def _said(self):
        with open(os.path.join(self.directory, "log"), errors="replace") as log:
            lines = log.read().strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def load(program, node, keys, *arguments):
    """Every answer must be as expected: a missing key is an error to mokv_load."""
    done = subprocess.run([program, "--target", "mokv", "--endpoint", f"127.0.0.1:{node.rpc_port}",
                           "--keys", str(keys), "--value-bytes", "64", "--connections", "8",
                           "--streams", "32", "--warmup", "0", "--json", *arguments],
                          capture_output=True, text=True)
    if done.returncode != 0 or not json.loads(done.stdout)["as_expected"]:
        raise RuntimeError(f"mokv_load: {done.stderr.strip() or done.stdout.strip()}")


def measure(options, keys, directory):
    node = Node(os.path.join(options.bin, "mokv"), directory, options.snapshot_log_bytes)
    loader = os.path.join(options.bin, "mokv_load")
    try:
        node.start()
        load(loader, node, keys, "--preload", str(keys), "--operations", "1000")
        times = []
        for _ in range(options.rounds):
            node.stop(signal.SIGKILL if options.kill else signal.SIGTERM)
            times.append(node.start())
            load(loader, node, keys, "--operations", str(READS))
        resident = resident_bytes(node.process.pid)
    finally:
        node.stop()
    seconds = statistics.median(times)
    print(f"| {keys:,} | {seconds:.2f} ({min(times):.2f}-{max(times):.2f}) | "
          f"{keys / seconds / 1e6:.2f} | {bytes_under(node.data_dir) / 1e6:,.0f} | "
          f"{resident / 1e6:,.0f} |", flush=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--keys", default="1M", help="for example 1M,10M")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--snapshot-log-bytes", default="256MiB",
                        help="as of the node; 100GiB: no snapshot, all from the log")
    parser.add_argument("--kill", action="store_true", help="stop the node by SIGKILL")
    parser.add_argument("--bin", default=os.path.join(here, "../../bin"),
                        help="where mokv and mokv_load are")
    parser.add_argument("--work-dir", help="on the disk that is to be measured")
    options = parser.parse_args()

    print("| keys | restart, s | million keys/s | data directory, MB | resident, MB |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for size in options.keys.split(","):
        with tempfile.TemporaryDirectory(prefix="mokv-restart-", dir=options.work_dir) as directory:
            try:
                measure(options, parse_size(size), directory)
            except RuntimeError as error:
                print(f"restart.py: {size} keys: {error}", file=sys.stderr)
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
