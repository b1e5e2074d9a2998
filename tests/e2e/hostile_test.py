"""What comes to an open port besides clients: garbage, half a handshake, other protocols, port
scans. It is closed and counted, and a client that works goes on working."""

import os
import random
import socket
import ssl
import struct
import threading
import unittest

import grpc

import harness
from harness import kv_pb2
from http2_peer import (
    CONTINUATION, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, frame,
)  # fmt: skip

# Longer than any time limit of the server for a connection that has not proved itself.
CLOSED_SECONDS_MAX = 30
SCANS = 200


def literal(name, value):
    """A header field as HPACK has it without index and without Huffman's code."""

    def text(data):
        if len(data) < 127:
            return bytes([len(data)]) + data
        rest, out = len(data) - 127, [127]
        while rest >= 128:
            out.append(rest % 128 + 128)
            rest //= 128
        return bytes([*out, rest]) + data

    return b"\x00" + text(name) + text(value)


def call_headers(*more):
    fields = [
        (b":method", b"POST"),
        (b":scheme", b"https"),
        (b":path", b"/api.KV/Get"),
        (b":authority", b"localhost"),
        (b"te", b"trailers"),
        (b"content-type", b"application/grpc"),
        *more,
    ]
    return b"".join(literal(name, value) for name, value in fields)


class GoodClient(threading.Thread):
    """Calls without end, and remembers what failed."""

    def __init__(self, node):
        super().__init__(name="good-client")
        self.client = node.client()
        self.stopping = threading.Event()
        self.calls = 0
        self.failures = []

    def run(self):
        while not self.stopping.is_set():
            try:
                key = f"good/{self.calls % 50}"
                value = b"%d" % self.calls
                self.client.set(kv_pb2.SetRequest(key=key, value=value), timeout=10)
                if self.client.get(kv_pb2.GetRequest(key=key), timeout=10).value != value:
                    self.failures.append(f"{key} is not {value}")
                self.calls += 1
            except grpc.RpcError as error:
                self.failures.append(f"{error.code()}: {error.details()}")

    def stop(self):
        self.stopping.set()
        self.join()
        self.client.channel.close()


class HostileTestCase:
    """For a node with TLS and one without."""

    tls = True

    @classmethod
    def setUpClass(cls):
        cls.seed = int(os.environ.get("MOKV_SEED", str(random.SystemRandom().randrange(1 << 32))))
        print(f"seed {cls.seed}", flush=True)
        cls.node = harness.Node(tls=cls.tls).start()
        cls.addClassCleanup(cls.node.kill)

    def setUp(self):
        self.random = random.Random(self.seed)
        self.good = GoodClient(self.node)
        self.good.start()
        harness.wait_for(lambda: self.good.calls > 0 or self.good.failures, "the first good call")
        self.before = self.node.metrics()

    def tearDown(self):
        calls = self.good.calls
        harness.wait_for(
            lambda: self.good.calls > calls or self.good.failures, "one more good call"
        )
        self.good.stop()
        self.assertEqual(self.good.failures, [])
        self.assertIsNone(self.node.process.poll(), "the node is gone")
        # Nothing stays open behind the hostile ones; the good client's own is closed by now, too.
        harness.wait_for(
            lambda: self.node.metrics().sum("mokv_rpc_connections") == 0,
            "all connections to be closed",
            CLOSED_SECONDS_MAX,
        )

    # -- Means.

    def connect(self):
        raw = socket.create_connection(("127.0.0.1", self.node.rpc_port), timeout=10)
        raw.settimeout(CLOSED_SECONDS_MAX)
        self.addCleanup(raw.close)
        return raw

    def connect_tls(self, alpn=("h2",)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if alpn:
            context.set_alpn_protocols(list(alpn))
        certs = self.node.certs
        context.load_cert_chain(certs.path("root-client.pem"), certs.path("root-client-key.pem"))
        secure = context.wrap_socket(self.connect())
        self.addCleanup(secure.close)
        return secure

    def connect_ready(self):
        """A connection on which HTTP/2 may begin."""
        return self.connect_tls() if self.tls else self.connect()

    def send(self, connection, data):
        try:
            connection.sendall(data)
        except OSError:
            pass  # It may have been closed already: that is what is hoped for.

    def hang_up(self, connection):
        """Says that nothing more will come, and leaves it to the server to close."""
        try:
            if isinstance(connection, ssl.SSLSocket):
                connection.unwrap()
            else:
                connection.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # Closed already.

    def assert_closed(self, connection):
        """By the server, within its time limits; what it says before does not matter."""
        received = b""
        try:
            while True:
                data = connection.recv(65536)
                if not data:
                    return received
                received += data
        except TimeoutError:
            self.fail(f"still open after {CLOSED_SECONDS_MAX} s; received {received[:100]!r}")
        except OSError:
            return received  # Reset, or a TLS alert.

    def assert_counted(self, at_least=1):
        name = "mokv_rpc_connections_refused_total"
        goal = self.before.sum(name) + at_least
        harness.wait_for(
            lambda: self.node.metrics().sum(name) >= goal,
            f"{at_least} more connections counted as refused",
        )

    # -- Before any protocol.

    def test_port_scan(self):
        for _ in range(SCANS):
            self.connect().close()
        self.assert_counted(SCANS)

    def test_scan_with_resets(self):
        for _ in range(SCANS):
            raw = self.connect()
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            raw.close()

    def test_garbage(self):
        for size in (1, 2, 5, 24, 100, 5000, 100_000):
            connection = self.connect()
            self.send(connection, self.random.randbytes(size))
            self.hang_up(connection)  # Too little to be judged may be waited on.
            self.assert_closed(connection)
        self.assert_counted(7)

    def test_http_1(self):
        connection = self.connect()
        self.send(connection, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        self.assert_closed(connection)
        self.assert_counted()

    def test_silence_is_not_waited_for_without_end(self):
        connections = [self.connect() for _ in range(20)]
        for connection in connections:
            self.assert_closed(connection)
        self.assert_counted(20)

    # -- HTTP/2 gone wrong.

    def test_garbage_after_the_preface(self):
        for _ in range(10):
            connection = self.connect_ready()
            self.send(connection, PREFACE + frame(SETTINGS) + self.random.randbytes(1000))
            # Random bytes can begin a long frame, which the server rightly waits for.
            self.hang_up(connection)
            self.assert_closed(connection)

    def test_frames_that_break_the_rules(self):
        for name, data in (
            ("frame over the size limit", b"\xff\xff\xff\x00\x00" + bytes(4)),
            ("headers on stream 0", frame(HEADERS, call_headers(), END_HEADERS)),
            ("headers on an even stream", frame(HEADERS, call_headers(), END_HEADERS, 2)),
            ("settings of odd size", frame(SETTINGS, b"12345")),
            ("ping of odd size", frame(PING, b"1234")),
            ("continuation of nothing", frame(CONTINUATION, b"", END_HEADERS, 1)),
            ("compression that is none", frame(HEADERS, b"\xff" * 50, END_HEADERS, 1)),
            ("reset of an idle stream", frame(RST_STREAM, b"\0\0\0\0", 0, 9)),
        ):
            with self.subTest(name):
                connection = self.connect_ready()
                self.send(connection, PREFACE + frame(SETTINGS) + data)
                self.assert_closed(connection)

    def test_headers_without_end(self):
        connection = self.connect_ready()
        self.send(connection, PREFACE + frame(SETTINGS))
        self.send(connection, frame(HEADERS, call_headers(), 0, 1))
        padding = literal(b"x-padding", b"x" * 8000)
        for _ in range(2000):  # 16 MB: far more than any limit on headers.
            self.send(connection, frame(CONTINUATION, padding, 0, 1))
        self.assert_closed(connection)

    def test_a_flood_is_counted_by_what_it_is(self):
        def floods(metrics):
            return metrics.sum("mokv_rpc_floods_total", kind="too_many_pings") or 0

        connection = self.connect_ready()
        self.send(connection, PREFACE + frame(SETTINGS) + 1000 * frame(PING, bytes(8)))
        self.assert_closed(connection)
        self.assertEqual(floods(self.node.metrics()), floods(self.before) + 1)

    def test_oversize_headers_fail_their_call_only(self):
        with self.node.client() as client:
            for size in (64_000, 1_000_000):
                with self.assertRaises(grpc.RpcError):
                    request = kv_pb2.GetRequest(key="good/0")
                    client.get(request, timeout=10, metadata=[("x-large", "x" * size)])
            harness.put(client, "after", b"v")

    def test_calls_that_are_no_grpc(self):
        """Each is answered or reset on its own stream; the connection lives on."""
        connection = self.connect_ready()
        self.send(connection, PREFACE + frame(SETTINGS))
        get = (b":method", b"GET"), (b":scheme", b"https"), (b":path", b"/"), (b":authority", b"a")
        stream = 1
        for block in (
            b"".join(literal(*field) for field in get),
            call_headers().replace(b"application/grpc", b"application/json"),
            call_headers((b"grpc-timeout", b"soon ")),
        ):
            end = END_HEADERS | END_STREAM
            self.send(connection, frame(HEADERS, block, end, stream))
            stream += 2
        self.send(connection, frame(PING, b"still ok"))
        received = b""
        while b"still ok" not in received:
            data = connection.recv(65536)
            self.assertTrue(data, "the connection was closed")
            received += data
        connection.close()


class TlsHostileTest(HostileTestCase, unittest.TestCase):
    def client_hello(self):
        context = ssl.create_default_context()
        outgoing = ssl.MemoryBIO()
        tls = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname="localhost")
        with self.assertRaises(ssl.SSLWantReadError):
            tls.do_handshake()
        return outgoing.read()

    def test_half_a_handshake(self):
        hello = self.client_hello()
        half = self.connect()
        self.send(half, hello[: len(hello) // 2])
        whole = self.connect()
        self.send(whole, hello)  # And no word after the server's answer.
        self.assert_closed(half)
        self.assert_closed(whole)
        self.assert_counted(2)

    def test_handshake_cut_off(self):
        hello = self.client_hello()
        for size in (1, 5, 20, len(hello) - 1, len(hello)):
            connection = self.connect()
            self.send(connection, hello[:size])
            connection.close()
        self.assert_counted(5)

    def test_damaged_hello(self):
        hello = bytearray(self.client_hello())
        for _ in range(30):
            damaged = bytearray(hello)
            damaged[self.random.randrange(5, len(damaged))] ^= 1 << self.random.randrange(8)
            connection = self.connect()
            self.send(connection, damaged)
            self.hang_up(connection)
            self.assert_closed(connection)

    def test_other_protocols_over_tls(self):
        for alpn in (("http/1.1",), ("unheard-of",), ()):
            with self.subTest(alpn=alpn):
                try:
                    connection = self.connect_tls(alpn)
                except OSError:
                    continue  # Refused in the handshake: right as well.
                self.send(connection, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                self.assert_closed(connection)
        self.assert_counted(3)

    def test_garbage_instead_of_the_preface(self):
        connection = self.connect_tls()
        self.send(connection, b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" + bytes(100))
        self.assert_closed(connection)


class ClearHostileTest(HostileTestCase, unittest.TestCase):
    tls = False


if __name__ == "__main__":
    unittest.main(verbosity=2)
