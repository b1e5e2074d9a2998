// ListSource: the messages of one List call, read from one frozen view.
//
// Owner: the engine, from StartStream to the end of the call. Threads: the call's I/O thread.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "auth/authorizer.h"
#include "rpc/message_source.h"
#include "rpc/responder.h"
#include "store/store.h"

namespace mokv::service {

class ListSource final : public rpc::MessageSource {
 public:
  struct Query {
    std::string prefix;
    uint64_t limit = 0;  // 0: none.
    // Whose items: those that this subject may consume. Null: all.
    std::shared_ptr<const auth::Authorizer> authorizer;
    std::string subject;
  };

  ListSource(std::shared_ptr<const store::View> view, Query query, rpc::StreamWaker waker);

  Next Produce(std::string* message) override;

 private:
  // Items skipped in one go: a subject that may see little of a large store must not hold up the
  // other calls of its I/O thread.
  static constexpr int kSkippedAtOnceMax = 1024;

  bool Visible(const store::Item& item) const;

  const std::shared_ptr<const store::View> view_;
  const Query query_;
  const rpc::StreamWaker waker_;
  store::Cursor cursor_;
  uint64_t sent_ = 0;
};

}  // namespace mokv::service
