"""Starting and stopping: what is wrong with a configuration, a file, a port or a directory is said
in one clear line, with a non-zero exit status; signals stop a node with status 0."""

import os
import pathlib
import signal
import socket
import subprocess
import unittest

import harness
import pki


def run(*arguments, environment=None):
    home = harness.scratch_directory("home")
    return subprocess.run(
        [harness.MOKV, *arguments],
        env=harness.clean_environment(home, **(environment or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        timeout=harness.START_SECONDS_MAX,
    )


class StartTestCase(unittest.TestCase):
    def assert_refused(self, node, words, one_line=True):
        """The node does not start, and says why: the last line names all of `words`. Lines before
        it can only be the log's, of a start that got further than its configuration."""
        node.launch()
        self.addCleanup(node.kill)
        code = node.wait_for_exit(harness.START_SECONDS_MAX)
        log = node.log()
        self.assertGreater(code, 0, f"exit status {code}: {log}")
        lines = log.strip().splitlines()
        self.assertTrue(lines, "nothing was said")
        for word in words:
            self.assertIn(str(word), lines[-1])
        if one_line:
            self.assertEqual(len(lines), 1, log)
        return lines[-1]


class ConfigurationTest(StartTestCase):
    # Key, value, and what the line must hold besides the key and the file's name.
    BAD_VALUES = [
        ("no-such-key", 1, []),
        ("rpc_port", 8400, ["rpc-port"]),  # The right key is suggested.
        ("rpc-port", "many", ["many"]),
        ("rpc-port", 0, ["0"]),
        ("rpc-port", 70000, ["70000"]),
        ("rpc-port", [8400], []),
        ("metrics-port", -1, ["-1"]),
        ("io-threads", 0, ["0"]),
        ("bootstrap", "perhaps", ["perhaps"]),
        ("election-timeout", "soon", ["soon"]),
        ("election-timeout", 500, ["500"]),  # Without a unit.
        ("election-timeout", "60ms", ["heartbeat-interval"]),
        ("max-value-bytes", "1MB", ["1MB"]),
        ("snapshot-log-bytes", "-1MiB", ["-1MiB"]),
        ("bind-addr", "127.0.0.1", ["127.0.0.1"]),
        ("bind-addr", "0.0.0.0:8401", ["advertise-addr"]),
        ("start-join-addrs", ["127.0.0.1:8401", "nowhere"], ["nowhere"]),
        ("node-name", "two words", ["two words"]),
        ("data-dir", "", []),
        ("data-dir", "$MOKV_E2E_UNSET/data", ["MOKV_E2E_UNSET"]),
        ("log-level", "LOUD", ["LOUD"]),
        ("log-format", "xml", ["xml"]),
        ("request-log", "some", ["some"]),
        ("acl-object", "values", ["values"]),
        ("serf-encrypt-key", "c2hvcnQ=", []),
        ("server-tls-cert-file", "/nonexistent/server.pem", ["/nonexistent/server.pem"]),
        ("acl-model-file", "/nonexistent/model.conf", ["/nonexistent/model.conf"]),
    ]

    def test_bad_values(self):
        for key, value, words in self.BAD_VALUES:
            with self.subTest(key=key, value=value):
                node = harness.Node()
                node.settings[key] = value
                line = self.assert_refused(node, [key, "config.yaml:", *words])
                self.assertRegex(line, r"config\.yaml:\d+")

    def test_secrets_are_not_repeated(self):
        node = harness.Node(serf_encrypt_key="c2VjcmV0")
        self.assertNotIn("c2VjcmV0", self.assert_refused(node, ["serf-encrypt-key"]))

    def test_tls_must_be_chosen(self):
        node = harness.Node(
            server_tls_cert_file=None, server_tls_key_file=None, server_tls_ca_file=None,
            peer_tls_cert_file=None, peer_tls_key_file=None, peer_tls_ca_file=None,
            acl_model_file=None, acl_policy_file=None,
        )  # fmt: skip
        self.assert_refused(node, ["server-tls-cert-file", "insecure"])

    def test_tls_must_be_whole(self):
        self.assert_refused(harness.Node(server_tls_key_file=None), ["server-tls-key-file"])
        self.assert_refused(harness.Node(server_tls_ca_file=None), ["server-tls-ca-file"])
        self.assert_refused(harness.Node(peer_tls_key_file=None), ["peer-tls-key-file"])

    def test_insecure_goes_with_neither_tls_nor_acl(self):
        self.assert_refused(harness.Node(insecure=True), ["insecure"])
        certs = harness.certificates()
        node = harness.Node(
            tls=False,
            acl_model_file=certs.path("model.conf"),
            acl_policy_file=certs.path("policy.csv"),
        )
        self.assert_refused(node, ["insecure", "acl"])

    def test_acl_files_go_together(self):
        self.assert_refused(harness.Node(acl_policy_file=None), ["acl-policy-file"])
        self.assert_refused(harness.Node(acl_model_file=None), ["acl-model-file"])

    def test_yaml_that_does_not_parse(self):
        path = harness.scratch_directory("config") / "broken.yaml"
        for text in ("a: [1", "rpc-port: 1\nrpc-port: 2\n", "- list\n", "\tx: y\n"):
            path.write_text(text)
            result = run("--config-file", str(path))
            self.assertGreater(result.returncode, 0)
            self.assertIn("broken.yaml", result.stderr)
            self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_bad_flags_and_variables(self):
        for arguments, environment, words in (
            (["--config-file", "/nonexistent/c.yaml"], {}, ["/nonexistent/c.yaml"]),
            (["--no-such-flag", "1"], {}, ["no-such-flag"]),
            (["--rpc-port", "many"], {}, ["--rpc-port", "many"]),
            (["--rpc-port"], {}, ["--rpc-port"]),
            (["surplus"], {}, ["surplus"]),
            ([], {"MOKV_RPC_PORT": "many"}, ["MOKV_RPC_PORT", "many"]),
        ):
            with self.subTest(arguments=arguments, environment=environment):
                result = run(*arguments, environment=environment)
                self.assertGreater(result.returncode, 0)
                for word in words:
                    self.assertIn(word, result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_information(self):
        result = run("--version")
        self.assertEqual(result.returncode, 0)
        self.assertRegex(result.stdout, r"\d+\.\d+\.\d+")
        result = run("--help")
        self.assertEqual(result.returncode, 0)
        for key in ("--rpc-port", "--data-dir", "--server-tls-cert-file"):
            self.assertIn(key, result.stdout)

    def test_check_config(self):
        node = harness.Node()
        node.write_config()
        result = run("--config-file", str(node.config_file), "--check-config")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertFalse(pathlib.Path(node.settings["data-dir"]).exists())
        node.settings["rpc-port"] = "many"
        node.write_config()
        result = run("--config-file", str(node.config_file), "--check-config")
        self.assertGreater(result.returncode, 0)
        self.assertIn("many", result.stderr)


    # Goal: what people should see to is told before a restart.
    def test_check_config_warns(self):
        node = harness.Node(certs=harness.make_certificates())
        late = pathlib.Path(node.certs.path("crl.pem"))
        late.write_text(pki.revocation_list(node.certs, [], begins=-7200, ends=-3600))
        node.settings["server-tls-crl-file"] = str(late)
        node.write_config()
        result = run("--config-file", str(node.config_file), "--check-config")
        self.assertEqual((result.returncode, result.stdout), (0, "configuration is valid\n"))
        self.assertIn("mokv: warning: the revocation list of ", result.stderr)

    # Goal: the first start may make the directory that the audit log is to be in.
    def test_audit_log_in_the_data_directory(self):
        directory = harness.scratch_directory("data") / "node"
        node = harness.Node(data_dir=str(directory), audit_log_file=str(directory / "audit.log"))
        node.write_config()
        result = run("--config-file", str(node.config_file), "--check-config")
        self.assertEqual(result.returncode, 0, result)
        self.assertFalse(directory.exists())
        with node, node.client() as client:
            harness.put(client, "k", b"v")
        self.assertIn('"object":"k"', (directory / "audit.log").read_text())

    # Goal: what the check calls valid starts.
    def test_check_config_checks_what_the_start_checks(self):
        certs = harness.certificates()
        files = harness.scratch_directory("check")
        no_pem = files / "no.pem"
        no_pem.write_text("this is no PEM\n")
        locked = files / "locked-key.pem"
        subprocess.run(
            ["openssl", "pkey", "-in", certs.path("server-key.pem"), "-aes128", "-passout",
             "pass:secret", "-out", str(locked)],
            check=True,
        )
        short_policy = files / "policy.csv"
        short_policy.write_text("p, root, *, produce, allow\np, root, *\n")
        no_keys = files / "keys.json"
        no_keys.write_text('["short"]')
        taken = socket.socket()
        self.addCleanup(taken.close)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        taken_udp = socket.socket(type=socket.SOCK_DGRAM)
        self.addCleanup(taken_udp.close)
        taken_udp.bind(("127.0.0.1", 0))
        udp_port = taken_udp.getsockname()[1]
        a_file = str(short_policy)
        for settings, words in (
            ({"data_dir": a_file}, ["data-dir", a_file]),
            ({"data_dir": a_file + "/data"}, ["data-dir", a_file]),
            ({"bind_addr": f"127.0.0.1:{udp_port}"}, ["bind-addr", str(udp_port)]),
            ({"server_tls_key_file": certs.path("peer-key.pem")}, ["peer-key.pem", "belong"]),
            ({"server_tls_key_file": str(locked)}, ["server-tls", str(locked), "passphrase"]),
            ({"server_tls_cert_file": str(no_pem)}, ["server-tls", str(no_pem)]),
            ({"peer_tls_ca_file": str(no_pem)}, ["peer-tls", str(no_pem)]),
            ({"server_tls_crl_file": str(no_pem)}, ["server-tls", str(no_pem)]),
            ({"audit_log_file": "/nonexistent/audit.log"}, ["audit-log-file", "/nonexistent"]),
            ({"acl_policy_file": str(short_policy)}, [f"{short_policy}:2"]),
            ({"serf_keyring_file": str(no_keys)}, ["serf-keyring-file", str(no_keys)]),
            ({"rpc_port": port}, ["rpc-port", str(port)]),
            ({"metrics_port": port}, ["metrics-port", str(port)]),
            ({"bind_addr": f"127.0.0.1:{port}"}, ["bind-addr", str(port)]),
        ):
            with self.subTest(settings):
                node = harness.Node(**settings)
                node.write_config()
                result = run("--config-file", str(node.config_file), "--check-config")
                self.assertEqual(result.returncode, 1, result.stdout)
                for word in words:
                    self.assertIn(word, result.stderr)
                self.assertEqual(len(result.stderr.strip().splitlines()), 1, result.stderr)

    def test_check_config_beside_the_running_node(self):
        with harness.Node() as node:
            result = run("--config-file", str(node.config_file), "--check-config")
            self.assertEqual(result.returncode, 0, result.stderr)
            lock = pathlib.Path(node.settings["data-dir"]) / "lock"
            held_by = lock.read_text()
            self.assertEqual(node.stop(), 0)
        result = run("--config-file", str(node.config_file), "--check-config")
        self.assertEqual(result.returncode, 0, result.stderr)
        self.assertEqual(lock.read_text(), held_by)  # Nothing was changed.


class CertificateTest(StartTestCase):
    def test_key_of_another_certificate(self):
        certs = harness.certificates()
        node = harness.Node(server_tls_key_file=certs.path("peer-key.pem"))
        self.assert_refused(node, ["peer-key.pem"])
        node = harness.Node(peer_tls_key_file=certs.path("server-key.pem"))
        self.assert_refused(node, ["server-key.pem"])

    def test_files_that_are_not_what_they_should_be(self):
        certs = harness.certificates()
        garbage = harness.scratch_directory("tls") / "garbage.pem"
        garbage.write_text("-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n")
        for key, path in (
            ("server-tls-cert-file", str(garbage)),
            ("server-tls-key-file", str(garbage)),
            ("server-tls-ca-file", str(garbage)),
            ("server-tls-cert-file", certs.path("server-key.pem")),
            ("server-tls-ca-file", certs.path("server-key.pem")),
        ):
            with self.subTest(key=key, path=path):
                node = harness.Node()
                node.settings[key] = path
                self.assert_refused(node, [path])

    def test_ca_that_signed_neither(self):
        others = harness.make_certificates()
        node = harness.Node(server_tls_ca_file=others.path("ca.pem"))
        self.assert_refused(node, [others.path("ca.pem")])

    def test_expired_certificate(self):
        certs = harness.certificates()
        directory = harness.scratch_directory("expired")
        key, request, expired = (str(directory / n) for n in ("k.pem", "r.csr", "expired.pem"))
        for command in (
            ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
             "-keyout", key, "-out", request, "-subj", "/CN=localhost"],
            ["x509", "-req", "-in", request, "-CA", certs.path("ca.pem"), "-CAkey",
             certs.path("ca-key.pem"), "-CAcreateserial", "-CAserial", str(directory / "serial"),
             "-days", "-1", "-out", expired],
        ):  # fmt: skip
            subprocess.run(
                ["openssl", *command], check=True, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )  # fmt: skip
        node = harness.Node(server_tls_cert_file=expired, server_tls_key_file=key)
        self.assert_refused(node, [expired, "expired"])


class AccessFilesTest(StartTestCase):
    def file(self, name, text):
        path = harness.scratch_directory("acl") / name
        path.write_text(text)
        return str(path)

    def test_other_models_are_refused(self):
        model = pathlib.Path(harness.certificates().path("model.conf")).read_text()
        changed = model.replace("keyMatch(r.obj, p.obj)", "keyMatches(r.obj, p.obj)")
        self.assertNotEqual(changed, model)
        for text in (changed, "", "nonsense"):
            path = self.file("model.conf", text)
            self.assert_refused(harness.Node(acl_model_file=path), [path])

    def test_bad_policies_are_refused(self):
        for text in ("p, root, *\n", "q, root, *, consume, allow\n", "p, root, *, consume, more\n"):
            path = self.file("policy.csv", "# first line\n" + text)
            self.assert_refused(harness.Node(acl_policy_file=path), [path, "2"])

    def test_access_files_of_the_first_version_work(self):
        testdata = harness.ROOT / "src" / "auth" / "testdata"
        node = harness.Node(
            acl_model_file=str(testdata / "original_model.conf"),
            acl_policy_file=str(testdata / "original_policy.csv"),
            acl_object="any",
        )
        with node, node.client() as client:
            harness.put(client, "k", b"v")
            self.assertEqual(harness.get(client, "k").value, b"v")


class MachineTest(StartTestCase):
    def test_ports_in_use(self):
        for key in ("rpc-port", "metrics-port"):
            with self.subTest(key=key), socket.socket() as taken:
                node = harness.Node()
                taken.bind(("127.0.0.1", node.settings[key]))
                taken.listen()
                self.assert_refused(node, [key, node.settings[key], "in use"], one_line=False)

    def test_data_directory_that_cannot_be_made(self):
        file = harness.scratch_directory("data") / "file"
        file.write_text("")
        node = harness.Node(data_dir=str(file / "data"))
        self.assert_refused(node, [str(file / "data")], one_line=False)
        node = harness.Node(data_dir=str(file))
        self.assert_refused(node, [str(file)], one_line=False)

    @unittest.skipIf(os.geteuid() == 0, "root may write everywhere")
    def test_data_directory_that_is_not_writable(self):
        directory = harness.scratch_directory("data")
        directory.chmod(0o500)
        self.assert_refused(harness.Node(data_dir=str(directory)), [directory], one_line=False)

    def test_data_directory_of_a_running_node(self):
        with harness.Node() as first, first.client() as client:
            second = harness.Node(data_dir=first.settings["data-dir"])
            self.assert_refused(second, [first.settings["data-dir"]], one_line=False)
            harness.put(client, "still", b"works")

    def test_data_directory_of_another_node(self):
        first = harness.Node()
        with first:
            self.assertEqual(first.stop(), 0)
            other = harness.Node(data_dir=first.settings["data-dir"], node_name="node-2")
            line = self.assert_refused(other, [first.settings["data-dir"]], one_line=False)
            self.assertIn("node-1", line)
            self.assertIn("node-2", line)
            first.start()


class StopTest(unittest.TestCase):
    def test_signals_stop_with_status_0(self):
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number), harness.Node() as node, node.client() as client:
                harness.put(client, "k", b"v")
                self.assertEqual(node.stop(number), 0, node.log())

    def test_acknowledged_writes_survive_a_stop(self):
        with harness.Node() as node:
            for round_number in range(3):
                with node.client() as client:
                    revision = harness.put(client, f"k{round_number}", b"v").revision
                self.assertEqual(node.stop(), 0)
                node.start()
                with node.client() as client:
                    self.assertEqual(harness.get(client, f"k{round_number}").mod_revision, revision)
                    self.assertEqual(len(harness.list_items(client)), round_number + 1)

    def test_bootstrap_is_ignored_where_there_is_state(self):
        with harness.Node() as node:
            with node.client() as client:
                revision = harness.put(client, "k", b"v").revision
            self.assertEqual(node.stop(), 0)
            node.settings["bootstrap"] = False
            node.start()
            with node.client() as client:
                self.assertEqual(harness.get(client, "k").mod_revision, revision)

    # Goal:   without a cluster a node serves nothing, says so, and still stops.
    def test_without_bootstrap_it_waits(self):
        node = harness.Node(bootstrap=False)
        with node.launch():
            def answers():
                try:
                    return node.http("/livez")[0] == 200
                except OSError:
                    return False

            harness.wait_for(answers, "livez", harness.START_SECONDS_MAX)
            self.assertEqual(node.http("/readyz")[0], 503)
            with node.client() as client:
                request = harness.health_pb2.HealthCheckRequest()
                answer = client.check(request, timeout=harness.CALL_SECONDS_MAX)
                self.assertEqual(
                    answer.status, harness.health_pb2.HealthCheckResponse.NOT_SERVING
                )
                with self.assertRaises(harness.grpc.RpcError) as caught:
                    harness.put(client, "k", b"v")
                self.assertEqual(caught.exception.code(), harness.grpc.StatusCode.UNAVAILABLE)
            self.assertEqual(node.stop(), 0)


if __name__ == "__main__":
    unittest.main(verbosity=2)
