#!/usr/bin/python3
"""Three nodes of mökv beside three of etcd under the same load, in turns; prints tables in Markdown.

Each cluster runs on this machine with fsync on. The load generator speaks to one node at a time:
writes go to the leader, linearizable reads to the leader and to a follower. Exit status: 0 when
every call was answered as it should be, else 1.

How soon a cluster goes on without its leader is measured by failover.py.
"""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

import compare
from compare import KEYS, Bench, Server, Skip, free_port, keyed, load_case, print_table, shape

FORM_SECONDS = 30


class Cluster:
    """Three servers; `port` is the leader's, which is what loads are sent to."""

    def __init__(self, name, servers):
        self.name = name
        self.servers = servers
        self.leader = None
        self.follower = None

    @property
    def port(self):
        return self.leader.port

    def cpu_seconds(self):
        return sum(server.cpu_seconds() for server in self.servers)

    def stop(self):
        for server in self.servers:
            server.stop()

    def set_leader(self, index):
        self.leader = self.servers[index]
        self.follower = self.servers[(index + 1) % len(self.servers)]


class Follower:
    """A cluster whose loads are sent to a follower."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.name = cluster.name + " follower"

    @property
    def port(self):
        return self.cluster.follower.port

    def cpu_seconds(self):
        return self.cluster.cpu_seconds()

    def stop(self):
        pass  # Its cluster is stopped.


def wait_for(condition, what):
    deadline = time.monotonic() + FORM_SECONDS
    while time.monotonic() < deadline:
        result = condition()
        if result is not None:
            return result
        time.sleep(0.05)
    raise Skip(f"waited {FORM_SECONDS} s for: {what}")


def fill(bench, cluster, target, secured):
    result = compare.run_load(bench, cluster, [*keyed(target), *secured, "--preload", str(KEYS),
                                               "--operations", "1000"], 1, 0)
    if result["bad"]:
        raise Skip(f"{cluster.name} could not be filled: {result['bad']}")


def is_ready(metrics_port):
    """True, or None: not yet."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{metrics_port}/readyz", timeout=2):
            return True
    except OSError:
        return None


def mokv_cluster(bench, tls, **settings):
    program, ctl = bench.program("mokv"), bench.program("mokvctl")
    label = "mokv-tls" if tls else "mokv"
    servers = []
    for i in range(3):
        directory = os.path.join(bench.work_dir, f"{label}-{i}")
        os.mkdir(directory)
        port, metrics_port = free_port(), free_port()
        lines = [f"data-dir: {directory}/data", f"node-name: n{i}",
                 f"bootstrap: {'true' if i == 0 else 'false'}",
                 f"bind-addr: 127.0.0.1:{free_port()}", f"rpc-port: {port}",
                 f"metrics-port: {metrics_port}", f"io-threads: {bench.options.server_threads}",
                 "request-log: off"]
        lines += [f"{key.replace('_', '-')}: {value}" for key, value in settings.items()]
        if tls:
            files = bench.certificates()
            for side, name in (("server", "server"), ("peer", "peer")):
                lines += [f"{side}-tls-ca-file: {files['ca']}",
                          f"{side}-tls-cert-file: {files[name]}",
                          f"{side}-tls-key-file: {files[name + '_key']}"]
        else:
            lines.append("insecure: true")
        config = os.path.join(directory, "config.yaml")
        with open(config, "w") as out:
            out.write("\n".join(lines) + "\n")
        servers.append(Server(f"{label}-{i}", [program, "--config-file", config], port,
                              bench.work_dir))
        if i == 0:
            first_metrics_port = metrics_port
    cluster = Cluster(label, servers)
    cluster.set_leader(0)
    secured = bench.client_tls() if tls else []
    control = [ctl, "--endpoints", f"127.0.0.1:{servers[0].port}", "--timeout", "20s",
               *(secured or ["--insecure"])]
    try:
        wait_for(lambda: is_ready(first_metrics_port), "the first node to lead")
        for i in (1, 2):
            subprocess.run([*control, "member", "add", f"n{i}", f"127.0.0.1:{servers[i].port}"],
                           check=True, timeout=60, stdout=subprocess.DEVNULL)
        fill(bench, cluster, "mokv", secured)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def etcd_cluster(bench, tls):
    program = bench.program("etcd")
    label = "etcd-tls" if tls else "etcd"
    scheme = "https" if tls else "http"
    ports = [(free_port(), free_port()) for _ in range(3)]
    initial = ",".join(f"{label}-{i}={scheme}://127.0.0.1:{ports[i][1]}" for i in range(3))
    processes = []
    for i, (port, peer_port) in enumerate(ports):
        client, peer = f"{scheme}://127.0.0.1:{port}", f"{scheme}://127.0.0.1:{peer_port}"
        command = [program, "--name", f"{label}-{i}", "--data-dir",
                   os.path.join(bench.work_dir, f"{label}-{i}"), "--listen-client-urls", client,
                   "--advertise-client-urls", client, "--listen-peer-urls", peer,
                   "--initial-advertise-peer-urls", peer, "--initial-cluster", initial,
                   "--log-level", "error"]
        if tls:
            files = bench.certificates()
            command += ["--client-cert-auth", "--trusted-ca-file", files["ca"], "--cert-file",
                        files["server"], "--key-file", files["server_key"],
                        "--peer-client-cert-auth", "--peer-trusted-ca-file", files["ca"],
                        "--peer-cert-file", files["server"], "--peer-key-file",
                        files["server_key"]]
        processes.append((f"{label}-{i}", command, port))
    servers = start_together(processes, bench.work_dir)
    cluster = Cluster(label, servers)
    secured = bench.client_tls() if tls else []
    try:
        cluster.set_leader(wait_for(lambda: etcd_leader(bench, servers, scheme), "an etcd leader"))
        fill(bench, cluster, "etcd", secured)
    except BaseException:
        cluster.stop()
        raise
    return cluster


def start_together(processes, work_dir):
    """A node of a new etcd cluster listens only once it has found the others."""
    early = []
    for name, command, _ in processes[1:]:
        with open(os.path.join(work_dir, name + ".log"), "wb") as log:
            early.append(subprocess.Popen(command, stdout=log, stderr=log, cwd=work_dir))
    name, command, port = processes[0]
    servers = [Server(name, command, port, work_dir)]
    for (name, command, port), process in zip(processes[1:], early):
        server = Server.__new__(Server)
        server.name, server.command, server.port, server.work_dir = name, command, port, work_dir
        server.log_path = os.path.join(work_dir, name + ".log")
        server.process = process
        server._await_listening()
        servers.append(server)
    return servers


def etcd_leader(bench, servers, scheme):
    files = bench.certificates() if scheme == "https" else None
    for i, server in enumerate(servers):
        command = ["curl", "-s", "-m", "2", f"{scheme}://127.0.0.1:{server.port}/metrics"]
        if files:
            command += ["--cacert", files["ca"], "--cert", files["client"], "--key",
                        files["client_key"]]
        page = subprocess.run(command, capture_output=True, text=True).stdout
        if re.search(r"^etcd_server_is_leader 1$", page, re.M):
            return i
    return None


def cluster_table(bench, tls):
    secured = bench.client_tls() if tls else []
    started = {}

    def start(key, make):
        def run():
            started[key] = make()
            return started[key]
        return run

    def follower(key):
        def run():
            if key not in started:
                raise Skip(f"{key} did not start")
            return Follower(started[key])
        return run

    servers = {"etcd": start("etcd", lambda: etcd_cluster(bench, tls)),
               "mokv": start("mokv", lambda: mokv_cluster(bench, tls)),
               "etcd-follower": follower("etcd"), "mokv-follower": follower("mokv")}
    cases = []
    for label, layout in (("8 x 32", shape(8, 32)), ("64 x 1", shape(64, 1)),
                          ("1 x 1", shape(1, 1))):
        for name, target, verb in (("etcd", "etcd", "Put"), ("mökv", "mokv", "Set")):
            cases.append(load_case(f"{name} {verb}, {label}", target, *keyed(target), "--reads",
                                   "0", *layout, *secured))
    for place in ("", "-follower"):
        where = "on a follower" if place else "on the leader"
        for name, target, verb in (("etcd", "etcd", "Range"), ("mökv", "mokv", "Get")):
            cases.append(load_case(f"{name} {verb}, linearizable, 8 x 16, {where}",
                                   target + place, *keyed(target), *shape(8, 16), *secured))
    cases.append(load_case("mökv Set, 8 x 32, on a follower", "mokv-follower", *keyed("mokv"),
                           "--reads", "0", *shape(8, 32), *secured))
    return servers, cases


TABLES = {
    "clear": ("Three nodes, fsync on, clear", lambda bench: cluster_table(bench, False)),
    "tls": ("Three nodes, fsync on, mutual TLS", lambda bench: cluster_table(bench, True)),
}


def print_ratios(results):
    """mökv over etcd, row by row; what the targets are about."""
    rates, waits = {}, {}
    for name, rounds in results.items():
        system, _, rest = name.partition(" ")
        case = rest.split(", ", 1)[1]
        rates.setdefault(case, {})[system] = sorted(r["rate"] for r in rounds)
        waits.setdefault(case, {})[system] = sorted(r["p50"] for r in rounds)
    print("\n| case | calls/s over etcd's | p50 over etcd's |\n| --- | ---: | ---: |")
    middle = lambda values: values[len(values) // 2]
    for case, by_system in rates.items():
        if len(by_system) < 2:
            continue
        print(f"| {case} | {middle(by_system['mökv']) / middle(by_system['etcd']):.1f} | "
              f"{middle(waits[case]['mökv']) / middle(waits[case]['etcd']):.2f} |")


def parse_options():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(os.path.dirname(here), "bin"))
    parser.add_argument("--tables", default=",".join(TABLES), help=", ".join(TABLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--engine", default="lean", choices=["lean", "nghttp2"])
    parser.add_argument("--client-threads", type=int, default=1)
    parser.add_argument("--server-threads", type=int, default=os.cpu_count())
    parser.add_argument("--cases", default="", help="only rows that this pattern is found in")
    parser.add_argument("--work-dir", help="for data and logs; on the disk to be measured")
    parser.add_argument("--json", help="every single result, to this file")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    return options


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that servers are stopped.
    print(f"{compare.machine()}; {options.rounds} rounds of {options.seconds:g} s, taking turns; "
          f"median (smallest-largest)")
    all_results, good = {}, True
    with tempfile.TemporaryDirectory(prefix="mokv-bench-", dir=options.work_dir) as work_dir:
        bench = Bench(options, work_dir, plain_certificates=True)
        for name in options.tables.split(","):
            title, make = TABLES[name]
            bench.begin_table(name)
            starters, cases = make(bench)
            cases = [case for case in cases if re.search(options.cases, case[0])]
            needed = {key.partition("-")[0] for _, key, _ in cases}
            starters = {k: v for k, v in starters.items() if k.partition("-")[0] in needed}
            running, missing = compare.start_servers(starters)
            try:
                results = compare.measure(bench, cases, running, missing)
            finally:
                compare.stop_servers(running)
            good = print_table(title, results, missing) and good
            print_ratios(results)
            all_results[name] = results
    if options.json:
        with open(options.json, "w") as out:
            json.dump(all_results, out, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
