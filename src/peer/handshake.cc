#include "peer/handshake.h"

#include <algorithm>
#include <utility>

#include "base/status.h"

namespace mokv::peer {
namespace {

bool Differ(std::string_view a, std::string_view b) { return !a.empty() && !b.empty() && a != b; }

uint32_t VersionMin(Purpose purpose) {
  return purpose == Purpose::kSnapshots ? kProtocolVersionSnapshots : kProtocolVersionMin;
}

// A purpose of a later version belongs to a greeting that does not speak this one.
bool PurposeFits(const proto::Hello& hello) {
  if (hello.purpose() == proto::Hello::MESSAGES) return true;
  return hello.purpose() == proto::Hello::SNAPSHOTS &&
         hello.protocol_version_max() >= kProtocolVersionSnapshots;
}

bool TextsFit(const proto::Hello& hello) {
  return std::max({hello.cluster_id().size(), hello.from_name().size(),
                   hello.from_instance_id().size(), hello.from_rpc_address().size(),
                   hello.node_version().size(), hello.to_name().size(),
                   hello.to_instance_id().size()}) <= kTextBytesMax;
}

bool TextsFit(const proto::HelloReply& reply) {
  const auto fits = [](const std::string& text) { return text.size() <= kTextBytesMax; };
  const auto& replaces = reply.replaces_instance_ids();
  if (replaces.size() > kReplacesMax || !std::all_of(replaces.begin(), replaces.end(), fits)) {
    return false;
  }
  return std::max({reply.refusal_text().size(), reply.name().size(), reply.instance_id().size(),
                   reply.cluster_id().size(), reply.node_version().size()}) <= kTextBytesMax;
}

// The order matters. The certificate is first: one that may not speak is told nothing else. A node
// that only asks who is here is answered before cluster and identity are compared.
proto::HelloReply Judge(const LocalNode& local, const proto::Hello& hello, uint64_t group,
                        const std::string* certificate_name) {
  using proto::HelloReply;
  if (certificate_name != nullptr && !local.Allows(*certificate_name)) {
    return Refuse(HelloReply::CERTIFICATE,
                  fmt::format("the certificate of {} may not speak for a node",
                              certificate_name->substr(0, kTextBytesMax / 2)));
  }
  if (!TextsFit(hello) || hello.protocol_version_min() > hello.protocol_version_max()) {
    return Refuse(HelloReply::MALFORMED, "the greeting makes no sense");
  }
  if (hello.protocol_version_min() > kProtocolVersionMax ||
      hello.protocol_version_max() < kProtocolVersionMin) {
    return Refuse(HelloReply::VERSION,
                  fmt::format("protocol versions {} to {} are spoken here, not {} to {}",
                              kProtocolVersionMin, kProtocolVersionMax,
                              hello.protocol_version_min(), hello.protocol_version_max()));
  }
  if (hello.identify()) return HelloReply();
  if (!PurposeFits(hello)) {
    return Refuse(HelloReply::MALFORMED, "the greeting does not say what it is for");
  }
  if (group != kGroup) return Refuse(HelloReply::GROUP, fmt::format("no Raft group {}", group));
  if (hello.from_name().empty() || hello.from_instance_id().empty()) {
    return Refuse(HelloReply::MALFORMED, "the greeting does not say who sends it");
  }
  if (hello.from_name() == local.name) {
    return Refuse(HelloReply::SELF, fmt::format("{} is this node's own name", local.name));
  }
  if (Differ(hello.to_name(), local.name)) {
    return Refuse(HelloReply::NOT_ME,
                  fmt::format("this is {}, not {}", local.name,
                              std::string_view(hello.to_name()).substr(0, kTextBytesMax / 4)));
  }
  if (Differ(hello.to_instance_id(), local.instance_id)) {
    return Refuse(HelloReply::NOT_ME,
                  fmt::format("this is another instance of {}: its data directory is not the one "
                              "that the cluster knows",
                              local.name));
  }
  if (Differ(hello.cluster_id(), local.cluster_id)) {
    return Refuse(HelloReply::CLUSTER,
                  fmt::format("{} belongs to cluster {}", local.name, local.cluster_id));
  }
  return HelloReply();
}

}  // namespace

std::string_view RefusalName(Refusal refusal) {
  switch (refusal) {
    case proto::HelloReply::NONE:
      return "none";
    case proto::HelloReply::CERTIFICATE:
      return "certificate";
    case proto::HelloReply::VERSION:
      return "version";
    case proto::HelloReply::NOT_ME:
      return "not-me";
    case proto::HelloReply::CLUSTER:
      return "cluster";
    case proto::HelloReply::SELF:
      return "self";
    case proto::HelloReply::GROUP:
      return "group";
    case proto::HelloReply::FULL:
      return "full";
    case proto::HelloReply::MALFORMED:
      return "malformed";
    case proto::HelloReply::DUPLICATE:
      return "duplicate";
    default:
      return "unknown";
  }
}

bool LocalNode::Allows(std::string_view certificate_name) const {
  return std::find(allowed_names.begin(), allowed_names.end(), certificate_name) !=
         allowed_names.end();
}

proto::Hello MakeHello(const LocalNode& local, const Expected& expected, Purpose purpose) {
  proto::Hello hello;
  hello.set_protocol_version_min(VersionMin(purpose));
  hello.set_protocol_version_max(kProtocolVersionMax);
  hello.set_cluster_id(local.cluster_id);
  hello.set_from_name(local.name);
  hello.set_from_instance_id(local.instance_id);
  hello.set_from_rpc_address(local.rpc_address);
  hello.set_node_version(local.version);
  hello.set_to_name(expected.name);
  hello.set_to_instance_id(expected.instance_id);
  hello.set_identify(purpose == Purpose::kIdentify);
  if (purpose == Purpose::kSnapshots) hello.set_purpose(proto::Hello::SNAPSHOTS);
  hello.set_process_id(local.process_id);
  return hello;
}

proto::HelloReply Refuse(Refusal refusal, std::string text) {
  proto::HelloReply reply;
  reply.set_refusal(refusal);
  reply.set_refusal_text(std::move(text));
  return reply;
}

proto::HelloReply RefuseDuplicate(const LocalNode& local, const proto::Hello& hello) {
  return Refuse(
      proto::HelloReply::DUPLICATE,
      fmt::format("{} is connected with another process of {}, of the same data directory "
                  "or a copy of it",
                  local.name, std::string_view(hello.from_name()).substr(0, kTextBytesMax / 4)));
}

proto::HelloReply AnswerHello(const LocalNode& local, const proto::Hello& hello, uint64_t group,
                              const std::string* certificate_name) {
  proto::HelloReply reply = Judge(local, hello, group, certificate_name);
  // A stranger learns nothing about this node.
  if (reply.refusal() == proto::HelloReply::CERTIFICATE) return reply;
  reply.set_name(local.name);
  reply.set_instance_id(local.instance_id);
  reply.set_cluster_id(local.cluster_id);
  reply.set_node_version(local.version);
  reply.set_process_id(local.process_id);
  for (const std::string& instance : local.replaces) reply.add_replaces_instance_ids(instance);
  if (reply.refusal() == proto::HelloReply::NONE) {
    reply.set_protocol_version(std::min(hello.protocol_version_max(), kProtocolVersionMax));
  }
  return reply;
}

Remote RemoteOf(const proto::Hello& hello) {
  return {.id = raft::NodeIdOf(hello.from_name(), hello.from_instance_id()),
          .name = hello.from_name(),
          .instance_id = hello.from_instance_id(),
          .cluster_id = hello.cluster_id(),
          .version = hello.node_version(),
          .process_id = hello.process_id(),
          .rpc_address = hello.from_rpc_address()};
}

Purpose PurposeOf(const proto::Hello& hello) {
  if (hello.identify()) return Purpose::kIdentify;
  return hello.purpose() == proto::Hello::SNAPSHOTS ? Purpose::kSnapshots : Purpose::kMessages;
}

Remote RemoteOf(const proto::HelloReply& reply) {
  return {.id = raft::NodeIdOf(reply.name(), reply.instance_id()),
          .name = reply.name(),
          .instance_id = reply.instance_id(),
          .cluster_id = reply.cluster_id(),
          .version = reply.node_version(),
          .process_id = reply.process_id(),
          .replaces = {reply.replaces_instance_ids().begin(), reply.replaces_instance_ids().end()}};
}

absl::Status CheckReply(const LocalNode& local, const Expected& expected, Purpose purpose,
                        const proto::HelloReply& reply) {
  if (!TextsFit(reply)) return FailedPrecondition("the answer makes no sense");
  if (reply.refusal() != proto::HelloReply::NONE) {
    return FailedPrecondition("refused ({}): {}", RefusalName(reply.refusal()),
                              reply.refusal_text());
  }
  if (reply.protocol_version() < VersionMin(purpose) ||
      reply.protocol_version() > kProtocolVersionMax) {
    return FailedPrecondition("protocol version {} is not spoken here", reply.protocol_version());
  }
  if (reply.name().empty() || reply.instance_id().empty()) {
    return FailedPrecondition("the answer does not say who is there");
  }
  if (purpose == Purpose::kIdentify) return absl::OkStatus();
  if (RemoteOf(reply).id != expected.id) {
    return FailedPrecondition("{} is there, with another name or another data directory than {}",
                              reply.name(), expected.name);
  }
  if (Differ(reply.cluster_id(), local.cluster_id)) {
    return FailedPrecondition("{} belongs to cluster {}", reply.name(), reply.cluster_id());
  }
  return absl::OkStatus();
}

}  // namespace mokv::peer
