#include "service/list_source.h"

#include "service/kv_wire.h"

namespace mokv::service {

ListSource::ListSource(std::shared_ptr<const store::View> view, Query query, ItemFilter filter,
                       rpc::StreamWaker waker)
    : view_(std::move(view)),
      query_(std::move(query)),
      filter_(std::move(filter)),
      waker_(waker),
      cursor_(view_->Seek(query_.prefix)) {}

rpc::MessageSource::Next ListSource::Produce(std::string* message) {
  if (query_.limit != 0 && sent_ == query_.limit) return Next::kEnd;
  for (int skipped = 0; skipped < kSkippedAtOnceMax;) {
    const store::Item* item = cursor_.item();
    if (item == nullptr || !item->key().starts_with(query_.prefix)) return Next::kEnd;
    status_ = filter_.Renew(item->key());
    if (!status_.ok()) return Next::kEnd;
    const ItemFilter::Answer answer = filter_.Ask(item->key());
    if (answer.allowed) {
      AppendGetResponse(item->fields(), *message);
      cursor_.Next();
      ++sent_;
      return Next::kMessage;
    }
    if (!answer.next.has_value()) return Next::kEnd;
    skipped += answer.next->empty() ? kAskedCost : 1;
    if (answer.next->empty()) {
      cursor_.Next();
    } else {
      cursor_ = view_->Seek(*answer.next);
    }
  }
  waker_.Wake();
  return Next::kWait;
}

}  // namespace mokv::service
