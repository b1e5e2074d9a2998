"""The gRPC service as docs/reference.md promises it, over mutual TLS, with a stock gRPC client."""

import re
import socket
import ssl
import subprocess
import unittest
import warnings

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

import harness
from harness import delete, empty_pb2, get, health_pb2, kv_pb2, list_items, put

KEY_BYTES_MAX = 4096
VALUE_BYTES_MAX = 1 << 20
LARGE_LIST_ITEMS = 100_000
CONCURRENT_CALLS = 1000

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


class KvTestCase(unittest.TestCase):
    def assert_fails(self, code, call):
        """Returns the status message."""
        with self.assertRaises(grpc.RpcError) as caught:
            call()
        self.assertEqual(caught.exception.code(), code, caught.exception.details())
        return caught.exception.details()


class SharedNodeTestCase(KvTestCase):
    """One node for all tests of a class; each test uses keys of its own."""

    settings = {}

    @classmethod
    def setUpClass(cls):
        cls.node = harness.Node(**cls.settings).start()
        cls.addClassCleanup(cls.node.kill)
        cls.client = cls.node.client()
        cls.addClassCleanup(cls.client.channel.close)

    def setUp(self):
        self.prefix = self.id().rsplit(".", 1)[1] + "/"

    def key(self, name="k"):
        return self.prefix + name


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


class AccessTest(SharedNodeTestCase):
    def test_nobody_may_do_nothing(self):
        put(self.client, self.key())
        with self.node.client("nobody-client") as nobody:
            for action, key, call in (
                ("consume", self.key(), lambda: get(nobody, self.key())),
                ("consume", "missing", lambda: get(nobody, "missing")),
                ("produce", self.key(), lambda: put(nobody, self.key())),
                ("produce", self.key(), lambda: delete(nobody, self.key())),
            ):
                details = self.assert_fails(grpc.StatusCode.PERMISSION_DENIED, call)
                self.assertEqual(details, f"nobody not permitted to {action} to {key}")
            details = self.assert_fails(
                grpc.StatusCode.PERMISSION_DENIED, lambda: list_items(nobody)
            )
            self.assertTrue(details.startswith("nobody not permitted to consume to "), details)
        self.assertEqual(get(self.client, self.key()).version, 1)

    def test_servers_and_health_need_the_certificate_only(self):
        with self.node.client("nobody-client") as nobody:
            timeout = harness.CALL_SECONDS_MAX
            self.assertEqual(len(nobody.get_servers(b"", timeout=timeout).servers), 1)
            answer = nobody.check(health_pb2.HealthCheckRequest(), timeout=timeout)
            self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)

    # Goal:  List shows what the subject may consume and nothing else.
    def test_list_is_filtered(self):
        policy = harness.scratch_directory("policy") / "policy.csv"
        policy.write_text(
            "p, root, *, produce\np, nobody, open/*, consume\np, nobody, one, consume\n"
        )
        with harness.Node(acl_policy_file=str(policy)) as node:
            with node.client() as root, node.client("nobody-client") as nobody:
                for key in ("closed/1", "one", "one-more", "open/1", "open/2", "zzz"):
                    put(root, key)
                self.assertEqual(
                    [item.key for item in list_items(nobody)], ["one", "open/1", "open/2"]
                )
                self.assertEqual(
                    [item.key for item in list_items(nobody, limit=2)], ["one", "open/1"]
                )
                self.assertEqual(list_items(nobody, "closed/"), [])
                self.assertEqual(get(nobody, "open/1").value, b"v")
                self.assert_fails(
                    grpc.StatusCode.PERMISSION_DENIED, lambda: get(nobody, "one-more")
                )


class TlsTest(SharedNodeTestCase):
    def handshake(self, certs, name):
        """What the server says to the first bytes over TLS of a client with this certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        if name is not None:
            context.load_cert_chain(certs.path(f"{name}.pem"), certs.path(f"{name}-key.pem"))
        address = ("127.0.0.1", self.node.rpc_port)
        with socket.create_connection(address, timeout=20) as raw:
            with context.wrap_socket(raw) as secure:
                # In TLS 1.3 a client's part of the handshake is over before it is judged.
                secure.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9))
                return secure.recv(1024)

    def test_known_client_is_served(self):
        self.assertNotEqual(self.handshake(self.node.certs, "root-client"), b"")

    def test_no_certificate_is_refused(self):
        with self.assertRaisesRegex(ssl.SSLError, "CERTIFICATE_REQUIRED|HANDSHAKE_FAILURE"):
            self.handshake(self.node.certs, None)
        with self.node.client(None) as client:
            self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: get(client, self.key()))

    def test_certificate_of_another_ca_is_refused(self):
        others = harness.make_certificates()
        with self.assertRaisesRegex(ssl.SSLError, "UNKNOWN_CA|BAD_CERTIFICATE|DECRYPT_ERROR"):
            self.handshake(others, "root-client")

    def test_client_of_another_ca_refuses_the_server(self):
        others = harness.make_certificates()
        channel = grpc.secure_channel(self.node.address, others.credentials("root-client"))
        with harness.Client(channel) as client:
            self.assert_fails(grpc.StatusCode.UNAVAILABLE, lambda: get(client, self.key()))

    def test_old_tls_is_refused(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # That is the point.
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        context.set_ciphers("ALL:@SECLEVEL=0")
        with socket.create_connection(("127.0.0.1", self.node.rpc_port), timeout=20) as raw:
            with self.assertRaisesRegex(ssl.SSLError, "ALERT_PROTOCOL_VERSION"):
                context.wrap_socket(raw)


class HealthTest(KvTestCase):
    def test_check(self):
        with harness.Node() as node, node.client() as client:
            for service in ("", "api.KV"):
                request = health_pb2.HealthCheckRequest(service=service)
                answer = client.check(request, timeout=harness.CALL_SECONDS_MAX)
                self.assertEqual(answer.status, health_pb2.HealthCheckResponse.SERVING)
            request = health_pb2.HealthCheckRequest(service="api.Nothing")
            self.assert_fails(
                grpc.StatusCode.NOT_FOUND,
                lambda: client.check(request, timeout=harness.CALL_SECONDS_MAX),
            )

    # Goal:  a client that watches hears of a stop before the connection goes away.
    def test_watch_hears_of_a_stop(self):
        states = health_pb2.HealthCheckResponse
        with harness.Node() as node, node.client() as client:
            unknown = client.watch(health_pb2.HealthCheckRequest(service="api.Nothing"))
            self.assertEqual(next(unknown).status, states.SERVICE_UNKNOWN)
            unknown.cancel()
            watch = client.watch(health_pb2.HealthCheckRequest(service="api.KV"))
            self.assertEqual(next(watch).status, states.SERVING)
            self.assertEqual(node.stop(), 0)
            seen = []
            with self.assertRaises((grpc.RpcError, StopIteration)):
                while True:
                    seen.append(next(watch).status)
            self.assertEqual(seen, [states.NOT_SERVING])


class HttpTest(SharedNodeTestCase):
    def test_metrics_move(self):
        labels = {"method": "/api.KV/Get", "code": "OK"}
        before = self.node.metrics()
        put(self.client, self.key(), b"v")
        for _ in range(7):
            get(self.client, self.key())
        self.assert_fails(
            grpc.StatusCode.NOT_FOUND, lambda: get(self.client, self.key("missing"))
        )
        after = self.node.metrics()
        calls = "mokv_rpc_calls_total"
        self.assertEqual(after.sum(calls, **labels) - (before.sum(calls, **labels) or 0), 7)
        self.assertGreaterEqual(after.sum(calls, method="/api.KV/Get", code="NOT_FOUND"), 1)
        self.assertGreaterEqual(
            after.sum("mokv_rpc_call_duration_seconds_count", method="/api.KV/Get"), 8
        )
        self.assertGreater(after.sum("process_resident_memory_bytes"), 0)
        self.assertGreater(after.sum("process_open_fds"), 0)

    def test_metrics_cover_the_node(self):
        names = self.node.metrics().names()
        for part in ("fsync", "key", "bytes", "connections"):
            matching = [n for n in names if n.startswith("mokv_") and part in n]
            self.assertTrue(matching, f"no metric about {part} in {sorted(names)}")
        ours = {n for n in names if not n.startswith(("mokv_", "process_"))}
        self.assertEqual(ours, set())

    def test_health(self):
        self.assertEqual(self.node.http("/livez")[0], 200)
        self.assertEqual(self.node.http("/readyz")[0], 200)
        status, body = self.node.http("/readyz?verbose")
        self.assertEqual(status, 200)
        self.assertRegex(body, r"(?m)^\[\+\]\S+ ok$")
        self.assertEqual(self.node.http("/readyz", method="HEAD"), (200, ""))
        self.assertEqual(self.node.http("/metrics", method="POST")[0], 405)
        self.assertEqual(self.node.http("/nothing")[0], 404)


class LoadTest(SharedNodeTestCase):
    def test_many_calls_at_the_same_time(self):
        requests = [
            kv_pb2.SetRequest(key=self.key(f"{i:04}"), value=b"%d" % i)
            for i in range(CONCURRENT_CALLS)
        ]
        calls = [self.client.set.future(r, timeout=harness.CALL_SECONDS_MAX) for r in requests]
        revisions = {call.result().revision for call in calls}
        self.assertEqual(len(revisions), CONCURRENT_CALLS, "each write has a revision of its own")
        reads = [
            self.client.get.future(kv_pb2.GetRequest(key=r.key), timeout=harness.CALL_SECONDS_MAX)
            for r in requests
        ]
        for request, read in zip(requests, reads):
            self.assertEqual(read.result().value, request.value)

    def test_many_connections(self):
        clients = [self.node.client() for _ in range(50)]
        try:
            calls = [
                client.set.future(
                    kv_pb2.SetRequest(key=self.key(f"{i}")), timeout=harness.CALL_SECONDS_MAX
                )
                for i, client in enumerate(clients)
            ]
            for call in calls:
                self.assertTrue(call.result().ok)
        finally:
            for client in clients:
                client.channel.close()


class ClearTextTest(SharedNodeTestCase):
    settings = {"tls": False}

    def test_insecure_node_serves_everybody(self):
        put(self.client, self.key(), b"v")
        self.assertEqual(get(self.client, self.key()).value, b"v")
        self.assertEqual(len(list_items(self.client, self.prefix)), 1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
