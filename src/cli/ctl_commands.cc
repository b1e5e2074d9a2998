#include "cli/ctl_commands.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <iostream>
#include <iterator>
#include <map>

#include "api/cluster.pb.h"
#include "api/kv.pb.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/certificates.h"
#include "cli/ctl_agreement.h"
#include "cli/ctl_answer.h"

namespace mokv {
namespace {

api::Consistency ConsistencyOf(bool stale) { return stale ? api::STALE : api::LINEARIZABLE; }

int PrintReport(const absl::StatusOr<CertificateReport>& report) {
  if (!report.ok()) return CtlComplain(report.status());
  for (const CertificateReport::FileReport& file : report->files) {
    PrintLine(fmt::format("{} {}{}", file.made ? "made" : "kept", file.path,
                          file.note.empty() ? "" : " (" + file.note + ")"));
  }
  return kCtlDone;
}

// The nodes that answer, by name, and the errors of those that do not.
struct NodeStates {
  std::map<std::string, api::StatusResponse> by_name;
  struct Failed {
    std::string name;  // Empty: not known.
    std::string address;
    absl::Status status;
  };
  std::vector<Failed> failed;
};

void AskNode(CtlClient& client, const net::HostPort& endpoint, NodeStates& states,
             const std::string& name = "") {
  const auto status =
      ParseAnswer<api::StatusResponse>(client.ReadFrom(endpoint, "/api.Cluster/Status", ""));
  if (status.ok()) {
    states.by_name[status->id()] = *status;
  } else {
    states.failed.push_back({name, endpoint.ToString(), status.status()});
  }
}

NodeStates AskAllNodes(CtlClient& client) {
  NodeStates states;
  std::vector<std::string> asked;
  for (const net::HostPort& endpoint : client.endpoints()) {
    asked.push_back(endpoint.ToString());
    AskNode(client, endpoint, states);
  }
  const auto servers = ParseAnswer<api::GetServersResponse>(client.Read("/api.KV/GetServers", ""));
  if (!servers.ok()) return states;
  for (const api::Server& server : servers->servers()) {
    const absl::StatusOr<net::HostPort> address = net::ParseHostPort(server.rpc_addr());
    if (!address.ok() || states.by_name.contains(server.id()) ||
        std::find(asked.begin(), asked.end(), server.rpc_addr()) != asked.end()) {
      continue;
    }
    AskNode(client, *address, states, server.id());
  }
  return states;
}

std::string HealthText(const api::StatusResponse& node) {
  std::string text = node.serving() ? "serving" : "not serving";
  for (const std::string& condition : node.conditions()) text += "; " + condition;
  return text;
}

// The node's newest digest, and whether its state is the common one: null where nothing is known.
std::string DigestJson(const api::StatusResponse& node, const Agreement& agreement) {
  const bool tells = node.digests_size() > 0;
  const api::StateDigest digest = tells ? *node.digests().rbegin() : api::StateDigest();
  const auto agrees = agreement.by_name.find(node.id());
  return fmt::format(
      R"("digest_index":{},"digest":{},"compared_index":{},"agrees_at":{},"agrees":{})",
      digest.index(), tells ? JsonString(DigestText(digest)) : "null", node.compared_index(),
      agreement.index,
      agrees == agreement.by_name.end() ? "null"
      : agrees->second                  ? "true"
                                        : "false");
}

std::string StatusJson(const api::StatusResponse& node, uint64_t lag, uint64_t round_trip_us,
                       const Agreement& agreement) {
  std::string conditions;
  for (const std::string& condition : node.conditions()) {
    conditions += (conditions.empty() ? "" : ",") + JsonString(condition);
  }
  return fmt::format(
      R"({{"name":{},"address":{},"role":{},"term":{},"applied_index":{},"lag":{},"keys":{},)"
      R"("store_bytes":{},"resident_bytes":{},"revision":{},"version":{},"health":"{}",)"
      R"("conditions":[{}],"cluster_id":{},"rtt_us":{},{}}})",
      JsonString(node.id()), JsonString(node.rpc_addr()), JsonString(node.role()), node.term(),
      node.applied_index(), lag, node.keys(), node.store_bytes(), node.resident_bytes(),
      node.revision(), JsonString(node.version()), node.serving() ? "serving" : "not serving",
      conditions, JsonString(node.cluster_id()), round_trip_us, DigestJson(node, agreement));
}

}  // namespace

int CtlGet(const CtlConnection& connection, CtlFormat format, const std::string& key, bool stale) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  api::GetRequest request;
  request.set_key(key);
  request.set_consistency(ConsistencyOf(stale));
  const auto item =
      ParseAnswer<api::GetResponse>((*client)->Read("/api.KV/Get", request.SerializeAsString()));
  if (!item.ok()) return CtlComplain(item.status());
  if (format == CtlFormat::kJson) {
    PrintLine(ItemJson(*item));
  } else {
    // Keeps the lines of a value; escapes what would garble a terminal.
    if (OutputIsTerminal()) {
      PrintLine(Escaped(item->value(), "\n\t"));
    } else {
      PrintRaw(item->value());
    }
  }
  return kCtlDone;
}

int CtlSet(const CtlConnection& connection, CtlFormat format, const std::string& key,
           const std::string& value, std::optional<uint64_t> expected_revision) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  api::SetRequest request;
  request.set_key(key);
  if (value == "-") {
    request.set_value(std::string(std::istreambuf_iterator<char>(std::cin), {}));
  } else {
    request.set_value(value);
  }
  if (expected_revision.has_value()) request.set_expected_revision(*expected_revision);
  const auto response =
      ParseAnswer<api::SetResponse>((*client)->Change("/api.KV/Set", request.SerializeAsString()));
  if (!response.ok()) return CtlComplain(response.status());
  PrintLine(format == CtlFormat::kJson
                ? fmt::format(R"({{"ok":true,"revision":{}}})", response->revision())
                : "OK");
  return kCtlDone;
}

int CtlDelete(const CtlConnection& connection, CtlFormat format, const std::string& key,
              std::optional<uint64_t> expected_revision) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  api::DeleteRequest request;
  request.set_key(key);
  if (expected_revision.has_value()) request.set_expected_revision(*expected_revision);
  const auto response = ParseAnswer<api::DeleteResponse>(
      (*client)->Change("/api.KV/Delete", request.SerializeAsString()));
  if (!response.ok()) return CtlComplain(response.status());
  PrintLine(format == CtlFormat::kJson ? fmt::format(R"({{"ok":true,"revision":{},"deleted":{}}})",
                                                     response->revision(), response->deleted())
                                       : std::to_string(response->deleted()));
  return kCtlDone;
}

int CtlList(const CtlConnection& connection, CtlFormat format, const std::string& prefix,
            bool stale, bool null_separated) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  api::ListRequest request;
  request.set_prefix(prefix);
  request.set_consistency(ConsistencyOf(stale));
  bool all_parsed = true;
  const absl::Status status =
      (*client)->Stream("/api.KV/List", request.SerializeAsString(), [&](std::string_view message) {
        api::GetResponse item;
        if (!item.ParseFromArray(message.data(), static_cast<int>(message.size()))) {
          all_parsed = false;
        } else if (format == CtlFormat::kJson) {
          PrintLine(ItemJson(item));
        } else if (null_separated) {
          PrintRaw(item.key() + '\0' + item.value() + '\0');
        } else if (OutputIsTerminal()) {
          PrintLine(Escaped(item.key(), "") + "\t" + Escaped(item.value(), ""));
        } else {
          PrintLine(item.key() + "\t" + item.value());
        }
      });
  if (!status.ok()) return CtlComplain(status);
  if (!all_parsed) return CtlComplain(absl::InternalError("an item of the answer does not parse"));
  return kCtlDone;
}

namespace {

// Round trips from the first endpoint to the others, as gossip estimates them; by name.
std::map<std::string, uint64_t> RoundTrips(CtlClient& client) {
  std::map<std::string, uint64_t> round_trips;
  const auto list =
      ParseAnswer<api::MemberListResponse>(client.Read("/api.Cluster/MemberList", ""));
  if (!list.ok()) return round_trips;
  for (const api::GossipMember& member : list->gossip()) {
    round_trips[member.id()] = member.round_trip_us();
  }
  return round_trips;
}

}  // namespace

int CtlStatus(const CtlConnection& connection, CtlFormat format) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  const NodeStates states = AskAllNodes(**client);
  const std::map<std::string, uint64_t> round_trips = RoundTrips(**client);
  const Agreement agreement = FindAgreement(states.by_name);
  uint64_t newest = 0;
  for (const auto& [name, node] : states.by_name) newest = std::max(newest, node.applied_index());
  std::vector<std::vector<std::string>> rows = {{"NAME", "ADDRESS", "ROLE", "TERM", "APPLIED",
                                                 "LAG", "KEYS", "MEMORY", "RTT", "VERSION",
                                                 "HEALTH"}};
  for (const auto& [name, node] : states.by_name) {
    const uint64_t lag = newest - node.applied_index();
    const auto found = round_trips.find(name);
    const uint64_t round_trip_us = found == round_trips.end() ? 0 : found->second;
    if (format == CtlFormat::kJson) PrintLine(StatusJson(node, lag, round_trip_us, agreement));
    rows.push_back({name, node.rpc_addr(), node.role(), std::to_string(node.term()),
                    std::to_string(node.applied_index()), std::to_string(lag),
                    std::to_string(node.keys()), FormatBytes(node.resident_bytes()),
                    FormatRoundTrip(round_trip_us), node.version(), HealthText(node)});
  }
  for (const NodeStates::Failed& node : states.failed) {
    if (node.name.empty()) continue;
    rows.push_back(
        {node.name, node.address, "-", "-", "-", "-", "-", "-", "-", "-", "unreachable"});
  }
  if (format == CtlFormat::kText && rows.size() > 1) PrintRaw(FormatTable(rows));
  const std::string agrees = AgreementText(agreement);
  if (format == CtlFormat::kText && !agrees.empty()) PrintLine(agrees);
  int exit_status = kCtlDone;
  for (const NodeStates::Failed& node : states.failed) {
    exit_status = std::max(
        exit_status,
        CtlComplain(absl::Status(node.status.code(),
                                 fmt::format("{}: {}", node.address, MessageOf(node.status)))));
  }
  return exit_status;
}

int CtlCertInit(const std::string& directory, const std::vector<std::string>& hosts) {
  CertificateOptions options;
  options.directory = directory;
  options.server_hosts = hosts;
  if (const std::string name = MachineHostName(); !name.empty()) {
    options.server_hosts.push_back(name);
  }
  return PrintReport(InitCertificates(options));
}

int CtlCertClient(const std::string& directory, const std::string& name) {
  return PrintReport(MakeClientCertificate(directory, name));
}

int CtlCertServer(const std::string& directory, const std::vector<std::string>& hosts) {
  // The files are named after the first host, as far as that can stand in a file name.
  std::string name = hosts.front();
  std::replace_if(
      name.begin(), name.end(),
      [](char c) { return c != '.' && c != '-' && !std::isalnum(static_cast<unsigned char>(c)); },
      '_');
  return PrintReport(MakeServerCertificate(directory, name, hosts));
}

int CtlKeygen() {
  const absl::StatusOr<std::string> key = NewGossipKey();
  if (!key.ok()) return CtlComplain(key.status());
  PrintLine(*key);
  return kCtlDone;
}

}  // namespace mokv
