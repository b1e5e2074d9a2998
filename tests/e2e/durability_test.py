"""No acknowledged write is lost: rounds of concurrent writers, kill -9, restart on the same data.

Environment: MOKV_ROUNDS (default 25), MOKV_SEED (default random; printed).
"""

import os
import random
import threading
import time
import unittest

import grpc

import harness
from harness import kv_pb2

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "25"))
SEED = int(os.environ.get("MOKV_SEED", str(random.SystemRandom().randrange(1 << 32))))

WRITERS = 8
KEYS_PER_WRITER = 20
ACKNOWLEDGED_PER_ROUND_MAX = 1500



class Writer(threading.Thread):
    """Writes to keys that nobody else writes to, one call after the other, until one fails.

    Knows of each key what must be there: `acknowledged` is what the last answer said. Only the call
    that failed is in doubt: its key may be in the state of `in_doubt` instead.
    """

    def __init__(self, number, node, states, seed, on_acknowledged):
        super().__init__(name=f"writer-{number}")
        self.number = number
        self.random = random.Random(seed)
        self.client = node.client()
        self.acknowledged = states
        self.in_doubt = None  # Key and value; value None: a delete.
        self.on_acknowledged = on_acknowledged
        self.highest_revision = 0
        self.trouble = None

    def run(self):
        try:
            while self.write_once():
                self.on_acknowledged()
        except Exception as error:  # Told by the main thread.
            self.trouble = error

    def write_once(self):
        key = f"writer-{self.number}/key-{self.random.randrange(KEYS_PER_WRITER)}"
        value = None
        if self.random.random() < 0.85:
            value = self.random.randbytes(self.random.choice((0, 10, 100, 100, 5000)))
        self.in_doubt = (key, value)
        try:
            if value is None:
                request = kv_pb2.DeleteRequest(key=key)
                answer = self.client.delete(request, timeout=harness.CALL_SECONDS_MAX)
            else:
                request = kv_pb2.SetRequest(key=key, value=value)
                answer = self.client.set(request, timeout=harness.CALL_SECONDS_MAX)
        except grpc.RpcError as error:
            # The kill; anything else would be a finding.
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            return False
        self.in_doubt = None
        if not answer.ok or answer.revision < self.highest_revision:
            raise AssertionError(f"{key}: {answer} after revision {self.highest_revision}")
        self.highest_revision = answer.revision
        if value is None:
            was_there = self.acknowledged.pop(key, None) is not None
            if answer.deleted != was_there:
                raise AssertionError(f"delete of {key} says {answer.deleted}")
        else:
            self.acknowledged[key] = (value, answer.revision)
        return True


class DurabilityTest(unittest.TestCase):
    def setUp(self):
        print(f"seed {SEED}, {ROUNDS} rounds", flush=True)
        self.random = random.Random(SEED)
        self.writes = 0
        self.doubtful_kept = 0
        self.states = [{} for _ in range(WRITERS)]
        self.highest_revision = 0

    def test_acknowledged_writes_survive_kill(self):
        started = time.monotonic()
        with harness.Node(request_log="off") as node:
            for round_number in range(ROUNDS):
                try:
                    writers = self.write_until_killed(node)
                    node.start()
                    self.check(node, writers)
                except BaseException:
                    print(f"in round {round_number}, seed {SEED}; the node's log:\n{node.log()}")
                    raise
            self.assertEqual(node.stop(), 0)
            node.start()
            self.check(node, [])
        print(
            f"{ROUNDS} rounds, {self.writes} acknowledged writes, {self.doubtful_kept} kept of"
            f" those in doubt, seed {SEED}, {time.monotonic() - started:.1f} s",
            flush=True,
        )

    def write_until_killed(self, node):
        goal = self.random.randint(1, ACKNOWLEDGED_PER_ROUND_MAX)
        enough = threading.Event()
        lock = threading.Lock()
        count = 0

        def on_acknowledged():
            nonlocal count
            with lock:
                count += 1
                if count >= goal:
                    enough.set()

        writers = [
            Writer(i, node, self.states[i], self.random.getrandbits(64), on_acknowledged)
            for i in range(WRITERS)
        ]
        for writer in writers:
            writer.start()
        reached = enough.wait(harness.CALL_SECONDS_MAX * 2)
        node.kill()
        for writer in writers:
            writer.join()
            writer.client.channel.close()
        for writer in writers:
            if writer.trouble is not None:
                raise writer.trouble
        self.assertTrue(reached, f"only {count} of {goal} writes were acknowledged")
        self.writes += count
        self.highest_revision = max(
            self.highest_revision, *(writer.highest_revision for writer in writers)
        )
        return writers

    def check(self, node, writers):
        with node.client() as client:
            found = {item.key: item for item in harness.list_items(client)}
            probe = harness.put(client, "probe").revision
            harness.delete(client, "probe")
        # A revision that was given out is never given out again.
        self.assertGreater(probe, self.highest_revision)
        self.highest_revision = probe + 1
        in_doubt = {w.in_doubt[0]: w.in_doubt[1] for w in writers if w.in_doubt is not None}
        for states in self.states:
            for key, (value, revision) in list(states.items()):
                item = found.pop(key, None)
                if item is not None and (item.value, item.mod_revision) == (value, revision):
                    continue
                self.settle(key, item, states, in_doubt, f"revision {revision}")
        # What is left was not acknowledged: only calls in doubt can have made it.
        for key, item in found.items():
            number = int(key.split("/")[0].removeprefix("writer-"))
            self.settle(key, item, self.states[number], in_doubt, "nothing")

    def settle(self, key, item, states, in_doubt, acknowledged):
        """`key` is not in its acknowledged state: it must be in that of the call in doubt."""
        self.assertIn(key, in_doubt, f"{key}: {acknowledged} was acknowledged, found {item}")
        self.assertEqual(
            in_doubt[key],
            None if item is None else item.value,
            f"{key}: {acknowledged} was acknowledged, found {item}",
        )
        self.doubtful_kept += 1
        if item is None:
            states.pop(key, None)
        else:
            states[key] = (item.value, item.mod_revision)


if __name__ == "__main__":
    unittest.main(verbosity=2)
