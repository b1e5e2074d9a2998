"""kill -9 of nodes of a cluster under load: what was acknowledged is on all nodes at the end, and no
read ever saw anything else than one store would show.

Environment: MOKV_ROUNDS (default 6 for three nodes), MOKV_SEED.
"""

import os
import threading
import unittest

import cluster
import history
from cluster import Cluster, random_for
from history import Load

ROUNDS = int(os.environ.get("MOKV_ROUNDS", "6"))
CALLS_BETWEEN = 150


class KillTest(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())

    def check_at_the_end(self, nodes, load):
        history.read_all(load.history, self.random.choice(nodes.nodes).admin_client())
        load.history.judge()
        nodes.check_equal()

    # Goal:   a cluster of three survives kill -9 of any one node, again and again.
    # Method: leader and follower in turns, each under load; the dead node stays away for a while.
    def test_any_one_of_three(self):
        with Cluster(3) as nodes:
            with Load(nodes.nodes, self.random) as load:
                load.wait_for_done(CALLS_BETWEEN)
                for round_number in range(ROUNDS):
                    leader = nodes.wait_for_leader()
                    victim = leader
                    if round_number % 2 == 1:
                        victim = self.random.choice(nodes.followers(leader))
                    load.turn_page()
                    victim.kill()
                    nodes.wait_for_leader()
                    load.wait_for_done(CALLS_BETWEEN)
                    victim.launch().wait_until_ready()
                    load.wait_for_done(CALLS_BETWEEN)
            self.check_at_the_end(nodes, load)

    # Goal:   five nodes survive the loss of any two at once, the leader among them.
    def test_any_two_of_five(self):
        with Cluster(5) as nodes:
            with Load(nodes.nodes, self.random) as load:
                load.wait_for_done(CALLS_BETWEEN)
                for _ in range(max(1, ROUNDS // 3)):
                    leader = nodes.wait_for_leader()
                    victims = [leader, self.random.choice(nodes.followers(leader))]
                    load.turn_page()
                    for victim in victims:
                        victim.kill()
                    nodes.wait_for_leader()
                    load.wait_for_done(CALLS_BETWEEN)
                    for victim in victims:
                        victim.launch()
                    for victim in victims:
                        victim.wait_until_ready()
            self.check_at_the_end(nodes, load)

    # Goal:   an acknowledged write survives kill -9 of every node at once.
    def test_all_at_once(self):
        with Cluster(3) as nodes:
            with Load(nodes.nodes, self.random) as load:
                for _ in range(max(1, ROUNDS // 2)):
                    load.wait_for_done(CALLS_BETWEEN)
                    load.turn_page()
                    threads = [threading.Thread(target=node.kill) for node in nodes.nodes]
                    for thread in threads:
                        thread.start()
                    for thread in threads:
                        thread.join()
                    for node in nodes.nodes:
                        node.launch()
                    for node in nodes.nodes:
                        node.wait_until_ready()
                load.wait_for_done(CALLS_BETWEEN)
            self.check_at_the_end(nodes, load)


if __name__ == "__main__":
    cluster.main()
