#!/usr/bin/python3
"""Measures streams of our RPC engine beside stock grpc++: messages of 1 KiB to the client, to the server
and back, and the time of one message there and back.

Ours and grpc++'s async and callback servers under the same client, taking turns (ours, async, callback,
ours, ...). Each round gives one ratio to each of grpc++'s; a cell is the median of the rounds' ratios,
with the smallest and the largest. The round trip has ROUND_TRIP_ROUNDS times as many rounds: it varies more.
Exit status: 0 when no stream ended before its time, else 1.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile

import compare
from compare import Bench, Server, Skip, free_port, shape
from engine import secured, way

# What the messages do, connections x streams, messages of a stream in flight, what the ratio is of.
ROWS = [
    ("to-client", 8, 4, 1, "messages_per_second", "at least 3"),
    ("to-server", 8, 4, 1, "messages_per_second", "at least 3"),
    ("both", 8, 4, 16, "messages_per_second", "at least 3"),
    ("both", 1, 1, 1, "p50_us", "at most 0.85"),
]
ROUND_TRIP_ROUNDS = 5
NAMES = {"to-client": "to the client", "to-server": "to the server", "both": "echo"}


def start(bench, kind, tls):
    port = free_port()
    if kind == "ours":
        command = [bench.program("mokv_stream_server")]
    else:
        command = [bench.program("grpcpp_stream_server"), "--mode", kind]
    command += ["--port", str(port), "--threads", str(bench.options.server_threads)]
    command += bench.server_tls() if tls else []
    return Server(f"streams-{kind}-{tls}", command, port, bench.work_dir)


def run_load(bench, server, row, tls):
    direction, connections, streams, in_flight, _, _ = row
    command = [bench.program("mokv_stream_load"), "--endpoint", f"127.0.0.1:{server.port}",
               "--direction", direction, "--in-flight", str(in_flight), *shape(connections, streams),
               "--threads", str(bench.options.client_threads),
               "--duration", str(bench.options.seconds), "--warmup", str(bench.options.warmup),
               *secured(bench, tls)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if done.returncode != 0:
        raise Skip(f"{server.name}: {done.stderr.strip() or done.stdout.strip()}")
    return json.loads(done.stdout)


def measure(bench, tls):
    servers = {kind: lambda kind=kind: start(bench, kind, tls)
               for kind in ("ours", "async", "callback")}
    running, missing = compare.start_servers(servers)
    try:
        for row in ROWS:
            count = bench.options.rounds * (ROUND_TRIP_ROUNDS if row[4] == "p50_us" else 1)
            rounds = [{key: run_load(bench, server, row, tls) for key, server in running.items()}
                      for _ in range(count)]
            bench.results.append({"tls": tls, "row": row, "rounds": rounds})
            print_row(row, tls, rounds)
    finally:
        compare.stop_servers(running)
    for reason in missing.values():
        print(f"\nSkipped: {reason}")


def print_row(row, tls, rounds):
    direction, connections, streams, in_flight, key, target = row
    name = f"{NAMES[direction]}, {connections} x {streams}, {way(tls)}"
    if in_flight > 1:
        name += f", {in_flight} in flight"
    columns = [name, "messages/s" if key == "messages_per_second" else "median round trip, us"]
    columns.append(compare.spread([r["ours"][key] for r in rounds if "ours" in r]))
    for other in ("async", "callback"):
        columns.append(compare.spread([r["ours"][key] / r[other][key] for r in rounds
                                       if "ours" in r and other in r], 2))
    client = [r["ours"]["client_cpu_us_per_message"] for r in rounds if "ours" in r]
    columns += [target, compare.spread(client, 2)]
    print("| " + " | ".join(columns) + " |", flush=True)


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bin", default=os.path.join(os.path.dirname(here), "bin"),
                        help="where our programs are")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2)
    parser.add_argument("--warmup", type=float, default=0.5)
    parser.add_argument("--server-threads", type=int, default=os.cpu_count())
    parser.add_argument("--client-threads", type=int, default=os.cpu_count())
    parser.add_argument("--json", help="every single result, to this file")
    options = parser.parse_args()
    options.bin = os.path.abspath(options.bin)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # So that servers are stopped.
    print(f"{compare.machine()}; {options.rounds} rounds of {options.seconds:g} s, taking turns; "
          "median (smallest-largest)\n")
    print("| case | what | ours | over grpc++ async | over grpc++ callback | target "
          "| client CPU us/message |")
    print("| --- | --- | ---: | ---: | ---: | --- | ---: |")
    with tempfile.TemporaryDirectory(prefix="mokv-bench-") as work_dir:
        bench = Bench(options, work_dir)
        bench.results = []
        bench.begin_table("streams")
        try:
            measure(bench, False)
            measure(bench, True)
        except (Skip, subprocess.SubprocessError) as reason:
            sys.exit(f"streams.py: {reason}")
    if options.json:
        with open(options.json, "w") as out:
            json.dump(bench.results, out, indent=1)


if __name__ == "__main__":
    main()
