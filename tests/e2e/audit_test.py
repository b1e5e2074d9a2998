"""The audit log: who did what through a node, what a leader did for another node's clients, and that it
holds nobody up."""

import json
import pathlib
import signal
import unittest

import grpc

import cluster
import harness
import pki
from cases import KvTestCase
from cluster import Cluster
from harness import CALL_SECONDS_MAX, delete, get, list_items, put, wait_for
from reload_test import ROOT_RULES, replace

DENIED = grpc.StatusCode.PERMISSION_DENIED


def lines_of(path):
    path = pathlib.Path(path)
    text = path.read_text() if path.exists() else ""
    # The last one may just be written.
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


class AuditTest(KvTestCase):
    def setUp(self):
        self.path = harness.scratch_directory("audit") / "audit.log"

    def start(self, **settings):
        node = harness.Node(audit_log_file=str(self.path), **settings)
        self.addCleanup(node.kill)
        return node.start()

    def lines(self, count, path=None):
        return wait_for(
            lambda: len(found := lines_of(path or self.path)) >= count and found, f"{count} lines")

    def shown(self, lines):
        keys = ("subject", "method", "object", "action", "decision", "status")
        return [tuple(line[key] for key in keys) for line in lines]

    def test_writes_and_denials(self):
        node = self.start()
        with node.client() as root, node.client("nobody-client") as nobody:
            put(root, "k")
            get(root, "k")
            list_items(root)
            delete(root, "k")
            self.assert_fails(grpc.StatusCode.FAILED_PRECONDITION,
                              lambda: put(root, "k", expected_revision=7))
            self.assert_fails(DENIED, lambda: get(nobody, "k"))
            self.assert_fails(DENIED, lambda: put(nobody, "k"))
            self.assert_fails(DENIED, lambda: list_items(nobody, "k/"))
            lines = self.lines(6)
        self.assertEqual(self.shown(lines), [
            ("root", "/api.KV/Set", "k", "produce", "allow", "OK"),
            ("root", "/api.KV/Delete", "k", "produce", "allow", "OK"),
            ("root", "/api.KV/Set", "k", "produce", "allow", "FAILED_PRECONDITION"),
            ("nobody", "/api.KV/Get", "k", "consume", "deny", "PERMISSION_DENIED"),
            ("nobody", "/api.KV/Set", "k", "produce", "deny", "PERMISSION_DENIED"),
            ("nobody", "/api.KV/List", "k/*", "consume", "deny", "PERMISSION_DENIED"),
        ])
        self.assertEqual(lines[0]["rule"], "p, root, *, produce, allow")
        self.assertEqual(lines[0]["line"], 4)
        self.assertTrue(lines[0]["peer"].startswith("127.0.0.1:"), lines[0])
        self.assertRegex(lines[0]["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertNotIn("line", lines[3])
        self.assertNotIn("forwarded_by", lines[0])
        self.assertEqual(node.metrics().sum("mokv_audit_log_lines_total"), 6)
        self.assertEqual(node.metrics().sum("mokv_audit_log_dropped_total"), 0)

    def test_reads_too(self):
        node = self.start(audit="all")
        with node.client() as root:
            put(root, "k")
            get(root, "k")
            list_items(root, "k")
            lines = self.lines(3)
        self.assertEqual([line["method"] for line in lines],
                         ["/api.KV/Set", "/api.KV/Get", "/api.KV/List"])

    def test_all_is_there_after_a_stop(self):
        node = self.start()
        with node.client() as root:
            for i in range(200):
                put(root, f"k{i}")
        self.assertEqual(node.stop(), 0)
        self.assertEqual([line["object"] for line in lines_of(self.path)],
                         [f"k{i}" for i in range(200)])

    def test_is_rotated_on_sighup(self):
        node = self.start()
        moved = self.path.with_suffix(".moved")
        with node.client() as root:
            put(root, "before")
            self.lines(1)
            self.path.rename(moved)
            node.process.send_signal(signal.SIGHUP)
            wait_for(self.path.exists, "the new file")
            put(root, "after")
            self.assertEqual([line["object"] for line in self.lines(1)], ["after"])
        self.assertEqual([line["object"] for line in lines_of(moved)], ["before"])

    def test_is_rotated_by_size(self):
        node = self.start(audit_log_bytes="64KiB")
        with node.client() as root:
            for i in range(400):
                put(root, f"k{i}")
            wait_for(lambda: node.metrics().sum("mokv_audit_log_lines_total") == 400, "all lines")
        old = pathlib.Path(f"{self.path}.1")
        for file in (self.path, old):
            self.assertLessEqual(file.stat().st_size, 64 << 10)
        objects = [line["object"] for line in lines_of(old) + lines_of(self.path)]
        self.assertEqual(objects, [f"k{i}" for i in range(400)][-len(objects):])

    def test_a_file_that_cannot_be_opened_stops_the_start(self):
        node = harness.Node(audit_log_file="/nonexistent/audit.log")
        node.launch()
        self.assertEqual(node.wait_for_exit(), 1)
        self.assertIn("/nonexistent/audit.log", node.log())


class ForwardedTest(KvTestCase):
    """What comes in at a follower is asked about, and told, at the leader once more."""

    def setUp(self):
        self.certs = harness.make_certificates()
        pki.issue(self.certs, "alice", ["alice"])
        self.nodes = Cluster(3, certs=self.certs)
        self.addCleanup(self.nodes.close)
        for node in self.nodes.nodes:
            node.policy = harness.scratch_directory("policy") / "policy.csv"
            node.policy.write_text(ROOT_RULES + "p, alice, *, produce, allow\n")
            node.audit_log = node.directory / "audit.log"
            node.settings.update({"acl-policy-file": str(node.policy),
                                  "audit-log-file": str(node.audit_log)})
        self.nodes.start()
        self.leader = self.nodes.wait_for_leader()
        self.follower = self.nodes.followers(self.leader)[0]

    def lines(self, node, subject):
        return [line for line in lines_of(node.audit_log) if line["subject"] == subject]

    def test_both_nodes_tell(self):
        with self.follower.client("alice") as alice:
            put(alice, "k")
        here, = wait_for(lambda: self.lines(self.follower, "alice"), "a line at the follower")
        there, = wait_for(lambda: self.lines(self.leader, "alice"), "a line at the leader")
        self.assertTrue(here["peer"].startswith("127.0.0.1:"), here)
        self.assertNotIn("forwarded_by", here)
        self.assertEqual(there["forwarded_by"], self.follower.name)
        self.assertNotIn("peer", there)
        for line in (here, there):
            self.assertEqual((line["method"], line["object"], line["decision"], line["status"]),
                             ("/api.KV/Set", "k", "allow", "OK"))

    # Goal: a follower whose rules are older than the leader's lets nobody write any more.
    def test_leader_asks_again(self):
        replace(self.leader.policy, ROOT_RULES)
        wait_for(lambda: self.leader.metrics().sum("mokv_reloads_total", what="access rules",
                                                   result="ok") > 0, "the leader's new rules")
        with self.follower.client("alice") as alice:
            details = self.assert_fails(DENIED, lambda: put(alice, "k"))
        self.assertEqual(details, "alice not permitted to produce to k")
        there, = wait_for(lambda: self.lines(self.leader, "alice"), "a line at the leader")
        self.assertEqual((there["decision"], there["status"], there["forwarded_by"]),
                         ("deny", "PERMISSION_DENIED", self.follower.name))
        with self.nodes.nodes[0].client() as root:
            self.assert_fails(grpc.StatusCode.NOT_FOUND, lambda: get(root, "k"))

    def test_changes_of_the_cluster(self):
        third = next(node for node in self.nodes.followers(self.leader) if node is not self.follower)
        refused = self.nodes.ctl("member", "remove", third.name, nodes=[self.follower],
                                 certificate="alice")
        self.assertEqual(refused.status, 1, refused)
        done = self.nodes.ctl("leader", "transfer", third.name, nodes=[self.follower])
        self.assertEqual(done.status, 0, done)
        denied, = wait_for(lambda: self.lines(self.follower, "alice"), "a line of the denial")
        self.assertEqual((denied["method"], denied["object"], denied["decision"]),
                         ("/api.Cluster/MemberRemove", "cluster", "deny"))
        told = wait_for(lambda: [line for line in self.lines(self.leader, "root")
                                 if line["method"] == "/api.Cluster/TransferLeadership"],
                        "a line of the transfer at the leader")
        self.assertEqual(told[0]["forwarded_by"], self.follower.name)


if __name__ == "__main__":
    cluster.main()
