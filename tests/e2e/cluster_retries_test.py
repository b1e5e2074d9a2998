"""Increments over fail-overs, counted exactly: what clients were told is done is done once, however often
they had to ask, and nothing else is.

Environment: MOKV_INCREMENTS (default 30,000, half of each kind), MOKV_KILLS (default 8), MOKV_SEED.
A million with 100 kills take four minutes on two cores.
"""

import asyncio
import itertools
import json
import os
import time
import unittest

import grpc

import cluster
import harness
from cluster import Cluster, random_for
from harness import kv_pb2, session_pb2

INCREMENTS = int(os.environ.get("MOKV_INCREMENTS", "30000"))
KILLS = int(os.environ.get("MOKV_KILLS", "8"))

SESSIONS, IN_FLIGHT_PER_SESSION = 8, 16
COUNTERS, WRITERS_PER_COUNTER = 48, 2
SESSION_TTL_MS = 3_600_000  # Longer than any run: what is tested is not their expiry.
ATTEMPT_SECONDS = 5
# Between two attempts while no node takes any: the cluster elects a leader.
PAUSE_SECONDS = 0.02

# A node that is down refuses at once, and one that is back is found at once.
_OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 2000),
    ("grpc.max_reconnect_backoff_ms", 200),
)
_MAY_PASS = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class Stub:
    """The calls of one node that are needed here, for asyncio."""

    def __init__(self, node):
        self.channel = grpc.aio.secure_channel(
            node.address, node.certs.credentials("root-client"), _OPTIONS
        )
        self.get = self._unary("/api.KV/Get", kv_pb2.GetResponse)
        self.set = self._unary("/api.KV/Set", kv_pb2.SetResponse)
        self.open_session = self._unary("/api.Session/Open", session_pb2.OpenResponse)

    def _unary(self, path, response):
        return self.channel.unary_unary(
            path, lambda message: message.SerializeToString(), response.FromString
        )


class Goal:
    """So many increments, taken one by one, and how many of them are done."""

    def __init__(self, count):
        self.left = count
        self.done = 0

    def take(self):
        self.left -= 1
        return self.left >= 0


class Clients:
    """All that write, on one event loop."""

    def __init__(self, nodes, random):
        self.stubs = [Stub(node) for node in nodes.nodes]
        self.random = random
        self.by_session = Goal(INCREMENTS // 2)
        self.by_condition = Goal(INCREMENTS - INCREMENTS // 2)
        self.acknowledged = {}  # By key.
        self.sent_again = 0  # Writes in a session.
        self.conflicts = 0
        self.unknown = 0  # Conditional writes whose outcome was not told,
        self.unknown_done = 0  # and that a read found done.

    @property
    def done(self):
        return self.by_session.done + self.by_condition.done

    def count(self, goal, key):
        goal.done += 1
        self.acknowledged[key] = self.acknowledged.get(key, 0) + 1

    async def until_answered(self, method, request):
        """Through one node after the other: of what may be sent again. The answer, and how often it was
        sent."""
        deadline = time.monotonic() + cluster.ELECTION_SECONDS_MAX + harness.CALL_SECONDS_MAX
        attempts = 0
        while True:
            attempts += 1
            try:
                call = getattr(self.random.choice(self.stubs), method)
                return await call(request, timeout=ATTEMPT_SECONDS), attempts
            except grpc.aio.AioRpcError as error:
                if error.code() not in _MAY_PASS or time.monotonic() > deadline:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)

    async def write_in_session(self, number):
        """One client's session, with many writes on their way, each sent until it is answered. A key's
        version counts the writes that were carried out."""
        request = session_pb2.OpenRequest(ttl_ms=SESSION_TTL_MS)
        # Sent again it may open one more, which nobody uses.
        opened, _ = await self.until_answered("open_session", request)
        key = f"session/{number}"
        unanswered = set()
        last = 0

        async def write_on():
            nonlocal last
            while self.by_session.take():
                last += 1
                sequence = last
                unanswered.add(sequence)
                context = kv_pb2.WriteContext(session=opened.session, sequence=sequence,
                                              lowest_unanswered=min(unanswered))
                _, attempts = await self.until_answered(
                    "set", kv_pb2.SetRequest(key=key, value=b"%d" % sequence, context=context))
                unanswered.remove(sequence)
                self.sent_again += attempts - 1
                self.count(self.by_session, key)

        await asyncio.gather(*(write_on() for _ in range(IN_FLIGHT_PER_SESSION)))

    async def write_conditionally(self, number, writer):
        key = f"condition/{number}"
        attempts = itertools.count(1)
        while self.by_condition.take():
            await self.increment(key, writer, attempts)
            self.count(self.by_condition, key)

    async def increment(self, key, writer, attempts):
        """Reads a counter and writes one more if it is still the same, until that is done. The value has
        the number of each writer's last attempt that was carried out, so that a read resolves what was
        not told."""
        pending = set()  # Attempts of unknown outcome.
        while True:
            state, revision = await self.read(key)
            # With the revision that is read now, either an attempt of before has been carried out, or
            # none will be that the next one does not exclude.
            if state["last"].get(writer) in pending:
                self.unknown_done += 1
                return
            attempt = next(attempts)
            next_state = {"count": state["count"] + 1, "last": {**state["last"], writer: attempt}}
            request = kv_pb2.SetRequest(key=key, value=json.dumps(next_state).encode(),
                                        expected_revision=revision)
            try:
                await self.random.choice(self.stubs).set(request, timeout=ATTEMPT_SECONDS)
                return
            except grpc.aio.AioRpcError as error:
                if error.code() == grpc.StatusCode.FAILED_PRECONDITION:
                    self.conflicts += 1
                elif error.code() not in _MAY_PASS:
                    raise
                elif harness.fate_of(error) != "not-done":
                    self.unknown += 1
                    pending.add(attempt)
            await asyncio.sleep(PAUSE_SECONDS * self.random.random())

    async def read(self, key):
        try:
            item, _ = await self.until_answered("get", kv_pb2.GetRequest(key=key))
        except grpc.aio.AioRpcError as error:
            if error.code() != grpc.StatusCode.NOT_FOUND:
                raise
            return {"count": 0, "last": {}}, 0
        return json.loads(item.value), item.mod_revision

    async def run(self):
        writers = [self.write_in_session(i) for i in range(SESSIONS)]
        for i in range(COUNTERS):
            writers += [self.write_conditionally(i, str(w)) for w in range(WRITERS_PER_COUNTER)]
        try:
            await asyncio.gather(*writers)
        finally:
            for stub in self.stubs:
                await stub.channel.close()


class RetriesTest(unittest.TestCase):
    # Goal:   the counters are what was acknowledged, to the last increment.
    # Method: clients with sessions, and clients with conditional writes that share counters, go on while
    #         the leader is killed with -9 again and again; each kill waits for its share of the writes.
    def test_increments_over_fail_overs(self):
        random = random_for(self.id())
        with Cluster(3) as nodes:
            began = time.monotonic()
            clients = asyncio.run(self.write_and_kill(nodes, random))
            seconds = time.monotonic() - began
            print(f"{clients.by_session.done} increments in sessions, {clients.by_condition.done} by "
                  f"conditions in {seconds:.1f} s, {KILLS} leaders killed: {clients.sent_again} sent "
                  f"again, {clients.conflicts} conflicts, {clients.unknown} of unknown outcome, of "
                  f"which {clients.unknown_done} were done", flush=True)
            self.assertEqual(clients.done, INCREMENTS)
            items = nodes.check_equal()
            self.assertEqual(items.keys(), clients.acknowledged.keys())
            for key, count in clients.acknowledged.items():
                self.assertEqual(items[key].version, count, key)
                if key.startswith("condition/"):
                    self.assertEqual(json.loads(items[key].value)["count"], count, key)

    async def write_and_kill(self, nodes, random):
        clients = Clients(nodes, random)
        writing = asyncio.ensure_future(clients.run())
        try:
            for kill in range(KILLS):
                share = INCREMENTS * (kill + 1) // (KILLS + 1)
                while clients.done < share and not writing.done():
                    await asyncio.sleep(0.01)
                if writing.done():
                    break
                await asyncio.get_running_loop().run_in_executor(None, self.kill_leader, nodes)
            await writing
        finally:
            writing.cancel()
        return clients

    def kill_leader(self, nodes):
        leader = nodes.wait_for_leader()
        leader.kill()
        nodes.wait_for_leader()
        leader.launch().wait_until_ready()


if __name__ == "__main__":
    cluster.main()
