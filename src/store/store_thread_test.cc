// Readers against the writer; what it proves is small without ThreadSanitizer.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "base/random.h"
#include "store/store.h"
#include "store/testing/settled_bytes.h"

namespace mokv::store {
namespace {

using testing::SettledBytes;

constexpr uint64_t kSeed = 3;
constexpr size_t kPairs = 500;
constexpr int kRoundsMin = 300;

std::string Key(size_t pair, char side) { return fmt::format("pair-{:04}-{}", pair, side); }

// Both sides of a pair are written in the same batch, so that no reader may see them differ.
void WriteRounds(Store& store, const std::atomic<int>& readers_satisfied, int readers) {
  SeededRandom random(kSeed);
  std::vector<Transaction> batch;
  std::vector<ApplyResult> results;
  for (int round = 0; round < kRoundsMin || readers_satisfied.load() < readers; ++round) {
    for (int change = 0; change < 20; ++change) {
      const size_t pair = random.Next() % kPairs;
      const bool is_delete = random.Next() % 4 == 0;
      for (const char side : {'a', 'b'}) {
        if (is_delete) {
          batch.push_back({Delete{Key(pair, side), {}}});
        } else {
          batch.push_back({Set{Key(pair, side), fmt::format("a value of round {}", round)}});
        }
      }
    }
    store.Apply(batch, results);
    batch.clear();
    store.Publish();
  }
}

void CheckView(const View& view) {
  uint64_t count = 0;
  std::string previous;
  for (auto cursor = view.Seek(""); cursor.item() != nullptr; cursor.Next(), ++count) {
    ASSERT_LT(previous, cursor.item()->key());
    previous = cursor.item()->key();
    ASSERT_LE(cursor.item()->mod_revision(), view.revision());
  }
  ASSERT_EQ(count, view.stats().keys);
  for (size_t pair = 0; pair < kPairs; ++pair) {
    const Item* a = view.Find(Key(pair, 'a'));
    const Item* b = view.Find(Key(pair, 'b'));
    ASSERT_EQ(a == nullptr, b == nullptr);
    if (a != nullptr) {
      ASSERT_EQ(a->value(), b->value());
    }
  }
}

// Finds pairs and walks views until it has seen `kTurns` turns, some of them of a changed store.
void Read(const Store& store, uint64_t seed, std::atomic<int>& satisfied) {
  constexpr int kTurns = 1000;
  SeededRandom random(seed);
  Reader reader(store);
  Revision newest;
  for (int turn = 0; turn < kTurns; ++turn) {
    std::vector<std::pair<const Item*, std::string>> found;
    for (int i = 0; i < 10; ++i) {
      const Revision before = store.revision();
      ASSERT_GE(before, newest);
      newest = before;
      const Item* item = reader.Find(Key(random.Next() % kPairs, 'a'));
      if (item != nullptr) found.emplace_back(item, item->value());
    }
    for (const auto& [item, value] : found) ASSERT_EQ(item->value(), value);
    reader.Leave();
    const auto view = store.TakeView();
    // Who has seen a state in a view must not find an older one.
    ASSERT_GE(store.revision(), view->revision());
    if (turn % 50 == 0) CheckView(*view);
    ASSERT_LE(store.stats().keys, 2 * kPairs);
  }
  satisfied.fetch_add(1);
}

// Goal:   a reader that comes while a new version is published finds the old one or the new one,
//         and never again an older one than before.
// Method: a few keys that are always there are overwritten all the time, each in a batch of its
//         own, while a view holds their first versions.
TEST(StoreThreads, OverwrittenKeysAreNeverMissing) {
  constexpr size_t kKeys = 8;
  constexpr int kFinds = 200'000;
  constexpr int kReaders = 2;
  Store store;
  for (size_t i = 0; i < kKeys; ++i) store.Apply(Set{Key(i, 'a'), "first", {}});
  store.Publish();
  const auto view = store.TakeView();
  std::atomic<int> done = 0;
  std::atomic<int> missing = 0;
  std::atomic<int> older = 0;
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      Reader reader(store);
      std::vector<uint64_t> versions(kKeys, 0);
      for (int find = 0; find < kFinds; ++find) {
        const size_t key = static_cast<size_t>(find) % kKeys;
        const Item* item = reader.Find(Key(key, 'a'));
        if (item == nullptr) {
          ++missing;
        } else if (item->version() < versions[key]) {
          ++older;
        } else {
          versions[key] = item->version();
        }
        if (find % 4 == 0) reader.Leave();
      }
      ++done;
    });
  }
  for (size_t i = 0; done.load() < kReaders; ++i) {
    store.Apply(Set{Key(i % kKeys, 'a'), "another", {}});
    store.Publish();
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(missing.load(), 0);
  EXPECT_EQ(older.load(), 0);
  for (size_t i = 0; i < kKeys; ++i) EXPECT_EQ(view->Find(Key(i, 'a'))->value(), "first");
}

TEST(StoreThreads, ReadersSeeWholeBatches) {
  constexpr int kReaders = 3;
  SCOPED_TRACE(::testing::Message() << "seed " << kSeed);
  Store store;
  const uint64_t empty = SettledBytes(store);
  std::atomic<int> satisfied = 0;
  std::vector<std::thread> threads;
  for (int i = 0; i < kReaders; ++i) {
    threads.emplace_back([&store, &satisfied, i] {
      Read(store, kSeed + 1 + static_cast<uint64_t>(i), satisfied);
      // A failed assertion returns early; the writer must not wait for it for ever.
      if (::testing::Test::HasFailure()) satisfied.store(kReaders);
    });
  }
  WriteRounds(store, satisfied, kReaders);
  for (std::thread& thread : threads) thread.join();
  CheckView(*store.TakeView());
  // No state that a view has left is forgotten: nothing is kept for it.
  for (size_t pair = 0; pair < kPairs; ++pair) {
    for (const char side : {'a', 'b'}) store.Apply(Delete{Key(pair, side), {}});
  }
  store.Publish();
  EXPECT_LE(SettledBytes(store), empty + 64);
}

// Goal:   readers go on while the whole state is replaced, and never find an older one again.
// Method: each state holds one key whose value is the state's number; readers and views look at it
//         all the time, and keep what they have found for a turn.
TEST(StoreThreads, ReadersGoOnWhileTheStateIsReplaced) {
  constexpr uint64_t kStates = 300;
  constexpr int kReaders = 3;
  Store store;
  const auto install = [&](uint64_t number) {
    BulkLoader loader;
    const std::string value = fmt::to_string(number);
    ASSERT_TRUE(loader
                    .Add({.key = "k",
                          .value = value,
                          .create_revision = Revision(1),
                          .mod_revision = Revision(number),
                          .version = number})
                    .ok());
    auto loaded = loader.Finish(Revision(number));
    ASSERT_TRUE(loaded.ok());
    store.Install(*std::move(loaded));
  };
  install(1);
  std::atomic<int> satisfied{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < kReaders; ++i) {
    readers.emplace_back([&] {
      Reader reader(store);
      uint64_t newest = 0;
      while (newest < kStates) {
        std::vector<std::pair<const Item*, uint64_t>> found;
        for (int find = 0; find < 4; ++find) {
          const Item* item = reader.Find("k");
          ASSERT_NE(item, nullptr);
          ASSERT_GE(item->version(), newest);
          newest = item->version();
          found.emplace_back(item, newest);
        }
        const auto view = store.TakeView();
        ASSERT_GE(view->revision().value(), newest);
        newest = view->revision().value();
        ASSERT_EQ(view->Find("k")->value(), fmt::to_string(newest));
        for (const auto& [item, number] : found) ASSERT_EQ(item->value(), fmt::to_string(number));
        reader.Leave();
      }
      satisfied.fetch_add(1);
    });
  }
  for (uint64_t number = 2; number <= kStates; ++number) {
    store.Apply(Set{"k", "never published", {}});
    install(number);
  }
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(satisfied.load(), kReaders);
}

}  // namespace
}  // namespace mokv::store
