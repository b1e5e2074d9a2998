// ListSource: the messages of one List call, read from one frozen view: of its items those that the
// subject may see. When the access rules take some of these away meanwhile, it ends with
// PERMISSION_DENIED.
//
// Owner: the engine, from StartStream to the end of the call. Threads: the call's I/O thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "rpc/message_source.h"
#include "rpc/responder.h"
#include "service/item_filter.h"
#include "store/store.h"

namespace mokv::service {

class ListSource final : public rpc::MessageSource {
 public:
  struct Query {
    std::string prefix;
    uint64_t limit = 0;  // 0: none.
  };

  ListSource(std::shared_ptr<const store::View> view, Query query, ItemFilter filter,
             rpc::StreamWaker waker);

  Next Produce(std::string* message) override;
  absl::Status status() const override { return status_; }

 private:
  // Items skipped in one go: a subject that may see little of a large store must not hold up the
  // other calls of its I/O thread.
  static constexpr int kSkippedAtOnceMax = 1024;
  // Of these, one that the rules had to be asked about counts as so many.
  static constexpr int kAskedCost = 64;

  const std::shared_ptr<const store::View> view_;
  const Query query_;
  ItemFilter filter_;
  const rpc::StreamWaker waker_;
  store::Cursor cursor_;
  uint64_t sent_ = 0;
  absl::Status status_;
};

}  // namespace mokv::service
