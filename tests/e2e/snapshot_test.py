"""Backups: saved from a cluster that works, verified, restored into a new one; damaged ones are refused by
name and place, half of one is never left, and a lost cluster's last directory is begun anew.

DISK_SHIM is the library of disk_shim.c.
"""

import hashlib
import json
import os
import pathlib
import pty
import resource
import shutil
import signal
import subprocess
import threading
import unittest

import cluster
import harness
from cluster import Cluster, mokvctl, random_for
from harness import MOKVCTL, clean_environment, wait_for

DONE, REFUSED, USAGE, UNREACHABLE = 0, 1, 2, 3
SHIM = os.environ.get("DISK_SHIM", str(harness.ROOT / "build/test/tests/e2e/libmokv_disk_shim.so"))


def offline(*arguments, **more):
    """Runs `mokvctl ARGUMENTS`, which asks no node."""
    directory = harness.scratch_directory("offline")
    done = subprocess.run(
        [MOKVCTL, *map(str, arguments)], env=clean_environment(directory, **more),
        capture_output=True, text=True, timeout=120,
    )
    return cluster.CtlAnswer(arguments, done)


def write(node, prefix, count, value=b"v"):
    with node.client() as client:
        for i in range(count):
            harness.put(client, f"{prefix}-{i}", value)


def files_of(directory):
    """What is in it, but for locks."""
    paths = sorted(path for path in pathlib.Path(directory).rglob("*") if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in paths if path.name not in ("lock", "log.lock")}


def flip(path, offset):
    """One bit of a byte; a negative offset counts from the end."""
    bytes_ = bytearray(pathlib.Path(path).read_bytes())
    bytes_[offset] ^= 4
    pathlib.Path(path).write_bytes(bytes_)


class SnapshotTestCase(unittest.TestCase):
    def setUp(self):
        self.random = random_for(self.id())
        self.directory = harness.scratch_directory("snapshots")
        self.file = self.directory / "s.snap"

    def assert_answer(self, answer, status, text=""):
        self.assertEqual(answer.status, status, str(answer))
        self.assertIn(text, answer.out + answer.error, str(answer))
        return answer

    def save(self, nodes, *flags):
        answer = mokvctl(nodes, "-o", "json", "snapshot", "save", str(self.file), *flags)
        return json.loads(self.assert_answer(answer, DONE).out)

    def restore(self, source, name, *flags):
        """The data directory."""
        data = self.directory / f"data-of-{name}"
        self.assert_answer(
            offline("snapshot", "restore", source, "--data-dir", data, "--node-name", name), DONE)
        return data

    def start(self, name, data, **settings):
        node = cluster.Member(name, bootstrap=False, data_dir=str(data), **settings)
        self.addCleanup(node.close)
        return node.launch().wait_until_ready()

    def contents(self, node):
        with node.client() as client:
            return {item.key: item.SerializeToString() for item in harness.list_items(client)}


class BackupTest(SnapshotTestCase):
    # Goal:   what is saved while clients write is one state of the cluster; restored, it has the same
    #         values and revisions under a new cluster id, and grows like any other.
    # Method: a writer at work, one save through each node; then a last one with nobody writing.
    def test_save_and_restore(self):
        with Cluster(3) as nodes:
            write(nodes.nodes[0], "before", 300, os.urandom(2000))
            leader = nodes.wait_for_leader()
            before = self.contents(leader)
            stop = threading.Event()
            written = []

            def work():
                with leader.client() as client:
                    while not stop.is_set():
                        written.append(harness.put(client, f"load-{len(written) % 50}").revision)

            writer = threading.Thread(target=work)
            writer.start()
            try:
                for i, node in enumerate(nodes.nodes):
                    wait_for(lambda: len(written) > 20 * i, "writes")
                    applied = node.status().revision
                    saved = self.save([node], "--force")
                    self.assertGreaterEqual(saved["revision"], applied)
                    said = offline("-o", "json", "snapshot", "verify", self.file)
                    said = json.loads(self.assert_answer(said, DONE).out)
                    self.assertEqual({key: said[key] for key in saved}, saved)
                    self.assertEqual(sorted(said["members"]), ["node-1", "node-2", "node-3"])
            finally:
                stop.set()
                writer.join()
            under_load = self.start("restored", self.restore(self.file, "restored"))
            items = self.contents(under_load)
            self.assertEqual({key: items[key] for key in before}, before)
            under_load.close()

            nodes.check_equal()
            expected = self.contents(leader)
            self.save([leader], "--force")
            old_id = leader.status().cluster_id
        restored = self.start("again", self.restore(self.file, "again"))
        self.assertEqual(self.contents(restored), expected)
        self.assertNotEqual(restored.status().cluster_id, old_id)
        with restored.client() as client:
            servers = lambda: client.get_servers(b"", timeout=5).servers
            # It knows only by itself where it is.
            wait_for(lambda: servers()[0].rpc_addr == restored.address, "its address to be known")
        grown = Cluster(0)
        self.addCleanup(grown.close)
        grown.nodes.append(restored)
        for name in ("second", "third"):
            node = grown.new_node(name).launch().wait_until_alive()
            grown.add(node)
        grown.wait_until_voters(3)
        with restored.client() as client:
            revision = harness.put(client, "goes on").revision
        self.assertEqual(set(grown.check_equal()), set(expected) | {"goes on"})
        self.assertGreater(revision, max(harness.kv_pb2.GetResponse.FromString(item).mod_revision
                                         for item in expected.values()))

    # Goal: a snapshot that is damaged anywhere is refused, by file, block and offset, before anything
    #       is made of it.
    def test_damage(self):
        with Cluster(1) as nodes:
            write(nodes.nodes[0], "k", 200, os.urandom(3000))
            self.save(nodes.nodes)
        good = self.file.read_bytes()
        data = self.directory / "data"

        def assert_refused(what, *texts):
            for answer in (offline("snapshot", "verify", self.file),
                           offline("snapshot", "restore", self.file, "--data-dir", data,
                                   "--node-name", "n")):
                for text in (str(self.file), *texts):
                    self.assertIn(text, answer.error, f"{what}: {answer}")
                self.assertEqual(answer.status, REFUSED, f"{what}: {answer}")
                self.assertEqual(answer.out, "", f"{what}: {answer}")
            self.assertFalse(data.exists(), what)

        for offset in (0, 20, 47):
            self.file.write_bytes(good)
            flip(self.file, offset)
            assert_refused(f"header, byte {offset}")
        for offset in (60, 200, len(good) // 2, -5, self.random.randrange(48, len(good))):
            self.file.write_bytes(good)
            flip(self.file, offset)
            assert_refused(f"byte {offset}", "block ", "at offset ")
        for size in (0, 10, 48, 100, len(good) // 2, len(good) - 1):
            self.file.write_bytes(good[:size])
            assert_refused(f"{size} bytes are left", *(["block ", "at offset "] if size >= 48 else []))
        self.file.write_bytes(good + b"\0")
        assert_refused("a byte more", "block ", "at offset ")
        self.file.write_bytes(good)
        self.assert_answer(offline("snapshot", "verify", self.file), DONE, "keys            200")

    def test_what_is_there_is_not_overwritten(self):
        with Cluster(1) as nodes:
            write(nodes.nodes[0], "k", 3)
            self.file.write_bytes(b"precious")
            ctl = lambda *arguments, **more: mokvctl(nodes.nodes, *arguments, **more)
            self.assert_answer(ctl("snapshot", "save", str(self.file)), REFUSED, "--force")
            self.assertEqual(self.file.read_bytes(), b"precious")
            self.assert_answer(ctl("snapshot", "save", str(self.file), "--force"), DONE, "3 keys")
            self.assert_answer(ctl("snapshot", "save", "-"), USAGE)
            self.assert_answer(ctl("snapshot", "save"), USAGE)
            missing = self.directory / "missing" / "s.snap"
            self.assert_answer(ctl("snapshot", "save", str(missing)), REFUSED, "No such file")
            answer = ctl("snapshot", "save", str(self.directory), "--force")
            self.assert_answer(answer, REFUSED, "Is a directory")
            nobody = ctl("snapshot", "save", str(missing.parent.parent / "n"), certificate="nobody-client")
            self.assert_answer(nobody, REFUSED, "nobody not permitted to admin")
        data = self.directory / "data"
        data.mkdir()
        restore = ["snapshot", "restore", self.file, "--data-dir", data]
        self.assert_answer(offline(*restore), USAGE)
        self.assert_answer(offline(*restore, "--node-name", "a b"), USAGE, "--node-name")
        (data / "precious").write_bytes(b"")
        answer = offline(*restore, "--node-name", "n")
        self.assert_answer(answer, REFUSED, f"{data} is not empty: it has precious")
        self.assertEqual([path.name for path in data.iterdir()], ["precious"])
        (data / "precious").unlink()
        self.assert_answer(offline(*restore, "--node-name", "n"), DONE, "new cluster")
        self.assertEqual(sorted(path.name for path in self.directory.iterdir()), ["data", "s.snap"])

    # Goal:   whatever ends a save, no file is left, and the status tells whose fault it was.
    # Method: more data than sockets take. The disk of mokvctl hangs until the node is gone.
    def test_a_save_that_breaks_off_leaves_nothing(self):
        with Cluster(1) as nodes:
            node = nodes.nodes[0]
            write(node, "k", 64, os.urandom(1_000_000))
            control = harness.scratch_directory("control")
            (control / "hang").touch()
            save = self.begin_save(node, LD_PRELOAD=SHIM, MOKV_DISK_CONTROL=str(control))
            wait_for(lambda: list(self.directory.glob("s.snap.*")), "the save to begin")
            node.kill()
            (control / "hang").unlink()
            _, error = save.communicate(timeout=60)
            self.assertEqual(save.returncode, UNREACHABLE, error)
            self.assertIn(b"mokvctl: ", error)
            self.assertEqual(list(self.directory.iterdir()), [])

            node.launch().wait_until_ready()
            (control / "hang").touch()
            save = self.begin_save(node, LD_PRELOAD=SHIM, MOKV_DISK_CONTROL=str(control))
            wait_for(lambda: list(self.directory.glob("s.snap.*")), "the save to begin")
            save.send_signal(signal.SIGINT)
            save.communicate(timeout=60)
            self.assertEqual(save.returncode, -signal.SIGINT)
            self.assertEqual(list(self.directory.iterdir()), [])

            save = self.begin_save(node, preexec_fn=allow_files_of(1 << 20))
            _, error = save.communicate(timeout=60)
            self.assertEqual(save.returncode, REFUSED, error)
            self.assertIn(b"File too large", error)
            self.assertEqual(list(self.directory.iterdir()), [])

            node.pause()
            answer = mokvctl([node], "snapshot", "save", str(self.file), timeout="1s")
            self.assert_answer(answer, UNREACHABLE)
            self.assertEqual(list(self.directory.iterdir()), [])
            node.cont()

    def begin_save(self, node, preexec_fn=None, **environment):
        path = node.certs.path
        return subprocess.Popen(
            [MOKVCTL, "--endpoints", node.address, "--cacert", path("ca.pem"),
             "--cert", path("root-client.pem"), "--key", path("root-client-key.pem"),
             "--timeout", "20s", "snapshot", "save", str(self.file)],
            env=clean_environment(node.directory, **environment), preexec_fn=preexec_fn,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )

    def test_a_terminal_sees_how_far_it_is(self):
        with Cluster(1) as nodes:
            node = nodes.nodes[0]
            write(node, "k", 20)
            ours, theirs = pty.openpty()
            path = node.certs.path
            process = subprocess.Popen(
                [MOKVCTL, "--endpoints", node.address, "--cacert", path("ca.pem"),
                 "--cert", path("root-client.pem"), "--key", path("root-client-key.pem"),
                 "snapshot", "save", str(self.file)],
                env=clean_environment(node.directory), stdout=subprocess.PIPE, stderr=theirs,
            )
            os.close(theirs)
            out, _ = process.communicate(timeout=60)
            shown = os.read(ours, 65536)
            os.close(ours)
            self.assertEqual(process.returncode, DONE, shown)
            self.assertIn(b"%", shown)
            self.assertTrue(shown.endswith(b"\r\x1b[K"), shown)
            self.assertIn(b"20 keys", out)
            answer = mokvctl([node], "snapshot", "save", str(self.file), "--force")
            self.assertEqual(answer.error, "")


def allow_files_of(size_bytes):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, size_bytes))

    return limit


class LostQuorumTest(SnapshotTestCase):
    # Goal:   of a cluster that is gone but for one directory, all that this node had goes on in a new
    #         one; what that may lack is said, the directory stays as it is, and a node that runs on it
    #         is not robbed.
    def test_survivor(self):
        with Cluster(3, snapshot_log_bytes=65536) as nodes:
            write(nodes.nodes[0], "k", 300, os.urandom(2000))
            expected = {key: item.SerializeToString() for key, item in nodes.check_equal().items()}
            survivor = self.random.choice(nodes.nodes)
            old_id = survivor.status().cluster_id
            old = survivor.settings["data-dir"]
            data = self.directory / "data"
            restore = ["snapshot", "restore", old, "--data-dir", data, "--node-name", "survivor"]
            self.assert_answer(offline(*restore), REFUSED, "a node runs on")
            self.assertFalse(data.exists())
            for node in nodes.nodes:
                node.kill()
            before = files_of(old)
            answer = self.assert_answer(offline(*restore), DONE, "writes behind entry ")
            self.assertIn("It knew entries up to ", answer.out)
            self.assertEqual(files_of(old), before)
            self.assert_answer(offline("verify", data), DONE, f"OK  {data}: a start finds")
            restored = self.start("survivor", data)
            self.assertEqual(self.contents(restored), expected)
            self.assertNotEqual(restored.status().cluster_id, old_id)

    def test_no_space_leaves_nothing(self):
        with Cluster(1) as nodes:
            write(nodes.nodes[0], "k", 10)
            self.save(nodes.nodes)
        control = harness.scratch_directory("control")
        (control / "full").touch()
        data = self.directory / "data"
        answer = offline("snapshot", "restore", self.file, "--data-dir", data, "--node-name", "n",
                         LD_PRELOAD=SHIM, MOKV_DISK_CONTROL=str(control))
        self.assert_answer(answer, REFUSED, "No space left on device")
        self.assertFalse(data.exists(), answer)


class VerifyTest(SnapshotTestCase):
    def verify_json(self, data, status):
        answer = self.assert_answer(offline("verify", data, "-o", "json"), status)
        return [json.loads(line) for line in answer.out.splitlines()]

    def bad_rows(self, data):
        rows = self.verify_json(data, REFUSED)
        bad = [row for row in rows if not row["ok"]]
        self.assertEqual(bad.pop(), rows[-1])  # The totals.
        self.assertEqual(rows[-1]["bad"], len(bad))
        return bad

    # Goal:   a directory that a node could start with is found good, and each kind of damage is named
    #         by file and place.
    # Method: copies of one directory, each damaged in another place.
    def test_verify(self):
        with Cluster(1, snapshot_log_bytes=65536) as nodes:
            node = nodes.nodes[0]
            data = pathlib.Path(node.settings["data-dir"])
            write(node, "k", 300, os.urandom(2000))
            wait_for(lambda: len(list((data / "snapshots").glob("*.snap"))) >= 2, "two snapshots")
            self.assert_answer(offline("verify", data), REFUSED, "a node runs on")
            self.assertEqual(node.stop(), 0)
            before = files_of(data)
            answer = self.assert_answer(offline("verify", data), DONE)
            for name in ("identity", "snapshots/snapshot-", "log: entries "):
                self.assertIn(f"OK  {data}/{name}", answer.out)
            self.assertNotIn("BAD", answer.out)
            rows = self.verify_json(data, DONE)
            self.assertEqual([row["kind"] for row in rows[-3:]], ["log", "state", "total"])
            self.assertTrue(all(row["ok"] for row in rows))
            self.assertEqual(rows[-1], {"kind": "total", "file": str(data), "ok": True,
                                        "checked": len(rows) - 1, "bad": 0, "not_part_of_state": 0})
            self.assertEqual(files_of(data), before)

            def damaged(damage):
                copy = self.directory / "copy"
                shutil.rmtree(copy, ignore_errors=True)
                shutil.copytree(data, copy)
                damage(copy)
                return copy, offline("verify", copy)

            newest = max((data / "snapshots").glob("*.snap")).name
            copy, answer = damaged(lambda copy: flip(copy / "snapshots" / newest, 500))
            self.assert_answer(answer, REFUSED, f"BAD {copy}/snapshots/{newest}: block ")
            self.assertIn("at offset ", answer.out)
            self.assertIn(f"OK  {copy}/log: ", answer.out)  # The rest is looked at all the same.
            (bad,) = self.bad_rows(copy)
            self.assertEqual((bad["kind"], bad["file"]), ("snapshot", f"{copy}/snapshots/{newest}"))
            self.assertIn(f"block {bad['block']}, at offset {bad['offset']},", bad["message"])

            segment = min((data / "log").glob("*.seg")).name
            copy, answer = damaged(lambda copy: flip(copy / "log" / segment, 30_000))
            self.assert_answer(answer, REFUSED, f"BAD {copy}/log/{segment}: damaged at offset ")
            (bad,) = self.bad_rows(copy)
            self.assertEqual((bad["kind"], bad["file"]), ("log", f"{copy}/log/{segment}"))
            self.assertLessEqual(bad["offset"], 30_000)
            self.assertIsNone(bad["block"])

            copy, answer = damaged(lambda copy: flip(copy / "identity", 30))
            self.assert_answer(answer, REFUSED, f"BAD {copy}/identity is damaged")

            copy, answer = damaged(lambda copy: shutil.rmtree(copy / "log"))
            self.assert_answer(answer, REFUSED, f"BAD list {copy}/log")

            def lose_snapshots(copy):
                for path in (copy / "snapshots").iterdir():
                    path.rename(str(path) + ".damaged")

            copy, answer = damaged(lose_snapshots)
            self.assertIn("was set aside by a start that found it damaged", answer.out)
            total = self.verify_json(copy, answer.status)[-1]
            self.assertGreaterEqual(total["not_part_of_state"], 2)
        self.assert_answer(offline("verify", self.directory / "nowhere"), REFUSED, "nowhere")


if __name__ == "__main__":
    cluster.main()
