"""What comes to the protocol between nodes besides nodes: clients' certificates, garbage, sizes out of
bounds, silence. It is closed and counted, and neither leader nor connections of the cluster change."""

import socket
import ssl
import struct
import unittest
import warnings

import cluster
import harness
from cluster import Cluster, mokvctl, random_for
from harness import wait_for

ALPN = "mokv-raft/1"
MAGIC = b"MOKVRAFT1\n"
# Far above every time limit of a connection that has not proved itself.
CLOSED_SECONDS_MAX = 30
SILENT_CONNECTIONS = 150  # More than are waited for at once.


def tls_to(node, certificate, alpn=ALPN, certs=None):
    """A socket after the handshake, as far as the client knows."""
    certs = certs or node.certs
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if alpn is not None:
        context.set_alpn_protocols([alpn])
    if certificate is not None:
        key = certs.path(f"{certificate}-key.pem")
        context.load_cert_chain(certs.path(f"{certificate}.pem"), key)
    raw = socket.create_connection(("127.0.0.1", node.rpc_port), timeout=CLOSED_SECONDS_MAX)
    try:
        return context.wrap_socket(raw)
    except BaseException:
        raw.close()
        raise


def read_to_end(connection):
    """All that the node says until it closes; the reader's time limit is the test's."""
    said = b""
    try:
        while chunk := connection.recv(65536):
            said += chunk
    except (ConnectionError, ssl.SSLError):
        pass
    return said


class HostileTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        warnings.simplefilter("ignore", DeprecationWarning)
        cls.random = random_for("hostile")
        cls.nodes = Cluster(3)
        cls.addClassCleanup(cls.nodes.close)
        cls.nodes.start()

    def setUp(self):
        self.leader = self.nodes.wait_for_leader()
        self.term = self.leader.status().term
        wait_for(
            lambda: all(n.metrics().sum("mokv_peer_connections") == 4 for n in self.nodes.nodes),
            "two connections with each other node",
        )
        self.addCleanup(self.check_undisturbed)

    def check_undisturbed(self):
        self.assertIs(self.nodes.wait_for_leader(), self.leader)
        self.assertEqual(self.leader.status().term, self.term)
        for node in self.nodes.nodes:
            self.assertEqual(node.metrics().sum("mokv_peer_connections"), 4)
            with node.client() as client:
                harness.put(client, "still")

    def refused(self, node, reason):
        return node.metrics().sum("mokv_peer_connections_refused_total", reason=reason) or 0

    def malformed(self, node):
        return node.metrics().sum("mokv_peer_frames_malformed_total")

    def assert_closed(self, node, certificate, sent):
        with tls_to(node, certificate) as connection:
            self.assertEqual(connection.selected_alpn_protocol(), ALPN)
            connection.sendall(sent)
            return read_to_end(connection)

    # Goal:   who has a client's certificate may not speak for a node.
    # Method: a node that has nothing else tries; it says all that a node says.
    def test_client_certificate_may_not_speak(self):
        for name in ("root-client", "nobody-client"):
            path = self.nodes.nodes[0].certs.path
            with cluster.Member(
                "intruder",
                bootstrap=True,
                peer_tls_cert_file=path(f"{name}.pem"),
                peer_tls_key_file=path(f"{name}-key.pem"),
            ) as intruder:
                for node in self.nodes.nodes:
                    before = self.refused(node, "certificate")
                    answer = mokvctl([intruder], "member", "add", node.name, node.address)
                    self.assertEqual(answer.status, 1, answer)
                    subject = name.removesuffix("-client")
                    self.assertIn(f"certificate of {subject} may not speak", answer.error)
                    self.assertEqual(self.refused(node, "certificate"), before + 1)
                # Nor does anybody take it in.
                answer = self.nodes.ctl("member", "add", "intruder", intruder.address)
                self.assertEqual(answer.status, 1, answer)
                intruder.close()

    # Goal:   without a certificate of the cluster's CA there is nothing to speak to.
    def test_strangers_are_refused_by_tls(self):
        others = harness.make_certificates()
        for node in self.nodes.nodes:
            for certificate, certs in ((None, None), ("peer", others)):
                try:
                    with tls_to(node, certificate, certs=certs) as connection:
                        connection.sendall(MAGIC)
                        self.assertEqual(read_to_end(connection), b"")
                except (ConnectionError, ssl.SSLError):
                    pass

    # Goal:   the protocol is agreed on in the handshake; nothing else leads to it.
    def test_magic_without_alpn_is_no_peer(self):
        for node in self.nodes.nodes:
            for alpn in (None, "h2"):
                with tls_to(node, "peer", alpn) as connection:
                    connection.sendall(MAGIC + bytes(100))
                    self.assertNotIn(MAGIC, read_to_end(connection))

    def test_garbage_closes_its_connection_alone(self):
        cases = {
            "not ours": b"GET / HTTP/1.1\r\n\r\n",
            "almost ours": MAGIC[:-1] + b"X" + bytes(24),
            "another version": b"MOKVRAFT2\n" + bytes(24),
            "a checksum that does not fit": MAGIC + struct.pack("<IIQQ", 4, 0, 1, 0) + b"abcd",
            "garbage": MAGIC + self.random.randbytes(5000),
        }
        for certificate in ("peer", "root-client"):
            for what, sent in cases.items():
                with self.subTest(what, certificate=certificate):
                    node = self.random.choice(self.nodes.nodes)
                    before = self.malformed(node)
                    self.assert_closed(node, certificate, sent)
                    self.assertEqual(self.malformed(node), before + 1)

    # Goal:   an announced size is judged before anything of it is waited for or kept.
    def test_sizes_out_of_bounds(self):
        for message, attachment in ((0xFFFFFFFF, 0), (1 << 21, 0), (4, 0xFFFFFFFF), (4, 1 << 27)):
            with self.subTest(message=message, attachment=attachment):
                node = self.random.choice(self.nodes.nodes)
                before = self.malformed(node)
                sent = MAGIC + struct.pack("<IIQQ", message, attachment, 0, 0)
                self.assert_closed(node, "peer", sent)
                self.assertEqual(self.malformed(node), before + 1)

    # Goal:   who says nothing is not waited for long, however many they are, and takes no place from
    #         nodes that come back.
    def test_silence(self):
        node = self.random.choice(self.nodes.nodes)
        silent = [tls_to(node, "peer") for _ in range(SILENT_CONNECTIONS)]
        halves = [tls_to(node, "peer") for _ in range(5)]
        for half in halves:
            half.sendall(MAGIC + bytes(10))
        for connection in silent + halves:
            read_to_end(connection)
            connection.close()
        other = next(n for n in self.nodes.nodes if n not in (node, self.leader))
        self.assertEqual(other.stop(), 0)
        other.launch().wait_until_ready()
        wait_for(
            lambda: node.metrics().sum("mokv_peer_connections") == 4, "the other to be connected"
        )
        self.assertEqual(self.nodes.wait_for_leader(), self.leader)


class ClearTest(unittest.TestCase):
    # Goal:   the same without TLS, where first bytes tell the protocols apart.
    def test_garbage_in_clear(self):
        with Cluster(3, tls=False) as nodes:
            leader = nodes.wait_for_leader()
            term = leader.status().term
            for node in nodes.nodes:
                before = node.metrics().sum("mokv_peer_frames_malformed_total")
                for sent in (MAGIC + bytes(100), MAGIC + b"\xff" * 24, MAGIC * 5):
                    address = ("127.0.0.1", node.rpc_port)
                    with socket.create_connection(address, timeout=CLOSED_SECONDS_MAX) as raw:
                        raw.sendall(sent)
                        read_to_end(raw)
                after = node.metrics().sum("mokv_peer_frames_malformed_total")
                self.assertEqual(after, before + 3)
                with node.client() as client:
                    harness.put(client, "k")
            self.assertEqual((leader.status().role, leader.status().term), ("leader", term))


if __name__ == "__main__":
    cluster.main()
