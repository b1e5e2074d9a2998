#include "net/poller.h"

#include <unistd.h>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "base/check.h"

namespace mokv::net {

class Poller::Impl {
 public:
  explicit Impl(asio::io_context& context) : descriptor(context, epoll_create1(EPOLL_CLOEXEC)) {}
  asio::posix::stream_descriptor descriptor;  // Owns the epoll descriptor.
};

Poller::Poller(asio::io_context& context) : impl_(std::make_unique<Impl>(context)) {}
Poller::~Poller() = default;

void Poller::Start() { Wait(); }

void Poller::Wait() {
  impl_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [this](const asio::error_code& error) {
                                 if (error) return;
                                 Dispatch();
                                 Wait();
                               });
}

void Poller::Dispatch() {
  const int ready = epoll_wait(impl_->descriptor.native_handle(), events_.data(),
                               static_cast<int>(events_.size()), 0);
  event_count_ = ready > 0 ? static_cast<size_t>(ready) : 0;
  for (next_event_ = 0; next_event_ < event_count_;) {
    const epoll_event event = events_[next_event_++];
    if (event.data.ptr != nullptr) static_cast<Target*>(event.data.ptr)->OnReady(event.events);
  }
  event_count_ = 0;
  next_event_ = 0;
}

void Poller::Add(int fd, uint32_t events, Target* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  MOKV_CHECK_EQ(epoll_ctl(impl_->descriptor.native_handle(), EPOLL_CTL_ADD, fd, &event), 0);
}

void Poller::Modify(int fd, uint32_t events, Target* target) {
  epoll_event event{};
  event.events = events;
  event.data.ptr = target;
  MOKV_CHECK_EQ(epoll_ctl(impl_->descriptor.native_handle(), EPOLL_CTL_MOD, fd, &event), 0);
}

void Poller::Remove(int fd, Target* target) {
  epoll_ctl(impl_->descriptor.native_handle(), EPOLL_CTL_DEL, fd, nullptr);
  // The turn in progress may still have an event for this target.
  for (size_t i = next_event_; i < event_count_; ++i) {
    if (events_[i].data.ptr == target) events_[i].data.ptr = nullptr;
  }
}

}  // namespace mokv::net
