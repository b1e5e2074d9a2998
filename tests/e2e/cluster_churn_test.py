"""Members come and go under load, while leaders change and nodes die: what was acknowledged by any
configuration is in every later one.

Environment: MOKV_ROUNDS (default 30), MOKV_SEED.
"""

import os
import shutil
import unittest

import cluster
import history
from cluster import Cluster, random_for
from history import Load

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "30"))
MEMBERS_MIN, MEMBERS_MAX = 3, 5
CALLS_BETWEEN = 60


class ChurnTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    # Goal:   no write is lost and no read goes wrong over changes of the configuration.
    # Method: five nodes, of which three to five are members; one change after the other, each through
    #         any member, and in between transfers and kills.
    def test_members_come_and_go(self):
        with Cluster(MEMBERS_MAX) as nodes:
            self.nodes, self.strangers = nodes, []
            with Load(nodes.nodes, self.random, callers=8) as load:
                load.wait_for_done(CALLS_BETWEEN)
                for _ in range(ROUNDS):
                    load.turn_page()
                    self.change_once()
                    load.wait_for_done(CALLS_BETWEEN)
            while self.strangers:
                self.add_one()
            history.read_all(load.history, nodes.nodes[0].admin_client())
            load.history.judge()
            nodes.check_equal()

    def change_once(self):
        members = len(self.nodes.nodes)
        changes = [self.transfer, self.kill_one]
        if members > MEMBERS_MIN:
            changes += [self.remove_one] * 2
        if self.strangers:
            changes += [self.add_one] * 2
        change = self.random.choice(changes)
        print(f"{change.__name__}, {members} members", flush=True)
        change()

    def ctl(self, *arguments):
        through = self.random.sample(self.nodes.nodes, len(self.nodes.nodes))
        answer = self.nodes.ctl(*arguments, nodes=through)
        self.assertEqual(answer.status, 0, answer)

    def transfer(self):
        self.ctl("leader", "transfer")

    # A leader as well as a follower; it is wiped, and a stranger from then on.
    def remove_one(self):
        removed = self.random.choice(self.nodes.nodes)
        self.ctl("member", "remove", removed.name)
        self.nodes.nodes.remove(removed)
        self.nodes.wait_for_leader()
        removed.kill()
        shutil.rmtree(removed.settings["data-dir"])
        removed.settings["bootstrap"] = False
        removed.launch().wait_until_alive()
        self.strangers.append(removed)

    def add_one(self):
        added = self.strangers.pop(self.random.randrange(len(self.strangers)))
        members = self.nodes.nodes[:]
        self.nodes.add(added, through=self.random.sample(members, len(members)))
        self.nodes.wait_until_voters(len(self.nodes.nodes))
        added.wait_until_ready()

    def kill_one(self):
        victim = self.random.choice(self.nodes.nodes)
        victim.kill()
        self.nodes.wait_for_leader()
        victim.launch().wait_until_ready()


if __name__ == "__main__":
    cluster.main()
