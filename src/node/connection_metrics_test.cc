#include "node/connection_metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "net/io_pool.h"
#include "rpc/server.h"

namespace mokv {
namespace {

using ::testing::HasSubstr;

std::string Page(const rpc::ServerStats& rpc, const net::ListenerStats& listener) {
  telemetry::MetricsPage page;
  page.Register(
      [&](telemetry::MetricsWriter& writer) { WriteConnectionMetrics(writer, rpc, listener); });
  return page.Render();
}

std::string Refused(const std::string& reason) {
  return "mokv_rpc_connections_refused_total{reason=\"" + reason + "\"}";
}

// Goal: each series is there from the beginning, and grows by what it is named after alone.
TEST(ConnectionMetrics, CountWhatTheyAreNamedAfter) {
  rpc::ServerStats rpc;
  net::ListenerStats listener;
  const std::vector<std::pair<std::string, std::atomic<uint64_t>*>> series = {
      {"mokv_rpc_connections", &rpc.connections_open},
      {"mokv_rpc_calls_in_progress", &rpc.calls_open},
      {"mokv_rpc_connections_total", &rpc.connections_total},
      {"mokv_rpc_streams_stalled_total", &rpc.streams_stalled},
      {"mokv_rpc_connections_silent_total", &rpc.connections_silent},
      {"mokv_rpc_connections_distrusted_total", &rpc.connections_distrusted},
      {"mokv_rpc_connections_retired_total", &rpc.connections_retired},
      {"mokv_rpc_answers_refused_total", &rpc.answers_refused},
      {"mokv_rpc_accepts_failed_total", &listener.accepts_failed},
      {Refused("broken_http2"), &rpc.connections_broken},
      {Refused("too_many"), &listener.refused_full},
      {Refused("tls_handshake"), &listener.handshakes_failed},
      {Refused("handshake_timeout"), &listener.handshakes_timed_out},
      {Refused("handshakes_crowded_out"), &listener.handshakes_crowded_out},
      {Refused("no_descriptors"), &listener.turned_away},
      {Refused("unknown_protocol"), &listener.protocols_unknown},
      {Refused("closed_early"), &listener.closed_early},
  };
  for (const auto& [name, counter] : series) {
    EXPECT_THAT(Page(rpc, listener), HasSubstr("\n" + name + " 0\n"));
  }
  uint64_t count = 0;
  for (const auto& [name, counter] : series) *counter = ++count;
  const std::string page = Page(rpc, listener);
  count = 0;
  for (const auto& [name, counter] : series) {
    EXPECT_THAT(page, HasSubstr("\n" + name + " " + std::to_string(++count) + "\n"));
  }
}

// Goal: a kind of flood has a series before its first, which Prometheus' increase() would miss.
TEST(ConnectionMetrics, FloodsOfEachKindBeginAtZero) {
  net::IoPool pool(1);
  const rpc::Server server(pool, {}, nullptr);
  const net::ListenerStats listener;
  std::string page = Page(server.stats(), listener);
  for (const auto& [kind, count] : server.stats().floods.get()) {
    EXPECT_THAT(page, HasSubstr("\nmokv_rpc_floods_total{kind=\"" + kind + "\"} 0\n"));
  }
  EXPECT_THAT(page, HasSubstr("kind=\"too_many_pings\""));

  rpc::ServerStats flooded;
  flooded.floods.Add("PRIORITY");
  EXPECT_THAT(Page(flooded, listener), HasSubstr("\nmokv_rpc_floods_total{kind=\"PRIORITY\"} 1\n"));
}

}  // namespace
}  // namespace mokv
