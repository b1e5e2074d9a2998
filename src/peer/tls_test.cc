// Nodes over mutual TLS: the same port as gRPC, told apart by ALPN, and only certificates of nodes.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <future>
#include <string>
#include <utility>
#include <vector>

#include "base/status.h"
#include "net/testing/test_certificates.h"
#include "peer/frame.h"
#include "peer/testing/peer_node.h"

namespace mokv::peer {
namespace {

using net::TlsContext;
using net::Until;
using testing::HasSubstr;

class PeerTlsTest : public testing::Test {
 protected:
  PeerTlsTest() {
    files_.MakeCa("ca");
    files_.MakeCa("other-ca");
    files_.Make("node", "ca", {.common_name = "node"});
    files_.Make("client", "ca", {.common_name = "client"});
    files_.Make("elsewhere", "ca", {.common_name = "node", .names = "DNS:elsewhere"});
    files_.Make("stranger", "other-ca", {.common_name = "node"});
  }

  // With the certificate `server` for those that come, `client` for those it dials.
  std::unique_ptr<PeerNode> Start(const std::string& name, const std::string& server,
                                  const std::string& client) {
    Options options = QuickOptions(name);
    options.distrusted_grace = distrusted_grace_;
    const std::string server_ca = server == "stranger" ? "other-ca" : "ca";
    auto server_tls =
        TlsContext::ForServer(files_.Files(server, server_ca), {"h2", std::string(kAlpn)});
    auto client_tls = TlsContext::ForClient(files_.Files(client, "ca"), {std::string(kAlpn)});
    EXPECT_TRUE(server_tls.ok() && client_tls.ok());
    options.tls = {.outgoing = *client_tls, .incoming = *server_tls, .allowed_names = {"node"}};
    return std::make_unique<PeerNode>(options, 0, *server_tls);
  }

  using Pair = std::pair<std::unique_ptr<PeerNode>, std::unique_ptr<PeerNode>>;
  // Whether they have what a test is about. Asked again and again.
  using IsReady = std::function<bool(PeerNode& a, PeerNode& b)>;

  // A pair of connected nodes, of which the second has a certificate that ends soon, to dial with or to be
  // dialled by. Later, if this machine is so slow that it has ended before it is of use.
  Pair ConnectForSoLong(
      bool dials, const IsReady& is_ready = [](PeerNode&, PeerNode&) { return true; }) {
    for (long seconds = 2; seconds <= 32; seconds *= 2) {
      files_.Make("short", "ca", {.common_name = "node", .valid_until = seconds});
      auto a = Start("a", "node", "node");
      auto b = Start("b", dials ? "node" : "short", dials ? "short" : "node");
      for (PeerNode* node : {a.get(), b.get()}) node->Join("cluster", {a->member(), b->member()});
      const auto ended = [&] { return a->stats().distrusted + b->stats().distrusted > 0; };
      const auto ready = [&] { return a->Reaches(*b) && b->Reaches(*a) && is_ready(*a, *b); };
      if (Until([&] { return ready() || ended(); }) && !ended())
        return {std::move(a), std::move(b)};
    }
    return {nullptr, nullptr};
  }

  // To believe the authority `ca`, but for what is on the list, and nodes of this name.
  PeerTls Believing(const std::string& name, const std::string& list = "") {
    net::TlsFiles files = files_.Files("node", "ca");
    if (!list.empty()) files.crl_file = files_.Path(list + ".pem");
    auto incoming = TlsContext::ForServer(files, {"h2", std::string(kAlpn)});
    auto outgoing = TlsContext::ForClient(files_.Files("node", "ca"), {std::string(kAlpn)});
    EXPECT_TRUE(incoming.ok() && outgoing.ok()) << incoming.status();
    return {.outgoing = *outgoing, .incoming = *incoming, .allowed_names = {name}};
  }

  net::TestCertificates files_;
  Duration distrusted_grace_ = QuickOptions("").distrusted_grace;
};

TEST_F(PeerTlsTest, ConnectsAndCarriesEverything) {
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  for (PeerNode* node : {a.get(), b.get()}) node->Join("cluster", {a->member(), b->member()});
  EXPECT_TRUE(Until([&] { return a->Reaches(*b) && b->Reaches(*a); }));
  auto entries = std::make_shared<std::vector<Entry>>();
  entries->push_back({.index = Index(1),
                      .type = EntryType::kCommand,
                      .payload = std::make_shared<const std::string>(size_t{10} << 20, 'x')});
  std::vector<raft::Message> messages = {
      {.from = a->id(), .to = b->id(), .body = raft::Append{.entries = entries}}};
  for (uint64_t i = 0; i < 100; ++i) messages.push_back(MessageTo(*a, *b, i));
  a->Send(messages);
  EXPECT_TRUE(Until([&] { return b->told().messages.size() == messages.size(); }));
  EXPECT_EQ(std::get<raft::Append>(b->told().messages[0].body).entries->front().bytes(),
            entries->front().bytes());
  EXPECT_EQ(a->Identify(b->member().rpc_address)->name, "b");
  EXPECT_EQ(a->stats().malformed + b->stats().malformed, 0u);
  b = nullptr;
  EXPECT_TRUE(Until([&] { return a->told().closed.size() == 2; }));
}

TEST_F(PeerTlsTest, SnapshotsAreReadOverTlsToo) {
  const std::string file((size_t{3} << 20) + 1, 'x');
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  b->ServeSnapshot(file);
  a->Join("cluster", {a->member(), b->member()});
  ASSERT_TRUE(Until([&] { return a->Reaches(*b); }));
  for (size_t offset = 0; offset < file.size(); offset += replica::kSnapshotChunkBytesMax) {
    ASSERT_TRUE(Until([&] {
      return a->Read(b->id(), {.last = {Index(9), Term(1)},
                               .offset = offset,
                               .bytes_max = replica::kSnapshotChunkBytesMax});
    }));
  }
  ASSERT_TRUE(Until([&] { return a->stats().snapshots.bytes_in == file.size(); }));
  std::string read;
  for (const Told::Chunk& chunk : a->told().chunks) read += chunk.chunk.bytes;
  EXPECT_TRUE(read == file);
  EXPECT_EQ(a->stats().snapshots.opened, 1u);
  // An empty node has no better right to be believed.
  auto stranger = Start("c", "node", "client");
  b->Join("cluster", {b->member(), stranger->member()});
  ASSERT_TRUE(Until([&] { return stranger->IsReachedBy(*b); }));
  EXPECT_FALSE(stranger->Read(b->id(), {.last = {Index(9), Term(1)}}));
  EXPECT_TRUE(Until([&] { return b->stats().refused["certificate"] > 0; }));
  EXPECT_FALSE(stranger->Read(b->id(), {.last = {Index(9), Term(1)}}));
}

TEST_F(PeerTlsTest, RefusesACertificateThatMayNotSpeak) {
  auto a = Start("a", "node", "client");
  auto b = Start("b", "node", "node");
  a->Join("cluster", {a->member(), b->member()});
  EXPECT_TRUE(Until([&] { return !a->StatsOf(b->id()).last_error.empty(); }));
  EXPECT_THAT(a->StatsOf(b->id()).last_error, HasSubstr("the certificate of client may not speak"));
  EXPECT_GE(b->stats().refused.at("certificate"), 1u);
  EXPECT_EQ(b->stats().open, 0u);
  const absl::Status status = a->Identify(b->member().rpc_address).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
}

// Goal: a node presents one certificate to whoever connects, clients and nodes alike; its name is
//       not one of those that may speak, and need not be. Host and authority prove it.
TEST_F(PeerTlsTest, TheNameOfAServerIsItsHost) {
  auto a = Start("a", "node", "node");
  auto b = Start("b", "client", "node");
  a->Join("cluster", {a->member(), b->member()});
  EXPECT_TRUE(Until([&] { return a->StatsOf(b->id()).is_connected_out; }));
  EXPECT_EQ(a->Identify(b->member().rpc_address)->name, "b");
}

TEST_F(PeerTlsTest, BelievesNoOtherAuthorityAndNoOtherHost) {
  auto a = Start("a", "node", "node");
  for (const char* certificate : {"stranger", "elsewhere"}) {
    auto b = Start("b", certificate, "node");
    const absl::Status status = a->Identify(b->member().rpc_address).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
    EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("its certificate is not accepted"));
  }
}

TEST_F(PeerTlsTest, ClearAndTlsDoNotMix) {
  auto a = Start("a", "node", "node");
  PeerNode clear(QuickOptions("clear"));
  EXPECT_FALSE(a->Identify(clear.member().rpc_address).ok());
  EXPECT_FALSE(clear.Identify(a->member().rpc_address).ok());
  EXPECT_EQ(a->stats().open + clear.stats().open, 0u);
}

// Goal: whom a node believes may change while it runs, for connections that are there, too.
TEST_F(PeerTlsTest, LeavesWhoIsNotBelievedAnyMore) {
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  for (PeerNode* node : {a.get(), b.get()}) node->Join("cluster", {a->member(), b->member()});
  ASSERT_TRUE(Until([&] { return a->Reaches(*b) && b->Reaches(*a); }));
  const auto believe = [&](const std::string& name, const std::string& list = "") {
    b->Do([&] { b->network().SetTls(Believing(name, list)); });
  };
  // The same once more: nobody notices, not even once a grace would be over.
  believe("node");
  b->WaitForTimers(distrusted_grace_);
  ASSERT_EQ(b->stats().distrusted, 0u);
  ASSERT_TRUE(a->Reaches(*b));
  believe("others");
  EXPECT_TRUE(Until([&] { return b->stats().distrusted == 1 && !a->Reaches(*b); }));
  EXPECT_TRUE(Until([&] { return b->stats().refused["certificate"] > 0; }));
  believe("node");
  EXPECT_TRUE(Until([&] { return a->Reaches(*b); }));
  files_.MakeRevocationList("list", "ca", {.revoked = {"node"}});
  believe("node", "list");
  EXPECT_TRUE(Until([&] { return b->stats().distrusted == 2 && !a->Reaches(*b); }));
}

// Goal: who has a certificate no longer has no connection either: neither those that it made ...
TEST_F(PeerTlsTest, LeavesADialerWhoseCertificateHasExpired) {
  const auto [a, b] = ConnectForSoLong(/*dials=*/true);
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(Until([&] { return a->stats().distrusted == 1 && !b->Reaches(*a); }));
  EXPECT_TRUE(a->Reaches(*b)) << "its other certificate is good";
}

// ... nor those that were made to it.
TEST_F(PeerTlsTest, LeavesAListenerWhoseCertificateHasExpired) {
  const auto [a, b] = ConnectForSoLong(/*dials=*/false);
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(Until([&] { return a->stats().distrusted >= 1 && !a->Reaches(*b); }));
  EXPECT_TRUE(
      Until([&] { return a->StatsOf(b->id()).last_error.find("expired") != std::string::npos; }));
  EXPECT_TRUE(b->Reaches(*a));
}

// Goal:   neither has it a connection left by which snapshots are read, at either end of it.
// Method: beside that one, its connection for messages ends.
TEST_F(PeerTlsTest, LeavesAnAskerForSnapshotsWhoseCertificateHasExpired) {
  const auto [a, b] = ConnectForSoLong(/*dials=*/true, [](PeerNode& a, PeerNode& b) {
    return b.Read(a.id(), {.last = {Index(9), Term(1)}}) && a.stats().snapshots.open == 1;
  });
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(Until([&] { return a->stats().snapshots.open == 0; }));
  EXPECT_TRUE(Until([&] { return a->stats().distrusted >= 2; }));
}

TEST_F(PeerTlsTest, LeavesASourceOfSnapshotsWhoseCertificateHasExpired) {
  const auto [a, b] = ConnectForSoLong(/*dials=*/false, [](PeerNode& a, PeerNode& b) {
    return a.Read(b.id(), {.last = {Index(9), Term(1)}}) && b.stats().snapshots.open == 1;
  });
  ASSERT_NE(a, nullptr);
  EXPECT_TRUE(Until([&] { return a->stats().snapshots.open == 0; }));
  EXPECT_TRUE(Until([&] { return a->stats().distrusted >= 2; }));
}

// Goal:   reloads do not put off the end of who is not believed any more.
// Method: each comes before the grace of the one before is over. The node has no connection of its
//         own, so the one to it stays for the grace.
TEST_F(PeerTlsTest, ReloadsDoNotPutOffTheEnd) {
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  a->Join("cluster", {a->member(), b->member()});
  ASSERT_TRUE(Until([&] { return b->IsReachedBy(*a); }));
  const PeerTls others = Believing("others");
  std::vector<uint64_t> distrusted;
  std::promise<void> done;
  const std::function<void()> reload = [&] {
    distrusted.push_back(b->stats().distrusted);
    if (distrusted.size() == 3) return done.set_value();
    b->network().SetTls(others);
    b->StartTimer(distrusted_grace_ / 2, reload);
  };
  b->Do(reload);
  done.get_future().wait();
  EXPECT_EQ(distrusted, (std::vector<uint64_t>{0, 0, 1}));
}

// Goal:   a reload after which everybody is still believed does not shorten the grace of a later one.
// Method: the second comes just before a grace from the first one on would be over.
TEST_F(PeerTlsTest, AGraceBeginsWithWhoIsNotBelieved) {
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  a->Join("cluster", {a->member(), b->member()});
  ASSERT_TRUE(Until([&] { return b->IsReachedBy(*a); }));
  const PeerTls same = Believing("node");
  const PeerTls others = Believing("others");
  std::promise<uint64_t> distrusted;
  b->Do([&] {
    b->StartTimer(distrusted_grace_, [&] {
      b->network().SetTls(others);
      b->StartTimer(distrusted_grace_ / 2, [&] { distrusted.set_value(b->stats().distrusted); });
    });
    b->network().SetTls(same);
  });
  EXPECT_EQ(distrusted.get_future().get(), 0u);
  EXPECT_TRUE(Until([&] { return b->stats().distrusted == 1; }));
}

// Goal:   what was dialed by older certificates does not slip through.
// Method: the dial begins just before others are believed.
TEST_F(PeerTlsTest, BelievesNobodyWhomItDialedBefore) {
  files_.Make("new-node", "other-ca", {.common_name = "node"});
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  auto outgoing = TlsContext::ForClient(files_.Files("new-node", "other-ca"), {std::string(kAlpn)});
  ASSERT_TRUE(outgoing.ok()) << outgoing.status();
  std::promise<absl::Status> done;
  a->Do([&] {
    a->network().Identify(b->member().rpc_address,
                          [&](const absl::StatusOr<replica::PeerIdentity>& identity) {
                            done.set_value(identity.status());
                          });
    a->network().SetTls({.outgoing = *outgoing, .incoming = nullptr, .allowed_names = {"node"}});
  });
  const absl::Status status = done.get_future().get();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition) << status;
  EXPECT_THAT(std::string(MessageOf(status)), HasSubstr("its certificate is not accepted"));
}

// Goal:   while certificates are replaced, nobody takes another one for dead: one of their two
//         connections is always there.
// Method: the nodes present certificates of one authority, and then of another one.
TEST_F(PeerTlsTest, AnAuthorityIsReplacedWithoutASilence) {
  distrusted_grace_ = std::chrono::hours(1);
  files_.Make("new-node", "other-ca", {.common_name = "node"});
  files_.WriteText("both.pem", files_.ReadText("ca.pem") + files_.ReadText("other-ca.pem"));
  auto a = Start("a", "node", "node");
  auto b = Start("b", "node", "node");
  for (PeerNode* node : {a.get(), b.get()}) node->Join("cluster", {a->member(), b->member()});
  ASSERT_TRUE(Until([&] { return a->Reaches(*b) && b->Reaches(*a); }));
  const auto set = [&](PeerNode& node, const std::string& certificate, const std::string& ca) {
    auto incoming =
        TlsContext::ForServer(files_.Files(certificate, ca), {"h2", std::string(kAlpn)});
    auto outgoing = TlsContext::ForClient(files_.Files(certificate, ca), {std::string(kAlpn)});
    ASSERT_TRUE(incoming.ok() && outgoing.ok()) << incoming.status();
    node.SetListenerTls(*incoming);
    node.Do([&] {
      node.network().SetTls(
          {.outgoing = *outgoing, .incoming = *incoming, .allowed_names = {"node"}});
    });
  };
  for (PeerNode* node : {a.get(), b.get()}) set(*node, "node", "both");
  for (PeerNode* node : {a.get(), b.get()}) set(*node, "new-node", "both");
  EXPECT_EQ(a->stats().distrusted + b->stats().distrusted, 0u);
  set(*a, "new-node", "other-ca");
  EXPECT_TRUE(Until([&] { return a->stats().distrusted == 2; }));
  // The other side has to notice, or what it says is of the connections before.
  EXPECT_TRUE(Until([&] { return b->told().closed.size() == 2; }));
  EXPECT_TRUE(Until([&] { return a->Reaches(*b) && b->Reaches(*a); }));
  set(*b, "new-node", "other-ca");
  EXPECT_TRUE(a->Reaches(*b) && b->Reaches(*a));
  for (PeerNode* node : {a.get(), b.get()}) {
    for (const Told::Closed& closed : node->told().closed) EXPECT_FALSE(closed.last);
  }
}

}  // namespace
}  // namespace mokv::peer
