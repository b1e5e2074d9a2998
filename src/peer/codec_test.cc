// Messages, forwards and answers survive being sent, and nothing else comes out of bytes that were
// not made by us.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <limits>

#include "base/check.h"
#include "base/status.h"
#include "peer/forward_codec.h"
#include "peer/message_codec.h"
#include "peer/snapshot_codec.h"

namespace mokv::peer {
namespace {

using testing::HasSubstr;

// Through bytes, as on a connection.
template <typename Proto>
Proto Travel(const Proto& message) {
  Proto arrived;
  EXPECT_TRUE(arrived.ParseFromString(message.SerializeAsString()));
  return arrived;
}

absl::StatusOr<raft::Message> Travel(const raft::Message& message) {
  proto::Raft encoded;
  EncodeMessage(message, encoded);
  Attachment attachment;
  const auto* append = std::get_if<raft::Append>(&message.body);
  if (append != nullptr && append->entries != nullptr && !append->entries->empty()) {
    attachment = EncodeEntries(*append->entries);
  }
  return DecodeMessage(Travel(encoded), attachment.bytes);
}

// Entries are told by ToString's index and term; their type and payload are compared here.
bool SameEntries(const raft::EntryBatch& a, const raft::EntryBatch& b) {
  const size_t a_size = a == nullptr ? 0 : a->size();
  const size_t b_size = b == nullptr ? 0 : b->size();
  if (a_size != b_size) return false;
  for (size_t i = 0; i < a_size; ++i) {
    const Entry& x = (*a)[i];
    const Entry& y = (*b)[i];
    if (x.index != y.index || x.term != y.term || x.type != y.type || x.bytes() != y.bytes()) {
      return false;
    }
  }
  return true;
}

uint64_t Number() { return *rc::gen::arbitrary<uint64_t>(); }
raft::Position AnyPosition() { return {Index(Number()), Term(Number())}; }
raft::ReadContext AnyContext() { return {.boot = Number(), .sequence = Number()}; }
bool AnyBool() { return *rc::gen::arbitrary<bool>(); }

raft::EntryBatch AnyEntries() {
  const auto payloads = *rc::gen::arbitrary<std::vector<std::string>>();
  const uint64_t first = *rc::gen::inRange<uint64_t>(1, uint64_t{1} << 63);
  auto entries = std::make_shared<std::vector<Entry>>();
  for (const std::string& payload : payloads) {
    entries->push_back({.index = Index(first + entries->size()),
                        .term = Term(Number()),
                        .type = static_cast<EntryType>(*rc::gen::inRange(0, 3)),
                        .payload = std::make_shared<const std::string>(payload)});
  }
  return entries;
}

raft::Member AnyMember(const std::string& name) {
  const std::string instance_id = std::to_string(Number());
  return {.id = raft::NodeIdOf(name, instance_id),
          .name = name,
          .instance_id = instance_id,
          .rpc_address = std::to_string(Number()),
          .priority = *rc::gen::arbitrary<uint32_t>()};
}

// Simple, or in the middle of a change.
raft::Membership AnyMembership() {
  raft::Membership membership(std::to_string(Number()),
                              {AnyMember("a"), AnyMember("b"), AnyMember("c")}, {AnyMember("d")});
  if (AnyBool()) return membership;
  using Change = raft::MemberChange;
  const auto joint = membership.Begin(std::vector<Change>{
      {.kind = Change::Kind::kDemote, .member = {.id = membership.voters()[0]}},
      {.kind = Change::Kind::kRemove,
       .member = {.id = membership.voters()[1]},
       .for_good = AnyBool()},
      {.kind = Change::Kind::kPromote, .member = {.id = membership.learners()[0]}}});
  MOKV_CHECK(joint.ok());
  return *joint;
}

raft::InstallSnapshot AnyInstallSnapshot() {
  const auto above_zero = [] { return *rc::gen::inRange<uint64_t>(1, uint64_t{1} << 63); };
  return {{.last = {Index(above_zero()), Term(above_zero())},
           .membership = std::make_shared<const raft::Membership>(AnyMembership())}};
}

raft::Message AnyMessage() {
  raft::Message message{
      .from = raft::NodeId(Number()), .to = raft::NodeId(Number()), .term = Term(Number())};
  switch (*rc::gen::inRange(0, 13)) {
    case 0:
      message.body = raft::PreVoteRequest{AnyPosition()};
      break;
    case 1:
      message.body = raft::PreVoteReply{AnyBool()};
      break;
    case 2:
      message.body = raft::VoteRequest{AnyPosition(), AnyBool()};
      break;
    case 3:
      message.body = raft::VoteReply{AnyBool()};
      break;
    case 4:
      message.body = raft::Append{AnyPosition(), AnyEntries(), Index(Number())};
      break;
    case 5:
      message.body = raft::AppendReply{AnyBool(), Index(Number()), Index(Number()), AnyPosition()};
      break;
    case 6:
      message.body = raft::Heartbeat{Index(Number()), raft::Round(Number()), AnyPosition()};
      break;
    case 7:
      message.body = raft::HeartbeatReply{
          raft::Round(Number()), AnyBool() ? std::optional<Index>(Index(Number())) : std::nullopt};
      break;
    case 8:
      message.body = raft::ReadIndexRequest{AnyContext()};
      break;
    case 9:
      message.body = raft::ReadIndexReply{AnyContext(), Index(Number())};
      break;
    case 10:
      message.body = AnyInstallSnapshot();
      break;
    case 11:
      message.body = raft::TimeoutNow{};
      break;
    default:
      message.body = raft::TermNotice{};
      break;
  }
  return message;
}

struct SameBody {
  const raft::Message& other;

  template <typename Body>
  const Body& Other() const {
    return std::get<Body>(other.body);
  }
  bool operator()(const raft::PreVoteRequest& a) const {
    return a.last == Other<raft::PreVoteRequest>().last;
  }
  bool operator()(const raft::PreVoteReply& a) const {
    return a.granted == Other<raft::PreVoteReply>().granted;
  }
  bool operator()(const raft::VoteRequest& a) const {
    const auto& b = Other<raft::VoteRequest>();
    return a.last == b.last && a.transfer == b.transfer;
  }
  bool operator()(const raft::VoteReply& a) const {
    return a.granted == Other<raft::VoteReply>().granted;
  }
  bool operator()(const raft::Append& a) const {
    const auto& b = Other<raft::Append>();
    return a.previous == b.previous && a.commit == b.commit && SameEntries(a.entries, b.entries);
  }
  bool operator()(const raft::AppendReply& a) const {
    const auto& b = Other<raft::AppendReply>();
    return a.accepted == b.accepted && a.match == b.match && a.rejected == b.rejected &&
           a.hint == b.hint;
  }
  bool operator()(const raft::Heartbeat& a) const {
    const auto& b = Other<raft::Heartbeat>();
    return a.commit == b.commit && a.round == b.round && a.acknowledged == b.acknowledged;
  }
  bool operator()(const raft::HeartbeatReply& a) const {
    const auto& b = Other<raft::HeartbeatReply>();
    return a.round == b.round && a.ends_at == b.ends_at;
  }
  bool operator()(const raft::InstallSnapshot& a) const {
    const auto& b = Other<raft::InstallSnapshot>();
    return a.snapshot.last == b.snapshot.last && *a.snapshot.membership == *b.snapshot.membership;
  }
  bool operator()(const raft::ReadIndexRequest& a) const {
    return a.context == Other<raft::ReadIndexRequest>().context;
  }
  bool operator()(const raft::ReadIndexReply& a) const {
    const auto& b = Other<raft::ReadIndexReply>();
    return a.context == b.context && a.index == b.index;
  }
  bool operator()(const raft::TimeoutNow&) const { return true; }
  bool operator()(const raft::TermNotice&) const { return true; }
};

RC_GTEST_PROP(MessageCodec, EveryMessageSurvives, ()) {
  const raft::Message message = AnyMessage();
  const absl::StatusOr<raft::Message> arrived = Travel(message);
  RC_ASSERT(arrived.ok());
  RC_ASSERT(arrived->from == message.from);
  RC_ASSERT(arrived->to == message.to);
  RC_ASSERT(arrived->term == message.term);
  RC_ASSERT(arrived->body.index() == message.body.index());
  RC_ASSERT(std::visit(SameBody{*arrived}, message.body));
}

// --- What is refused.

proto::EntryBlock BlockOf(uint64_t first_index, const std::vector<uint32_t>& types) {
  proto::EntryBlock block;
  block.set_first_index(first_index);
  for (const uint32_t type : types) block.add_entries()->set_type(type);
  return block;
}

absl::Status StatusOf(const proto::EntryBlock& block) {
  proto::Raft message;
  message.mutable_append();
  return DecodeMessage(message, block.SerializeAsString()).status();
}

TEST(MessageCodec, RefusesEntriesThatCannotBe) {
  EXPECT_TRUE(StatusOf(BlockOf(1, {0, 1, 2})).ok());
  EXPECT_THAT(std::string(MessageOf(StatusOf(BlockOf(1, {0, 3})))), HasSubstr("unknown type 3"));
  EXPECT_THAT(std::string(MessageOf(StatusOf(BlockOf(1, {0x100})))), HasSubstr("unknown type 256"));
  EXPECT_FALSE(StatusOf(BlockOf(0, {0})).ok());
  EXPECT_FALSE(StatusOf(BlockOf(5, {})).ok());
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  EXPECT_FALSE(StatusOf(BlockOf(most, {0})).ok());
  EXPECT_FALSE(StatusOf(BlockOf(most - 1, {0, 0})).ok());
  EXPECT_TRUE(StatusOf(BlockOf(most - 2, {0, 0})).ok());
}

// An attachment of the largest size could otherwise become a thousand times as much in memory.
TEST(MessageCodec, RefusesMoreRecordsThanItCouldHold) {
  const size_t first_index_fields = 1;
  EXPECT_TRUE(StatusOf(BlockOf(1, std::vector<uint32_t>(kRecordsMax - first_index_fields))).ok());
  EXPECT_FALSE(StatusOf(BlockOf(1, std::vector<uint32_t>(kRecordsMax))).ok());
  proto::Forward forward;
  forward.mutable_writes();
  proto::WriteBlock block;
  for (size_t i = 0; i <= kRecordsMax; ++i) block.add_writes();
  EXPECT_FALSE(DecodeForward(forward, block.SerializeAsString()).ok());
}

TEST(MessageCodec, RefusesAttachmentsThatDoNotBelong) {
  proto::Raft message;
  message.mutable_heartbeat();
  EXPECT_TRUE(DecodeMessage(message, "").ok());
  EXPECT_FALSE(DecodeMessage(message, BlockOf(1, {0}).SerializeAsString()).ok());
  message.mutable_append();
  EXPECT_FALSE(DecodeMessage(message, "\xff\xff\xff").ok());
  EXPECT_FALSE(DecodeMessage(message, BlockOf(1, {0}).SerializeAsString() + '\x01').ok());
  proto::Forward forward;
  forward.mutable_admin()->set_kind(proto::AdminRequest::TRANSFER);
  EXPECT_TRUE(DecodeForward(forward, "").ok());
  EXPECT_FALSE(DecodeForward(forward, "x").ok());
}

TEST(MessageCodec, KnowsThatItDoesNotKnow) {
  proto::Raft message;
  EXPECT_EQ(DecodeMessage(message, "").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(DecodeForward(proto::Forward(), "").status().code(), absl::StatusCode::kUnimplemented);
  EXPECT_EQ(DecodeAnswer(proto::ForwardAnswer(), "").status().code(),
            absl::StatusCode::kUnimplemented);
  proto::Forward forward;
  forward.mutable_admin()->set_kind(static_cast<proto::AdminRequest::Kind>(99));
  EXPECT_EQ(DecodeForward(forward, "").status().code(), absl::StatusCode::kUnimplemented);
}

TEST(MessageCodec, RefusesSnapshotsThatCannotBe) {
  const raft::Membership membership("cluster", {{.id = raft::NodeIdOf("a", "1"), .name = "a"}});
  proto::Raft message;
  message.mutable_install_snapshot();
  const auto error = [&](uint64_t index, uint64_t term, const std::string& bytes) {
    proto::InstallSnapshot& install = *message.mutable_install_snapshot();
    install.mutable_last()->set_index(index);
    install.mutable_last()->set_term(term);
    install.set_membership(bytes);
    return std::string(MessageOf(DecodeMessage(message, "").status()));
  };
  EXPECT_EQ(error(1, 1, membership.Encode()), "");
  EXPECT_FALSE(DecodeMessage(message, "data").ok());
  EXPECT_THAT(error(0, 1, membership.Encode()), HasSubstr("cannot end at 0/1"));
  EXPECT_THAT(error(1, 0, membership.Encode()), HasSubstr("cannot end at 1/0"));
  EXPECT_THAT(error(1, 1, ""), HasSubstr("no voter"));
  EXPECT_THAT(error(1, 1, "\xff"), HasSubstr("does not parse"));
  std::string many;
  for (size_t i = 0; i <= kRecordsMax; ++i) many.append("\x0a\x00", 2);  // Members without a name.
  EXPECT_THAT(error(1, 1, many), HasSubstr("records"));
}

// --- Parts of snapshots.

using replica::kSnapshotChunkBytesMax;

proto::SnapshotRead ReadOf(uint64_t offset, uint64_t bytes_max) {
  proto::SnapshotRead read;
  EncodeRead({.last = {Index(7), Term(2)}}, read);
  read.set_offset(offset);
  read.set_bytes_max(bytes_max);
  return read;
}

proto::SnapshotChunk ChunkOf(uint64_t offset, uint64_t file_bytes) {
  proto::SnapshotChunk chunk;
  Attachment attachment;
  EncodeChunk({.last = {Index(7), Term(2)}}, chunk, attachment);
  chunk.set_offset(offset);
  chunk.set_file_bytes(file_bytes);
  return chunk;
}

TEST(SnapshotCodec, ReadsAndChunksSurvive) {
  const replica::SnapshotRead read{.last = {Index(7), Term(2)},
                                   .offset = uint64_t{5} << 40,
                                   .bytes_max = kSnapshotChunkBytesMax};
  proto::SnapshotRead encoded_read;
  EncodeRead(read, encoded_read);
  const auto got_read = DecodeRead(Travel(encoded_read), "");
  ASSERT_TRUE(got_read.ok()) << got_read.status();
  EXPECT_EQ(got_read->last, read.last);
  EXPECT_EQ(got_read->offset, read.offset);
  EXPECT_EQ(got_read->bytes_max, read.bytes_max);

  for (const size_t size : {size_t{0}, size_t{1}, size_t{kSnapshotChunkBytesMax}}) {
    const replica::SnapshotChunk chunk{.last = {Index(7), Term(2)},
                                       .offset = uint64_t{5} << 40,
                                       .file_bytes = (uint64_t{5} << 40) + size,
                                       .bytes = std::string(size, '\xff')};
    proto::SnapshotChunk encoded;
    Attachment attachment;
    EncodeChunk(chunk, encoded, attachment);
    const auto got = DecodeChunk(Travel(encoded), attachment.bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->last, chunk.last);
    EXPECT_EQ(got->offset, chunk.offset);
    EXPECT_EQ(got->file_bytes, chunk.file_bytes);
    EXPECT_EQ(got->bytes, chunk.bytes);
  }
}

// Goal: a file that was replaced by a shorter one while it was read makes no malformed frame.
TEST(SnapshotCodec, AnOffsetBehindTheEndIsAnsweredAsAMissingFile) {
  for (const uint64_t file_bytes : {0, 10}) {
    proto::SnapshotChunk encoded;
    Attachment attachment;
    EncodeChunk({.last = {Index(7), Term(2)}, .offset = 11, .file_bytes = file_bytes}, encoded,
                attachment);
    const auto got = DecodeChunk(Travel(encoded), attachment.bytes);
    ASSERT_TRUE(got.ok()) << got.status();
    EXPECT_EQ(got->offset, 11u);
    EXPECT_EQ(got->file_bytes, 0u);
  }
}

TEST(SnapshotCodec, RefusesReadsThatCannotBe) {
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(DecodeRead(ReadOf(most - 9, 9), "").ok());
  EXPECT_FALSE(DecodeRead(ReadOf(most - 9, 10), "").ok());
  EXPECT_TRUE(DecodeRead(ReadOf(0, kSnapshotChunkBytesMax), "").ok());
  EXPECT_FALSE(DecodeRead(ReadOf(0, kSnapshotChunkBytesMax + 1), "").ok());
  EXPECT_FALSE(DecodeRead(ReadOf(0, most), "").ok());
  EXPECT_FALSE(DecodeRead(ReadOf(0, 1), "x").ok());
  EXPECT_FALSE(DecodeRead(proto::SnapshotRead(), "").ok());  // Of a snapshot of nothing.
}

TEST(SnapshotCodec, RefusesChunksThatCannotBe) {
  const uint64_t most = std::numeric_limits<uint64_t>::max();
  EXPECT_TRUE(DecodeChunk(ChunkOf(7, 10), "abc").ok());
  EXPECT_FALSE(DecodeChunk(ChunkOf(8, 10), "abc").ok());
  EXPECT_FALSE(DecodeChunk(ChunkOf(11, 10), "").ok());
  EXPECT_FALSE(DecodeChunk(ChunkOf(0, 0), "abc").ok());
  EXPECT_FALSE(DecodeChunk(ChunkOf(most, 10), "abc").ok());
  EXPECT_FALSE(DecodeChunk(ChunkOf(most - 1, most), "abc").ok());
  EXPECT_TRUE(DecodeChunk(ChunkOf(most - 3, most), "abc").ok());
  const std::string large(kSnapshotChunkBytesMax + 1, 'x');
  EXPECT_FALSE(DecodeChunk(ChunkOf(0, most), large).ok());
  EXPECT_TRUE(DecodeChunk(ChunkOf(0, most), large.substr(1)).ok());
  EXPECT_FALSE(DecodeChunk(proto::SnapshotChunk(), "").ok());
}

// --- Forwards.

TEST(ForwardCodec, RequestsSurvive) {
  for (const auto kind :
       {replica::AdminRequest::Kind::kAddMember, replica::AdminRequest::Kind::kRemoveMember,
        replica::AdminRequest::Kind::kTransfer}) {
    const replica::Forward forward{.id = replica::ForwardId(8),
                                   .wait = std::chrono::milliseconds(1500),
                                   .body = replica::AdminRequest{kind, "n\xff", "host:1", "root"}};
    proto::Forward encoded;
    Attachment attachment;
    EncodeForward(forward, encoded, attachment);
    const auto arrived = DecodeForward(Travel(encoded), attachment.bytes);
    ASSERT_TRUE(arrived.ok()) << arrived.status();
    EXPECT_EQ(arrived->wait, forward.wait);
    const auto& request = std::get<replica::AdminRequest>(arrived->body);
    EXPECT_EQ(request.kind, kind);
    EXPECT_EQ(request.name, "n\xff");
    EXPECT_EQ(request.rpc_address, "host:1");
    EXPECT_EQ(request.subject, "root");
  }
}

RC_GTEST_PROP(ForwardCodec, WritesSurvive, (const std::vector<std::string>& commands)) {
  replica::ForwardedWrites writes;
  for (const std::string& command : commands) {
    writes.writes.push_back({std::make_shared<const std::string>(command), command + "\xfe"});
  }
  proto::Forward encoded;
  Attachment attachment;
  // A wait that is over already must not become one for ever.
  EncodeForward({.id = replica::ForwardId(1), .wait = Duration(-5), .body = writes}, encoded,
                attachment);
  const auto arrived = DecodeForward(Travel(encoded), attachment.bytes);
  RC_ASSERT(arrived.ok());
  RC_ASSERT(arrived->wait == Duration(0));
  const auto& got = std::get<replica::ForwardedWrites>(arrived->body).writes;
  RC_ASSERT(got.size() == commands.size());
  for (size_t i = 0; i < commands.size(); ++i) {
    RC_ASSERT(*got[i].command == commands[i]);
    RC_ASSERT(got[i].subject == writes.writes[i].subject);
  }
}

TEST(ForwardCodec, RefusesAWaitForEver) {
  proto::Forward forward;
  forward.mutable_admin()->set_kind(proto::AdminRequest::TRANSFER);
  forward.set_wait_ns(uint64_t{1} << 63);
  EXPECT_FALSE(DecodeForward(forward, "").ok());
}

TEST(ForwardCodec, ResultsOfEveryKindSurvive) {
  using Fate = replica::WriteResult::Fate;
  using Outcome = machine::Result::Outcome;
  std::vector<replica::WriteResult> results(4);
  results[0].fate = Fate::kApplied;
  results[0].applied = {.revision = Revision(7), .deleted = 3};
  results[1].fate = Fate::kApplied;
  results[1].applied = {.outcome = machine::Result::Outcome::kConditionFailed,
                        .revision = Revision(8),
                        .found_revision = Revision(2),
                        .failed_operation = 4};
  for (const Outcome refused : {Outcome::kNoSession, Outcome::kAnswerGone,
                                Outcome::kTooManyUnanswered, Outcome::kTooManySessions}) {
    results.push_back({.fate = Fate::kApplied, .applied = {.outcome = refused}, .reason = {}});
  }
  results.push_back({.fate = Fate::kApplied, .applied = {.session = SessionId(9)}, .reason = {}});
  results.push_back({.fate = Fate::kApplied, .applied = {.ttls_ms = {60'000, 0}}, .reason = {}});
  results[2].fate = Fate::kNotDone;
  results[2].reason = absl::UnavailableError("no \xff leader");
  results[3].fate = Fate::kUnknown;
  results[3].reason = absl::DeadlineExceededError("");
  proto::ForwardAnswer encoded;
  Attachment attachment;
  EncodeAnswer({.id = replica::ForwardId(3), .body = results}, encoded, attachment);
  const auto arrived = DecodeAnswer(Travel(encoded), attachment.bytes);
  ASSERT_TRUE(arrived.ok()) << arrived.status();
  EXPECT_EQ(arrived->id, replica::ForwardId(3));
  const auto& got = std::get<std::vector<replica::WriteResult>>(arrived->body);
  ASSERT_EQ(got.size(), results.size());
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].fate, results[i].fate);
    EXPECT_EQ(got[i].reason, results[i].reason);
    EXPECT_EQ(got[i].applied, results[i].applied) << i;
  }
}

TEST(ForwardCodec, AnswersToRequestsSurvive) {
  for (const absl::Status& status : {absl::OkStatus(), absl::NotFoundError("no such member")}) {
    proto::ForwardAnswer encoded;
    Attachment attachment;
    EncodeAnswer({.body = replica::ForwardAnswer::Admin{status, !status.ok()}}, encoded,
                 attachment);
    const auto arrived = DecodeAnswer(Travel(encoded), attachment.bytes);
    ASSERT_TRUE(arrived.ok()) << arrived.status();
    const auto& admin = std::get<replica::ForwardAnswer::Admin>(arrived->body);
    EXPECT_EQ(admin.status, status);
    EXPECT_EQ(admin.fate_unknown, !status.ok());
  }
}

// A write of unknown fate must never look like one that was carried out, nor like one that was not.
TEST(ForwardCodec, RefusesResultsThatSayNothingCertain) {
  const auto decode = [](const proto::ResultBlock::Result& result) {
    proto::ForwardAnswer answer;
    answer.mutable_writes();
    proto::ResultBlock block;
    *block.add_results() = result;
    return DecodeAnswer(answer, block.SerializeAsString());
  };
  using Result = proto::ResultBlock::Result;
  Result result;
  EXPECT_FALSE(decode(result).ok());
  result.set_fate(static_cast<Result::Fate>(9));
  EXPECT_FALSE(decode(result).ok());
  result.set_fate(Result::NOT_DONE);
  EXPECT_FALSE(decode(result).ok());
  result.mutable_reason()->set_code(99);  // Of a later version.
  const auto later = decode(result);
  ASSERT_TRUE(later.ok());
  EXPECT_EQ(std::get<std::vector<replica::WriteResult>>(later->body)[0].reason.code(),
            absl::StatusCode::kUnknown);
  result.set_fate(Result::APPLIED);
  EXPECT_TRUE(decode(result).ok());
  result.set_outcome(static_cast<Result::Outcome>(7));
  EXPECT_FALSE(decode(result).ok());
}

}  // namespace
}  // namespace mokv::peer
