#!/usr/bin/python3
"""Runs servers side by side under the same load and prints tables in Markdown.

Each table's servers are started once on free loopback ports; then the cases take turns (A B C, A B
C, ...), so that a slow moment of the machine hits all alike. A cell is the median over the rounds,
with the smallest and the largest. What is not installed or not built is skipped with a line that
says so. Exit status: 0 when every call of every run was answered as it should be, else 1.
"""

import argparse
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

KEYS = 100_000
VALUE_BYTES = 64
START_SECONDS = 15  # A server that does not listen by then counts as broken.
STOP_SECONDS = 10
CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


class Skip(Exception):
    """A case that cannot run here; the message says why."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Server:
    """A process of ours, listening on a port. Stopped by its pid and waited for."""

    def __init__(self, name, command, port, work_dir):
        self.name = name
        self.port = port
        self.log_path = os.path.join(work_dir, f"{name.replace(' ', '-').replace('/', '-')}.log")
        self.command = command
        self.work_dir = work_dir
        self.process = None
        self._start()

    def _start(self):
        with open(self.log_path, "wb") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log,
                                            cwd=self.work_dir)
        try:
            self._await_listening()
        except Skip:
            self.stop()
            raise

    def restart(self):
        self.stop()
        self._start()

    def _await_listening(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.02)
        with open(self.log_path, errors="replace") as log:
            lines = log.read().strip().splitlines()
        raise Skip(f"{self.name} did not start: {lines[-1] if lines else 'it said nothing'}")

    def cpu_seconds(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / CLOCK_TICKS

    def stop(self):
        if self.process.poll() is not None:
            return
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Bench:
    """What a run needs: programs, certificates, a place for files, the options."""

    def __init__(self, options, work_dir, plain_certificates=False):
        """`plain_certificates`: of OpenSSL, for either side: ours say which side they are for, and
        etcd's nodes show the same one on both."""
        self.options = options
        self.plain_certificates = plain_certificates
        self.root_dir = work_dir
        self.work_dir = None  # A table's own, since each starts its servers anew.
        self.tls = None

    def begin_table(self, name):
        self.work_dir = os.path.join(self.root_dir, name)
        os.mkdir(self.work_dir)

    def program(self, name):
        """Our own program, or one of the system's."""
        path = os.path.join(self.options.bin, name)
        if os.access(path, os.X_OK):
            return path
        path = shutil.which(name)
        if path is None:
            raise Skip(f"{name} is not built or installed")
        return path

    def certificates(self):
        """Paths by name: ca, server, server_key, client, client_key."""
        if self.tls is None:
            directory = os.path.join(self.root_dir, "certs")
            os.mkdir(directory)
            try:
                if self.plain_certificates:
                    raise Skip("not ours")
                make_certificates_with_mokvctl(self.program("mokvctl"), directory)
            except (Skip, subprocess.SubprocessError):
                make_certificates_with_openssl(directory)
            self.tls = certificate_paths(directory)
        return self.tls

    def client_tls(self):
        tls = self.certificates()
        return ["--cacert", tls["ca"], "--cert", tls["client"], "--key", tls["client_key"]]

    def server_tls(self):
        tls = self.certificates()
        return ["--tls", tls["ca"], tls["server"], tls["server_key"]]


def certificate_paths(directory):
    names = {"ca": "ca", "server": "server", "server_key": "server-key",
             "peer": "peer", "peer_key": "peer-key",
             "client": "root-client", "client_key": "root-client-key"}
    return {key: os.path.join(directory, name + ".pem") for key, name in names.items()}


def make_certificates_with_mokvctl(mokvctl, directory):
    subprocess.run([mokvctl, "cert", "--dir", directory, "init"], check=True, timeout=60,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def make_certificates_with_openssl(directory):
    def openssl(*arguments):
        subprocess.run(["openssl", *arguments], check=True, cwd=directory, timeout=60,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    openssl("req", "-x509", *new_key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-subj", "/CN=ca",
            "-days", "2")
    for name, subject in (("server", "localhost"), ("peer", "mokv-peer"), ("root-client", "root")):
        openssl("req", *new_key, "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj",
                f"/CN={subject}")
        with open(os.path.join(directory, "extensions"), "w") as extensions:
            extensions.write("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem",
                "-CAcreateserial", "-extfile", "extensions", "-out", f"{name}.pem", "-days", "2")


# Servers. Each function starts one, with all keys in it if it keeps any, and returns it.


def filled(bench, server, arguments):
    """Sets all keys through the load generator."""
    try:
        result = run_load(bench, server, [*arguments, "--preload", str(KEYS), "--operations",
                                          "1000"], 1, 0)
        if result["bad"]:
            raise Skip(f"{server.name} could not be filled: {result['bad']}")
    except BaseException:
        server.stop()
        raise
    return server


def our_empty(bench, tls):
    port = free_port()
    command = [bench.program("mokv_empty_server"), "--port", str(port), "--threads",
               str(bench.options.server_threads)]
    return Server(f"empty-{tls}", command + (bench.server_tls() if tls else []), port,
                  bench.work_dir)


def grpcpp_empty(bench, mode, tls):
    port = free_port()
    command = [bench.program("grpcpp_empty_server"), "--mode", mode, "--port", str(port)]
    return Server(f"grpcpp-{mode}-{tls}", command + (bench.server_tls() if tls else []), port,
                  bench.work_dir)


def mokv_node(bench, tls):
    program = bench.program("mokv")
    port = free_port()
    name = "node-tls" if tls else "node"
    directory = os.path.join(bench.work_dir, name)
    os.mkdir(directory)
    lines = [f"data-dir: {directory}/data", f"node-name: {name}", "bootstrap: true",
             f"bind-addr: 127.0.0.1:{free_port()}", f"rpc-port: {port}",
             f"metrics-port: {free_port()}", f"io-threads: {bench.options.server_threads}",
             "request-log: off"]
    if tls:
        files = bench.certificates()
        lines += [f"server-tls-ca-file: {files['ca']}", f"server-tls-cert-file: {files['server']}",
                  f"server-tls-key-file: {files['server_key']}"]
    else:
        lines.append("insecure: true")
    config = os.path.join(directory, "config.yaml")
    with open(config, "w") as out:
        out.write("\n".join(lines) + "\n")
    server = Server(f"mokv-{name}", [program, "--config-file", config], port, bench.work_dir)
    return filled(bench, server, [*keyed("mokv"), *(bench.client_tls() if tls else [])])


def etcd(bench, name):
    port, peer_port = free_port(), free_port()
    client, peer = f"http://127.0.0.1:{port}", f"http://127.0.0.1:{peer_port}"
    command = [bench.program("etcd"), "--data-dir", os.path.join(bench.work_dir, name),
               "--listen-client-urls", client, "--advertise-client-urls", client,
               "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
               "--initial-cluster", f"default={peer}", "--log-level", "error"]
    server = filled(bench, Server(name, command, port, bench.work_dir), keyed("etcd"))
    # Reads of etcd 3.4 copy a buffer that is as large as the last burst of writes made it and does
    # not shrink again; nobody should be measured with what the filling left behind.
    server.restart()
    return server


def redis(bench, fsync):
    port = free_port()
    directory = os.path.join(bench.work_dir, f"redis-{fsync}")
    os.mkdir(directory)
    command = [bench.program("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--dir",
               directory, "--save", ""]
    if fsync:
        command += ["--appendonly", "yes", "--appendfsync", "always"]
    server = Server(f"redis-{fsync}", command, port, bench.work_dir)
    try:
        # Keys are drawn at random: ten times as many writes leave hardly one unset.
        subprocess.run([bench.program("redis-benchmark"), "-p", str(port), "-t", "set", "-r",
                        str(KEYS), "-d", str(VALUE_BYTES), "-n", str(10 * KEYS), "-c", "8", "-P",
                        "16", "-q"], check=True, timeout=120, stdout=subprocess.DEVNULL)
    except BaseException:
        server.stop()
        raise
    return server


# One run of one case: calls a second, latencies, CPU times.


def run_load(bench, server, arguments, seconds, warmup, threads=None):
    threads = threads or bench.options.client_threads
    command = [bench.program("mokv_load"), "--endpoint", f"127.0.0.1:{server.port}", "--engine",
               bench.options.engine, "--threads", str(threads), "--duration",
               str(seconds), "--warmup", str(warmup), "--json", *arguments]
    cpu_before = server.cpu_seconds()
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + warmup + 60)
    cpu = server.cpu_seconds() - cpu_before
    if done.returncode not in (0, 1):
        raise Skip(done.stderr.strip() or f"mokv_load ended with {done.returncode}")
    result = json.loads(done.stdout)
    return {
        "rate": result["calls_per_second"],
        "p50": result["all"]["p50_us"],
        "p99": result["all"]["p99_us"],
        "client_cpu": result["client_cpu_us_per_call"],
        "server_cpu": cpu * 1e6 / max(1, result["calls_all_phases"]),
        "bad": None if result["as_expected"] else done.stdout.strip(),
    }


def run_redis(bench, server, test, clients, pipeline, seconds, warmup):
    program = bench.program("redis-benchmark")

    def once(requests):
        command = [program, "-p", str(server.port), "-t", test, "-c", str(clients), "-P",
                   str(pipeline), "-r", str(KEYS), "-d", str(VALUE_BYTES), "-n", str(requests),
                   "--csv"]
        done = subprocess.run(command, capture_output=True, text=True, check=True,
                              timeout=20 * seconds + 60)
        fields = [field.strip('"') for field in done.stdout.strip().splitlines()[-1].split(",")]
        return float(fields[1]), float(fields[4]) * 1000, float(fields[6]) * 1000

    # The program counts requests, not time: a short run says how many fill the time.
    rate = once(2_000)[0]
    rate = once(max(2_000, int(rate * max(warmup, 0.2))))[0]
    requests = max(2_000, int(rate * seconds))
    cpu_before = server.cpu_seconds()
    rate, p50, p99 = once(requests)
    cpu = server.cpu_seconds() - cpu_before
    return {"rate": rate, "p50": p50, "p99": p99, "client_cpu": None,
            "server_cpu": cpu * 1e6 / requests, "bad": None}


# Tables: lists of (row's name, key of the server, run). The first row is the base of the ratios.


def load_case(name, key, *arguments):
    return name, key, lambda bench, server, seconds, warmup: run_load(
        bench, server, list(arguments), seconds, warmup)


def redis_case(name, key, test, clients, pipeline):
    return name, key, lambda bench, server, seconds, warmup: run_redis(
        bench, server, test, clients, pipeline, seconds, warmup)


def shape(connections, streams):
    return ["--connections", str(connections), "--streams", str(streams)]


def keyed(target):
    return ["--target", target, "--keys", str(KEYS), "--value-bytes", str(VALUE_BYTES)]


def empty_table(bench, tls):
    load = ["--target", "empty", *shape(8, 16), *(bench.client_tls() if tls else [])]
    servers = {
        "ours": lambda: our_empty(bench, tls),
        "async": lambda: grpcpp_empty(bench, "async", tls),
        "callback": lambda: grpcpp_empty(bench, "callback", tls),
    }
    cases = [load_case("grpc++ callback", "callback", *load),
             load_case("grpc++ async", "async", *load),
             load_case("mökv's engine", "ours", *load)]
    return servers, cases


def kv_table(bench, tls):
    secured = bench.client_tls() if tls else []
    eight, many = shape(8, 16), shape(64, 1)
    servers = {"ours": lambda: our_empty(bench, tls), "node": lambda: mokv_node(bench, tls)}
    cases = [load_case("empty handler, 8 x 16", "ours", "--target", "empty", *eight, *secured)]
    for label, layout in (("8 x 16", eight), ("64 x 1", many)):
        cases += [
            load_case(f"Get, stale, {label}", "node", *keyed("mokv"), "--stale", *layout, *secured),
            load_case(f"Get, linearizable, {label}", "node", *keyed("mokv"), *layout, *secured),
            load_case(f"Set, {label}", "node", *keyed("mokv"), "--reads", "0", *layout, *secured),
        ]
    return servers, cases


def peers_table(bench):
    eight, many = shape(8, 16), shape(64, 1)
    servers = {
        "node": lambda: mokv_node(bench, False),
        "etcd-reads": lambda: etcd(bench, "etcd-reads"),
        "etcd-writes": lambda: etcd(bench, "etcd-writes"),
        "redis": lambda: redis(bench, fsync=False),
        "redis-fsync": lambda: redis(bench, fsync=True),
    }
    cases = [redis_case("Redis GET, -c 8 -P 16", "redis", "get", 8, 16),
             load_case("mökv Get, stale, 8 x 16", "node", *keyed("mokv"), "--stale", *eight),
             load_case("mökv Get, stale, 8 x 16, lockstep", "node", *keyed("mokv"), "--stale",
                       "--lockstep", *eight),
             load_case("etcd Range, serializable, 8 x 16", "etcd-reads", *keyed("etcd"), "--stale",
                       *eight),
             load_case("etcd Range, linearizable, 8 x 16", "etcd-reads", *keyed("etcd"), *eight),
             redis_case("Redis GET, -c 64", "redis", "get", 64, 1),
             load_case("mökv Get, stale, 64 x 1", "node", *keyed("mokv"), "--stale", *many),
             redis_case("Redis SET, no log, -c 8 -P 16", "redis", "set", 8, 16),
             redis_case("Redis SET, fsync always, -c 8 -P 16", "redis-fsync", "set", 8, 16),
             load_case("mökv Set, 8 x 16", "node", *keyed("mokv"), "--reads", "0", *eight),
             load_case("etcd Put, 8 x 16", "etcd-writes", *keyed("etcd"), "--reads", "0", *eight),
             redis_case("Redis SET, fsync always, -c 64", "redis-fsync", "set", 64, 1),
             load_case("mökv Set, 64 x 1", "node", *keyed("mokv"), "--reads", "0", *many)]
    return servers, cases


TABLES = {
    "empty": ("Empty unary handler, 8 connections x 16 streams, clear",
              lambda bench: empty_table(bench, False)),
    "empty-tls": ("Empty unary handler, 8 connections x 16 streams, mutual TLS",
                  lambda bench: empty_table(bench, True)),
    "kv": ("One node beside our empty handler, clear", lambda bench: kv_table(bench, False)),
    "kv-tls": ("One node beside our empty handler, mutual TLS",
               lambda bench: kv_table(bench, True)),
    "peers": ("One node beside Redis and etcd, clear", peers_table),
}


def start_servers(starters):
    """Those that run, and why the others do not; both by key."""
    running, missing = {}, {}
    try:
        for key, start in starters.items():
            try:
                running[key] = start()
            except (Skip, subprocess.SubprocessError) as reason:
                missing[key] = str(reason)
    except BaseException:
        stop_servers(running)
        raise
    return running, missing


def stop_servers(running):
    for server in running.values():
        server.stop()


def measure(bench, cases, running, missing):
    """Results by row, a list over the rounds each; takes out the rows that fail."""
    options = bench.options
    results = {name: [] for name, key, _ in cases if key in running}
    for _ in range(options.rounds):
        for name, key, run in cases:
            if name not in results:
                continue
            try:
                results[name].append(run(bench, running[key], options.seconds, options.warmup))
            except (Skip, subprocess.SubprocessError) as reason:
                missing[name] = f"{name}: {reason}"
                del results[name]
    return results


def spread(values, digits=0):
    if any(value is None for value in values):
        return ""
    middle, low, high = statistics.median(values), min(values), max(values)
    if len(values) == 1:
        return f"{middle:,.{digits}f}"
    return f"{middle:,.{digits}f} ({low:,.{digits}f}-{high:,.{digits}f})"


def print_table(title, results, missing):
    """Returns whether all answers were as expected."""
    print(f"\n### {title}\n")
    good = True
    if results:
        base = statistics.median(r["rate"] for r in next(iter(results.values())))
        print("| case | calls/s | ratio | p50 us | p99 us | server CPU us/call "
              "| client CPU us/call |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, rounds in results.items():
        rate = statistics.median(r["rate"] for r in rounds)
        columns = [name, spread([r["rate"] for r in rounds]), f"{rate / base:.2f}",
                   spread([r["p50"] for r in rounds]), spread([r["p99"] for r in rounds]),
                   spread([r["server_cpu"] for r in rounds], 2),
                   spread([r["client_cpu"] for r in rounds], 2)]
        print("| " + " | ".join(columns) + " |")
        for result in rounds:
            if result["bad"]:
                good = False
                print(f"\nUnexpected answers in '{name}': {result['bad']}\n")
    for reason in missing.values():
        print(f"\nSkipped: {reason}")
    sys.stdout.flush()
    return good


def machine():
    model = "unknown processor"
    with open("/proc/cpuinfo") as cpuinfo:
        for line in cpuinfo:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
                break
    return f"{os.cpu_count()} cores of {model}, Linux {os.uname().release}"


def parse_options():
    here = os.path.dirname(os.path.abspath(__file__))
    default_bin = os.path.join(os.path.dirname(here), "bin")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=default_bin, help="where our programs are")
    parser.add_argument("--tables", default=",".join(TABLES), help=", ".join(TABLES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--warmup", type=float, default=1)
    parser.add_argument("--engine", default="lean", choices=["lean", "nghttp2"],
                        help="the load generator's HTTP/2")
    parser.add_argument("--client-threads", type=int, default=1)
    parser.add_argument("--server-threads", type=int, default=os.cpu_count(),
                        help="of our servers; the others choose themselves")
    parser.add_argument("--work-dir", help="for data and logs; on the disk to be measured")
    parser.add_argument("--json", help="every single result, to this file")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    for name in options.tables.split(","):
        if name not in TABLES:
            parser.error(f"unknown table '{name}'")
    return options


def run_table(bench, name):
    title, make = TABLES[name]
    bench.begin_table(name)
    starters, cases = make(bench)
    running, missing = start_servers(starters)
    try:
        results = measure(bench, cases, running, missing)
    finally:
        stop_servers(running)
    return results, print_table(title, results, missing)


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that servers are stopped.
    print(f"{machine()}; {options.rounds} rounds of {options.seconds:g} s, taking turns; "
          f"median (smallest-largest)")
    all_results, good = {}, True
    with tempfile.TemporaryDirectory(prefix="mokv-bench-", dir=options.work_dir) as work_dir:
        bench = Bench(options, work_dir)
        for name in options.tables.split(","):
            all_results[name], as_expected = run_table(bench, name)
            good = good and as_expected
    if options.json:
        with open(options.json, "w") as out:
            json.dump(all_results, out, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
