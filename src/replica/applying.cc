#include "replica/applying.h"

#include <utility>

#include "base/status.h"

namespace mokv::replica {

void Applying::Begin(Load load) {
  Run(0, [this, load = std::move(load)] {
    absl::StatusOr<machine::LoadedState> loaded = load();
    if (loaded.ok()) {
      machine_.Install(*std::move(loaded));
      return;
    }
    const MutexLock lock(mutex_);
    load_status_ = loaded.status();
  });
}

absl::Status Applying::Apply(std::span<const Entry> entries) {
  MOKV_RETURN_IF_ERROR(load_status());
  for (const Entry& entry : entries) {
    MOKV_ASSIGN_OR_RETURN(machine::DecodedEntry decoded, machine::Decode(entry));
    decoded_bytes_ += decoded.bytes;
    decoded_.push_back(std::move(decoded));
    if (decoded_.size() >= kTogetherMax || decoded_bytes_ >= kTogetherBytesMax) HandOver();
  }
  return absl::OkStatus();
}

void Applying::HandOver() {
  Run(std::exchange(decoded_bytes_, 0), [this, entries = std::move(decoded_)]() mutable {
    if (!load_status().ok()) return;
    machine_.Apply(entries, results_);
    results_.clear();
    machine_.Publish();
  });
  decoded_.clear();
  decoded_.reserve(kTogetherMax);
}

absl::Status Applying::Finish() {
  HandOver();
  Drain();
  return load_status();
}

absl::Status Applying::load_status() const {
  const MutexLock lock(mutex_);
  return load_status_;
}

void Applying::Run(uint64_t bytes, Task task) {
  if (thread_ == nullptr) return task();
  {
    MutexLock lock(mutex_);
    while (queued_bytes_ > kQueuedBytesMax) moved_on_.Wait(lock);
    queued_bytes_ += bytes;
    ++queued_;
  }
  thread_->Post([this, bytes, task = std::move(task)]() mutable {
    task();
    task = nullptr;  // Frees what it holds before others are told.
    const MutexLock lock(mutex_);
    queued_bytes_ -= bytes;
    --queued_;
    moved_on_.NotifyAll();
  });
}

void Applying::Drain() {
  MutexLock lock(mutex_);
  while (queued_ > 0) moved_on_.Wait(lock);
}

}  // namespace mokv::replica
