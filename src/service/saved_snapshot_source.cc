#include "service/saved_snapshot_source.h"

#include <algorithm>

#include "api/cluster.pb.h"
#include "base/check.h"

namespace mokv::service {

rpc::MessageSource::Next SavedSnapshotSource::Produce(std::string* message) {
  status_ = check_();
  if (!status_.ok()) return Next::kEnd;
  if (!stream_.has_value()) {
    // Only now, since it reads the state, which is for the I/O thread to do.
    stream_.emplace(snapshot_.meta, snapshot_.state);
    ProduceMetadata(message);
    return Next::kMessage;
  }
  if (sent_ == block_.size()) {
    block_ = stream_->Next();
    sent_ = 0;
    if (block_.empty()) return Next::kEnd;
  }
  const size_t size = std::min(block_.size() - sent_, kChunkBytesMax);
  api::SnapshotChunk chunk;
  chunk.set_data(block_.data() + sent_, size);
  sent_ += size;
  MOKV_CHECK(chunk.AppendToString(message));
  return Next::kMessage;
}

void SavedSnapshotSource::ProduceMetadata(std::string* message) const {
  const store::View& store = *snapshot_.state.store;
  api::SnapshotChunk chunk;
  api::SnapshotMetadata& metadata = *chunk.mutable_metadata();
  metadata.set_index(snapshot_.meta.last.index.value());
  metadata.set_term(snapshot_.meta.last.term.value());
  metadata.set_revision(store.revision().value());
  metadata.set_keys(store.stats().keys);
  metadata.set_cluster_id(snapshot_.meta.membership->cluster_id());
  metadata.set_estimated_bytes(store.stats().data_bytes);
  MOKV_CHECK(chunk.AppendToString(message));
}

}  // namespace mokv::service
