// What is measured of each contender. Every function here runs in a child process of its own,
// forked for one contender and one size, so that memory starts clean.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/check.h"
#include "base/random.h"
#include "bench/store/allocated.h"
#include "bench/store/key_set.h"
#include "bench/store/timer.h"

namespace mokv::bench {

// Metric -> value; metrics.h lists them.
using Sample = std::map<std::string, double>;

// What one process does with a contender.
enum class Job {
  kFill,    // Insert in shuffled order, then everything that can be asked of the full contender.
  kViews,   // Insert, then only take views: for the size that the larger ones are compared with.
  kMemory,  // Insert in shuffled order, and only look at the memory.
  kSorted,  // Insert one by one in ascending order.
  kBulk,    // Load ascending keys.
};

struct Setup {
  const KeySet& keys;
  Timer::Kind clock = Timer::Kind::kWall;
  uint64_t seed = 1;
  double thread_seconds = 1;  // For each of the measurements with several threads.
};

constexpr size_t kBatch = 64;  // Writes between two publications, and look-ups in a turn.

// The kernel's exact count of this process's resident bytes.
uint64_t ResidentBytes();

// As a reader that copies the value out would: a look at both ends.
inline uint64_t Touch(std::string_view bytes) {
  return static_cast<uint8_t>(bytes.front()) + static_cast<uint8_t>(bytes.back());
}

// Keeps the optimizer from dropping what led to `value`.
inline void Use(uint64_t value) { asm volatile("" : : "r"(value) : "memory"); }

template <typename Contender>
void PutAll(Contender& contender, const KeySet& keys, const KeyList& order) {
  for (size_t i = 0; i < order.size(); ++i) {
    contender.Put(order[i], keys.Value(i));
    if (i % kBatch == kBatch - 1) contender.Publish();
  }
  contender.Publish();
}

// Nanoseconds a write, `count` keys from a place in the shuffled order on that `place` chooses.
template <typename Contender>
double Overwrite(Contender& contender, const Setup& setup, size_t count, uint64_t place,
                 uint64_t salt) {
  const KeyList& order = setup.keys.shuffled();
  const size_t start = SeededRandom(setup.seed + place).Next() % order.size();
  const Timer timer(setup.clock);
  for (size_t i = 0; i < count; ++i) {
    contender.Put(order[(start + i) % order.size()], setup.keys.Value(i + salt));
    if (i % kBatch == kBatch - 1) contender.Publish();
  }
  contender.Publish();
  return timer.Nanoseconds() / static_cast<double>(count);
}

// Look-ups of whole turns until about `count` of them are done; how many were found.
template <typename Reader>
uint64_t LookUp(Reader& reader, const KeyList& keys, size_t start, size_t count) {
  uint64_t found = 0;
  uint64_t touched = 0;
  size_t at = start % keys.size();
  for (size_t i = 0; i < count; ++i) {
    if (const auto value = reader.Find(keys[at])) {
      ++found;
      touched += Touch(*value);
    }
    if (++at == keys.size()) at = 0;
    if (i % kBatch == kBatch - 1) reader.Leave();
  }
  reader.Leave();
  Use(touched);
  return found;
}

template <typename Contender>
void MeasureLookups(const Contender& contender, const Setup& setup, Sample& sample) {
  constexpr size_t kLookupsMin = 1'000'000;
  const size_t count = std::max(kLookupsMin, setup.keys.present().size());
  typename Contender::Reader reader(contender);
  // A tenth of it first, so that the first contender's pages are as warm as the last one's.
  LookUp(reader, setup.keys.present(), 0, count / 10);
  {
    const Timer timer(setup.clock);
    MOKV_CHECK_EQ(LookUp(reader, setup.keys.present(), 0, count), count);
    sample["hit"] = timer.Nanoseconds() / static_cast<double>(count);
  }
  const Timer timer(setup.clock);
  MOKV_CHECK_EQ(LookUp(reader, setup.keys.missing(), 0, count), 0u);
  sample["miss"] = timer.Nanoseconds() / static_cast<double>(count);
}

template <typename Contender>
void MeasureScans(const Contender& contender, const Setup& setup, Sample& sample) {
  constexpr size_t kItemsMin = 1'000'000;
  constexpr size_t kRanges = 20'000;
  const typename Contender::View view(contender);
  const size_t size = setup.keys.size();
  const size_t scans = std::max<size_t>(1, kItemsMin / size);
  uint64_t touched = 0;
  size_t items = 0;
  {
    const Timer timer(setup.clock);
    for (size_t i = 0; i < scans; ++i) {
      view.ForEachFrom("", [&](std::string_view key, std::string_view value) {
        touched += Touch(key) + Touch(value);
        ++items;
        return true;
      });
    }
    sample["scan"] = timer.Nanoseconds() / static_cast<double>(items);
  }
  MOKV_CHECK_EQ(items, scans * size);

  items = 0;
  const Timer timer(setup.clock);
  for (size_t i = 0; i < kRanges; ++i) {
    const std::string_view prefix = setup.keys.RangePrefix(i);
    view.ForEachFrom(prefix, [&](std::string_view key, std::string_view value) {
      if (key.substr(0, prefix.size()) != prefix) return false;
      touched += Touch(key) + Touch(value);
      ++items;
      return true;
    });
  }
  sample["range"] = timer.Nanoseconds() / static_cast<double>(items);
  sample["range_items"] = static_cast<double>(items) / kRanges;
  Use(touched);
}

template <typename Contender>
void MeasureTakingViews(Contender& contender, const Setup& setup, Sample& sample) {
  using View = typename Contender::View;
  constexpr size_t kViews = 2'000'000;
  constexpr size_t kFreshViews = 20'000;
  {
    const Timer timer(setup.clock);
    for (size_t i = 0; i < kViews; ++i) {
      const View view(contender);
      Use(reinterpret_cast<uintptr_t>(&view));
    }
    sample["view"] = timer.Nanoseconds() / kViews;
  }
  // Of a state that nobody has taken a view of, so that none can be kept ready. Always the same
  // key, so that its cache misses, which depend on the size, do not count.
  const Timer timer(setup.clock);
  for (size_t i = 0; i < kFreshViews; ++i) {
    contender.Put(setup.keys.shuffled()[0], setup.keys.Value(i));
    contender.Publish();
    const View view(contender);
    Use(reinterpret_cast<uintptr_t>(&view));
  }
  sample["fresh_view"] = timer.Nanoseconds() / kFreshViews;
}

// What it costs to write while many views are held, each of another state.
template <typename Contender>
void MeasureManyViews(Contender& contender, const Setup& setup, Sample& sample) {
  using View = typename Contender::View;
  constexpr size_t kViews = 10'000;
  constexpr size_t kWrites = 20'000;
  const auto write = [&](size_t i) {
    contender.Put(setup.keys.shuffled()[0], setup.keys.Value(i));
    contender.Publish();
  };
  std::deque<View> views;
  for (size_t i = 0; i < kViews; ++i) {
    write(i);
    views.emplace_back(contender);
  }
  const Timer timer(setup.clock);
  for (size_t i = 0; i < kWrites; ++i) write(i);
  sample["crowded_publish"] = timer.Nanoseconds() / kWrites;
}

// What it costs to write while a view is held, and whether its memory comes back.
template <typename Contender>
void MeasureHeldView(Contender& contender, const Setup& setup, Sample& sample) {
  using View = typename Contender::View;
  constexpr size_t kWrites = 10'000;
  // Always the same keys. Once before, so that neither cold caches nor what a first overwrite adds
  // to an item counts.
  uint64_t salt = 2;
  const auto overwrite = [&] { return Overwrite(contender, setup, kWrites, 2, ++salt); };
  overwrite();
  sample["free_write"] = overwrite();
  const auto used = [&] { return static_cast<double>(contender.UsedBytes()); };
  const double before = used();
  std::optional<View> view(std::in_place, contender);
  sample["held_write"] = overwrite();
  sample["held_bytes"] = (used() - before) / kWrites;
  {
    const Timer timer(setup.clock);
    view.reset();
    sample["drop_view"] = timer.Nanoseconds() / kWrites;
  }
  // Some structures free what is no longer needed along with later writes, which pay for it.
  sample["after_write"] = overwrite();
  sample["left_bytes"] = (used() - before) / kWrites;
}

struct ThreadRates {
  double lookups = 0;  // A second, of all readers together.
  double writes = 0;
};

template <typename Contender>
ThreadRates RunThreads(Contender& contender, const Setup& setup, int readers, bool with_writer) {
  std::atomic<bool> stop = false;
  std::vector<double> lookups(static_cast<size_t>(readers));
  const auto read = [&](size_t number) {
    typename Contender::Reader reader(contender);
    const KeyList& keys = setup.keys.present();
    const size_t start = keys.size() / lookups.size() * number;
    uint64_t done = 0;
    const Timer timer(setup.clock == Timer::Kind::kWall ? setup.clock : Timer::Kind::kThread);
    while (!stop.load(std::memory_order_relaxed)) {
      constexpr size_t kTurns = 16;
      MOKV_CHECK_EQ(LookUp(reader, keys, start + done, kTurns * kBatch), kTurns * kBatch);
      done += kTurns * kBatch;
    }
    lookups[number] = static_cast<double>(done) * 1e9 / timer.Nanoseconds();
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < lookups.size(); ++i) threads.emplace_back(read, i);
  ThreadRates rates;
  if (with_writer) {
    uint64_t rounds = 0;
    const Timer timer(setup.clock == Timer::Kind::kWall ? setup.clock : Timer::Kind::kThread);
    const Timer wall(Timer::Kind::kWall);
    while (wall.Nanoseconds() < setup.thread_seconds * 1e9) {
      Overwrite(contender, setup, 16 * kBatch, 3 + rounds, rounds);
      ++rounds;
    }
    rates.writes = static_cast<double>(rounds * 16 * kBatch) * 1e9 / timer.Nanoseconds();
  } else {
    std::this_thread::sleep_for(std::chrono::duration<double>(setup.thread_seconds));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  for (const double rate : lookups) rates.lookups += rate;
  return rates;
}

template <typename Contender>
void MeasureThreads(Contender& contender, const Setup& setup, Sample& sample) {
  sample["one_reader"] = RunThreads(contender, setup, 1, false).lookups;
  sample["two_readers"] = RunThreads(contender, setup, 2, false).lookups;
  if constexpr (Contender::kConcurrent) {
    const ThreadRates rates = RunThreads(contender, setup, 1, true);
    sample["reader_beside_writer"] = rates.lookups;
    sample["writer_beside_reader"] = rates.writes;
  }
}

template <typename Contender>
void MeasureFull(Contender& contender, const Setup& setup, Sample& sample) {
  constexpr size_t kOverwritesMax = 1'000'000;
  MeasureLookups(contender, setup, sample);
  if constexpr (Contender::kOrdered) MeasureScans(contender, setup, sample);
  if constexpr (Contender::kHasViews) MeasureTakingViews(contender, setup, sample);
  const size_t overwrites = std::min(kOverwritesMax, setup.keys.size());
  sample["overwrite"] = Overwrite(contender, setup, overwrites, 1, 1);
  if constexpr (Contender::kHasViews) MeasureHeldView(contender, setup, sample);
  MeasureThreads(contender, setup, sample);
  if constexpr (Contender::kHasViews) MeasureManyViews(contender, setup, sample);
}

template <typename Contender>
Sample Measure(Job job, const Setup& setup) {
  Sample sample;
  ReturnFreeMemory();
  const uint64_t resident_before = ResidentBytes();
  const auto size = static_cast<double>(setup.keys.size());
  const Timer timer(setup.clock);
  // Never destroyed: the process ends with it.
  auto& contender = *new Contender();
  switch (job) {
    case Job::kFill:
    case Job::kMemory:
    case Job::kViews:
      PutAll(contender, setup.keys, setup.keys.shuffled());
      sample["insert"] = timer.Nanoseconds() / size;
      sample["bytes"] = static_cast<double>(ResidentBytes() - resident_before) / size;
      if (job == Job::kFill) MeasureFull(contender, setup, sample);
      if constexpr (Contender::kHasViews) {
        if (job == Job::kViews) MeasureTakingViews(contender, setup, sample);
      }
      break;
    case Job::kSorted:
      PutAll(contender, setup.keys, setup.keys.sorted());
      sample["insert_sorted"] = timer.Nanoseconds() / size;
      break;
    case Job::kBulk:
      if constexpr (Contender::kHasBulkLoad) {
        contender.BulkLoad(setup.keys);
        sample["bulk"] = timer.Nanoseconds() / size;
        sample["bulk_bytes"] = static_cast<double>(ResidentBytes() - resident_before) / size;
      }
      break;
  }
  return sample;
}

}  // namespace mokv::bench
