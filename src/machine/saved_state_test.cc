// A state as blocks, and back.
#include "machine/saved_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "base/status.h"
#include "machine/command.h"

namespace mokv::machine {
namespace {

using ::testing::HasSubstr;

struct OwnedBlock {
  std::string section;
  std::string payload;
  uint32_t records = 0;
};

std::vector<OwnedBlock> Save(Machine& machine, size_t block_bytes = 64) {
  StateWriter writer(machine.Freeze(), block_bytes);
  std::vector<OwnedBlock> blocks;
  for (SavedBlock block; writer.Next(block);) {
    blocks.push_back({std::string(block.section), block.payload, block.records});
  }
  return blocks;
}

absl::StatusOr<LoadedState> Load(const std::vector<OwnedBlock>& blocks) {
  uint64_t bytes = 0;
  for (const OwnedBlock& block : blocks) bytes += block.payload.size();
  StateLoader loader(bytes);
  for (const OwnedBlock& block : blocks) {
    MOKV_RETURN_IF_ERROR(loader.Add(block.section, block.payload, block.records));
  }
  return loader.Finish();
}

// Sets and deletes of a few keys: versions, revisions and gaps of all kinds.
void Change(Machine& machine, const std::vector<std::pair<uint8_t, std::string>>& changes) {
  std::vector<Entry> entries;
  for (const auto& [key, value] : changes) {
    const std::string name(key % 5, static_cast<char>('a' + key % 23));
    const Command command =
        key % 4 == 0 ? Command(store::Delete{name, {}}) : Command(store::Set{name, value, {}});
    entries.push_back({.index = Index(entries.size() + 1),
                       .term = Term(1),
                       .type = EntryType::kCommand,
                       .payload = std::make_shared<const std::string>(EncodeCommand(command))});
  }
  std::vector<Result> results;
  EXPECT_TRUE(machine.Apply(entries, results).ok());
  machine.Publish();
}

std::vector<std::pair<uint8_t, std::string>> SomeChanges() {
  std::vector<std::pair<uint8_t, std::string>> changes;
  for (int i = 0; i < 300; ++i) {
    changes.emplace_back(static_cast<uint8_t>(i * 7), std::string(static_cast<size_t>(i), 'v'));
  }
  return changes;
}

RC_GTEST_PROP(SavedState, IsLoadedAsItWas,
              (const std::vector<std::pair<uint8_t, std::string>>& changes)) {
  Machine machine;
  Change(machine, changes);
  const std::vector<OwnedBlock> blocks = Save(machine);
  absl::StatusOr<LoadedState> loaded = Load(blocks);
  RC_ASSERT(loaded.ok());
  Machine other;
  other.Install(*std::move(loaded));
  RC_ASSERT(other.digest() == machine.digest());
  RC_ASSERT(other.revision() == machine.revision());
  // The same state has the same bytes.
  const std::vector<OwnedBlock> again = Save(other);
  RC_ASSERT(again.size() == blocks.size());
  for (size_t i = 0; i < blocks.size(); ++i) RC_ASSERT(again[i].payload == blocks[i].payload);
}

TEST(SavedState, HasSessionsAndTheirTime) {
  Machine machine;
  std::vector<Entry> entries;
  const auto add = [&](const Command& command) {
    entries.push_back({.index = Index(entries.size() + 1),
                       .term = Term(1),
                       .type = EntryType::kCommand,
                       .payload = std::make_shared<const std::string>(EncodeCommand(command))});
  };
  for (int i = 0; i < 1000; ++i) add(OpenSession{60'000, fmt::format("subject {}", i)});
  add(AdvanceTime{ClusterTime(500)});
  std::vector<Result> results;
  ASSERT_TRUE(machine.Apply(entries, results).ok());
  machine.Publish();
  const std::vector<OwnedBlock> blocks = Save(machine);
  auto loaded = Load(blocks);
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->sessions->size(), 1000u);
  EXPECT_EQ(loaded->sessions->time(), ClusterTime(500));
  Machine other;
  other.Install(*std::move(loaded));
  EXPECT_EQ(other.digest(), machine.digest());
  EXPECT_TRUE(other.AnythingExpires());
}

TEST(SavedState, IsThatOfTheMomentWhenItWasFrozen) {
  Machine machine;
  Change(machine, SomeChanges());
  const store::Digest digest = machine.digest();
  StateWriter writer(machine.Freeze(), 64);
  Change(machine, {{1, "later"}, {4, ""}, {9, "later"}});
  StateLoader loader(1 << 20);
  for (SavedBlock block; writer.Next(block);) {
    ASSERT_TRUE(loader.Add(block.section, block.payload, block.records).ok());
  }
  const auto loaded = loader.Finish();
  ASSERT_TRUE(loaded.ok()) << loaded.status();
  EXPECT_EQ(loaded->store->digest(), digest);
}

TEST(SavedState, HasNoRecordInTwoBlocks) {
  Machine machine;
  Change(machine, SomeChanges());
  uint64_t records = 0;
  for (const OwnedBlock& block : Save(machine)) {
    if (block.section == "items") records += block.records;
    EXPECT_GT(block.records, 0u);
  }
  EXPECT_EQ(records, machine.stats().keys);
}

TEST(SavedState, RefusesASectionThatItDoesNotKnowByName) {
  Machine machine;
  std::vector<OwnedBlock> blocks = Save(machine);
  blocks.push_back({"leases", "what?", 1});
  const absl::Status status = Load(blocks).status();
  EXPECT_EQ(status.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(MessageOf(status), HasSubstr("\"leases\""));
}

// Goal: no memory is taken for items that a file only claims to have.
TEST(SavedState, RefusesMoreItemsThanItsBytesCanHold) {
  const std::string claim("\x10\x80\x80\x80\x80\x80\x80\x80\x10", 9);  // 2^53 keys.
  StateLoader loader(100'000);
  EXPECT_THAT(MessageOf(loader.Add("machine", claim, 1)),
              HasSubstr("do not fit into 100000 bytes"));
}

TEST(SavedState, NoticesWhatIsMissingOrWrong) {
  Machine machine;
  Change(machine, SomeChanges());
  const std::vector<OwnedBlock> blocks = Save(machine);
  ASSERT_GT(blocks.size(), 3u);
  for (size_t i = 0; i < blocks.size(); ++i) {
    std::vector<OwnedBlock> damaged = blocks;
    damaged.erase(damaged.begin() + static_cast<ptrdiff_t>(i));
    EXPECT_TRUE(absl::IsDataLoss(Load(damaged).status())) << i;
    damaged = blocks;
    damaged[i].payload.pop_back();
    EXPECT_FALSE(Load(damaged).ok()) << i;
    damaged = blocks;
    damaged[i].payload += 'x';
    EXPECT_FALSE(Load(damaged).ok()) << i;
    damaged = blocks;
    damaged.push_back(blocks[i]);
    EXPECT_TRUE(absl::IsDataLoss(Load(damaged).status())) << i;
  }
  std::vector<OwnedBlock> other_value = blocks;
  other_value.back().payload.back() ^= 1;  // Of a value: only the digest knows.
  EXPECT_THAT(MessageOf(Load(other_value).status()), HasSubstr("digest"));
}

TEST(SavedState, IsHardlyLargerThanItsKeysAndValues) {
  Machine machine;
  std::vector<Entry> entries;
  for (uint64_t i = 1; i <= 10'000; ++i) {
    const Command command = store::Set{fmt::format("key-{:012}", i), std::string(64, 'v'), {}};
    entries.push_back({.index = Index(i),
                       .term = Term(1),
                       .type = EntryType::kCommand,
                       .payload = std::make_shared<const std::string>(EncodeCommand(command))});
  }
  std::vector<Result> results;
  ASSERT_TRUE(machine.Apply(entries, results).ok());
  machine.Publish();
  uint64_t bytes = 0;
  for (const OwnedBlock& block : Save(machine, 128 << 10)) bytes += block.payload.size() + 40;
  EXPECT_LT(bytes, machine.stats().data_bytes + 10 * machine.stats().keys);
}

}  // namespace
}  // namespace mokv::machine
