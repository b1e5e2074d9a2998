#include "raft/messages.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace mokv::raft {
namespace {

std::string Granted(bool granted) { return granted ? "granted" : "refused"; }

std::string EntryKind(EntryType type) {
  switch (type) {
    case EntryType::kNoOp:
      return " no-op";
    case EntryType::kConfiguration:
      return " configuration";
    case EntryType::kCommand:
      return "";
  }
  return " unknown";
}

struct BodyPrinter {
  std::string operator()(const PreVoteRequest& body) const {
    return fmt::format("PreVoteRequest last {}", ToString(body.last));
  }
  std::string operator()(const PreVoteReply& body) const {
    return fmt::format("PreVoteReply {}", Granted(body.granted));
  }
  std::string operator()(const VoteRequest& body) const {
    return fmt::format("VoteRequest last {}{}", ToString(body.last),
                       body.transfer ? " transfer" : "");
  }
  std::string operator()(const VoteReply& body) const {
    return fmt::format("VoteReply {}", Granted(body.granted));
  }
  std::string operator()(const Append& body) const {
    std::string text = fmt::format("Append previous {}", ToString(body.previous));
    if (body.entries != nullptr) {
      text += " entries";
      for (const Entry& entry : *body.entries) {
        text += fmt::format(" {}/{}{}", entry.index, entry.term, EntryKind(entry.type));
      }
    }
    return text + fmt::format(" commit {}", body.commit);
  }
  std::string operator()(const AppendReply& body) const {
    if (body.accepted) return fmt::format("AppendReply match {}", body.match);
    return fmt::format("AppendReply rejected {} hint {}", body.rejected, ToString(body.hint));
  }
  std::string operator()(const Heartbeat& body) const {
    std::string text = fmt::format("Heartbeat round {} commit {}", body.round, body.commit);
    // Mostly it is the commit index.
    if (body.acknowledged != Position() && body.acknowledged.index != body.commit) {
      text += fmt::format(" acknowledged {}", ToString(body.acknowledged));
    }
    return text;
  }
  std::string operator()(const HeartbeatReply& body) const {
    std::string text = fmt::format("HeartbeatReply round {}", body.round);
    if (body.ends_at.has_value()) text += fmt::format(" ends at {}", *body.ends_at);
    return text;
  }
  std::string operator()(const InstallSnapshot& body) const {
    return fmt::format("InstallSnapshot last {} {}", ToString(body.snapshot.last),
                       ToString(*body.snapshot.membership));
  }
  std::string operator()(const ReadIndexRequest& body) const {
    return fmt::format("ReadIndexRequest context {}", body.context.sequence);
  }
  std::string operator()(const ReadIndexReply& body) const {
    if (body.index == Index()) {
      return fmt::format("ReadIndexReply context {} refused", body.context.sequence);
    }
    return fmt::format("ReadIndexReply context {} index {}", body.context.sequence, body.index);
  }
  std::string operator()(const TimeoutNow&) const { return "TimeoutNow"; }
  std::string operator()(const TermNotice&) const { return "TermNotice"; }
};

std::string Names(const Membership& membership, const Membership::Ids& ids) {
  std::vector<std::string> names;
  for (const NodeId id : ids) names.push_back(membership.Find(id)->name);
  return fmt::format("({})", fmt::join(names, " "));
}

}  // namespace

std::string ToString(Position position) {
  return fmt::format("{}/{}", position.index, position.term);
}

std::string ToString(const Membership& membership) {
  if (membership.empty()) return "voters ()";
  std::string text = "voters " + Names(membership, membership.voters());
  if (membership.joint()) text += " outgoing " + Names(membership, membership.outgoing());
  if (!membership.learners().empty())
    text += " learners " + Names(membership, membership.learners());
  if (!membership.learners_next().empty()) {
    text += " learners-next " + Names(membership, membership.learners_next());
  }
  return text;
}

std::string ToString(const Message& message) {
  return fmt::format("{} -> {} term {} {}", message.from, message.to, message.term,
                     std::visit(BodyPrinter{}, message.body));
}

}  // namespace mokv::raft
