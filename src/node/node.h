// Node: one running node, put together from its configuration: the composition root.
//
// Threads: Start, Reload, Stop and the destructor are for one thread, usually main. docs/threads.md lists
//          the threads that a node starts.
// Errors:  Start says in one line what is wrong and with which setting or file; nothing is left
//          running then.
#pragma once

#include <absl/status/statusor.h>

#include <memory>

#include "node/config.h"

namespace mokv {

class Node {
 public:
  // Returns once the log has been recovered and the node serves, or waits to be joined.
  static absl::StatusOr<std::unique_ptr<Node>> Start(const Config& config);
  // Stops, if Stop has not been called.
  ~Node();

  // Reads access rules, certificates and keys from their files again, and opens the audit log anew.
  // Returns at once; the log says what came of it. Not after Stop.
  void Reload();
  // Stops gracefully, within bounds: docs/threads.md has the order.
  void Stop();

 private:
  class Impl;
  explicit Node(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

// Version of this program.
std::string_view Version();

}  // namespace mokv
