#!/usr/bin/python3
"""How long clients of a three-node cluster are not served when its leader goes; prints Markdown.

(a) The leader is killed (SIGKILL). A client of a survivor starts a Set every 10 ms, whatever became of
    the ones before; what counts is the time from the kill to the first success of a call that was
    started after it.
(b) The leader is stopped (SIGTERM). The same client, and one that is connected with the stopping node
    itself and follows its GOAWAY to another; what counts are failed calls and the longest time
    between two successes.

Nodes are real processes with mutual TLS on the loopback interface, and stock gRPC clients. The node
comes back between rounds and has caught up before the next one.
"""

import argparse
import pathlib
import statistics
import sys
import threading
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "tests" / "e2e"))

import grpc  # noqa: E402
from cluster import Cluster, random_for  # noqa: E402
from harness import Client, kv_pb2  # noqa: E402

INTERVAL_SECONDS = 0.010
CALL_SECONDS = 10
BEFORE_SECONDS = 0.5  # The client calls for so long before the leader goes,
AFTER_SECONDS = 2.0  # and at least so long after.
SETTLE_SECONDS_MAX = 20


class Pacer(threading.Thread):
    """Starts a Set every 10 ms and notes when each was started and answered, and how."""

    def __init__(self, client, key):
        super().__init__(daemon=True)
        self.client = client
        self.key = key
        self.lock = threading.Lock()
        self.answers = []  # Started, answered, None or the error.
        self.started = 0
        self.late = 0  # Calls that were started more than an interval late: the machine is busy.
        self._end = threading.Event()

    def run(self):
        due = time.monotonic()
        while not self._end.is_set():
            now = time.monotonic()
            if now < due:
                time.sleep(due - now)
            elif now > due + INTERVAL_SECONDS:
                self.late += 1
                due = now
            self.call_once()
            due += INTERVAL_SECONDS

    def call_once(self):
        start = time.monotonic()
        self.started += 1
        request = kv_pb2.SetRequest(key=self.key, value=str(self.started).encode())
        call = self.client.set.future(request, timeout=CALL_SECONDS)

        def note(done):
            end = time.monotonic()
            error = None if done.code() == grpc.StatusCode.OK else f"{done.code()} {done.details()}"
            with self.lock:
                self.answers.append((start, end, error))

        call.add_done_callback(note)

    def end(self):
        self._end.set()
        self.join()
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while time.monotonic() < deadline and len(self.answers) < self.started:
            time.sleep(0.01)
        self.client.channel.close()

    def first_success_since(self, moment):
        """When the first call that was started after `moment` was answered; None: not yet."""
        with self.lock:
            ends = [end for start, end, error in self.answers if error is None and start >= moment]
        return min(ends, default=None)

    def failures(self):
        return [error for _, _, error in self.answers if error is not None]

    def longest_gap(self):
        ends = sorted(end for _, end, error in self.answers if error is None)
        return max(b - a for a, b in zip(ends, ends[1:]))


def following_client(node, others):
    """Of the stopping node's own connection: it knows the others' addresses as well, and goes there
    when it is sent away."""
    addresses = ",".join(n.address for n in [node, *others])
    options = [
        ("grpc.lb_policy_name", "pick_first"),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.ssl_target_name_override", "127.0.0.1"),
        ("grpc.default_authority", "127.0.0.1"),
    ]
    credentials = node.certs.credentials("root-client")
    return Client(grpc.secure_channel(f"ipv4:{addresses}", credentials, options))


def warm(client):
    client.set(kv_pb2.SetRequest(key="warm", value=b"up"), timeout=CALL_SECONDS)
    return client


def pause(seconds):
    threading.Event().wait(seconds)


def kill_round(nodes, random):
    """Seconds from the kill to the first success, and of how many calls failed."""
    leader = nodes.wait_for_leader()
    pacer = Pacer(warm(random.choice(nodes.followers(leader)).client()), "killed")
    pacer.start()
    pause(BEFORE_SECONDS + random.uniform(0, 0.1))
    killed_at = time.monotonic()
    leader.process.kill()
    dead_at = time.monotonic()
    leader.kill()  # Waits for its end.
    deadline = killed_at + SETTLE_SECONDS_MAX
    while (first := pacer.first_success_since(dead_at)) is None:
        if time.monotonic() > deadline:
            raise AssertionError(f"no success {SETTLE_SECONDS_MAX} s after the kill")
        pause(0.005)
    pacer.end()
    come_back(nodes, leader)
    return first - killed_at, pacer


def stop_round(nodes, random):
    leader = nodes.wait_for_leader()
    followers = nodes.followers(leader)
    survivor = Pacer(warm(random.choice(followers).client()), "survivor")
    follower = Pacer(warm(following_client(leader, followers)), "own")
    for pacer in (survivor, follower):
        pacer.start()
    pause(BEFORE_SECONDS + random.uniform(0, 0.1))
    code = leader.stop()
    pause(AFTER_SECONDS)
    for pacer in (survivor, follower):
        pacer.end()
    if code != 0:
        raise AssertionError(f"the stopped node ended with {code}")
    come_back(nodes, leader)
    return survivor, follower


def come_back(nodes, node):
    node.launch().wait_until_ready()
    nodes.wait_until_equal()


def percentile(values, fraction):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(fraction * len(ordered)))]


def print_kills(results):
    times = [seconds for seconds, _ in results]
    pacers = [pacer for _, pacer in results]
    failed = [error for pacer in pacers for error in pacer.failures()]
    print("| leader killed with SIGKILL | rounds | median | p95 | max | failed calls a round | target |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    print(
        f"| time to the first success | {len(times)} | {statistics.median(times):.3f} s"
        f" | {percentile(times, 0.95):.3f} s | {max(times):.3f} s"
        f" | {len(failed) / len(times):.1f} | median 0.3 s, p95 1 s |\n"
    )
    print_errors(failed, pacers)


def print_stops(results):
    print("| leader stopped with SIGTERM | rounds | calls | failed calls | longest gap: median | p95"
          " | max | target |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    failed, all_pacers = [], []
    for i, name in enumerate(("client of a survivor", "client of the stopping node")):
        pacers = [pair[i] for pair in results]
        gaps = [pacer.longest_gap() * 1000 for pacer in pacers]
        errors = [error for pacer in pacers for error in pacer.failures()]
        print(
            f"| {name} | {len(pacers)} | {sum(p.started for p in pacers)} | {len(errors)}"
            f" | {statistics.median(gaps):.0f} ms | {percentile(gaps, 0.95):.0f} ms"
            f" | {max(gaps):.0f} ms | 0 failed, 50 ms |"
        )
        failed += errors
        all_pacers += pacers
    print()
    print_errors(failed, all_pacers)


def print_errors(errors, pacers):
    for text in sorted(set(errors)):
        print(f"- {errors.count(text)} x {text}")
    late, started = sum(p.late for p in pacers), sum(p.started for p in pacers)
    print(f"- {late} of {started} calls were started late: the machine was busy\n", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--only", choices=("kill", "stop"))
    parser.add_argument("--read-lease", action="store_true")
    options = parser.parse_args()
    random = random_for("failover")
    with Cluster(3, read_lease=options.read_lease) as nodes:
        if options.only != "stop":
            print_kills([kill_round(nodes, random) for _ in range(options.rounds)])
        if options.only != "kill":
            print_stops([stop_round(nodes, random) for _ in range(options.rounds)])


if __name__ == "__main__":
    main()
