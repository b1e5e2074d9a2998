"""With one node of three down a cluster serves; with two down the last one answers quickly, and says
of a write what is known of it. Health follows the leader's presence."""

import time
import unittest

import grpc

import cluster
import harness
from cluster import Cluster, random_for
from harness import health_pb2, kv_pb2, wait_for

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
# Far above the five seconds of the contract, far below the deadlines given.
ANSWER_SECONDS_MAX = 15
DEADLINE_SECONDS = 60


class QuorumTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.random = random_for("quorum")
        cls.nodes = Cluster(3)
        cls.addClassCleanup(cls.nodes.close)
        cls.nodes.start()

    def setUp(self):
        """All run."""
        for node in self.nodes.nodes:
            if node.process is None:
                node.launch()
        for node in self.nodes.nodes:
            node.wait_until_ready()
        self.leader = self.nodes.wait_for_leader()
        self.random.shuffle(followers := self.nodes.followers(self.leader))
        self.follower, self.other = followers

    def failure(self, call, deadline=DEADLINE_SECONDS):
        """The error, and the seconds that it took."""
        started = time.monotonic()
        with self.assertRaises(grpc.RpcError) as caught:
            call(deadline)
        return caught.exception, time.monotonic() - started

    def assert_unavailable(self, call, fate=None, deadline=DEADLINE_SECONDS):
        error, seconds = self.failure(call, deadline)
        self.assertEqual(error.code(), grpc.StatusCode.UNAVAILABLE, error.details())
        self.assertEqual(harness.fate_of(error), fate, error.details())
        self.assertLess(seconds, ANSWER_SECONDS_MAX)

    def wait_for_loss(self, node):
        wait_for(lambda: not node.is_ready(), "the node to miss its quorum")

    def set(self, client, key, value=b"v"):
        request = kv_pb2.SetRequest(key=key, value=value)
        return lambda deadline: client.set(request, timeout=deadline)

    def get(self, client, key):
        return lambda deadline: client.get(kv_pb2.GetRequest(key=key), timeout=deadline)

    # Goal:   each single node may be away.
    def test_one_down(self):
        for victim in (self.follower, self.leader):
            victim.kill()
            self.nodes.wait_for_leader()
            for node in self.nodes.running:
                with node.client() as client:
                    harness.put(client, f"one-down/{victim.name}/{node.name}")
                    self.assertEqual(len(harness.list_items(client, f"one-down/{victim.name}/")), 1)
                    harness.delete(client, f"one-down/{victim.name}/{node.name}")
                self.assertTrue(node.is_ready())
            victim.launch().wait_until_ready()

    # Goal:   two down: what needs a quorum is refused within the contract's time, and nothing of what
    #         was refused as not written appears later.
    def test_two_down(self):
        last = self.random.choice((self.leader, self.follower))
        with last.client() as client:
            harness.put(client, "two-down/before")
            for node in self.nodes.nodes:
                if node is not last:
                    node.kill()
            self.wait_for_loss(last)
            answer = client.check(health_pb2.HealthCheckRequest(service="api.KV"), timeout=5)
            self.assertEqual(answer.status, NOT_SERVING)
            self.assert_unavailable(self.set(client, "two-down/refused"), "not-done")
            self.assert_unavailable(self.get(client, "two-down/before"))
            # Of a short deadline, nine tenths.
            self.assert_unavailable(self.set(client, "two-down/refused"), "not-done", 4)
            self.assert_unavailable(self.get(client, "two-down/before"), deadline=4)
            stale = harness.get(client, "two-down/before", consistency=kv_pb2.STALE)
            self.assertEqual(stale.value, b"v")
            next(node for node in self.nodes.nodes if node is not last).launch()
            last.wait_until_ready()
            keys = [item.key for item in harness.list_items(client, "two-down/")]
            self.assertEqual(keys, ["two-down/before"])

    # Goal:   a write that a leader has taken and that nobody confirms is of unknown outcome, whether
    #         the server says so first or the client's own deadline passes.
    def test_write_without_quorum_is_of_unknown_outcome(self):
        with self.leader.client() as client:
            harness.put(client, "unknown/before")
            # They stand still: to the leader they seem to be there.
            self.follower.pause()
            self.other.pause()
            try:
                calls = [client.set.future(kv_pb2.SetRequest(key=f"unknown/{i}"), timeout=timeout)
                         for i, timeout in enumerate((0.1, 3, DEADLINE_SECONDS))]
                codes = [call.code() for call in calls]
                fates = [harness.fate_of(call) for call in calls]
            finally:
                self.follower.cont()
                self.other.cont()
            self.assertEqual(codes[0], grpc.StatusCode.DEADLINE_EXCEEDED)
            self.assertEqual(codes[1:], [grpc.StatusCode.UNAVAILABLE] * 2)
            self.assertEqual(fates[1:], ["unknown"] * 2)
        self.nodes.wait_for_leader()
        found = {item.key for item in self.nodes.check_equal().values()}
        self.assertIn("unknown/before", found)

    # Goal:   Health/Watch and /readyz tell when a leader is lost and found.
    def test_health_follows_the_leader(self):
        with self.follower.client() as client:
            watch = client.watch(health_pb2.HealthCheckRequest(), timeout=DEADLINE_SECONDS)
            self.assertEqual(next(watch).status, SERVING)
            self.other.kill()  # First: with it the follower would find another leader.
            self.leader.kill()
            self.assertEqual(next(watch).status, NOT_SERVING)
            status, text = self.follower.http("/readyz?verbose")
            self.assertEqual(status, 503)
            self.assertIn("no leader", text)
            self.assertEqual(self.follower.http("/livez")[0], 200)
            self.assertEqual(self.follower.metrics().sum("mokv_raft_has_leader"), 0)
            self.other.launch()
            self.assertEqual(next(watch).status, SERVING)
            self.follower.wait_until_ready()
            self.assertEqual(self.follower.metrics().sum("mokv_raft_has_leader"), 1)
            watch.cancel()

    # Goal:   who knows a revision reads it on any node, without asking the leader.
    def test_follower_reads_its_own_write(self):
        with self.leader.client() as leader, self.follower.client() as follower:
            for i in range(200):
                writer, reader = (leader, follower) if i % 2 == 0 else (follower, leader)
                revision = harness.put(writer, "own", str(i).encode()).revision
                item = harness.get(
                    reader, "own", consistency=kv_pb2.STALE, min_revision=revision
                )
                self.assertEqual((item.value, item.mod_revision), (str(i).encode(), revision))
            # What is not there yet is waited for, and not for ever.
            request = kv_pb2.GetRequest(
                key="own", consistency=kv_pb2.STALE, min_revision=revision + 1000
            )
            self.assert_unavailable(
                lambda deadline: follower.get(request, timeout=deadline), deadline=2
            )

    # Goal:   metrics of the consensus and of the connections are there, and move.
    def test_metrics_move(self):
        def scrape(name, **labels):
            return sum(node.metrics().sum(name, **labels) or 0 for node in self.nodes.nodes)

        moving = ("mokv_raft_applied_index", "mokv_raft_commit_index", "mokv_raft_last_index",
                  "mokv_peer_sent_bytes_total", "mokv_peer_received_bytes_total",
                  "mokv_proposals_forwarded_total", "mokv_proposals_received_total",
                  "mokv_raft_read_rounds_total")
        before = {name: scrape(name) for name in moving}
        with self.follower.client() as client:
            for i in range(10):
                harness.put(client, "metrics", str(i).encode())
                harness.get(client, "metrics")
        for name in moving:
            self.assertGreater(scrape(name), before[name], name)
        self.assertEqual(scrape("mokv_raft_is_leader"), 1)
        self.assertEqual(scrape("mokv_raft_has_leader"), 3)
        for peer in (self.follower.name, self.other.name):
            metrics = self.leader.metrics()
            self.assertEqual(metrics.sum("mokv_raft_peer_alive", peer=peer), 1)
            self.assertEqual(metrics.sum("mokv_peer_connected", peer=peer), 1)
            wait_for(
                lambda: self.leader.metrics().sum("mokv_raft_peer_lag_entries", peer=peer) == 0,
                "the lag to be zero",
            )
        changes = scrape("mokv_raft_leader_changes_total")
        won = scrape("mokv_raft_elections_won_total")
        self.assertEqual(self.nodes.ctl("leader", "transfer").status, 0)
        self.nodes.wait_for_leader(other_than=self.leader)
        self.assertGreaterEqual(scrape("mokv_raft_leader_changes_total"), changes + 3)
        self.assertGreater(scrape("mokv_raft_elections_won_total"), won)


if __name__ == "__main__":
    cluster.main()
