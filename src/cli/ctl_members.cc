// mokvctl member, mokvctl leader.
#include <algorithm>
#include <map>
#include <thread>

#include "api/cluster.pb.h"
#include "base/json.h"
#include "base/status.h"
#include "cli/ctl_answer.h"
#include "cli/ctl_commands.h"

namespace mokv {
namespace {

// Between two looks at whether a new member votes.
constexpr Duration kLookInterval = std::chrono::milliseconds(100);

absl::StatusOr<api::MemberListResponse> Members(CtlClient& client) {
  return ParseAnswer<api::MemberListResponse>(client.Read("/api.Cluster/MemberList", ""));
}

std::string_view RoleOf(const api::Member& member) {
  if (member.is_leader()) return "leader";
  return member.is_voter() ? "voter" : "learner";
}

template <typename Request>
int Change(const CtlConnection& connection, const std::string& method, const Request& request,
           std::string_view done) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  const auto answer = (*client)->Change(method, request.SerializeAsString());
  if (!answer.ok()) return CtlComplain(answer.status());
  PrintLine(done);
  return kCtlDone;
}

}  // namespace

int CtlMemberList(const CtlConnection& connection, CtlFormat format) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  const auto list = Members(**client);
  if (!list.ok()) return CtlComplain(list.status());
  std::map<std::string, api::GossipMember> gossip;
  for (const api::GossipMember& member : list->gossip()) gossip[member.id()] = member;
  std::vector<std::vector<std::string>> rows = {
      {"NAME", "ADDRESS", "ROLE", "GOSSIP", "RTT", "INSTANCE"}};
  const auto add = [&](const std::string& name, const std::string& address, std::string_view role,
                       const api::GossipMember& seen, const std::string& instance) {
    rows.push_back({name, address, std::string(role), seen.status().empty() ? "-" : seen.status(),
                    FormatRoundTrip(seen.round_trip_us()), instance.empty() ? "-" : instance});
    if (format != CtlFormat::kJson) return;
    PrintLine(fmt::format(
        R"({{"name":{},"address":{},"role":"{}","voter":{},"gossip":{},"rtt_us":{},"instance_id":{}}})",
        JsonString(name), JsonString(address), role, role == "voter" || role == "leader",
        JsonString(seen.status()), seen.round_trip_us(), JsonString(instance)));
  };
  for (const api::Member& member : list->members()) {
    add(member.id(), member.rpc_addr(), RoleOf(member), gossip[member.id()], member.instance_id());
    gossip.erase(member.id());
  }
  // Who gossips without being a member: nodes that wait to be added, plain agents, and those that
  // were removed.
  for (const auto& [name, member] : gossip) {
    add(name, member.address(), member.role() == "mokv" ? "none" : "agent", member, "");
  }
  if (format == CtlFormat::kText) PrintRaw(FormatTable(rows));
  return kCtlDone;
}

int CtlMemberAdd(const CtlConnection& connection, const std::string& name,
                 const std::string& address) {
  const auto client = CtlClient::Create(connection);
  if (!client.ok()) return ComplainOfUsage(client.status());
  const MonotonicTime give_up_at = SystemClock().Now() + connection.timeout;
  api::MemberAddRequest request;
  request.set_id(name);
  request.set_rpc_addr(address);
  const auto answer = (*client)->Change("/api.Cluster/MemberAdd", request.SerializeAsString());
  if (!answer.ok()) return CtlComplain(answer.status());
  do {
    const auto list = Members(**client);
    if (list.ok()) {
      const auto member =
          std::find_if(list->members().begin(), list->members().end(),
                       [&](const api::Member& candidate) { return candidate.id() == name; });
      if (member != list->members().end() && member->is_voter()) {
        PrintLine(fmt::format("{} is a voter", name));
        return kCtlDone;
      }
    }
    std::this_thread::sleep_for(kLookInterval);
  } while (SystemClock().Now() < give_up_at);
  PrintLine(fmt::format("{} is a learner; it will vote once it has caught up", name));
  return kCtlDone;
}

int CtlMemberRemove(const CtlConnection& connection, const std::string& name) {
  api::MemberRemoveRequest request;
  request.set_id(name);
  return Change(connection, "/api.Cluster/MemberRemove", request,
                fmt::format("{} is no member any more", name));
}

int CtlLeaderTransfer(const CtlConnection& connection, const std::string& name) {
  api::TransferLeadershipRequest request;
  request.set_id(name);
  return Change(connection, "/api.Cluster/TransferLeadership", request,
                "leadership was handed over");
}

}  // namespace mokv
