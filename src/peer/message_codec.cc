#include "peer/message_codec.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <limits>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/status.h"

namespace mokv::peer {
namespace {

raft::Position Get(const proto::Position& position) {
  return {Index(position.index()), Term(position.term())};
}

void Put(const raft::ReadContext& context, proto::ReadContext& out) {
  out.set_boot(context.boot);
  out.set_sequence(context.sequence);
}

raft::ReadContext Get(const proto::ReadContext& context) {
  return {.boot = context.boot(), .sequence = context.sequence()};
}

// One overload for each kind. A kind without fields is only named.
struct Encoder {
  proto::Raft& out;

  void operator()(const raft::PreVoteRequest& body) {
    EncodePosition(body.last, *out.mutable_pre_vote_request()->mutable_last());
  }
  void operator()(const raft::PreVoteReply& body) {
    out.mutable_pre_vote_reply()->set_granted(body.granted);
  }
  void operator()(const raft::VoteRequest& body) {
    EncodePosition(body.last, *out.mutable_vote_request()->mutable_last());
    out.mutable_vote_request()->set_transfer(body.transfer);
  }
  void operator()(const raft::VoteReply& body) {
    out.mutable_vote_reply()->set_granted(body.granted);
  }
  void operator()(const raft::Append& body) {
    EncodePosition(body.previous, *out.mutable_append()->mutable_previous());
    out.mutable_append()->set_commit(body.commit.value());
  }
  void operator()(const raft::AppendReply& body) {
    proto::AppendReply& reply = *out.mutable_append_reply();
    reply.set_accepted(body.accepted);
    reply.set_match(body.match.value());
    reply.set_rejected(body.rejected.value());
    if (body.hint != raft::Position()) EncodePosition(body.hint, *reply.mutable_hint());
  }
  void operator()(const raft::Heartbeat& body) {
    out.mutable_heartbeat()->set_commit(body.commit.value());
    out.mutable_heartbeat()->set_round(body.round.value());
    if (body.acknowledged != raft::Position()) {
      EncodePosition(body.acknowledged, *out.mutable_heartbeat()->mutable_acknowledged());
    }
  }
  void operator()(const raft::HeartbeatReply& body) {
    out.mutable_heartbeat_reply()->set_round(body.round.value());
    if (body.ends_at.has_value()) {
      out.mutable_heartbeat_reply()->set_ends_at(body.ends_at->value());
    }
  }
  void operator()(const raft::InstallSnapshot& body) {
    MOKV_CHECK(body.snapshot.membership != nullptr);
    EncodePosition(body.snapshot.last, *out.mutable_install_snapshot()->mutable_last());
    out.mutable_install_snapshot()->set_membership(body.snapshot.membership->Encode());
  }
  void operator()(const raft::ReadIndexRequest& body) {
    Put(body.context, *out.mutable_read_index_request()->mutable_context());
  }
  void operator()(const raft::ReadIndexReply& body) {
    Put(body.context, *out.mutable_read_index_reply()->mutable_context());
    out.mutable_read_index_reply()->set_index(body.index.value());
  }
  void operator()(const raft::TimeoutNow&) { out.mutable_timeout_now(); }
  void operator()(const raft::TermNotice&) { out.mutable_term_notice(); }
};

absl::StatusOr<EntryType> DecodeType(uint32_t type) {
  switch (type) {
    case uint32_t{static_cast<uint8_t>(EntryType::kNoOp)}:
      return EntryType::kNoOp;
    case uint32_t{static_cast<uint8_t>(EntryType::kConfiguration)}:
      return EntryType::kConfiguration;
    case uint32_t{static_cast<uint8_t>(EntryType::kCommand)}:
      return EntryType::kCommand;
    default:
      return InvalidArgument("an entry is of the unknown type {}", type);
  }
}

absl::StatusOr<raft::EntryBatch> DecodeEntries(std::string_view bytes) {
  MOKV_RETURN_IF_ERROR(CheckRecords(bytes));
  proto::EntryBlock block;
  if (!block.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return absl::InvalidArgumentError("entries do not parse");
  }
  const uint64_t count = static_cast<uint64_t>(block.entries_size());
  if (count == 0) return absl::InvalidArgumentError("a block of entries without any");
  if (block.first_index() == 0 ||
      block.first_index() > std::numeric_limits<uint64_t>::max() - count) {
    return InvalidArgument("{} entries cannot begin at index {}", count, block.first_index());
  }
  auto entries = std::make_shared<std::vector<Entry>>();
  entries->reserve(count);
  for (proto::EntryBlock::Entry& in : *block.mutable_entries()) {
    Entry& entry = entries->emplace_back();
    entry.index = Index(block.first_index() + entries->size() - 1);
    entry.term = Term(in.term());
    MOKV_ASSIGN_OR_RETURN(entry.type, DecodeType(in.type()));
    if (!in.payload().empty()) {
      entry.payload = std::make_shared<const std::string>(std::move(*in.mutable_payload()));
    }
  }
  return entries;
}

absl::StatusOr<raft::Append> DecodeAppend(const proto::Append& append,
                                          std::string_view attachment) {
  raft::Append body{.previous = Get(append.previous()), .commit = Index(append.commit())};
  if (!attachment.empty()) {
    MOKV_ASSIGN_OR_RETURN(body.entries, DecodeEntries(attachment));
  }
  return body;
}

// The core compares it with what it has; this only looks whether there can be such a snapshot.
absl::StatusOr<raft::InstallSnapshot> DecodeInstallSnapshot(const proto::InstallSnapshot& install) {
  MOKV_ASSIGN_OR_RETURN(const raft::Position last, DecodeSnapshotEnd(install.last()));
  MOKV_RETURN_IF_ERROR(CheckRecords(install.membership()));
  MOKV_ASSIGN_OR_RETURN(raft::Membership membership,
                        raft::Membership::Decode(install.membership()));
  return raft::InstallSnapshot{
      {.last = last,
       .membership = std::make_shared<const raft::Membership>(std::move(membership))}};
}

}  // namespace

void EncodePosition(raft::Position position, proto::Position& out) {
  if (position.index.value() != 0) out.set_index(position.index.value());
  if (position.term.value() != 0) out.set_term(position.term.value());
}

absl::StatusOr<raft::Position> DecodeSnapshotEnd(const proto::Position& position) {
  const raft::Position last = Get(position);
  if (last.index == Index(0) || last.term == Term(0)) {
    return InvalidArgument("a snapshot cannot end at {}/{}", last.index, last.term);
  }
  return last;
}

absl::Status CheckRecords(std::string_view bytes) {
  using google::protobuf::internal::WireFormatLite;
  google::protobuf::io::CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()),
                                            static_cast<int>(bytes.size()));
  size_t fields = 0;
  while (const uint32_t tag = in.ReadTag()) {
    if (++fields > kRecordsMax) {
      return InvalidArgument("an attachment of more than {} records", kRecordsMax);
    }
    if (!WireFormatLite::SkipField(&in, tag)) {
      return absl::InvalidArgumentError("an attachment does not parse");
    }
  }
  // The parser must not find fields where this loop found none.
  if (!in.ConsumedEntireMessage()) {
    return absl::InvalidArgumentError("an attachment does not parse");
  }
  return absl::OkStatus();
}

void EncodeMessage(const raft::Message& message, proto::Raft& out) {
  out.set_from(message.from.value());
  out.set_to(message.to.value());
  out.set_term(message.term.value());
  std::visit(Encoder{out}, message.body);
}

Attachment EncodeEntries(const std::vector<Entry>& entries) {
  MOKV_CHECK(!entries.empty());
  proto::EntryBlock block;
  block.set_first_index(entries.front().index.value());
  block.mutable_entries()->Reserve(static_cast<int>(entries.size()));
  for (const Entry& entry : entries) {
    MOKV_CHECK_EQ(entry.index, entries.front().index + static_cast<uint64_t>(block.entries_size()));
    proto::EntryBlock::Entry& out = *block.add_entries();
    out.set_term(entry.term.value());
    out.set_type(static_cast<uint8_t>(entry.type));
    const std::string_view payload = entry.bytes();
    if (!payload.empty()) out.set_payload(payload.data(), payload.size());
  }
  Attachment attachment;
  block.SerializeToString(&attachment.bytes);
  attachment.Seal();
  return attachment;
}

absl::StatusOr<raft::Message> DecodeMessage(const proto::Raft& message,
                                            std::string_view attachment) {
  using Body = proto::Raft::BodyCase;
  raft::Message out{.from = raft::NodeId(message.from()),
                    .to = raft::NodeId(message.to()),
                    .term = Term(message.term())};
  if (!attachment.empty() && message.body_case() != Body::kAppend) {
    return absl::InvalidArgumentError("an attachment where none belongs");
  }
  switch (message.body_case()) {
    case Body::kPreVoteRequest:
      out.body = raft::PreVoteRequest{Get(message.pre_vote_request().last())};
      break;
    case Body::kPreVoteReply:
      out.body = raft::PreVoteReply{message.pre_vote_reply().granted()};
      break;
    case Body::kVoteRequest:
      out.body =
          raft::VoteRequest{Get(message.vote_request().last()), message.vote_request().transfer()};
      break;
    case Body::kVoteReply:
      out.body = raft::VoteReply{message.vote_reply().granted()};
      break;
    case Body::kAppend: {
      MOKV_ASSIGN_OR_RETURN(out.body, DecodeAppend(message.append(), attachment));
      break;
    }
    case Body::kAppendReply: {
      const proto::AppendReply& reply = message.append_reply();
      out.body = raft::AppendReply{reply.accepted(), Index(reply.match()), Index(reply.rejected()),
                                   Get(reply.hint())};
      break;
    }
    case Body::kHeartbeat:
      out.body = raft::Heartbeat{Index(message.heartbeat().commit()),
                                 raft::Round(message.heartbeat().round()),
                                 Get(message.heartbeat().acknowledged())};
      break;
    case Body::kHeartbeatReply: {
      const proto::HeartbeatReply& reply = message.heartbeat_reply();
      raft::HeartbeatReply& body =
          out.body.emplace<raft::HeartbeatReply>(raft::Round(reply.round()));
      if (reply.has_ends_at()) body.ends_at = Index(reply.ends_at());
      break;
    }
    case Body::kInstallSnapshot: {
      MOKV_ASSIGN_OR_RETURN(out.body, DecodeInstallSnapshot(message.install_snapshot()));
      break;
    }
    case Body::kReadIndexRequest:
      out.body = raft::ReadIndexRequest{Get(message.read_index_request().context())};
      break;
    case Body::kReadIndexReply:
      out.body = raft::ReadIndexReply{Get(message.read_index_reply().context()),
                                      Index(message.read_index_reply().index())};
      break;
    case Body::kTimeoutNow:
      out.body = raft::TimeoutNow{};
      break;
    case Body::kTermNotice:
      out.body = raft::TermNotice{};
      break;
    case Body::BODY_NOT_SET:
      return absl::UnimplementedError("a message of an unknown kind");
  }
  return out;
}

}  // namespace mokv::peer
