"""`mokvctl rebuild`: the one way back for a member whose disk was damaged or lost. The node is filled by
the others, votes again, and never as who it was.

Environment: MOKV_SEED.
"""

import json
import pathlib
import shutil
import subprocess
import unittest

import cluster
import harness
from cluster import random_for
from cluster_snapshots_test import Background, Writes, flip_bytes, write_until_cut_beyond
from gossip import GossipCluster
from harness import MOKVCTL, wait_for

DONE, REFUSED, USAGE = 0, 1, 2


def mokvctl(*arguments):
    """Asks no node. Nothing of it may need an address or a certificate."""
    return subprocess.run([MOKVCTL, *arguments], env=harness.clean_environment("/nonexistent"),
                          capture_output=True, text=True, timeout=60)


def data_dir(node):
    return pathlib.Path(node.settings["data-dir"])


def damage_log(node):
    """In the middle of what was written: acknowledged entries are gone."""
    damaged = 0
    for segment in (data_dir(node) / "log").glob("*.seg"):
        written = len(segment.read_bytes().rstrip(b"\0"))
        if written > 10_000:  # The others were prepared, and have nothing yet.
            flip_bytes(segment, written // 2)
            damaged += 1
    assert damaged > 0


def wait_until_identity_is_whole(node):
    """A new member writes its identity twice; the second time, with its cluster's id, is when it already
    serves. Until then there may be an identity.tmp beside it."""
    wait_for(lambda: "cluster-id: \n" not in data_dir(node).joinpath("identity").read_text(),
             "the node to have kept its cluster's id", 60)


class RebuildTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def assert_done(self, answer):
        self.assertEqual(answer.returncode, DONE, answer.stdout + answer.stderr)
        self.assertEqual(answer.stderr, "")

    def assert_refused(self, answer, status, text):
        self.assertEqual(answer.returncode, status, answer.stdout + answer.stderr)
        self.assertIn(text, answer.stderr)
        self.assertEqual(answer.stdout, "")
        self.assertEqual(answer.stderr.count("\n"), 1)

    def instances(self, nodes):
        members = nodes.ctl("member", "list", "-o", "json").out.splitlines()
        return {row["name"]: row["instance_id"] for row in map(json.loads, members)}

    def refuse_start(self, node):
        """Starts it, which must end. Returns the one line that says why."""
        node.launch()
        self.assertEqual(node.wait_for_exit(), 1)
        (reason,) = [line for line in node.log().splitlines() if line.startswith("mokv: ")]
        return reason

    def come_back(self, nodes, node, background):
        """Of one that was rebuilt: starts it, and waits until it is a member as any other. Nobody does
        anything about it."""
        node.launch().wait_until_alive()
        wait_for(lambda: data_dir(node).joinpath("identity").read_text()
                 .startswith("mokv-identity: 1\n"), f"{node.name} to be a member", 60)
        nodes.wait_until_voters(3)
        node.wait_until_ready()
        background.wait_for_more(10)

    # Goal:   a member whose log is damaged comes back by the command that its own error names, while
    #         clients write, and has all that they were told is written.
    def test_damaged_log(self):
        with GossipCluster(3, snapshot_log_bytes="64KiB") as nodes:
            leader = nodes.wait_for_leader()
            victim = self.random.choice(nodes.followers(leader))
            others = [node for node in nodes.nodes if node is not victim]
            first, going_on = Writes("first"), Writes("going-on", keys=8)
            write_until_cut_beyond(leader, 1, first, cut=victim)
            before = self.instances(nodes)
            with Background(others, going_on, self.random) as background:
                background.wait_for_more(10)
                victim.kill()
                damage_log(victim)
                reason = self.refuse_start(victim)
                self.assertIn(f"mokvctl rebuild {data_dir(victim)}", reason)
                verified = mokvctl("verify", str(data_dir(victim)))
                self.assertEqual(verified.returncode, REFUSED, verified.stdout)
                answer = mokvctl("rebuild", str(data_dir(victim)))
                self.assert_done(answer)
                (aside,) = data_dir(victim).glob("replaced-*")
                self.assertIn(str(aside), answer.stdout)
                self.assertTrue((aside / "log").is_dir())
                # What is left in a configuration must not make a second cluster.
                victim.settings["bootstrap"] = True
                self.come_back(nodes, victim, background)
            self.assertIn("bootstrap is ignored", victim.log())
            after = self.instances(nodes)
            self.assertNotEqual(after[victim.name], before.pop(victim.name))
            self.assertLessEqual(before.items(), after.items())
            items = nodes.check_equal()
            first.check(self, items)
            going_on.check(self, items)
            # It is needed: without one of the others there is no majority but with it.
            nodes.wait_for_leader(among=others).kill()
            with nodes.wait_for_leader().client() as client:
                going_on.write(client, 100)
            going_on.check(self, nodes.check_equal())

    # Goal:   the same with a disk that is new. A start on it without the command harms nothing.
    def test_wiped_disk(self):
        with GossipCluster(3, snapshot_log_bytes="64KiB") as nodes:
            leader = nodes.wait_for_leader()
            victim = self.random.choice(nodes.followers(leader))
            others = [node for node in nodes.nodes if node is not victim]
            first, going_on = Writes("first"), Writes("going-on", keys=8)
            write_until_cut_beyond(leader, 1, first)
            with Background(others, going_on, self.random) as background:
                victim.kill()
                shutil.rmtree(data_dir(victim))
                victim.settings["bootstrap"] = False
                if self.random.randrange(2) == 0:
                    victim.launch().wait_until_alive()
                    wait_for(lambda: "mokvctl rebuild" in victim.http("/readyz?verbose")[1],
                             "the wiped node to say what to do", 60)
                    self.assertEqual(victim.stop(), 0)
                self.assert_done(
                    mokvctl("rebuild", str(data_dir(victim)), "--node-name", victim.name))
                self.come_back(nodes, victim, background)
            items = nodes.check_equal()
            first.check(self, items)
            going_on.check(self, items)

    # Goal:   a node whose state was found to differ is rebuilt by the same command.
    # Method: the marker that such a node leaves is put there (comparison_cluster_test.cc shows how it
    #         comes to be).
    def test_fenced_node(self):
        with GossipCluster(3) as nodes:
            leader = nodes.wait_for_leader()
            victim = self.random.choice(nodes.followers(leader))
            others = [node for node in nodes.nodes if node is not victim]
            going_on = Writes("going-on", keys=8)
            with Background(others, going_on, self.random) as background:
                background.wait_for_more(100)
                victim.kill()
                data_dir(victim).joinpath("fenced").write_text("its state differs")
                reason = self.refuse_start(victim)
                self.assertIn("its state differs", reason)
                self.assertIn(f"mokvctl rebuild {data_dir(victim)}", reason)
                self.assert_done(mokvctl("rebuild", str(data_dir(victim))))
                self.come_back(nodes, victim, background)
            going_on.check(self, nodes.check_equal())
            self.assertEqual(list(victim.status().conditions), [])

    # Goal:   whoever is still alive keeps its place: a copy of a directory that is rebuilt elsewhere
    #         takes nobody's.
    def test_one_that_is_alive_keeps_its_place(self):
        with GossipCluster(3) as nodes:
            leader = nodes.wait_for_leader()
            member = nodes.followers(leader)[0]
            before = self.instances(nodes)
            wait_until_identity_is_whole(member)
            copy = nodes.new_node(member.name)
            data_dir(copy).mkdir()
            shutil.copy(data_dir(member) / "identity", data_dir(copy))
            self.assert_done(mokvctl("rebuild", str(data_dir(copy))))
            self.addCleanup(copy.close)
            copy.launch().wait_until_alive()
            refused = nodes.ctl("member", "add", copy.name, copy.address, nodes=[leader])
            self.assertEqual(refused.status, REFUSED, refused)
            self.assertIn("is alive", refused.error)
            self.assertEqual(self.instances(nodes), before)
            self.assertEqual(copy.status().role, "none")

    # Goal: nothing but a stopped node's directory is touched.
    def test_what_is_refused(self):
        scratch = harness.scratch_directory("rebuild")
        empty, foreign = scratch / "empty", scratch / "foreign"
        empty.mkdir()
        (foreign / "log").mkdir(parents=True)
        (foreign / "letters.txt").write_text("of somebody else")
        self.assert_refused(mokvctl("rebuild", str(empty)), USAGE, "--node-name")
        self.assert_refused(mokvctl("rebuild", str(scratch / "missing")), USAGE, "--node-name")
        self.assert_refused(mokvctl("rebuild", str(empty), "--node-name", "a b"), USAGE, "node-name")
        self.assertEqual(list(empty.iterdir()), [])
        self.assert_refused(mokvctl("rebuild", str(foreign), "--node-name", "node-1"), REFUSED,
                            "is not a node's data-dir")
        self.assertEqual(sorted(path.name for path in foreign.iterdir()), ["letters.txt", "log"])
        file = foreign / "letters.txt"
        self.assert_refused(mokvctl("rebuild", str(file), "--node-name", "node-1"), REFUSED, str(file))
        self.assertEqual(mokvctl("rebuild").returncode, USAGE)
        node = harness.Node(tls=False).start()
        self.addCleanup(node.kill)
        wait_until_identity_is_whole(node)
        before = sorted(path.name for path in data_dir(node).iterdir())
        self.assert_refused(mokvctl("rebuild", str(data_dir(node))), REFUSED, "a node runs on")
        self.assertEqual(sorted(path.name for path in data_dir(node).iterdir()), before)
        node.kill()
        self.assert_refused(mokvctl("rebuild", str(data_dir(node)), "--node-name", "node-2"), REFUSED,
                            "belongs to node node-1, not to node-2")
        self.assertEqual(sorted(path.name for path in data_dir(node).iterdir()), before)
        answer = mokvctl("rebuild", str(data_dir(node)), "-o", "json")
        self.assert_done(answer)
        told = json.loads(answer.stdout)
        self.assertEqual(told["node_name"], "node-1")
        self.assertTrue(pathlib.Path(told["moved_to"], "identity").is_file())


if __name__ == "__main__":
    cluster.main()
