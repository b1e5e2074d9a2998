#include "machine/sessions.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <algorithm>
#include <iterator>

#include "base/check.h"

namespace mokv::machine {
namespace {

using Outcome = Result::Outcome;

// A hash of numbers; the first says what they are, so that no session looks like an answer.
enum class Kind : uint64_t { kSession = 1, kAnswer = 2, kTime = 3 };

template <size_t kCount>
store::Digest HashOf(const uint64_t (&numbers)[kCount]) {
  const XXH128_hash_t hash = XXH3_128bits(numbers, sizeof(numbers));
  return {.low = hash.low64, .high = hash.high64};
}

Result Refusal(Outcome outcome) { return {.outcome = outcome}; }

// Beside its own fields: what points to it from the table and from the order of expiry.
constexpr uint64_t kBytesAround = 96;
// Room for so many answers is kept for the next ones, however few are left.
constexpr size_t kAnswersKeptRoomFor = 64;

}  // namespace

uint64_t Sessions::BytesOf(const Session& session) {
  return sizeof(Session) + kBytesAround + session.subject.capacity() +
         session.answers.capacity() * sizeof(Answered);
}

store::Digest Sessions::DigestOfFields(SessionId id, const Session& session) {
  const XXH128_hash_t subject = XXH3_128bits(session.subject.data(), session.subject.size());
  return HashOf({static_cast<uint64_t>(Kind::kSession), id.value(), subject.low64, subject.high64,
                 session.ttl_ms, session.expires_at.value(), session.lowest});
}

store::Digest Sessions::DigestOf(SessionId id, const Answered& answered) {
  const store::ApplyResult& result = answered.result;
  return HashOf({static_cast<uint64_t>(Kind::kAnswer), id.value(), answered.sequence,
                 static_cast<uint64_t>(result.outcome), result.revision.value(),
                 result.found_revision.value(), result.failed_operation, result.deleted});
}

store::Digest Sessions::digest() const {
  store::Digest digest = digest_;
  if (time_ != ClusterTime(0)) {
    digest += HashOf({static_cast<uint64_t>(Kind::kTime), time_.value()});
  }
  return digest;
}

class Sessions::Edit {
 public:
  // It must be there.
  Edit(Sessions& table, SessionId id) : table_(table), id_(id), session_(Own(table, id)) {
    table_.digest_ -= session_.digest;
    table_.memory_bytes_ -= BytesOf(session_);
    session_.digest -= DigestOfFields(id_, session_);
  }
  ~Edit() {
    session_.digest += DigestOfFields(id_, session_);
    table_.memory_bytes_ += BytesOf(session_);
    table_.digest_ += session_.digest;
  }
  Edit(const Edit&) = delete;
  Edit& operator=(const Edit&) = delete;

  Session& operator*() { return session_; }
  Session* operator->() { return &session_; }

 private:
  // A copy, if a Frozen may have it.
  static Session& Own(Sessions& table, SessionId id) {
    Shard& shard = table.Writable(ShardOf(id));
    const auto found = shard.sessions.find(id);
    MOKV_CHECK(found != shard.sessions.end());
    std::shared_ptr<Session>& session = found->second;
    if (session->generation != table.generation_) {
      const uint64_t before = BytesOf(*session);
      session = std::make_shared<Session>(*session);
      session->generation = table.generation_;
      table.memory_bytes_ += BytesOf(*session) - before;  // A copy has no spare room.
    }
    return *session;
  }

  Sessions& table_;
  const SessionId id_;
  Session& session_;
};

const Sessions::Session* Sessions::Find(SessionId id, std::string_view subject) const {
  const std::shared_ptr<Shard>& shard = shards_[ShardOf(id)];
  if (shard == nullptr) return nullptr;
  const auto found = shard->sessions.find(id);
  if (found == shard->sessions.end() || found->second->subject != subject) return nullptr;
  return found->second.get();
}

Sessions::Shard& Sessions::Writable(size_t shard) {
  std::shared_ptr<Shard>& own = shards_[shard];
  if (own == nullptr) {
    own = std::make_shared<Shard>();
  } else if (own->generation != generation_) {
    own = std::make_shared<Shard>(*own);
  }
  own->generation = generation_;
  return *own;
}

void Sessions::Insert(SessionId id, std::shared_ptr<Session> session) {
  session->generation = generation_;
  session->digest = DigestOfFields(id, *session);
  for (const Answered& answered : session->answers) session->digest += DigestOf(id, answered);
  digest_ += session->digest;
  memory_bytes_ += BytesOf(*session);
  expiries_.emplace(session->expires_at, id);
  const bool added = Writable(ShardOf(id)).sessions.emplace(id, std::move(session)).second;
  MOKV_CHECK(added);
}

void Sessions::Erase(SessionId id) {
  Shard& shard = Writable(ShardOf(id));
  const auto found = shard.sessions.find(id);
  MOKV_CHECK(found != shard.sessions.end());
  const Session& session = *found->second;
  digest_ -= session.digest;
  memory_bytes_ -= BytesOf(session);
  const size_t erased = expiries_.erase({session.expires_at, id});
  MOKV_CHECK_EQ(erased, size_t{1});
  shard.sessions.erase(found);
}

void Sessions::Renew(SessionId id, Session& session) {
  const ClusterTime expires_at = time_ + session.ttl_ms + kTimeStepMs;
  if (expires_at == session.expires_at) return;
  expiries_.erase({session.expires_at, id});
  expiries_.emplace(expires_at, id);
  session.expires_at = expires_at;
}

void Sessions::DropBelow(uint64_t lowest, SessionId id, Session& session) {
  if (lowest <= session.lowest) return;
  session.lowest = lowest;
  const auto kept =
      std::find_if(session.answers.begin(), session.answers.end(),
                   [&](const Answered& answered) { return answered.sequence >= lowest; });
  for (auto gone = session.answers.begin(); gone != kept; ++gone) {
    session.digest -= DigestOf(id, *gone);
  }
  session.answers.erase(session.answers.begin(), kept);
  if (session.answers.capacity() > kAnswersKeptRoomFor &&
      session.answers.size() < session.answers.capacity() / 4) {
    session.answers.shrink_to_fit();
  }
}

Result Sessions::Open(SessionId id, const OpenSession& open) {
  MOKV_CHECK(id != SessionId(0));
  if (size() >= kSessionsMax) return Refusal(Outcome::kTooManySessions);
  auto session = std::make_shared<Session>();
  session->subject = open.subject;
  session->ttl_ms = open.ttl_ms;
  session->expires_at = time_ + open.ttl_ms + kTimeStepMs;
  Insert(id, std::move(session));
  return {.session = id};
}

Result Sessions::Renew(const KeepAlive& keep_alive) {
  Result result;
  result.ttls_ms.reserve(keep_alive.sessions.size());
  for (const KeepAlive::Session& one : keep_alive.sessions) {
    if (Find(one.session, one.subject) == nullptr) {
      result.ttls_ms.push_back(0);
      continue;
    }
    Edit session(*this, one.session);
    Renew(one.session, *session);
    result.ttls_ms.push_back(session->ttl_ms);
  }
  return result;
}

Result Sessions::Close(const CloseSession& close) {
  if (Find(close.session, close.subject) == nullptr) return Refusal(Outcome::kNoSession);
  Erase(close.session);
  return {};
}

void Sessions::AdvanceTo(ClusterTime to) {
  // Of a leader that was deposed meanwhile.
  if (to <= time_) return;
  time_ = to;
  for (size_t expired = 0; expired < kExpiredTogetherMax && !expiries_.empty(); ++expired) {
    const auto [expires_at, id] = *expiries_.begin();
    if (expires_at > time_) break;
    Erase(id);
  }
}

std::optional<Result> Sessions::Begin(const SessionContext& context) {
  MOKV_CHECK_GT(context.sequence, 0u);
  if (Find(context.session, context.subject) == nullptr) return Refusal(Outcome::kNoSession);
  Edit session(*this, context.session);
  Renew(context.session, *session);
  if (context.sequence < std::max(session->lowest, context.lowest_unanswered)) {
    return Refusal(Outcome::kAnswerGone);
  }
  DropBelow(context.lowest_unanswered, context.session, *session);
  const auto at = std::lower_bound(
      session->answers.begin(), session->answers.end(), context.sequence,
      [](const Answered& answered, uint64_t sequence) { return answered.sequence < sequence; });
  if (at != session->answers.end() && at->sequence == context.sequence) {
    return ResultOf(at->result);
  }
  if (session->answers.size() >= kUnansweredMax) return Refusal(Outcome::kTooManyUnanswered);
  return std::nullopt;
}

void Sessions::Answer(const SessionContext& context, const store::ApplyResult& applied) {
  Edit session(*this, context.session);
  const auto at = std::lower_bound(
      session->answers.begin(), session->answers.end(), context.sequence,
      [](const Answered& answered, uint64_t sequence) { return answered.sequence < sequence; });
  MOKV_CHECK(at == session->answers.end() || at->sequence != context.sequence);
  MOKV_CHECK_LT(session->answers.size(), kUnansweredMax);
  const Answered answered{context.sequence, applied};
  session->digest += DigestOf(context.session, answered);
  session->answers.insert(at, answered);
}

std::shared_ptr<const Sessions::Frozen> Sessions::Freeze() {
  const std::shared_ptr<Frozen> frozen(new Frozen());
  std::copy(shards_.begin(), shards_.end(), frozen->shards_.begin());
  frozen->size_ = size();
  frozen->time_ = time_;
  frozen->digest_ = digest();
  // Whatever is there now belongs to the Frozen, too. (How many owners a pointer has must not
  // decide: the other thread may be letting go of it.)
  ++generation_;
  return frozen;
}

}  // namespace mokv::machine
