// Sessions as records, and back: for snapshots.
#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <limits>

#include "base/check.h"
#include "base/status.h"
#include "machine/session_record.pb.h"
#include "machine/sessions.h"

namespace mokv::machine {
namespace {

bool HasUnknownFields(const google::protobuf::Message& message) {
  return !message.GetReflection()->GetUnknownFields(message).empty();
}

std::string Serialize(const proto::SessionRecord& record) {
  std::string bytes;
  // Fails only past protobuf's 2 GiB, and a session keeps a bounded number of small answers.
  MOKV_CHECK(record.SerializeToString(&bytes));
  return bytes;
}

}  // namespace

std::string Sessions::RecordOf(SessionId id, const Session& session) {
  proto::SessionRecord record;
  proto::SessionRecord::Session& out = *record.mutable_session();
  out.set_session(id.value());
  out.set_subject(session.subject);
  out.set_ttl_ms(session.ttl_ms);
  out.set_expires_at_ms(session.expires_at.value());
  out.set_lowest_unanswered(session.lowest);
  for (const Answered& answered : session.answers) {
    proto::SessionRecord::Answer& answer = *out.add_answers();
    const store::ApplyResult& result = answered.result;
    answer.set_sequence(answered.sequence);
    answer.set_condition_failed(result.outcome == store::ApplyResult::Outcome::kConditionFailed);
    answer.set_revision(result.revision.value());
    answer.set_found_revision(result.found_revision.value());
    answer.set_failed_operation(result.failed_operation);
    answer.set_deleted(result.deleted);
  }
  return Serialize(record);
}

std::vector<std::string> Sessions::Frozen::Records(size_t part) const {
  std::vector<std::string> records;
  if (part == 0) {
    proto::SessionRecord time;
    time.mutable_time()->set_now_ms(time_.value());
    records.push_back(Serialize(time));
  }
  if (shards_[part] == nullptr) return records;
  for (const auto& [id, session] : shards_[part]->sessions) {
    records.push_back(RecordOf(id, *session));
  }
  return records;
}

absl::Status Sessions::Loader::Add(std::string_view bytes) {
  MOKV_CHECK(sessions_ != nullptr);
  proto::SessionRecord record;
  if (bytes.size() > std::numeric_limits<int>::max() ||
      !record.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
    return DataLoss("a session's record of {} bytes does not parse", bytes.size());
  }
  if (HasUnknownFields(record)) {
    return absl::DataLossError("unknown field in a session's record; written by a newer version?");
  }
  if (record.has_time()) {
    if (has_time_ || HasUnknownFields(record.time())) {
      return absl::DataLossError("the cluster's time comes twice, or has an unknown field");
    }
    if (record.time().now_ms() > kClusterTimeMax.value()) {
      return DataLoss("the cluster's time, {} ms, cannot have come", record.time().now_ms());
    }
    has_time_ = true;
    sessions_->time_ = ClusterTime(record.time().now_ms());
    return absl::OkStatus();
  }
  if (!record.has_session()) return absl::DataLossError("a session's record of nothing");
  // What a session may be depends on the time.
  if (!has_time_) return absl::DataLossError("a session before the cluster's time");
  return AddSession(*record.mutable_session());
}

absl::Status Sessions::Loader::AddSession(proto::SessionRecord_Session& record) {
  const SessionId id(record.session());
  const auto wrong = [&](std::string_view what) { return DataLoss("session {}: {}", id, what); };
  if (HasUnknownFields(record)) return wrong("unknown field; written by a newer version?");
  auto session = std::make_shared<Session>();
  session->ttl_ms = record.ttl_ms();
  session->expires_at = ClusterTime(record.expires_at_ms());
  session->lowest = record.lowest_unanswered();
  if (id == SessionId(0)) return wrong("this is no session");
  if (sessions_->size() >= kSessionsMax) return wrong("there are too many");
  if (session->ttl_ms < kSessionTtlMsMin || session->ttl_ms > kSessionTtlMsMax) {
    return wrong("its time to live is out of bounds");
  }
  const uint64_t now_ms = sessions_->time_.value();
  if (session->expires_at.value() > now_ms &&
      session->expires_at.value() - now_ms > session->ttl_ms + kTimeStepMs) {
    return wrong("it expires later than it can");
  }
  if (session->lowest == 0) return wrong("sequences begin at 1");
  if (static_cast<size_t>(record.answers_size()) > kUnansweredMax) return wrong("too many answers");
  session->answers.reserve(static_cast<size_t>(record.answers_size()));
  for (const proto::SessionRecord::Answer& answer : record.answers()) {
    if (HasUnknownFields(answer)) return wrong("unknown field; written by a newer version?");
    if (answer.sequence() < session->lowest ||
        (!session->answers.empty() && answer.sequence() <= session->answers.back().sequence)) {
      return wrong("its answers are not in order");
    }
    using Outcome = store::ApplyResult::Outcome;
    session->answers.push_back(
        {answer.sequence(),
         {.outcome = answer.condition_failed() ? Outcome::kConditionFailed : Outcome::kApplied,
          .revision = Revision(answer.revision()),
          .found_revision = Revision(answer.found_revision()),
          .failed_operation = answer.failed_operation(),
          .deleted = answer.deleted()}});
  }
  session->subject = std::move(*record.mutable_subject());
  const std::shared_ptr<Shard>& shard = sessions_->shards_[ShardOf(id)];
  if (shard != nullptr && shard->sessions.contains(id)) return wrong("it comes twice");
  sessions_->Insert(id, std::move(session));
  return absl::OkStatus();
}

absl::StatusOr<std::unique_ptr<Sessions>> Sessions::Loader::Finish() {
  if (!has_time_) return absl::DataLossError("the sessions come without the cluster's time");
  return std::move(sessions_);
}

}  // namespace mokv::machine
