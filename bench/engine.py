#!/usr/bin/python3
"""Measures the RPC engine beside stock grpc++, and counts what its calls and idle connections cost.

Speed: our empty handler and grpc++'s async and callback servers under the same client, taking turns
(ours, async, callback, ours, ...). Each round gives one ratio to each of grpc++'s; a cell is the
median of the rounds' ratios, with the smallest and the largest.
Counts: a server that counts its own calls of malloc and system calls (engine/counts.h). What a call
costs is the difference of two runs of different length, so that what connections cost drops out.
Exit status: 0 when every call of every run was answered as it should be, else 1.
"""

import argparse
import contextlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time

import compare
from compare import Bench, Server, Skip, free_port, shape

# Connections x streams of the rows, and what the ratio is of.
SPEED_ROWS = [
    (8, 16, "rate", "at least 7"),
    (64, 1, "rate", "at least 1.8; mutual TLS 2.5"),
    (1, 1, "p50", "at most 0.85"),
]
# Calls of the shorter of two counted runs, the other makes three times as many.
COUNTED_CALLS = 80_000
IDLE_CONNECTIONS = 5_000
IDLE_SECONDS = 10
# Connections that are busy for a while before they are idle; each makes thousands of calls.
RESTED_CONNECTIONS = 256
RESTED_STREAMS = 128
BUSY_SECONDS = 5
COUNTS_SECONDS = 5  # A server that has not printed its counts by then counts as broken.


def secured(bench, tls):
    return bench.client_tls() if tls else []


def start_ours(bench, tls, counted=False):
    port = free_port()
    program = bench.program("mokv_empty_server_counted" if counted else "mokv_empty_server")
    command = [program, "--port", str(port), "--threads", str(bench.options.server_threads)]
    return Server(f"ours-{tls}-{counted}", command + (bench.server_tls() if tls else []), port,
                  bench.work_dir)


def way(tls):
    return "mutual TLS" if tls else "clear"


def speed(bench, tls):
    """Prints one row for each shape; returns whether all answers were as expected."""
    servers = {"ours": lambda: start_ours(bench, tls),
               "async": lambda: compare.grpcpp_empty(bench, "async", tls),
               "callback": lambda: compare.grpcpp_empty(bench, "callback", tls)}
    running, missing = compare.start_servers(servers)
    good = True
    try:
        for connections, streams, measure, target in SPEED_ROWS:
            load = ["--target", "empty", *shape(connections, streams), *secured(bench, tls)]
            rounds = []
            for _ in range(bench.options.rounds):
                rounds.append({key: compare.run_load(bench, server, load, bench.options.seconds,
                                                     bench.options.warmup,
                                                     min(bench.options.client_threads, connections))
                               for key, server in running.items()})
            bench.results.append({"tls": tls, "connections": connections, "streams": streams,
                                  "rounds": rounds})
            good &= print_speed(f"{connections} x {streams}, {way(tls)}", measure, target, rounds)
    finally:
        compare.stop_servers(running)
    for reason in missing.values():
        print(f"\nSkipped: {reason}")
    return good


def print_speed(name, measure, target, rounds):
    columns = [name, "calls/s" if measure == "rate" else "median latency, us"]
    columns.append(compare.spread([r["ours"][measure] for r in rounds if "ours" in r]))
    for other in ("async", "callback"):
        columns.append(compare.spread([r["ours"][measure] / r[other][measure] for r in rounds
                                       if "ours" in r and other in r], 2))
    columns += [target, compare.spread([r["ours"]["server_cpu"] for r in rounds], 2)]
    print("| " + " | ".join(columns) + " |")
    sys.stdout.flush()
    bad = [r[key]["bad"] for r in rounds for key in r if r[key]["bad"]]
    for answers in bad:
        print(f"\nUnexpected answers in '{name}': {answers}\n")
    return not bad


def counts_of(server):
    """What the server has done since its start."""
    with open(server.log_path) as log:
        log.seek(0, os.SEEK_END)
        server.process.send_signal(signal.SIGUSR1)
        deadline = time.monotonic() + COUNTS_SECONDS
        line = ""
        while not line.endswith("\n"):
            if time.monotonic() > deadline:
                raise Skip(f"{server.name} did not print its counts")
            line += log.readline()
            time.sleep(0.01)
    return json.loads(line)


def calls_made(bench, server, load, operations):
    """Makes so many calls, and those that a closed loop has under way at the end; how many."""
    command = [bench.program("mokv_load"), "--endpoint", f"127.0.0.1:{server.port}", "--engine",
               bench.options.engine, "--warmup", "0", "--operations", str(operations), "--json", *load]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Skip(done.stderr.strip() or done.stdout.strip())
    return json.loads(done.stdout)["calls_all_phases"]


def count_calls(bench, tls):
    """Prints what one call costs in the steady state."""
    server = start_ours(bench, tls, counted=True)
    try:
        for connections, streams, _, _ in SPEED_ROWS:
            load = ["--target", "empty", *shape(connections, streams), *secured(bench, tls)]
            before = counts_of(server)
            short_calls = calls_made(bench, server, load, COUNTED_CALLS)
            between = counts_of(server)
            long_calls = calls_made(bench, server, load, 3 * COUNTED_CALLS)
            after = counts_of(server)
            cost = {key: (after[key] - between[key]) - (between[key] - before[key])
                    for key in ("allocations", "reads", "writes", "waits", "poll_changes")}
            calls = long_calls - short_calls
            columns = [f"{connections} x {streams}, {way(tls)}"]
            columns += [f"{cost[key] / calls:.3f}" for key in cost]
            columns.append(f"{cost['writes'] / max(1, cost['reads']):.2f}")
            print("| " + " | ".join(columns) + " |")
            sys.stdout.flush()
    finally:
        server.stop()


@contextlib.contextmanager
def under_load(bench, server, *load):
    """mokv_load's process, with mutual TLS, for longer than anybody needs it."""
    command = [bench.program("mokv_load"), "--endpoint", f"127.0.0.1:{server.port}", "--target", "empty",
               "--duration", "100", *load, *secured(bench, True)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def count_idle(bench):
    """Prints what an idle connection with mutual TLS costs."""
    connections = bench.options.idle_connections
    server = start_ours(bench, True, counted=True)
    try:
        before = counts_of(server)
        # A load of one call in a hundred seconds, which is none.
        with under_load(bench, server, *shape(connections, 1), "--rate", "0.01"):
            settle(server)
            begin = counts_of(server)
            time.sleep(IDLE_SECONDS)
            end = counts_of(server)
    finally:
        server.stop()
    for name, key in (("heap", "heap_bytes"), ("resident memory", "resident_bytes")):
        kib = (end[key] - before[key]) / connections / 1024
        print(f"{connections:,} idle connections, mutual TLS: {name} {kib:.1f} KiB each "
              "(target for heap: at most 64)")
    percent = (end["cpu_us"] - begin["cpu_us"]) / 1e4 / IDLE_SECONDS
    print(f"{connections:,} idle connections, mutual TLS: {percent:.3f} percent of a processor over "
          f"{IDLE_SECONDS} s")


def count_rested(bench):
    """Prints what a connection with mutual TLS keeps when it has been busy."""
    server = start_ours(bench, True, counted=True)
    try:
        before = counts_of(server)
        with under_load(bench, server, *shape(RESTED_CONNECTIONS, RESTED_STREAMS)) as load:
            time.sleep(BUSY_SECONDS)
            load.send_signal(signal.SIGSTOP)  # Its connections stay, and say nothing any more.
            settle(server)
            end = counts_of(server)
    finally:
        server.stop()
    kib = (end["heap_bytes"] - before["heap_bytes"]) / RESTED_CONNECTIONS / 1024
    print(f"{RESTED_CONNECTIONS} connections that were busy, mutual TLS: heap {kib:.1f} KiB each")


def settle(server):
    """Returns when the server has had nothing to say for some seconds: all connections are there,
    and it has put away what only busy ones need."""
    quiet_seconds, writes, deadline = 0, -1, time.monotonic() + 120
    while quiet_seconds < 6:
        if time.monotonic() > deadline:
            raise Skip(f"connections of {server.name} do not come to rest")
        time.sleep(1)
        now = counts_of(server)["writes"]
        quiet_seconds = quiet_seconds + 1 if now == writes else 0
        writes = now


def parse_options():
    here = os.path.dirname(os.path.abspath(__file__))
    default_bin = os.path.join(os.path.dirname(here), "bin")
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=default_bin, help="where our programs are")
    parser.add_argument("--parts", default="speed,counts,idle")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--engine", default="lean", choices=["lean", "nghttp2"],
                        help="the load generator's HTTP/2")
    parser.add_argument("--client-threads", type=int, default=os.cpu_count())
    parser.add_argument("--server-threads", type=int, default=os.cpu_count())
    parser.add_argument("--idle-connections", type=int, default=IDLE_CONNECTIONS)
    parser.add_argument("--json", help="every single result, to this file")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    return options


def run(bench, parts):
    good = True
    if "speed" in parts:
        print("\n| case | what | ours | over grpc++ async | over grpc++ callback | target "
              "| server CPU us/call |")
        print("| --- | --- | ---: | ---: | ---: | --- | ---: |")
        good = all([speed(bench, False), speed(bench, True)])
    if "counts" in parts:
        print("\n| case | malloc a call | reads | writes | waits | changes of what is polled "
              "| writes a read |")
        print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
        count_calls(bench, False)
        count_calls(bench, True)
    if "idle" in parts:
        print()
        count_idle(bench)
        count_rested(bench)
    return good


def main():
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that servers are stopped.
    print(f"{compare.machine()}; {options.rounds} rounds of {options.seconds:g} s, taking turns; "
          f"median (smallest-largest)")
    with tempfile.TemporaryDirectory(prefix="mokv-bench-") as work_dir:
        bench = Bench(options, work_dir)
        bench.results = []
        bench.begin_table("engine")
        try:
            good = run(bench, options.parts.split(","))
        except (Skip, subprocess.SubprocessError) as reason:
            sys.exit(f"engine.py: {reason}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump(bench.results, out, indent=1)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
