#include "net/poller.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <utility>

#include <asio/io_context.hpp>
#include <asio/posix/stream_descriptor.hpp>

#include "base/check.h"

namespace mokv::net {

class Poller::Impl {
 public:
  explicit Impl(asio::io_context& context)
      : descriptor(context, epoll_create1(EPOLL_CLOEXEC)),
        wake_fd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
    // Edge-triggered: each write is told of once, and nobody has to read it.
    epoll_event event{};
    event.events = EPOLLIN | EPOLLET;
    MOKV_CHECK_EQ(epoll_ctl(descriptor.native_handle(), EPOLL_CTL_ADD, wake_fd, &event), 0);
  }
  ~Impl() { close(wake_fd); }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  asio::posix::stream_descriptor descriptor;  // Owns the epoll descriptor.
  const int wake_fd;
};

Poller::Poller(asio::io_context& context) : impl_(std::make_unique<Impl>(context)) {}
Poller::~Poller() = default;

void Poller::WatchThroughAsio() {
  if (std::exchange(asio_watches_, true)) return;
  impl_->descriptor.async_wait(asio::posix::stream_descriptor::wait_read,
                               [this](const asio::error_code& error) {
                                 if (!error) asio_watches_ = false;
                               });
}

void Poller::Wake() {
  const uint64_t one = 1;
  MOKV_CHECK_EQ(write(impl_->wake_fd, &one, sizeof(one)), ssize_t{sizeof(one)});
}

size_t Poller::Poll(bool wait) {
  const int ready = epoll_wait(impl_->descriptor.native_handle(), events_.data(),
                               static_cast<int>(events_.size()), wait ? -1 : 0);
  event_count_ = ready > 0 ? static_cast<size_t>(ready) : 0;
  for (next_event_ = 0; next_event_ < event_count_;) {
    const epoll_event event = events_[next_event_++];
    if (event.data.ptr != nullptr) static_cast<Target*>(event.data.ptr)->OnReady(event.events);
  }
  const size_t handled = std::exchange(event_count_, 0);
  next_event_ = 0;
  return handled;
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
