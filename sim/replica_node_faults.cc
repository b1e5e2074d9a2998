// ReplicaNode: what is done to its disk and its state, and what it must do then.
#include <cerrno>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "machine/command.h"
#include "sim/replica_node.h"
#include "store/store.h"

namespace mokv::sim {
namespace {

// A fenced leader has this long to find somebody who leads in its place (docs/guarantees.md); it is
// held to it by its ticks, of which the last one may be on the way.
constexpr Duration kHandOverMax = std::chrono::seconds(1);
constexpr int kTicksAfterwards = 2;
// What a stopping process waits for somebody to lead in its place.
constexpr Duration kStepAsideMax = std::chrono::seconds(2);
// Of a session that nobody has opened, far from those of the log.
constexpr Index kNobodysEntry{uint64_t{1} << 40};
constexpr uint64_t kNobodysTtlMs = 3'600'000;
// Between a value and the one that it becomes: a multiple of 4, so that both are as long as values of
// their numbers are.
constexpr uint64_t kOtherValue = 1'000'000'000;

// Whether a log that ends with `last` is not as good as one that ends with `other` (§3.6.1).
bool IsBehind(raft::Position last, raft::Position other) {
  return std::pair(last.term, last.index) < std::pair(other.term, other.index);
}

}  // namespace

// --- syncs that fail or hang

void ReplicaNode::UseDisk(std::unique_ptr<CrashFileSystem> files) {
  // Whoever dies in its turn goes on to use it until that is over.
  dead_files_ = std::exchange(files_, std::move(files));
  files_->SetFault([this](CrashFileSystem::Operation operation, const std::string& path) {
    return OnDiskOperation(operation, path);
  });
}

absl::Status ReplicaNode::OnDiskOperation(CrashFileSystem::Operation operation,
                                          const std::string& path) {
  if (!failing_sync_.has_value()) return absl::OkStatus();
  const bool of_log = path.starts_with("log");
  const bool of_file = operation == CrashFileSystem::Operation::kSync;
  const bool of_directory = operation == CrashFileSystem::Operation::kSyncDirectory;
  const bool fails = (*failing_sync_ == SyncOf::kLog && of_file && of_log) ||
                     (*failing_sync_ == SyncOf::kSnapshots && of_file && !of_log) ||
                     (*failing_sync_ == SyncOf::kDirectories && of_directory);
  if (!fails) return absl::OkStatus();
  failing_sync_.reset();
  ++(of_log ? node_.coverage.log_syncs_failed : node_.coverage.other_syncs_failed);
  sync_failed_ = true;
  log_failed_ = log_failed_ || of_log;
  node_.timeline.Note(place_, "a sync fails: {}", path);
  return ErrnoStatus(EIO, "sync " + path);
}

void ReplicaNode::HangSyncs(bool hang) {
  hangs_ += hang ? 1 : -1;
  StallDisk(hang);
  if (up() && hangs_ == 0) RunBackground();
}

// A process whose log has failed ends, and says so; no other does.
void ReplicaNode::CheckEnd() {
  if (!life_->fatal.has_value() || ended_) return;
  if (!log_failed_) return shared_.told.Fail("fatal: {}: {}", id(), life_->fatal->ToString());
  ended_ = true;
  ++node_.coverage.ended;
  node_.timeline.Note(place_, "ends: {}", life_->fatal->ToString());
  node_.on_ended(place_);
}

// Whose disk does not answer hands over; some turns may pass until it knows how long that is.
void ReplicaNode::CheckStall(const raft::Core& core) {
  const raft::Options& options = node_.settings.options;
  const Duration longest = options.persist_stall_max + 2 * options.election_timeout;
  if (core.role() != raft::Role::kLeader || writes_.empty()) return;
  if (core.membership()->voters().size() == 1 && !core.membership()->joint()) {
    // Nobody is there to hand over to; once there is, the disk has as long again.
    disk_news_ = node_.host.Now(place_);
    return;
  }
  const Duration silent = node_.host.Now(place_) - disk_news_;
  if (silent < longest) return;
  shared_.told.Fail("stall: {} leads although its disk has not answered for {} ms", id(),
                    silent.count() / 1'000'000);
}

// --- older copies

bool ReplicaNode::CopyDisk() {
  if (core() == nullptr) return false;
  copy_ = std::make_unique<Copy>(Copy{.files = files_->Clone(),
                                      .disk = disks_.now,
                                      .writes = writes_,
                                      .installed = installed_,
                                      .rotten = rotten_});
  return true;
}

void ReplicaNode::PutCopyBack() {
  MOKV_CHECK(life_ == nullptr && copy_ != nullptr);
  ++node_.coverage.copies_put_back;
  node_.timeline.Note(place_, "its disk ends with {} again, after {}",
                      raft::ToString(copy_->disk.last()), raft::ToString(disks_.now.last()));
  disks_.lost = std::exchange(disks_.now, std::move(copy_->disk));
  writes_ = std::move(copy_->writes);
  installed_ = copy_->installed;
  rotten_ = copy_->rotten;
  UseDisk(std::move(copy_->files));
  copy_.reset();
}

// The leader's heartbeats say what this node has acknowledged in their term: from then on it knows.
void ReplicaNode::WatchLoss(const raft::Core& core, const raft::Message& message) {
  if (const auto* request = std::get_if<raft::VoteRequest>(&message.body)) {
    asked_votes_[message.from] = request->last;
  } else if (const auto* pre = std::get_if<raft::PreVoteRequest>(&message.body)) {
    asked_votes_[message.from] = pre->last;
  }
  const auto* heartbeat = std::get_if<raft::Heartbeat>(&message.body);
  if (heartbeat == nullptr || message.to != core.id() || message.term < core.term()) return;
  const raft::Position told = heartbeat->acknowledged;
  if (!lacks() || told.index <= core.commit() || core.log().Holds(told)) return;
  if (!known_loss_.has_value()) {
    ++node_.coverage.losses_told;
    node_.timeline.Note(place_, "hears that it had {}", raft::ToString(told));
  }
  if (!known_loss_.has_value() || IsBehind(*known_loss_, told)) known_loss_ = told;
}

// Who knows what it has lost stands for nothing, and helps nobody who lacks it as well.
void ReplicaNode::CheckLoss(const raft::Message& message) {
  if (!known_loss_.has_value()) return;
  const auto* request = std::get_if<raft::VoteRequest>(&message.body);
  const auto* pre_request = std::get_if<raft::PreVoteRequest>(&message.body);
  if (request != nullptr || pre_request != nullptr) {
    // What it has again stands before its own vote in its log.
    const raft::Position last = request != nullptr ? request->last : pre_request->last;
    if (!IsBehind(last, *known_loss_)) return;
    return shared_.told.Fail("loss: {} stands, without {}, which it had", id(),
                             raft::ToString(*known_loss_));
  }
  const auto* vote = std::get_if<raft::VoteReply>(&message.body);
  const auto* pre_vote = std::get_if<raft::PreVoteReply>(&message.body);
  if (!(vote != nullptr && vote->granted) && !(pre_vote != nullptr && pre_vote->granted)) return;
  if (const raft::Position last = asked_votes_[message.to]; IsBehind(last, *known_loss_)) {
    shared_.told.Fail("loss: {} votes for {}, whose log ends with {}, without {}, which it had",
                      id(), message.to, raft::ToString(last), raft::ToString(*known_loss_));
  }
}

void ReplicaNode::EndLoss() {
  if (!lacks() || IsBehind(disks_.now.last(), disks_.lost->last())) return;
  disks_.lost.reset();
  ++node_.coverage.losses_healed;
  known_loss_.reset();
}

// --- another state

// As a fault of the memory would: nobody has written that, and nobody is told.
bool ReplicaNode::ChangeState(uint64_t seed) {
  if (core() == nullptr || fencing_.changed() || life_->fenced) return false;
  if (core()->applied() != applied()) return false;  // It is about to be replaced.
  Dice dice(seed);
  const machine::FrozenState frozen = life_->machine.Freeze();
  if (frozen.store->stats().keys == 0 || dice.OneIn(3)) {
    OpenNobodysSession();
  } else {
    ChangeItem(frozen, dice.Below(frozen.store->stats().keys));
  }
  fencing_.OnChanged();
  ever_changed_ = true;
  ++node_.coverage.states_changed;
  return true;
}

void ReplicaNode::OpenNobodysSession() {
  const Entry entry{.index = kNobodysEntry + node_.coverage.states_changed,
                    .term = Term(1),
                    .type = EntryType::kCommand,
                    .payload = std::make_shared<const std::string>(
                        machine::EncodeCommand(machine::OpenSession{kNobodysTtlMs, "nobody"}))};
  std::vector<machine::Result> results;
  MOKV_CHECK(life_->machine.Apply({&entry, 1}, results).ok());
  life_->machine.Publish();
  node_.timeline.Note(place_, "*** has a session that nobody has opened");
}

void ReplicaNode::ChangeItem(const machine::FrozenState& frozen, uint64_t which) {
  store::BulkLoader items;
  store::Cursor cursor = frozen.store->Seek("");
  for (; cursor.item() != nullptr; cursor.Next(), --which) {
    store::ItemFields fields = cursor.item()->fields();
    std::string value(fields.value);
    if (which == 0) {
      // Never the same change twice: what a node told of its state, others remember after it is whole.
      const uint64_t change = node_.coverage.states_changed + 1;
      value = Told::ValueOf(Told::NumberOf(value) + kOtherValue * change);
      node_.timeline.Note(place_, "*** has another value of {}", fields.key);
    }
    fields.value = value;
    MOKV_CHECK(items.Add(fields).ok());
  }
  machine::Sessions::Loader sessions;
  for (size_t part = 0; part < machine::Sessions::Frozen::kParts; ++part) {
    for (const std::string& record : frozen.sessions->Records(part)) {
      MOKV_CHECK(sessions.Add(record).ok());
    }
  }
  machine::LoadedState changed;
  changed.store = std::move(items.Finish(frozen.store->revision())).value();
  changed.sessions = std::move(sessions.Finish()).value();
  life_->machine.Install(std::move(changed));
}

// Whether the state is everybody's, and if it is not, whether the node is fenced as it must be.
void ReplicaNode::CheckFenced() {
  if (life_->fenced && !std::exchange(told_fenced_, true)) {
    if (!fencing_.was_changed() && !ChangedOnesDecide()) {
      return shared_.told.Fail("digest: {} is fenced: {}", id(), life_->differing);
    }
    fenced_disk_ = true;
    fenced_at_ = node_.host.Now(place_);
    ++node_.coverage.fenced;
    node_.timeline.Note(place_, "is fenced: {}", life_->differing);
    node_.on_fenced(place_);
  }
  if (!life_->differing.empty() && node_.coverage.states_changed == 0) {
    return shared_.told.Fail("digest: {}: {}", id(), life_->differing);
  }
  if (fencing_.due().has_value() && !life_->fenced) {
    return shared_.told.Fail(
        "fenced: {} knows that a majority has another state at {}, and goes on", id(),
        *fencing_.due());
  }
  if (life_->fenced && life_->replica->CanReadNow({.linearizable = false})) {
    shared_.told.Fail("fenced: {} would answer reads", id());
  }
}

// The others may have left: then its state is everybody's, as far as anybody can tell. What it told
// before it was whole again is still remembered.
bool ReplicaNode::ChangedOnesDecide() const {
  const raft::Membership& membership = *core()->membership();
  size_t changed = 0;
  for (const ReplicaNode* node : shared_.nodes) {
    if (membership.IsVoter(node->id()) && node->ever_changed_) ++changed;
  }
  return 2 * changed > membership.voters().size();
}

// False: it is another one at the moment, which no other check can judge.
bool ReplicaNode::IsWhole(const store::Digest& digest) {
  if (!fencing_.changed()) return true;
  const std::optional<uint64_t> others = node_.rules.DigestAt(applied_);
  if (!others.has_value() || *others != (digest.low ^ (digest.high << 1))) return false;
  fencing_.OnWhole();
  ++node_.coverage.states_whole;
  node_.timeline.Note(place_, "has everybody's state again");
  return true;
}

// Once it is fenced and nobody leads in its place in time, it is silent.
void ReplicaNode::CheckSilence() {
  if (life_->fenced && ticks_fenced_ > kTicksAfterwards) {
    shared_.told.Fail("fenced: {} still takes part", id());
  }
}

void ReplicaNode::CountTickFenced() {
  if (life_->fenced && node_.host.Now(place_) >= fenced_at_ + kHandOverMax) ++ticks_fenced_;
}

// --- a graceful stop

// In the order of Node's (node/farewell.h).
void ReplicaNode::Stop(std::function<void()> done) {
  if (stopping_) return;
  stopping_ = true;
  node_.timeline.Note(place_, "is to stop");
  life_->replica->StepAside(node_.host.Now(place_) + kStepAsideMax,
                            [this, done = std::move(done)](const absl::Status& status, bool) {
                              if (!up()) return;
                              node_.timeline.Note(place_, "leadership before the stop: {}",
                                                  status.ok() ? "not here" : MessageOf(status));
                              life_->replica->StopAccepting();
                              life_->replica->WhenIdle([this, done] {
                                if (!up()) return;
                                idle_ = true;
                                done();
                              });
                            });
}

// The log has all that it was given when it is closed.
void ReplicaNode::CloseLog() {
  if (!idle_ || stalls_ > 0 || full_ > 0 || log_failed_) return;
  if (owed_writes_ > 0) {
    shared_.told.Fail("stop: {} was idle, and owes {} writes", id(), owed_writes_);
  }
  while (life_->log_thread.RunOne()) {
  }
  life_->log->Close();
  ++node_.coverage.stopped;
  if (!writes_.empty() && !log_failed_) {
    shared_.told.Fail("stop: {} has closed its log without {} writes", id(), writes_.size());
  }
}

}  // namespace mokv::sim
