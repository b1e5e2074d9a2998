"""Whom a node serves and what it shows of itself: access, TLS, health, metrics, many clients."""

import socket
import ssl
import unittest
import warnings

import grpc
from google.protobuf import descriptor_pb2

import harness
from api import reflection_pb2
from cases import KvTestCase, SharedNodeTestCase
from harness import delete, get, health_pb2, kv_pb2, list_items, put

CONCURRENT_CALLS = 1000


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

    # Goal:  a stock client without our .proto files learns what the node serves, with both names of
    #        the service.
    def test_reflection_needs_the_certificate_only(self):
        with self.node.client("nobody-client") as nobody:
            for version in ("v1", "v1alpha"):
                talk = nobody.channel.stream_stream(
                    f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
                    reflection_pb2.ServerReflectionRequest.SerializeToString,
                    reflection_pb2.ServerReflectionResponse.FromString,
                )
                questions = [
                    reflection_pb2.ServerReflectionRequest(list_services="*"),
                    reflection_pb2.ServerReflectionRequest(file_containing_symbol="api.KV.Set"),
                    reflection_pb2.ServerReflectionRequest(file_by_filename="machine/command.proto"),
                ]
                answers = list(talk(iter(questions), timeout=harness.CALL_SECONDS_MAX))
                services = {one.name for one in answers[0].list_services_response.service}
                self.assertLessEqual({"api.KV", "api.Cluster", "api.Session",
                                      "grpc.health.v1.Health",
                                      f"grpc.reflection.{version}.ServerReflection"}, services)
                files = [descriptor_pb2.FileDescriptorProto.FromString(one).name
                         for one in answers[1].file_descriptor_response.file_descriptor_proto]
                self.assertEqual(files, ["api/kv.proto", "google/protobuf/empty.proto"])
                self.assertEqual(answers[2].error_response.error_code, 5)

    # Goal:  List shows what the subject may consume and nothing else.
    def test_list_is_filtered(self):
        policy = harness.scratch_directory("policy") / "policy.csv"
        policy.write_text(
            "p, root, *, produce, allow\np, nobody, open/*, consume, allow\n"
            "p, nobody, one, consume, allow\n"
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


class ClearTextTest(SharedNodeTestCase):
    settings = {"tls": False}

    def test_insecure_node_serves_everybody(self):
        put(self.client, self.key(), b"v")
        self.assertEqual(get(self.client, self.key()).value, b"v")
        self.assertEqual(len(list_items(self.client, self.prefix)), 1)


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
        for part in ("fsync", "key", "bytes", "connections", "snapshot"):
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


if __name__ == "__main__":
    unittest.main(verbosity=2)
