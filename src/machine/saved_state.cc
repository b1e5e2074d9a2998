#include "machine/saved_state.h"

#include <google/protobuf/io/coded_stream.h>

#include <array>
#include <limits>
#include <utility>

#include "base/check.h"
#include "base/status.h"
#include "base/utf8.h"
#include "machine/saved_state.pb.h"

namespace mokv::machine {
namespace {

using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;

constexpr std::string_view kMachineSection = "machine";
constexpr std::string_view kSessionsSection = "sessions";
constexpr std::string_view kItemsSection = "items";

constexpr size_t kNumbers = 6;
constexpr size_t kItemBytesMin = kNumbers;  // With nothing in it.
constexpr size_t kVarintBytesMax = 10;

void AppendVarint(uint64_t number, std::string& out) {
  std::array<uint8_t, kVarintBytesMax> buffer;
  const uint8_t* end = CodedOutputStream::WriteVarint64ToArray(number, buffer.data());
  out.append(reinterpret_cast<const char*>(buffer.data()),
             static_cast<size_t>(end - buffer.data()));
}

void AppendItem(const store::ItemFields& item, std::string& out) {
  const uint64_t age = item.mod_revision.value() - item.create_revision.value();
  const std::array<uint64_t, kNumbers> numbers = {
      item.key.size(), item.value.size(), item.mod_revision.value(), age,
      item.version,    item.lease.value()};
  std::array<uint8_t, kNumbers * kVarintBytesMax> buffer;
  uint8_t* end = buffer.data();
  for (const uint64_t number : numbers) end = CodedOutputStream::WriteVarint64ToArray(number, end);
  out.append(reinterpret_cast<const char*>(buffer.data()),
             static_cast<size_t>(end - buffer.data()));
  out += item.key;
  out += item.value;
}

// Takes the record that `bytes` begins with off them.
std::optional<std::string_view> TakeRecord(std::string_view& bytes) {
  const size_t head = std::min(bytes.size(), kVarintBytesMax);
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(head));
  uint64_t size = 0;
  if (!in.ReadVarint64(&size)) return std::nullopt;
  bytes.remove_prefix(static_cast<size_t>(in.CurrentPosition()));
  if (size > bytes.size()) return std::nullopt;
  const std::string_view record = bytes.substr(0, size);
  bytes.remove_prefix(size);
  return record;
}

// Takes the item that `bytes` begins with off them. Its texts are in `bytes`.
std::optional<store::ItemFields> TakeItem(std::string_view& bytes) {
  // Small enough to be decoded from a stream of its own: the numbers come first.
  const size_t head = std::min(bytes.size(), kNumbers * kVarintBytesMax);
  CodedInputStream in(reinterpret_cast<const uint8_t*>(bytes.data()), static_cast<int>(head));
  std::array<uint64_t, kNumbers> numbers;
  for (uint64_t& number : numbers) {
    if (!in.ReadVarint64(&number)) return std::nullopt;
  }
  bytes.remove_prefix(static_cast<size_t>(in.CurrentPosition()));
  const auto [key_bytes, value_bytes, revision, age, version, lease] = numbers;
  if (key_bytes > bytes.size() || value_bytes > bytes.size() - key_bytes || age > revision) {
    return std::nullopt;
  }
  store::ItemFields item{.key = bytes.substr(0, key_bytes),
                         .value = bytes.substr(key_bytes, value_bytes),
                         .create_revision = Revision(revision - age),
                         .mod_revision = Revision(revision),
                         .version = version,
                         .lease = LeaseId(lease)};
  bytes.remove_prefix(key_bytes + value_bytes);
  return item;
}

}  // namespace

StateWriter::StateWriter(FrozenState state, size_t block_bytes)
    : state_(std::move(state)), block_bytes_(block_bytes), cursor_(state_.store->Seek("")) {}

bool StateWriter::Next(SavedBlock& block) {
  block.payload.clear();
  block.records = 0;
  if (!std::exchange(head_is_out_, true)) {
    FillHead(block);
  } else if (next_part_ < Sessions::Frozen::kParts) {
    FillSessions(block);
  }
  if (block.records == 0) FillItems(block);
  return block.records > 0;
}

void StateWriter::FillHead(SavedBlock& block) const {
  proto::SavedHead head;
  head.set_revision(state_.store->revision().value());
  head.set_keys(state_.store->stats().keys);
  head.set_data_bytes(state_.store->stats().data_bytes);
  head.set_digest_low(state_.store->digest().low);
  head.set_digest_high(state_.store->digest().high);
  head.set_sessions(state_.sessions->size());
  head.set_sessions_digest_low(state_.sessions->digest().low);
  head.set_sessions_digest_high(state_.sessions->digest().high);
  block.section = kMachineSection;
  block.records = 1;
  MOKV_CHECK(head.SerializeToString(&block.payload));
}

void StateWriter::FillSessions(SavedBlock& block) {
  block.section = kSessionsSection;
  while (block.payload.size() < block_bytes_ && next_part_ < Sessions::Frozen::kParts) {
    for (const std::string& record : state_.sessions->Records(next_part_++)) {
      AppendVarint(record.size(), block.payload);
      block.payload += record;
      ++block.records;
    }
  }
}

void StateWriter::FillItems(SavedBlock& block) {
  block.section = kItemsSection;
  while (block.payload.size() < block_bytes_ && cursor_.item() != nullptr) {
    AppendItem(cursor_.item()->fields(), block.payload);
    ++block.records;
    cursor_.Next();
  }
}

StateLoader::StateLoader(uint64_t bytes_max) : bytes_max_(bytes_max) {}
StateLoader::~StateLoader() = default;

absl::Status StateLoader::Add(std::string_view section, std::string_view payload,
                              uint32_t records) {
  if (section == kMachineSection) return AddHead(payload);
  if (!head_.has_value()) return DataLoss("section {} comes before the machine's", Quoted(section));
  if (section == kSessionsSection) return AddSessions(payload, records);
  if (section == kItemsSection) return AddItems(payload, records);
  return FailedPrecondition(
      "section {} is not known to this version; use the program that wrote the snapshot, or a "
      "newer one",
      Quoted(section));
}

absl::Status StateLoader::AddHead(std::string_view payload) {
  if (head_.has_value()) return DataLoss("a second section {:?}", kMachineSection);
  proto::SavedHead head;
  if (!head.ParseFromArray(payload.data(), static_cast<int>(payload.size()))) {
    return DataLoss("the machine's numbers do not parse");
  }
  if (head.keys() > bytes_max_ / kItemBytesMin) {
    return DataLoss("{} items do not fit into {} bytes", head.keys(), bytes_max_);
  }
  head_ = Head{
      .revision = Revision(head.revision()),
      .stats = {.keys = head.keys(), .data_bytes = head.data_bytes()},
      .digest = {.low = head.digest_low(), .high = head.digest_high()},
      .sessions = head.sessions(),
      .sessions_digest = {.low = head.sessions_digest_low(), .high = head.sessions_digest_high()}};
  loader_ = std::make_unique<store::BulkLoader>(head_->stats.keys);
  return absl::OkStatus();
}

absl::Status StateLoader::AddSessions(std::string_view payload, uint32_t records) {
  for (uint32_t i = 0; i < records; ++i) {
    const std::optional<std::string_view> record = TakeRecord(payload);
    if (!record.has_value()) return DataLoss("session {} of {} is cut off", i + 1, records);
    MOKV_RETURN_IF_ERROR(sessions_.Add(*record));
  }
  if (!payload.empty()) {
    return DataLoss("{} bytes are left behind {} sessions", payload.size(), records);
  }
  return absl::OkStatus();
}

absl::Status StateLoader::AddItems(std::string_view payload, uint32_t records) {
  for (uint32_t i = 0; i < records; ++i) {
    const std::optional<store::ItemFields> item = TakeItem(payload);
    if (!item.has_value()) return DataLoss("item {} of {} does not parse", i + 1, records);
    MOKV_RETURN_IF_ERROR(loader_->Add(*item));
  }
  if (!payload.empty()) {
    return DataLoss("{} bytes are left behind {} items", payload.size(), records);
  }
  return absl::OkStatus();
}

absl::StatusOr<LoadedState> StateLoader::Finish() {
  if (!head_.has_value()) return DataLoss("there is no section {:?}", kMachineSection);
  LoadedState loaded;
  MOKV_ASSIGN_OR_RETURN(loaded.store, loader_->Finish(head_->revision));
  MOKV_RETURN_IF_ERROR(CheckStore(*loaded.store));
  MOKV_ASSIGN_OR_RETURN(loaded.sessions, sessions_.Finish());
  if (loaded.sessions->size() != head_->sessions ||
      loaded.sessions->digest() != head_->sessions_digest) {
    return DataLoss("{} sessions are not the {} that were saved, by their digest",
                    loaded.sessions->size(), head_->sessions);
  }
  return loaded;
}

absl::Status StateLoader::CheckStore(const store::Store& store) const {
  const store::Stats stats = store.stats();
  const store::Digest digest = store.digest();
  if (stats.keys == head_->stats.keys && stats.data_bytes == head_->stats.data_bytes &&
      digest == head_->digest) {
    return absl::OkStatus();
  }
  return DataLoss(
      "{} items of {} bytes with digest {:016x}{:016x} are not those that were saved: {} of {} "
      "bytes with {:016x}{:016x}",
      stats.keys, stats.data_bytes, digest.high, digest.low, head_->stats.keys,
      head_->stats.data_bytes, head_->digest.high, head_->digest.low);
}

}  // namespace mokv::machine
