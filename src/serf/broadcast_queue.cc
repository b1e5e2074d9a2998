#include "serf/broadcast_queue.h"

#include "base/check.h"
#include "serf/options.h"

namespace mokv::serf {

BroadcastQueue::Id BroadcastQueue::Push(std::string message, std::string_view subject) {
  MOKV_CHECK(!message.empty());
  // It would never fit into a packet, and so it would wait for ever.
  if (message.size() > kGossipMessageBytesMax) {
    ++dropped_;
    return 0;
  }
  if (!subject.empty()) {
    if (const auto old = by_subject_.find(std::string(subject)); old != by_subject_.end()) {
      Remove(old->second);
    }
  }
  if (by_id_.size() >= kQueueLengthMax) {
    Remove(*order_.rbegin());
    ++dropped_;
  }
  auto item = std::make_unique<Item>(
      Item{.id = ++last_id_, .message = std::move(message), .subject = std::string(subject)});
  order_.insert(item.get());
  if (!subject.empty()) by_subject_[item->subject] = item.get();
  by_id_.emplace(last_id_, std::move(item));
  return last_id_;
}

size_t BroadcastQueue::Take(size_t budget_bytes, size_t overhead_bytes, size_t count_max,
                            int transmits_max, std::string_view prefix,
                            std::vector<std::string>* out) {
  std::vector<Item*> taken;
  for (Item* item : order_) {
    if (taken.size() >= count_max || budget_bytes <= overhead_bytes) break;
    const size_t cost = item->message.size() + overhead_bytes;
    if (cost > budget_bytes) continue;
    budget_bytes -= cost;
    std::string& message = out->emplace_back(prefix);
    message += item->message;
    taken.push_back(item);
  }
  for (Item* item : taken) {
    if (item->transmits + 1 >= transmits_max) {
      Remove(item);
      continue;
    }
    order_.erase(item);
    ++item->transmits;
    order_.insert(item);
  }
  return budget_bytes;
}

void BroadcastQueue::Remove(Item* item) {
  order_.erase(item);
  if (!item->subject.empty()) by_subject_.erase(item->subject);
  by_id_.erase(item->id);
}

}  // namespace mokv::serf
