#include "rpc/server.h"

#include <future>

#include "base/check.h"
#include "rpc/flood_watch.h"
#include "rpc/server_shared.h"
#include "rpc/server_thread.h"

namespace mokv::rpc {

class Server::Impl {
 public:
  Impl(net::IoPool& pool, Options options, CallObserver* observer) : pool(pool) {
    shared.options = options;
    shared.observer = observer;
    shared.stats.floods.Know(FloodWatch::Kinds());
    for (size_t i = 0; i < pool.size(); ++i) {
      threads.push_back(std::make_unique<ServerThread>(pool.thread(i), shared));
    }
  }

  void Add(Method method) {
    method.index = shared.method_paths.size();
    shared.method_paths.push_back(method.path);
    const std::string path = method.path;
    const bool added =
        shared.methods.emplace(path, std::make_unique<Method>(std::move(method))).second;
    MOKV_CHECK(added);
  }

  net::IoPool& pool;
  ServerShared shared;
  std::vector<std::unique_ptr<ServerThread>> threads;
};

Server::Server(net::IoPool& pool, Options options, CallObserver* observer)
    : impl_(std::make_unique<Impl>(pool, options, observer)) {}
Server::~Server() = default;

void Server::AddUnary(std::string path, UnaryHandler handler) {
  impl_->Add({.path = std::move(path), .handler = std::move(handler)});
}

void Server::AddServerStream(std::string path, ServerStreamHandler handler) {
  impl_->Add({.path = std::move(path), .handler = std::move(handler)});
}

void Server::AddClientStream(std::string path, ClientStreamHandler handler) {
  impl_->Add({.path = std::move(path), .handler = std::move(handler)});
}

void Server::AddBidi(std::string path, BidiHandler handler) {
  impl_->Add({.path = std::move(path), .handler = std::move(handler)});
}

net::Protocol Server::protocol() {
  net::Protocol protocol;
  protocol.alpn = "h2";
  protocol.clear_prefix = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
  protocol.accept = [impl = impl_.get()](std::unique_ptr<net::Transport> transport,
                                         std::string_view first_bytes) {
    const size_t thread = transport->thread().index();
    impl->threads[thread]->Accept(std::move(transport), first_bytes);
  };
  return protocol;
}

void Server::Drain(Duration grace) {
  std::vector<std::future<void>> drained;
  for (const auto& thread : impl_->threads) {
    auto promise = std::make_shared<std::promise<void>>();
    drained.push_back(promise->get_future());
    thread->io().Post([&thread = *thread, grace, promise] {
      thread.Drain(grace, [promise] { promise->set_value(); });
    });
  }
  for (std::future<void>& future : drained) future.wait();
}

void Server::CloseDistrusted(Trusts trusts) {
  for (const auto& thread : impl_->threads) {
    thread->io().Post([&thread = *thread, trusts] { thread.CloseDistrusted(trusts); });
  }
}

const std::vector<std::string>& Server::method_paths() const { return impl_->shared.method_paths; }
const ServerStats& Server::stats() const { return impl_->shared.stats; }

}  // namespace mokv::rpc
