"""Our membership and HashiCorp's: one cluster, seen from both sides."""

import base64
import json
import os
import signal
import socket
import time
import unittest

import peers
from peers import Agent, Peer, wait_for


def new_key(size=32):
    return base64.b64encode(os.urandom(size)).decode()


class Case(unittest.TestCase):
    def setUp(self):
        self.processes = []

    def tearDown(self):
        for process in self.processes:
            process.close()

    def agent(self, name, *options, **more):
        self.processes.append(Agent(name, *options, **more))
        return self.processes[-1]

    def peer(self, name, *options):
        self.processes.append(Peer(name, *options))
        return self.processes[-1]


class JoinTest(Case):
    def check_joined(self, agent, peer):
        agent.wait_status(peer.name, "alive")
        peer.wait_status(agent.name, "alive")
        seen = agent.members()[peer.name]
        self.assertEqual(seen["tags"], {"role": "mokv", "instance": "i1"})
        self.assertEqual(seen["addr"], peer.address)
        self.assertEqual(seen["protocol"]["version"], 5)
        self.assertEqual(peer.members()[agent.name]["tags"], {"role": "web", "dc": "east"})

    def test_we_join_it(self):
        for options in ([], ["-disable-compression"]):
            with self.subTest(options=options):
                agent = self.agent("alpha", "-tag=role=web", "-tag=dc=east", *options)
                peer = self.peer("ours", "--tag", "role=mokv", "--tag", "instance=i1",
                                 "--join", agent.address)
                self.check_joined(agent, peer)
                wait_for(lambda: peer.events("joined"), "told of it")

    def test_it_joins_us(self):
        for options in ([], ["-disable-compression"]):
            with self.subTest(options=options):
                peer = self.peer("ours", "--tag", "role=mokv", "--tag", "instance=i1")
                agent = self.agent("alpha", "-tag=role=web", "-tag=dc=east",
                                   f"-join={peer.address}", *options)
                self.check_joined(agent, peer)

    def test_other_profiles_and_families(self):
        agent = self.agent("alpha", "-profile=local")
        peer = self.peer("ours", "--timing", "local", "--join", agent.address)
        agent.wait_status("ours", "alive")
        peer.wait_status("alpha", "alive")
        v6_peer = self.peer("ours6", "--bind", f"[::1]:{peers.free_port()}")
        v6_agent = self.agent("beta", bind=f"[::1]:{peers.free_port()}")
        v6_agent.serf("join", v6_peer.address)
        v6_agent.wait_status("ours6", "alive")
        v6_peer.wait_status("beta", "alive")
        # Not a moment later either: probes both ways work.
        def answered():
            stats = v6_peer.ask("stats", "stats")
            return stats["probes"] - stats["probes_failed"]

        before = answered()
        wait_for(lambda: answered() > before + 3, "probes")
        self.assertEqual(v6_agent.status("ours6"), "alive")

    def test_join_is_retried_until_one_answers(self):
        port = peers.free_port()
        peer = self.peer("ours", "--join", f"127.0.0.1:{port}")
        wait_for(lambda: "no node of the cluster answers yet" in peer.output(), "first attempts")
        other = self.peer("other", "--bind", f"127.0.0.1:{port}")
        wait_for(lambda: peer.events("joined"), "joined at last")
        other.wait_status("ours", "alive")

    def test_tags_change_on_both_sides(self):
        agent = self.agent("alpha", "-tag=role=web")
        peer = self.peer("ours", "--tag", "role=mokv", "--join", agent.address)
        agent.wait_status("ours", "alive")
        self.assertTrue(peer.ask("tags role=mokv version=2", "tags")["ok"])
        wait_for(lambda: agent.members()["ours"]["tags"] == {"role": "mokv", "version": "2"},
                 "new tags seen there")
        agent.serf("tags", "-set", "dc=west")
        wait_for(lambda: peer.members()["alpha"]["tags"] == {"role": "web", "dc": "west"},
                 "new tags seen here")
        self.assertIn("update", peer.changes("alpha"))


class EndTest(Case):
    def start_three(self):
        agent = self.agent("alpha")
        other = self.agent("beta", f"-join={agent.address}")
        peer = self.peer("ours", "--join", agent.address)
        for node in (agent, other, peer):
            for name in ("alpha", "beta", "ours"):
                node.wait_status(name, "alive")
        return agent, other, peer

    def test_our_kill_is_a_failure(self):
        agent, other, peer = self.start_three()
        begin = time.monotonic()
        peer.kill()
        for node in (agent, other):
            node.wait_status("ours", "failed")
        # A probe interval or three, and the suspicion time of three nodes: 4 s. Who finds itself slow,
        # as on a loaded machine, takes more time (Lifeguard).
        print(f"failed after {time.monotonic() - begin:.1f} s")
        self.assertLess(time.monotonic() - begin, 24)

    def test_our_sigterm_is_a_leave(self):
        agent, other, peer = self.start_three()
        begin = time.monotonic()
        peer.terminate()
        self.assertEqual(peer.wait(), 0)
        print(f"left in {time.monotonic() - begin:.1f} s")
        for node in (agent, other):
            node.wait_status("ours", "left")
            self.assertNotIn("EventMemberFailed: ours", "\n".join(node.lines))
        # And back again, under the same name and from another port.
        again = self.peer("ours", "--join", agent.address)
        for node in (agent, other):
            node.wait_status("ours", "alive")
        again.wait_status("beta", "alive")

    def test_its_leave_and_its_kill_are_seen_here(self):
        agent, other, peer = self.start_three()
        other.serf("leave")
        peer.wait_status("beta", "left")
        self.assertEqual(peer.changes("beta"), ["join", "leave"])
        agent.kill()
        peer.wait_status("alpha", "failed")
        self.assertEqual(peer.changes("alpha"), ["join", "failed"])
        self.assertTrue(peer.ask("force-leave alpha", "force-leave")["ok"])
        peer.wait_status("alpha", "left")

    def test_a_paused_node_refutes(self):
        agent, other, peer = self.start_three()
        peer.process.send_signal(signal.SIGSTOP)
        wait_for(lambda: any("Suspect ours has failed" in line for line in agent.lines + other.lines),
                 "suspected")
        peer.process.send_signal(signal.SIGCONT)
        wait_for(lambda: peer.ask("stats", "stats")["refutations"] > 0, "refuted")
        agent.wait_status("ours", "alive")
        # Long enough to be declared dead: back again when it runs again.
        peer.process.send_signal(signal.SIGSTOP)
        agent.wait_status("ours", "failed")
        peer.process.send_signal(signal.SIGCONT)
        agent.wait_status("ours", "alive")
        other.wait_status("ours", "alive")

    def test_a_killed_node_rejoins_by_itself(self):
        agent = self.agent("alpha")
        path = peers.scratch_path("peers")
        port = peers.free_port()
        peer = self.peer("ours", "--bind", f"127.0.0.1:{port}", "--peers", path,
                         "--join", agent.address)
        agent.wait_status("ours", "alive")
        wait_for(lambda: "alive: alpha" in peers.read(path), "remembered")
        peer.kill()
        agent.wait_status("ours", "failed")
        again = self.peer("ours", "--bind", f"127.0.0.1:{port}", "--peers", path)
        agent.wait_status("ours", "alive")
        again.wait_status("alpha", "alive")


class TalkTest(Case):
    def setUp(self):
        super().setUp()
        self.alpha = self.agent("alpha")
        self.ours = self.peer("ours", "--tag", "role=mokv", "--join", self.alpha.address)
        self.second = self.peer("second", "--join", self.ours.address)
        for name in ("alpha", "ours", "second"):
            self.alpha.wait_status(name, "alive")
            self.second.wait_status(name, "alive")

    def test_events(self):
        self.alpha.serf("event", "deploy", "v1")
        for peer in (self.ours, self.second):
            wait_for(lambda p=peer: p.events("user"), f"{peer.name} hears the event")
            self.assertEqual(peer.events("user")[0]["payload"], "v1")
        self.ours.command("event restart now")
        wait_for(lambda: any("restart" in line for line in self.alpha.lines), "agent hears ours")

    def test_queries(self):
        result = json.loads(
            self.alpha.serf("query", "-format=json", "-timeout=4s", "hello", "there").stdout)
        self.assertEqual(sorted(result["Acks"]), ["alpha", "ours", "second"])
        self.assertEqual(result["Responses"],
                         {"ours": "ours says hello", "second": "second says hello"})
        # Filters, by name and by tag; relays.
        result = json.loads(self.alpha.serf(
            "query", "-format=json", "-timeout=4s", "-tag=role=m.kv", "-relay-factor=2", "hello").stdout)
        self.assertEqual(result["Responses"], {"ours": "ours says hello"})
        result = json.loads(self.alpha.serf(
            "query", "-format=json", "-timeout=4s", "-node=second", "hello").stdout)
        self.assertEqual(result["Responses"], {"second": "second says hello"})
        # And we ask.
        self.ours.ask("query hello you", "query-done")
        self.assertEqual(sorted(e["from"] for e in self.ours.events("ack")),
                         ["alpha", "ours", "second"])
        self.assertEqual(sorted(e["from"] for e in self.ours.events("response")),
                         ["ours", "second"])

    def test_reachability(self):
        output = self.alpha.serf("reachability").stdout
        self.assertIn("Successfully contacted all live nodes", output)

    def test_round_trips(self):
        def rtt(*names):
            result = self.alpha.serf("rtt", *names, check=False)
            return result.stdout if result.returncode == 0 else None

        output = wait_for(lambda: rtt("ours"), "a coordinate of ours")
        self.assertRegex(output, r"Estimated \w+ <-> \w+ rtt: [0-9.]+ ms")
        wait_for(lambda: self.ours.members()["alpha"]["rtt_us"] > 0, "an estimate here")

    def test_a_claimed_name_is_settled(self):
        # Another process with our name: the cluster keeps what it knew, and answers for us.
        thief = self.peer("ours", "--join", self.alpha.address)
        wait_for(lambda: thief.events("name-conflict-lost"), "the newcomer loses")
        self.assertEqual(self.ours.events("name-conflict-lost"), [])
        self.assertEqual(self.alpha.members()["ours"]["addr"], self.ours.address)


class ConflictTest(Case):
    def test_our_vote_keeps_an_agent_alive(self):
        # An agent that hears its own name from elsewhere asks who knows it, and ends when nobody does.
        agent = self.agent("alpha")
        ours = self.peer("ours", "--join", agent.address)
        agent.wait_status("ours", "alive")
        ours.wait_status("alpha", "alive")
        stray = (
            b"\x04\x86\xa4Addr\xa4\x0a\x00\x00\x09\xabIncarnation\x09\xa4Meta\xa2\xff\x80"
            b"\xa4Node\xa5alpha\xa4Port\xcd\x1f\x0a\xa3Vsn\xa6\x01\x05\x02\x02\x05\x05"
        )
        host, port = agent.address.split(":")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(stray, (host, int(port)))
        wait_for(lambda: "name conflict resolution" in "\n".join(agent.lines).lower(), "settled")
        self.assertIsNone(agent.process.poll())
        self.assertEqual(agent.status("alpha"), "alive")
        self.assertEqual(ours.status("alpha"), "alive")


class KeyTest(Case):
    def test_rotation(self):
        first, second = new_key(), new_key(16)
        agent = self.agent("alpha", f"-encrypt={first}")
        path = peers.scratch_path("keyring.json")
        ours = self.peer("ours", "--key", first, "--keyring", path, "--join", agent.address)
        agent.wait_status("ours", "alive")
        ours.wait_status("alpha", "alive")
        for arguments in (["-install", second], ["-use", second], ["-remove", first]):
            output = agent.serf("keys", *arguments).stdout
            self.assertNotIn("Error", output)
        listed = agent.serf("keys", "-list").stdout
        self.assertIn(second, listed)
        self.assertIn("[2/2]", listed)
        self.assertNotIn(first, listed)
        wait_for(lambda: json.loads(peers.read(path) or "[]") == [second], "the new key is kept")
        # Still one cluster, and who only knows the old key stays out.
        late = self.peer("late", "--key", second, "--join", ours.address)
        for node in (agent, ours):
            node.wait_status("late", "alive")
        outsider = self.peer("outsider", "--key", first, "--join", ours.address)
        wait_for(lambda: "no node of the cluster answers yet" in outsider.output(), "refused")
        plain = self.peer("plain", "--join", agent.address)
        wait_for(lambda: "no node of the cluster answers yet" in plain.output(), "refused")
        self.assertIsNone(ours.status("outsider"))
        self.assertIsNone(agent.status("plain"))
        wait_for(lambda: ours.ask("stats", "stats")["dropped"]["wrong_key"] > 0, "it is counted")

    def test_the_agents_join_is_encrypted_too(self):
        key = new_key()
        ours = self.peer("ours", "--key", key)
        agent = self.agent("alpha", f"-encrypt={key}", f"-join={ours.address}")
        agent.wait_status("ours", "alive")
        ours.wait_status("alpha", "alive")
        self.assertEqual(agent.status("ours"), "alive")
        self.assertIn("Successfully contacted all live nodes", agent.serf("reachability").stdout)
        ours.terminate()
        self.assertEqual(ours.wait(), 0)
        agent.wait_status("ours", "left")


if __name__ == "__main__":
    unittest.main(verbosity=2)
