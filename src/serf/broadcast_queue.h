// BroadcastQueue: messages that wait to be gossiped, each a limited number of times.
//
// What was sent least goes first, then what is longest and still fits, then what is newest: fresh
// news spreads first, and packets are filled well.
//
// Threads: confined to the owner's.
// Bounds:  kQueueLengthMax messages. Beyond it, those that were sent most are dropped: they have
//          spread most.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace mokv::serf {

class BroadcastQueue {
 public:
  using Id = uint64_t;

  // Queues a message. One with a `subject` replaces what waits about the same subject. The returned
  // number is for Contains.
  Id Push(std::string message, std::string_view subject = {});

  // Appends up to `count_max` messages to `*out`, each behind `prefix`, as long as they fit into
  // `budget_bytes`; each costs its size and `overhead_bytes`. Returns what is left of the budget. A
  // message leaves the queue when it was taken `transmits_max` times.
  size_t Take(size_t budget_bytes, size_t overhead_bytes, size_t count_max, int transmits_max,
              std::string_view prefix, std::vector<std::string>* out);

  bool Contains(Id id) const { return by_id_.contains(id); }
  bool empty() const { return by_id_.empty(); }
  size_t size() const { return by_id_.size(); }
  uint64_t dropped() const { return dropped_; }  // Over the bound.

 private:
  struct Item {
    Id id = 0;
    int transmits = 0;
    std::string message;
    std::string subject;
  };
  struct Before {
    bool operator()(const Item* a, const Item* b) const {
      if (a->transmits != b->transmits) return a->transmits < b->transmits;
      if (a->message.size() != b->message.size()) return a->message.size() > b->message.size();
      return a->id > b->id;
    }
  };

  void Remove(Item* item);

  Id last_id_ = 0;
  std::set<Item*, Before> order_;
  absl::flat_hash_map<Id, std::unique_ptr<Item>> by_id_;
  absl::flat_hash_map<std::string, Item*> by_subject_;
  uint64_t dropped_ = 0;
};

// All that waits to be gossiped, in the order in which it is taken. The parts of the protocol put
// their news in, and Gossiper takes them out.
struct GossipQueues {
  BroadcastQueue nodes;  // Who is alive: complete messages.
  // Serf's own, without the type byte of user messages.
  BroadcastQueue intents;
  BroadcastQueue queries;
  BroadcastQueue events;
  // How many members Serf knows: the more there are, the more often its messages are sent.
  size_t members = 0;

  bool empty() const {
    return nodes.empty() && intents.empty() && queries.empty() && events.empty();
  }
  uint64_t dropped() const {
    return nodes.dropped() + intents.dropped() + queries.dropped() + events.dropped();
  }
};

}  // namespace mokv::serf
