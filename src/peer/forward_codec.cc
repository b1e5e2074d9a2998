#include "peer/forward_codec.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <utility>

#include "base/status.h"
#include "peer/message_codec.h"

namespace mokv::peer {
namespace {

using Result = proto::ResultBlock::Result;

template <typename Block>
absl::Status Parse(std::string_view bytes, Block& block) {
  MOKV_RETURN_IF_ERROR(CheckRecords(bytes));
  if (block.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return absl::OkStatus();
  return absl::InvalidArgumentError("an attachment does not parse");
}

void Put(const absl::Status& status, proto::Status& out) {
  out.set_code(static_cast<uint32_t>(status.code()));
  const std::string_view message = MessageOf(status);
  out.set_message(message.data(), message.size());
}

// A code that is not known here stays an error.
absl::Status Get(const proto::Status& status) {
  const auto code = status.code() > 16 ? absl::StatusCode::kUnknown
                                       : static_cast<absl::StatusCode>(status.code());
  return absl::Status(code, status.message());
}

constexpr std::pair<machine::Result::Outcome, Result::Outcome> kOutcomes[] = {
    {machine::Result::Outcome::kApplied, Result::APPLIED_OUTCOME},
    {machine::Result::Outcome::kConditionFailed, Result::CONDITION_FAILED},
    {machine::Result::Outcome::kNoSession, Result::NO_SESSION},
    {machine::Result::Outcome::kAnswerGone, Result::ANSWER_GONE},
    {machine::Result::Outcome::kTooManyUnanswered, Result::TOO_MANY_UNANSWERED},
    {machine::Result::Outcome::kTooManySessions, Result::TOO_MANY_SESSIONS},
};

void Put(const machine::Result& applied, Result& out) {
  for (const auto& [ours, theirs] : kOutcomes) {
    if (ours == applied.outcome) out.set_outcome(theirs);
  }
  out.set_revision(applied.revision.value());
  out.set_found_revision(applied.found_revision.value());
  out.set_deleted(applied.deleted);
  out.set_failed_operation(applied.failed_operation);
  out.set_session(applied.session.value());
  out.mutable_ttls_ms()->Add(applied.ttls_ms.begin(), applied.ttls_ms.end());
}

absl::StatusOr<machine::Result> GetApplied(const Result& result) {
  for (const auto& [ours, theirs] : kOutcomes) {
    if (theirs != result.outcome()) continue;
    return machine::Result{.outcome = ours,
                           .revision = Revision(result.revision()),
                           .found_revision = Revision(result.found_revision()),
                           .failed_operation = result.failed_operation(),
                           .deleted = result.deleted(),
                           .session = SessionId(result.session()),
                           .ttls_ms = {result.ttls_ms().begin(), result.ttls_ms().end()}};
  }
  return absl::InvalidArgumentError("a write's result with an unknown outcome");
}

void Put(const replica::WriteResult& result, Result& out) {
  switch (result.fate) {
    case replica::WriteResult::Fate::kApplied:
      out.set_fate(Result::APPLIED);
      return Put(result.applied, out);
    case replica::WriteResult::Fate::kNotDone:
      out.set_fate(Result::NOT_DONE);
      break;
    case replica::WriteResult::Fate::kUnknown:
      out.set_fate(Result::UNKNOWN);
      break;
  }
  Put(result.reason, *out.mutable_reason());
}

// A result that does not say what became of the write is refused.
absl::StatusOr<replica::WriteResult> Get(const Result& result) {
  replica::WriteResult out;
  switch (result.fate()) {
    case Result::APPLIED:
      out.fate = replica::WriteResult::Fate::kApplied;
      break;
    case Result::NOT_DONE:
      out.fate = replica::WriteResult::Fate::kNotDone;
      break;
    case Result::UNKNOWN:
      out.fate = replica::WriteResult::Fate::kUnknown;
      break;
    default:
      return absl::InvalidArgumentError("a write's result without a fate");
  }
  if (out.fate != replica::WriteResult::Fate::kApplied) {
    out.reason = Get(result.reason());
    if (out.reason.ok()) return absl::InvalidArgumentError("a failed write without a reason");
    return out;
  }
  MOKV_ASSIGN_OR_RETURN(out.applied, GetApplied(result));
  return out;
}

proto::AdminRequest::Kind KindOf(replica::AdminRequest::Kind kind) {
  switch (kind) {
    case replica::AdminRequest::Kind::kAddMember:
      return proto::AdminRequest::ADD_MEMBER;
    case replica::AdminRequest::Kind::kRemoveMember:
      return proto::AdminRequest::REMOVE_MEMBER;
    case replica::AdminRequest::Kind::kTransfer:
      return proto::AdminRequest::TRANSFER;
  }
  return proto::AdminRequest::UNKNOWN;
}

absl::StatusOr<replica::AdminRequest> Get(const proto::AdminRequest& request) {
  replica::AdminRequest out;
  switch (request.kind()) {
    case proto::AdminRequest::ADD_MEMBER:
      out.kind = replica::AdminRequest::Kind::kAddMember;
      break;
    case proto::AdminRequest::REMOVE_MEMBER:
      out.kind = replica::AdminRequest::Kind::kRemoveMember;
      break;
    case proto::AdminRequest::TRANSFER:
      out.kind = replica::AdminRequest::Kind::kTransfer;
      break;
    default:
      return absl::UnimplementedError("a request of an unknown kind");
  }
  out.name = request.name();
  out.rpc_address = request.rpc_address();
  out.subject = request.subject();
  out.automatic = request.automatic();
  return out;
}

}  // namespace

void EncodeForward(const replica::Forward& forward, proto::Forward& out, Attachment& attachment) {
  out.set_id(forward.id.value());
  out.set_wait_ns(static_cast<uint64_t>(std::max<int64_t>(forward.wait.count(), 0)));
  if (const auto* admin = std::get_if<replica::AdminRequest>(&forward.body)) {
    proto::AdminRequest& request = *out.mutable_admin();
    request.set_kind(KindOf(admin->kind));
    request.set_name(admin->name);
    request.set_rpc_address(admin->rpc_address);
    request.set_subject(admin->subject);
    request.set_automatic(admin->automatic);
    return;
  }
  out.mutable_writes();
  proto::WriteBlock block;
  for (const auto& write : std::get<replica::ForwardedWrites>(forward.body).writes) {
    proto::WriteBlock::Write& added = *block.add_writes();
    if (write.command != nullptr) added.set_command(*write.command);
    added.set_subject(write.subject);
  }
  block.SerializeToString(&attachment.bytes);
  attachment.Seal();
}

void EncodeAnswer(const replica::ForwardAnswer& answer, proto::ForwardAnswer& out,
                  Attachment& attachment) {
  out.set_id(answer.id.value());
  if (const auto* admin = std::get_if<replica::ForwardAnswer::Admin>(&answer.body)) {
    proto::ForwardAnswer::Admin& body = *out.mutable_admin();
    if (!admin->status.ok()) Put(admin->status, *body.mutable_status());
    body.set_fate_unknown(admin->fate_unknown);
    return;
  }
  out.mutable_writes();
  proto::ResultBlock block;
  for (const auto& result : std::get<std::vector<replica::WriteResult>>(answer.body)) {
    Put(result, *block.add_results());
  }
  block.SerializeToString(&attachment.bytes);
  attachment.Seal();
}

absl::StatusOr<replica::Forward> DecodeForward(const proto::Forward& forward,
                                               std::string_view attachment) {
  replica::Forward out;
  out.id = replica::ForwardId(forward.id());
  if (forward.wait_ns() > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    return absl::InvalidArgumentError("a forward that waits for ever");
  }
  out.wait = Duration(static_cast<int64_t>(forward.wait_ns()));
  if (forward.body_case() == proto::Forward::kAdmin) {
    if (!attachment.empty()) {
      return absl::InvalidArgumentError("an attachment where none belongs");
    }
    MOKV_ASSIGN_OR_RETURN(out.body, Get(forward.admin()));
    return out;
  }
  if (forward.body_case() != proto::Forward::kWrites) {
    return absl::UnimplementedError("a forward of an unknown kind");
  }
  proto::WriteBlock block;
  MOKV_RETURN_IF_ERROR(Parse(attachment, block));
  replica::ForwardedWrites writes;
  writes.writes.reserve(static_cast<size_t>(block.writes_size()));
  for (proto::WriteBlock::Write& write : *block.mutable_writes()) {
    writes.writes.push_back(
        {std::make_shared<const std::string>(std::move(*write.mutable_command())),
         std::move(*write.mutable_subject())});
  }
  out.body = std::move(writes);
  return out;
}

absl::StatusOr<replica::ForwardAnswer> DecodeAnswer(const proto::ForwardAnswer& answer,
                                                    std::string_view attachment) {
  replica::ForwardAnswer out;
  out.id = replica::ForwardId(answer.id());
  if (answer.body_case() == proto::ForwardAnswer::kAdmin) {
    if (!attachment.empty()) {
      return absl::InvalidArgumentError("an attachment where none belongs");
    }
    out.body =
        replica::ForwardAnswer::Admin{Get(answer.admin().status()), answer.admin().fate_unknown()};
    return out;
  }
  if (answer.body_case() != proto::ForwardAnswer::kWrites) {
    return absl::UnimplementedError("an answer of an unknown kind");
  }
  proto::ResultBlock block;
  MOKV_RETURN_IF_ERROR(Parse(attachment, block));
  std::vector<replica::WriteResult> results;
  results.reserve(static_cast<size_t>(block.results_size()));
  for (const Result& in : block.results()) {
    MOKV_ASSIGN_OR_RETURN(replica::WriteResult result, Get(in));
    results.push_back(std::move(result));
  }
  out.body = std::move(results);
  return out;
}

}  // namespace mokv::peer
