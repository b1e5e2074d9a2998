"""Client sessions as docs/guarantees.md promises them: a write that is sent again, through any node and
over any change of leaders, happens once and gets the answer of the first time.

Environment: MOKV_SEED.
"""

import concurrent.futures
import threading
import time
import unittest

import grpc

import cluster
import harness
from cases import KvTestCase, SharedNodeTestCase
from cluster import Cluster, random_for
from harness import CALL_SECONDS_MAX, delete, get, kv_pb2, put, session_pb2, wait_for

TTL_MS_DEFAULT = 60_000
TTL_MS_MIN, TTL_MS_MAX = 1000, 3_600_000
UNANSWERED_MAX = 1024
# Beside its time to live: cluster time goes by steps of a second, and stands still without a leader.
EXPIRY_SECONDS_MAX = 30
# Of one attempt of a write that is sent until it has an answer.
ATTEMPT_SECONDS = 3


def open_session(client, ttl_ms=0):
    request = session_pb2.OpenRequest(ttl_ms=ttl_ms)
    return client.open_session(request, timeout=CALL_SECONDS_MAX)


def keep_alive(client, session):
    request = session_pb2.KeepAliveRequest(session=session)
    return client.keep_alive(request, timeout=CALL_SECONDS_MAX)


def close_session(client, session):
    return client.close_session(session_pb2.CloseRequest(session=session), timeout=CALL_SECONDS_MAX)


def context(session, sequence, lowest=0):
    return kv_pb2.WriteContext(session=session, sequence=sequence, lowest_unanswered=lowest)


def gone(session):
    return f"session {session} is unknown or has expired"


class SessionTestCase(KvTestCase):
    def assert_gone(self, client, session, key):
        """Neither a write nor anything else works in it."""
        for call in (
            lambda: put(client, key, context=context(session, 1)),
            lambda: keep_alive(client, session),
            lambda: close_session(client, session),
        ):
            with self.assertRaises(grpc.RpcError) as caught:
                call()
            self.assertEqual(caught.exception.code(), grpc.StatusCode.FAILED_PRECONDITION)
            self.assertEqual(caught.exception.details(), gone(session))
            self.assertEqual(harness.fate_of(caught.exception), "not-done")
        self.assert_fails(grpc.StatusCode.NOT_FOUND, lambda: get(client, key))

    def wait_until_gone(self, client, session):
        """Without a sign of life: a close is none of a session that is gone."""
        key = f"gone/{session}"

        def look():
            metrics = self.node.metrics()
            return metrics.sum("mokv_sessions") == 0

        wait_for(look, "the session to expire", EXPIRY_SECONDS_MAX)
        self.assert_gone(client, session, key)


class SessionsTest(SharedNodeTestCase, SessionTestCase):
    def open(self, ttl_ms=0):
        answer = open_session(self.client, ttl_ms)
        self.addCleanup(self.close, answer.session)
        return answer

    def close(self, session):
        try:
            close_session(self.client, session)
        except grpc.RpcError:
            pass  # The test has done so, or time has.

    def test_a_retry_gets_the_first_answer(self):
        session = self.open().session
        first = put(self.client, self.key(), b"1", context=context(session, 1))
        put(self.client, self.key(), b"other")
        again = put(self.client, self.key(), b"1", context=context(session, 1))
        self.assertEqual(again, first)
        self.assertEqual(get(self.client, self.key()).value, b"other", "it was not written again")
        removed = delete(self.client, self.key(), context=context(session, 2))
        self.assertEqual(removed.deleted, 1)
        self.assertEqual(delete(self.client, self.key(), context=context(session, 2)), removed)

    def test_a_condition_that_failed_fails_again_in_the_same_words(self):
        session = self.open().session
        revision = put(self.client, self.key()).revision

        def conditional():
            return put(
                self.client, self.key(), b"2", expected_revision=0, context=context(session, 1)
            )

        first = self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, conditional)
        self.assertEqual(first, f"revision of key {self.key()} is {revision}, not 0")
        delete(self.client, self.key())
        self.assertEqual(self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, conditional), first)

    def test_an_answer_that_was_let_go_is_not_given_again(self):
        session = self.open().session
        for sequence in (1, 2, 3):
            put(self.client, self.key(), context=context(session, sequence, 3 if sequence == 3 else 1))
        details = self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: put(self.client, self.key(), b"again", context=context(session, 2)),
        )
        self.assertIn("lowest_unanswered", details)
        self.assertEqual(get(self.client, self.key()).value, b"v")

    def test_a_session_keeps_a_bounded_number_of_answers(self):
        session = self.open().session
        requests = (
            kv_pb2.SetRequest(key=self.key(), context=context(session, i + 1, 1))
            for i in range(UNANSWERED_MAX)
        )
        for future in [self.client.set.future(r, timeout=CALL_SECONDS_MAX) for r in requests]:
            future.result()
        sequence = UNANSWERED_MAX + 1
        self.assert_fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: put(self.client, self.key(), context=context(session, sequence, 1)),
        )
        put(self.client, self.key(), context=context(session, sequence, 2))

    def test_sequences_begin_at_one(self):
        session = self.open().session
        self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: put(self.client, self.key(), context=context(session, 0)),
        )

    def test_the_time_to_live_has_bounds(self):
        self.assertEqual(self.open().ttl_ms, TTL_MS_DEFAULT)
        for ttl_ms in (TTL_MS_MIN, TTL_MS_MAX):
            self.assertEqual(self.open(ttl_ms).ttl_ms, ttl_ms)
        for ttl_ms in (1, TTL_MS_MIN - 1, TTL_MS_MAX + 1, 2**64 - 1):
            details = self.assert_fails(
                grpc.StatusCode.INVALID_ARGUMENT, lambda: open_session(self.client, ttl_ms)
            )
            self.assertIn(str(ttl_ms), details)

    def test_a_session_is_its_subjects_alone(self):
        session = self.open().session
        with self.node.client("nobody-client") as nobody:
            for call in (
                lambda: keep_alive(nobody, session),
                lambda: close_session(nobody, session),
            ):
                details = self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION, call)
                self.assertEqual(details, gone(session))
            # It may open one: that needs only a certificate.
            other = open_session(nobody).session
            self.assertEqual(keep_alive(nobody, other).ttl_ms, TTL_MS_DEFAULT)
        self.assert_gone(self.client, other, self.key("nobody"))
        put(self.client, self.key(), context=context(session, 1))

    def test_one_that_is_closed_or_never_was_is_unknown(self):
        session = open_session(self.client).session
        put(self.client, self.key("before"), context=context(session, 1))
        close_session(self.client, session)
        self.assert_gone(self.client, session, self.key())
        self.assert_gone(self.client, 1 << 60, self.key())

    def test_a_sequence_without_a_session_is_refused(self):
        details = self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: put(self.client, self.key(), context=context(0, 1)),
        )
        self.assertEqual(details, gone(0))
        self.assert_fails(grpc.StatusCode.NOT_FOUND, lambda: get(self.client, self.key()))


class ExpiryTest(SessionTestCase):
    def setUp(self):
        self.node = harness.Node().start()
        self.addCleanup(self.node.kill)
        self.client = self.node.client()
        self.addCleanup(self.client.channel.close)

    def test_a_session_without_a_sign_of_life_expires(self):
        opened = time.monotonic()
        session = open_session(self.client, TTL_MS_MIN).session
        self.wait_until_gone(self.client, session)
        self.assertGreaterEqual(time.monotonic() - opened, TTL_MS_MIN / 1000)

    # Goal: either sign of life is enough, for much longer than the session would have had.
    def test_one_that_is_kept_alive_does_not_expire(self):
        ttl_ms = 3000
        writes = open_session(self.client, ttl_ms).session
        kept = open_session(self.client, ttl_ms).session
        end = time.monotonic() + 3 * ttl_ms / 1000
        sequence = 0
        while time.monotonic() < end:
            sequence += 1
            put(self.client, "k", context=context(writes, sequence, sequence))
            self.assertEqual(keep_alive(self.client, kept).ttl_ms, ttl_ms)
        self.assertEqual(self.node.metrics().sum("mokv_sessions"), 2)
        self.wait_until_gone(self.client, kept)
        self.assert_gone(self.client, writes, "other")

    def test_a_session_and_its_answers_survive_kill_9(self):
        session = open_session(self.client).session
        first = put(self.client, "k", b"1", context=context(session, 1))
        put(self.client, "k", b"2")
        self.node.kill()
        self.client.channel.close()
        self.node.start()
        with self.node.client() as client:
            self.assertEqual(put(client, "k", b"1", context=context(session, 1)), first)
            self.assertEqual(get(client, "k").value, b"2")


class ClusterTest(SessionTestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def write_until_answered(self, nodes, request):
        """Through one node after the other, as a client with a session may. Returns the answer."""
        deadline = time.monotonic() + harness.CALL_SECONDS_MAX + cluster.ELECTION_SECONDS_MAX
        while True:
            node = self.random.choice(nodes.nodes)
            try:
                return node.admin_client().set(request, timeout=ATTEMPT_SECONDS)
            except grpc.RpcError as error:
                self.assertIn(
                    error.code(),
                    (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED),
                    error.details(),
                )
                self.assertLess(time.monotonic(), deadline, "the write was never answered")

    # Goal:   a write happens once, whichever nodes it is sent to and whoever leads.
    # Method: every write is sent once more through each node, before and after the leader is killed
    #         with -9. The key's version counts what was applied.
    def test_a_write_through_every_node_and_over_a_fail_over_happens_once(self):
        with Cluster(3) as nodes:
            leader = nodes.wait_for_leader()
            session = open_session(nodes.followers(leader)[0].admin_client()).session
            requests = [
                kv_pb2.SetRequest(key=f"k{i}", value=b"v", context=context(session, i + 1))
                for i in range(10)
            ]
            first = [self.write_until_answered(nodes, request) for request in requests]
            self.repeat(nodes.nodes, requests, first)
            leader.kill()
            nodes.wait_for_leader()
            self.repeat(nodes.running, requests, first)
            leader.launch().wait_until_ready()
            self.repeat(nodes.nodes, requests, first)
            items = nodes.check_equal()
            self.assertEqual({item.version for item in items.values()}, {1})

    def repeat(self, nodes, requests, first):
        for node in nodes:
            for request, answer in zip(requests, first):
                again = node.admin_client().set(request, timeout=CALL_SECONDS_MAX)
                self.assertEqual(again, answer, node.name)

    # Goal:   a client that sends each write until it has an answer has written each once.
    # Method: clients with a session each write on while the leader is killed with -9, three times.
    def test_writes_that_are_sent_until_answered_happen_once(self):
        with Cluster(3) as nodes, concurrent.futures.ThreadPoolExecutor() as pool:
            over = threading.Event()
            clients = [pool.submit(self.write_on, nodes, i, over) for i in range(4)]
            try:
                for _ in range(3):
                    leader = nodes.wait_for_leader()
                    time.sleep(0.5)  # Some writes are done, and some on their way.
                    leader.kill()
                    nodes.wait_for_leader()
                    leader.launch().wait_until_ready()
            finally:
                over.set()
            items = nodes.check_equal()
            for i, client in enumerate(clients):
                self.assertEqual(items[f"client-{i}"].version, client.result())
                self.assertEqual(items[f"client-{i}"].value, b"%d" % client.result())

    def write_on(self, nodes, i, over):
        """Returns how many writes were answered."""
        session = open_session(nodes.wait_for_leader().admin_client()).session
        sequence = 0
        revision = 0
        while not over.is_set():
            sequence += 1
            answer = self.write_until_answered(
                nodes,
                kv_pb2.SetRequest(
                    key=f"client-{i}",
                    value=b"%d" % sequence,
                    context=context(session, sequence, sequence),
                ),
            )
            self.assertGreater(answer.revision, revision)
            revision = answer.revision
        return sequence

    # Goal: what was left of a session is neither renewed nor shortened by a change of leaders, and
    #       keep-alives go on over it.
    def test_a_session_lives_and_expires_over_a_fail_over(self):
        ttl_ms = 4000
        with Cluster(3) as nodes:
            leader = nodes.wait_for_leader()
            self.node = nodes.followers(leader)[0]
            client = self.node.admin_client()
            kept = open_session(client, ttl_ms).session
            open_session(client, ttl_ms)
            leader.kill()
            nodes.wait_for_leader()
            wait_for(
                lambda: keep_alive(client, kept) and self.sessions_of(nodes.running) == {1},
                "the other session to expire on all nodes",
                EXPIRY_SECONDS_MAX,
            )
            self.assertEqual(keep_alive(client, kept).ttl_ms, ttl_ms)
            self.wait_until_gone(client, kept)

    def sessions_of(self, nodes):
        return {node.metrics().sum("mokv_sessions") for node in nodes}


if __name__ == "__main__":
    cluster.main()
