// A listener for tests, on a free port of the loopback interface.
#pragma once

#include <memory>
#include <utility>

#include "base/check.h"
#include "net/listener.h"

namespace mokv::net {

// Bound and ready to Start; a test whose machine has no free port cannot go on.
inline std::unique_ptr<Listener> BindLoopback(IoPool& pool, Protocol protocol,
                                              Listener::Options options = {}) {
  options.address = {"127.0.0.1", 0};
  auto listener = Listener::Bind(pool, std::move(options));
  MOKV_CHECK(listener.ok());
  (*listener)->AddProtocol(std::move(protocol));
  return std::move(*listener);
}

}  // namespace mokv::net
