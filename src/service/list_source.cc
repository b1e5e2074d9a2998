#include "service/list_source.h"

#include "service/kv_wire.h"

namespace mokv::service {

ListSource::ListSource(std::shared_ptr<const store::View> view, Query query, rpc::StreamWaker waker)
    : view_(std::move(view)),
      query_(std::move(query)),
      waker_(waker),
      cursor_(view_->Seek(query_.prefix)) {}

bool ListSource::Visible(const store::Item& item) const {
  return query_.authorizer == nullptr ||
         query_.authorizer->Allows(query_.subject, item.key(), auth::kConsume);
}

rpc::MessageSource::Next ListSource::Produce(std::string* message) {
  if (query_.limit != 0 && sent_ == query_.limit) return Next::kEnd;
  for (int skipped = 0; skipped < kSkippedAtOnceMax; ++skipped) {
    const store::Item* item = cursor_.item();
    if (item == nullptr || !item->key().starts_with(query_.prefix)) return Next::kEnd;
    if (Visible(*item)) {
      AppendGetResponse(item->fields(), *message);
      cursor_.Next();
      ++sent_;
      return Next::kMessage;
    }
    cursor_.Next();
  }
  waker_.Wake();
  return Next::kWait;
}

}  // namespace mokv::service
