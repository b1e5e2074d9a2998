"""The items of the gRPC service as docs/reference.md promises them, with a stock gRPC client."""

import re
import subprocess
import unittest

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import harness
from cases import KvTestCase, SharedNodeTestCase
from harness import delete, empty_pb2, get, kv_pb2, list_items, put

KEY_BYTES_MAX = 4096
VALUE_BYTES_MAX = 1 << 20
LARGE_LIST_ITEMS = 100_000

# What mokv's first version published; its clients must work for ever.
OLD_PROTO = """
syntax = "proto3";
package api;
import "google/protobuf/empty.proto";
service KV {
  rpc Get(GetRequest) returns (GetResponse) {}
  rpc Set(SetRequest) returns (SetResponse) {}
  rpc Delete(DeleteRequest) returns (DeleteResponse) {}
  rpc List(google.protobuf.Empty) returns (stream GetResponse) {}
  rpc GetServers(google.protobuf.Empty) returns (GetServersResponse) {}
}
message GetRequest { string key = 1; }
message GetResponse { string key = 1; bytes value = 2; }
message SetRequest { string key = 1; bytes value = 2; }
message SetResponse { bool ok = 1; }
message DeleteRequest { string key = 1; }
message DeleteResponse { bool ok = 1; }
message Server { string id = 1; string rpc_addr = 2; bool is_leader = 3; }
message GetServersResponse { repeated Server servers = 1; }
"""


def old_messages():
    """Message classes of the old proto, in a pool apart: their names are those of today's."""
    directory = harness.scratch_directory("old-api")
    (directory / "old.proto").write_text(OLD_PROTO)
    descriptors = directory / "old.bin"
    subprocess.run(
        ["protoc", f"--proto_path={directory}", "--include_imports",
         f"--descriptor_set_out={descriptors}", "old.proto"],
        check=True,
    )  # fmt: skip
    files = descriptor_pb2.FileDescriptorSet.FromString(descriptors.read_bytes())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    factory = message_factory.MessageFactory(pool)
    names = [m.name for file in files.file if file.package == "api" for m in file.message_type]
    return {name: factory.GetPrototype(pool.FindMessageTypeByName("api." + name)) for name in names}


def string_field(number, value):
    """A field of wire type 2, for requests that a generated class would refuse to build."""
    assert number < 16 and len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


class ItemsTest(SharedNodeTestCase):
    def test_get_returns_what_was_set(self):
        answer = put(self.client, self.key(), b"\x00\xff value")
        self.assertTrue(answer.ok)
        item = get(self.client, self.key())
        self.assertEqual((item.key, item.value), (self.key(), b"\x00\xff value"))

    def test_empty_value_is_a_value(self):
        put(self.client, self.key(), b"")
        self.assertEqual(get(self.client, self.key()).value, b"")

    def test_missing_key_is_not_found(self):
        details = self.assert_fails(
            grpc.StatusCode.NOT_FOUND, lambda: get(self.client, self.key("nöpe"))
        )
        self.assertEqual(details, f"no value for key: {self.key('nöpe')}")

    # Goal: a client need not read English to know that it may send a refused write again.
    def test_a_refused_write_says_that_it_was_not_done(self):
        put(self.client, self.key())
        requests = (
            (self.client.set, kv_pb2.SetRequest(key="")),
            (self.client.set, kv_pb2.SetRequest(key=self.key(), expected_revision=0)),
            (self.client.delete, kv_pb2.DeleteRequest(key="k" * (KEY_BYTES_MAX + 1))),
            (self.client.delete, b"\xff"),
        )
        with self.node.client("nobody-client") as nobody:
            for call, request in (*requests, (nobody.set, kv_pb2.SetRequest(key=self.key()))):
                with self.assertRaises(grpc.RpcError) as caught:
                    call(request)
                self.assertEqual(harness.fate_of(caught.exception), "not-done", caught.exception)
            with self.assertRaises(grpc.RpcError) as caught:
                nobody.get(kv_pb2.GetRequest(key=self.key()))
            self.assertIsNone(harness.fate_of(caught.exception), "a read has no fate")

    def test_delete_removes(self):
        put(self.client, self.key())
        answer = delete(self.client, self.key())
        self.assertEqual((answer.ok, answer.deleted), (True, 1))
        self.assert_fails(grpc.StatusCode.NOT_FOUND, lambda: get(self.client, self.key()))

    def test_delete_of_a_missing_key_is_ok(self):
        before = put(self.client, self.key("other")).revision
        answer = delete(self.client, self.key())
        self.assertEqual((answer.ok, answer.deleted), (True, 0))
        self.assertEqual(answer.revision, before, "nothing changed, so no new revision")

    def test_revisions_and_versions_count(self):
        first = put(self.client, self.key(), b"1").revision
        item = get(self.client, self.key())
        self.assertGreater(first, 0)
        self.assertEqual(
            (item.create_revision, item.mod_revision, item.version), (first, first, 1)
        )
        second = put(self.client, self.key(), b"2").revision
        self.assertEqual(second, first + 1)
        item = get(self.client, self.key())
        self.assertEqual(
            (item.create_revision, item.mod_revision, item.version), (first, second, 2)
        )
        removed = delete(self.client, self.key()).revision
        self.assertEqual(removed, second + 1)
        again = put(self.client, self.key(), b"3").revision
        item = get(self.client, self.key())
        self.assertEqual(
            (item.create_revision, item.mod_revision, item.version), (again, again, 1)
        )

    def test_same_value_is_a_new_revision(self):
        first = put(self.client, self.key(), b"v").revision
        self.assertEqual(put(self.client, self.key(), b"v").revision, first + 1)


class ConditionTest(SharedNodeTestCase):
    def test_set_only_if_missing(self):
        revision = put(self.client, self.key(), b"first", expected_revision=0).revision
        details = self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: put(self.client, self.key(), b"second", expected_revision=0),
        )
        self.assertIn(str(revision), re.findall(r"\d+", details))
        self.assertEqual(get(self.client, self.key()).value, b"first")

    def test_set_only_at_a_revision(self):
        first = put(self.client, self.key(), b"1").revision
        second = put(self.client, self.key(), b"2", expected_revision=first).revision
        details = self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: put(self.client, self.key(), b"3", expected_revision=first),
        )
        self.assertIn(str(second), re.findall(r"\d+", details))
        item = get(self.client, self.key())
        self.assertEqual((item.value, item.mod_revision), (b"2", second))

    def test_set_at_a_revision_of_a_missing_key(self):
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: put(self.client, self.key(), b"x", expected_revision=1),
        )
        self.assert_fails(grpc.StatusCode.NOT_FOUND, lambda: get(self.client, self.key()))

    def test_delete_only_at_a_revision(self):
        first = put(self.client, self.key(), b"1").revision
        second = put(self.client, self.key(), b"2").revision
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: delete(self.client, self.key(), expected_revision=first),
        )
        answer = delete(self.client, self.key(), expected_revision=second)
        self.assertEqual(answer.deleted, 1)

    def test_delete_only_if_missing(self):
        self.assertEqual(delete(self.client, self.key(), expected_revision=0).deleted, 0)
        put(self.client, self.key())
        self.assert_fails(
            grpc.StatusCode.FAILED_PRECONDITION,
            lambda: delete(self.client, self.key(), expected_revision=0),
        )

    def test_one_of_many_wins_a_race(self):
        requests = [
            kv_pb2.SetRequest(key=self.key(), value=b"%d" % i, expected_revision=0)
            for i in range(50)
        ]
        calls = [self.client.set.future(r, timeout=harness.CALL_SECONDS_MAX) for r in requests]
        codes = [call.code() for call in calls]
        self.assertEqual(codes.count(grpc.StatusCode.OK), 1)
        self.assertEqual(codes.count(grpc.StatusCode.FAILED_PRECONDITION), 49)
        winner = requests[codes.index(grpc.StatusCode.OK)]
        self.assertEqual(get(self.client, self.key()).value, winner.value)


class ConsistencyTest(SharedNodeTestCase):
    def test_stale_reads_answer(self):
        put(self.client, self.key(), b"v")
        item = get(self.client, self.key(), consistency=kv_pb2.STALE)
        self.assertEqual(item.value, b"v")
        items = list_items(self.client, self.prefix, consistency=kv_pb2.STALE)
        self.assertEqual([i.value for i in items], [b"v"])

    def test_reads_at_least_at_a_revision(self):
        revision = put(self.client, self.key(), b"v").revision
        for consistency in (kv_pb2.LINEARIZABLE, kv_pb2.STALE):
            fields = {"min_revision": revision, "consistency": consistency}
            self.assertEqual(get(self.client, self.key(), **fields).mod_revision, revision)
            self.assertEqual(len(list_items(self.client, self.prefix, **fields)), 1)

    # Goal:   a read waits for its revision and is answered once that has been applied.
    # Method: ask for the revision after next, then write twice.
    def test_read_waits_for_its_revision(self):
        revision = put(self.client, self.key(), b"old").revision
        request = kv_pb2.GetRequest(key=self.key(), min_revision=revision + 2)
        waiting = self.client.get.future(request, timeout=harness.CALL_SECONDS_MAX)
        put(self.client, self.key(), b"newer")
        put(self.client, self.key(), b"newest")
        self.assertEqual(waiting.result().value, b"newest")

    # The server answers a little before the deadline, so that the client learns why; on a busy
    # machine the client's own deadline may still come first.
    def test_read_of_a_revision_that_does_not_come_ends(self):
        revision = put(self.client, self.key()).revision
        request = kv_pb2.GetRequest(key=self.key(), min_revision=revision + 1000)
        with self.assertRaises(grpc.RpcError) as caught:
            self.client.get(request, timeout=1)
        if caught.exception.code() != grpc.StatusCode.DEADLINE_EXCEEDED:
            self.assertEqual(caught.exception.code(), grpc.StatusCode.UNAVAILABLE)
            numbers = re.findall(r"\d+", caught.exception.details())
            self.assertEqual(numbers, [str(revision + 1000), str(revision)])
        put(self.client, self.key())


class ListTest(SharedNodeTestCase):
    def test_order_is_that_of_bytes(self):
        names = ["é", "a", "Z", "a/b", "a!", "日本", "~", "a\x00", "aa", "\U0001f600", "\uffee"]
        for name in names:
            put(self.client, self.key(name), name.encode())
        items = list_items(self.client, self.prefix)
        expected = sorted((self.key(name) for name in names), key=lambda key: key.encode())
        self.assertEqual([item.key for item in items], expected)
        for item in items:
            self.assertEqual(self.prefix.encode() + item.value, item.key.encode())
            self.assertEqual(item.create_revision, item.mod_revision)
            self.assertEqual(item.version, 1)

    def test_prefix_and_limit(self):
        for name in ("a1", "a2", "a3", "b1"):
            put(self.client, self.key(name))
        names = lambda **fields: [  # noqa: E731
            item.key.removeprefix(self.prefix) for item in list_items(self.client, **fields)
        ]
        self.assertEqual(names(prefix=self.key("a")), ["a1", "a2", "a3"])
        self.assertEqual(names(prefix=self.key("a"), limit=2), ["a1", "a2"])
        self.assertEqual(names(prefix=self.key("a"), limit=3), ["a1", "a2", "a3"])
        self.assertEqual(names(prefix=self.key("a"), limit=100), ["a1", "a2", "a3"])
        self.assertEqual(names(prefix=self.key("b1")), ["b1"])
        self.assertEqual(names(prefix=self.key("c")), [])

    def test_empty_prefix_lists_everything(self):
        put(self.client, self.key())
        keys = [item.key for item in list_items(self.client)]
        self.assertIn(self.key(), keys)
        self.assertEqual(keys, sorted(keys, key=lambda key: key.encode()))

    def test_cancelled_list_harms_nobody(self):
        for i in range(100):
            put(self.client, self.key(f"{i}"), b"v" * 10_000)
        call = self.client.list(kv_pb2.ListRequest(prefix=self.prefix))
        next(call)
        call.cancel()
        self.assertEqual(len(list_items(self.client, self.prefix)), 100)


class LargeListTest(KvTestCase):
    # Goal:   a List is one view, whatever happens meanwhile, and a reader that stops reading keeps
    #         neither the writer nor other clients from working.
    # Method: 100,000 items; read one, overwrite and delete some, then read the rest.
    def test_slow_reader_sees_one_view(self):
        with harness.Node() as node, node.client() as client, node.client() as other:
            self.fill(client)
            call = client.list(kv_pb2.ListRequest(prefix="item/"))
            items = [next(call)]
            for i in range(0, LARGE_LIST_ITEMS, 500):
                put(other, f"item/{i:06}", b"new")
                delete(other, f"item/{i + 1:06}")
                put(other, f"item/{i:06}-between", b"new")
            self.assertEqual(get(other, "item/000000").value, b"new")
            items.extend(call)
            self.assertEqual(len(items), LARGE_LIST_ITEMS)
            for i, item in enumerate(items):
                if item.key != f"item/{i:06}" or item.value != b"old" * 33:
                    self.fail(f"item {i} is {item}")
            self.assertEqual(len(list_items(other, "item/")), LARGE_LIST_ITEMS)

    @staticmethod
    def fill(client):
        in_flight = []
        for i in range(LARGE_LIST_ITEMS):
            request = kv_pb2.SetRequest(key=f"item/{i:06}", value=b"old" * 33)
            in_flight.append(client.set.future(request, timeout=harness.CALL_SECONDS_MAX))
            if len(in_flight) == 500:
                for call in in_flight:
                    call.result()
                in_flight.clear()


class OldClientTest(SharedNodeTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.old = old_messages()
        kv = "/api.KV/"
        unary, old = cls.client.unary, cls.old
        cls.set = staticmethod(unary(kv + "Set", old["SetResponse"]))
        cls.get = staticmethod(unary(kv + "Get", old["GetResponse"]))
        cls.delete = staticmethod(unary(kv + "Delete", old["DeleteResponse"]))
        cls.list = staticmethod(cls.client.stream(kv + "List", old["GetResponse"]))
        cls.get_servers = staticmethod(unary(kv + "GetServers", old["GetServersResponse"]))

    def test_old_proto_works(self):
        timeout = harness.CALL_SECONDS_MAX
        self.assertTrue(self.set(self.old["SetRequest"](key="k", value=b"v"), timeout=timeout).ok)
        item = self.get(self.old["GetRequest"](key="k"), timeout=timeout)
        self.assertEqual((item.key, item.value), ("k", b"v"))
        items = list(self.list(empty_pb2.Empty(), timeout=timeout))
        self.assertEqual([(i.key, i.value) for i in items], [("k", b"v")])
        servers = self.get_servers(empty_pb2.Empty(), timeout=timeout).servers
        self.assertEqual(
            [(s.id, s.rpc_addr, s.is_leader) for s in servers],
            [("node-1", self.node.address, True)],
        )
        self.assertTrue(self.delete(self.old["DeleteRequest"](key="k"), timeout=timeout).ok)
        self.assert_fails(
            grpc.StatusCode.NOT_FOUND,
            lambda: self.get(self.old["GetRequest"](key="k"), timeout=timeout),
        )
        self.assertEqual(list(self.list(empty_pb2.Empty(), timeout=timeout)), [])


class ServersTest(SharedNodeTestCase):
    def test_one_server(self):
        put(self.client, self.key())
        request = empty_pb2.Empty()
        servers = self.client.get_servers(request, timeout=harness.CALL_SECONDS_MAX).servers
        self.assertEqual(len(servers), 1)
        self.assertEqual(servers[0].id, "node-1")
        self.assertEqual(servers[0].rpc_addr, self.node.address)
        self.assertTrue(servers[0].is_leader)
        self.assertFalse(servers[0].is_learner)
        self.assertGreater(servers[0].applied_index, 0)


class BadRequestTest(SharedNodeTestCase):
    def assert_invalid(self, word, call):
        details = self.assert_fails(grpc.StatusCode.INVALID_ARGUMENT, call)
        self.assertIn(word, details)

    def test_empty_key(self):
        self.assert_invalid("key", lambda: get(self.client, ""))
        self.assert_invalid("key", lambda: put(self.client, ""))
        self.assert_invalid("key", lambda: delete(self.client, ""))

    def test_long_key(self):
        long = self.prefix.ljust(KEY_BYTES_MAX, "k")
        put(self.client, long, b"v")
        self.assertEqual(get(self.client, long).value, b"v")
        self.assertEqual(delete(self.client, long).deleted, 1)
        self.assert_invalid("key", lambda: get(self.client, long + "k"))
        self.assert_invalid("key", lambda: put(self.client, long + "k"))
        self.assert_invalid("key", lambda: delete(self.client, long + "k"))

    def test_key_that_is_not_utf8(self):
        for bad in (b"\xff", b"a\xc3", b"\xed\xa0\x80", b"\xc0\xaf"):
            request = string_field(1, bad)
            timeout = harness.CALL_SECONDS_MAX
            self.assert_invalid("UTF-8", lambda: self.client.get(request, timeout=timeout))
            self.assert_invalid("UTF-8", lambda: self.client.set(request, timeout=timeout))
            self.assert_invalid("UTF-8", lambda: self.client.delete(request, timeout=timeout))

    def test_large_value(self):
        put(self.client, self.key(), b"v" * VALUE_BYTES_MAX)
        self.assertEqual(len(get(self.client, self.key()).value), VALUE_BYTES_MAX)
        self.assert_invalid(
            "value", lambda: put(self.client, self.key(), b"w" * (VALUE_BYTES_MAX + 1))
        )
        self.assertEqual(get(self.client, self.key()).value[:1], b"v")

    def test_message_over_the_transports_limit(self):
        self.assert_fails(
            grpc.StatusCode.RESOURCE_EXHAUSTED,
            lambda: put(self.client, self.key(), b"v" * (5 << 20)),
        )
        put(self.client, self.key())

    def test_message_that_does_not_parse(self):
        # A length beyond the end; a group that never ends; field number 0; a cut varint.
        for bad in (b"\x0a\x7fk", b"\x0b", b"\x00\x00", b"\x18\xff"):
            for method in (self.client.get, self.client.set, self.client.delete):
                self.assert_fails(
                    grpc.StatusCode.INVALID_ARGUMENT,
                    lambda: method(bad, timeout=harness.CALL_SECONDS_MAX),
                )
            self.assert_fails(
                grpc.StatusCode.INVALID_ARGUMENT,
                lambda: list(self.client.list(bad, timeout=harness.CALL_SECONDS_MAX)),
            )

    def test_fields_of_the_future_are_ignored(self):
        request = string_field(1, self.key().encode()) + string_field(15, b"?")
        self.client.set(request, timeout=harness.CALL_SECONDS_MAX)
        self.assertEqual(get(self.client, self.key()).version, 1)

    def test_unknown_methods(self):
        for path in ("/api.KV/Frobnicate", "/api.Nothing/Get", "/x", "/api.KV/get"):
            call = self.client.unary(path, kv_pb2.GetResponse)
            self.assert_fails(
                grpc.StatusCode.UNIMPLEMENTED,
                lambda: call(b"", timeout=harness.CALL_SECONDS_MAX),
            )


class SmallValuesTest(SharedNodeTestCase):
    settings = {"max_value_bytes": "1KiB"}

    def test_value_limit_is_configurable(self):
        put(self.client, self.key(), b"v" * 1024)
        details = self.assert_fails(
            grpc.StatusCode.INVALID_ARGUMENT, lambda: put(self.client, self.key(), b"v" * 1025)
        )
        self.assertIn("value", details)


if __name__ == "__main__":
    unittest.main(verbosity=2)
