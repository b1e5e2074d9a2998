// SavedSnapshotSource: the messages of one SaveSnapshot call, made from one frozen state.
//
// Owner: the engine, from Start to the end of the call. Threads: the call's I/O thread, but for the
// constructor, which may run on any.
// Bounds: one block of the snapshot at a time, and the frozen state, as long as the call lasts.
#pragma once

#include <absl/functional/any_invocable.h>
#include <absl/status/status.h>

#include <optional>
#include <string>
#include <utility>

#include "replica/snapshot_file.h"
#include "rpc/message_source.h"

namespace mokv::service {

class SavedSnapshotSource final : public rpc::MessageSource {
 public:
  // Of the file, in one message: far from the 4 MiB that stock clients take, enough that a message
  // costs nothing beside its bytes.
  static constexpr size_t kChunkBytesMax = size_t{256} << 10;

  // Whether the caller still may have it. Asked before each message.
  using Check = absl::AnyInvocable<absl::Status()>;

  SavedSnapshotSource(replica::FrozenSnapshot snapshot, Check check)
      : snapshot_(std::move(snapshot)), check_(std::move(check)) {}

  Next Produce(std::string* message) override;
  absl::Status status() const override { return status_; }

 private:
  void ProduceMetadata(std::string* message) const;

  const replica::FrozenSnapshot snapshot_;
  Check check_;
  absl::Status status_;
  std::optional<replica::SnapshotStream> stream_;  // Once the metadata is out.
  std::string block_;
  size_t sent_ = 0;  // Of block_.
};

}  // namespace mokv::service
