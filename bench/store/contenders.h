// The contenders: the product's store, the other candidates for it, and maps as a yardstick, each
// behind the same few functions so that one template measures them all.
//
//   Put, Publish       by one writer. Key and value are copied, whatever the contender keeps.
//   Reader             by one thread: Find, and Leave at the end of each turn.
//   View               the published state: ForEachFrom(key, visit(key, value) -> go on?).
//   UsedBytes          memory in use; for differences.
//   kOrdered           ForEachFrom goes in key order.
//   kHasViews          false: a View is the map itself, and writing while it is held is not
//   allowed. kConcurrent        readers may run beside the writer. kHasBulkLoad BulkLoad(keys) into
//   an empty contender.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/strings/string_view.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/check.h"
#include "bench/store/allocated.h"
#include "bench/store/candidates/art.h"
#include "bench/store/candidates/cow_tree.h"
#include "bench/store/candidates/published.h"
#include "bench/store/key_set.h"
#include "store/store.h"

namespace mokv::bench {

using MaybeValue = std::optional<std::string_view>;

// A persistent structure: CowTree or Art.
template <typename Structure>
class PathCopying {
 public:
  static constexpr bool kOrdered = true;
  static constexpr bool kHasViews = true;
  static constexpr bool kConcurrent = true;
  static constexpr bool kHasBulkLoad = false;

  PathCopying() { Publish(); }
  void Put(std::string_view key, std::string_view value) { tree_.Put(Item::Make(key, value)); }
  void Publish() { published_.Replace(tree_.Freeze()); }
  uint64_t UsedBytes() const { return AllocatedBytes(); }

  class Reader {
   public:
    explicit Reader(const PathCopying& from) : published_(from.published_) {}
    MaybeValue Find(std::string_view key) {
      if (published_.revision() != seen_) {
        // Before the root: one that is published in between is then seen as newer.
        seen_ = published_.revision();
        root_ = published_.Newest();
      }
      const Item* item = root_.Find(key);
      return item == nullptr ? MaybeValue() : item->value();
    }
    void Leave() {}

   private:
    const Published<typename Structure::Frozen>& published_;
    uint64_t seen_ = 0;
    typename Structure::Frozen root_;
  };

  class View {
   public:
    explicit View(const PathCopying& from) : root_(from.published_.Newest()) {}
    template <typename Visit>
    void ForEachFrom(std::string_view from, const Visit& visit) const {
      root_.ForEachFrom(from, [&](const Item& item) { return visit(item.key(), item.value()); });
    }

   private:
    const typename Structure::Frozen root_;
  };

 private:
  Structure tree_;
  Published<typename Structure::Frozen> published_;
};

// The product.
class ProductStore {
 public:
  static constexpr bool kOrdered = true;
  static constexpr bool kHasViews = true;
  static constexpr bool kConcurrent = true;
  static constexpr bool kHasBulkLoad = true;

  void Put(std::string_view key, std::string_view value) {
    commands_.push_back({store::Set{std::string(key), std::string(value)}});
  }
  // As the replica does: all that has been committed together.
  void Publish() {
    store_->Apply(commands_, results_);
    commands_.clear();
    results_.clear();
    store_->Publish();
  }
  uint64_t UsedBytes() const { return AllocatedBytes(); }

  void BulkLoad(const KeySet& keys) {
    store::BulkLoader loader(keys.size());
    Revision revision;
    for (size_t i = 0; i < keys.size(); ++i) {
      ++revision;
      const absl::Status added = loader.Add({.key = keys.sorted()[i],
                                             .value = keys.Value(i),
                                             .create_revision = revision,
                                             .mod_revision = revision,
                                             .version = 1});
      MOKV_CHECK(added.ok());
    }
    auto store = loader.Finish(revision);
    MOKV_CHECK(store.ok());
    store_ = *std::move(store);
  }

  class Reader {
   public:
    explicit Reader(const ProductStore& from) : reader_(*from.store_) {}
    MaybeValue Find(std::string_view key) {
      const store::Item* item = reader_.Find(key);
      return item == nullptr ? MaybeValue() : item->value();
    }
    void Leave() { reader_.Leave(); }

   private:
    store::Reader reader_;
  };

  class View {
   public:
    explicit View(const ProductStore& from) : view_(from.store_->TakeView()) {}
    template <typename Visit>
    void ForEachFrom(std::string_view from, const Visit& visit) const {
      store::Cursor cursor = view_->Seek(from);
      while (const store::Item* item = cursor.item()) {
        if (!visit(item->key(), item->value())) return;
        cursor.Next();
      }
    }

   private:
    const std::shared_ptr<const store::View> view_;
  };

 private:
  std::unique_ptr<store::Store> store_ = std::make_unique<store::Store>();
  std::vector<store::Transaction> commands_;
  std::vector<store::ApplyResult> results_;
};

// One of Abseil's maps. Nothing is frozen: views and readers are the map itself.
template <typename Map, bool ordered>
class PlainMap {
 public:
  static constexpr bool kOrdered = ordered;
  static constexpr bool kHasViews = false;
  static constexpr bool kConcurrent = false;
  static constexpr bool kHasBulkLoad = true;

  void Put(std::string_view key, std::string_view value) {
    const auto [at, added] = map_.try_emplace(std::string(key), value);
    if (!added) at->second.assign(value);
  }
  void Publish() {}
  uint64_t UsedBytes() const { return AllocatedBytes(); }

  void BulkLoad(const KeySet& keys) {
    if constexpr (!ordered) map_.reserve(keys.size());
    for (size_t i = 0; i < keys.size(); ++i) {
      map_.emplace_hint(map_.end(), std::string(keys.sorted()[i]), std::string(keys.Value(i)));
    }
  }

  class Reader {
   public:
    explicit Reader(const PlainMap& from) : map_(from.map_) {}
    MaybeValue Find(std::string_view key) const {
      const auto found = map_.find(absl::string_view(key.data(), key.size()));
      return found == map_.end() ? MaybeValue() : std::string_view(found->second);
    }
    void Leave() const {}

   private:
    const Map& map_;
  };

  class View {
   public:
    explicit View(const PlainMap& from) : map_(from.map_) {}
    template <typename Visit>
    void ForEachFrom(std::string_view from, const Visit& visit) const {
      auto at = map_.begin();
      if constexpr (ordered) at = map_.lower_bound(absl::string_view(from.data(), from.size()));
      while (at != map_.end() && visit(at->first, at->second)) ++at;
    }

   private:
    const Map& map_;
  };

 private:
  Map map_;
};

using HashMap = PlainMap<absl::flat_hash_map<std::string, std::string>, false>;
using BtreeMap = PlainMap<absl::btree_map<std::string, std::string>, true>;

}  // namespace mokv::bench
