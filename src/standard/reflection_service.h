// ReflectionService: gRPC's server reflection (v1, and v1alpha, which has the same messages): which
// services the server has, and what their messages look like.
//
// It tells of the files that the server's services are defined in, and of what these import; of
// nothing else that the program happens to know.
//
// Threads: Register before the server starts; calls are its own I/O threads' from then on.
// Owner:   must outlive the server's threads.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <vector>

#include "rpc/server.h"

namespace google::protobuf {
class FileDescriptor;
}

namespace mokv::standard {

class ReflectionService {
 public:
  // As the last one: it tells of the services that the server has by then, and of itself.
  void Register(rpc::Server& server);

 private:
  friend class ReflectionExchange;

  // Answers one request, both as bytes. False: these are none.
  bool Answer(std::string_view request, std::string* response) const;
  // Null when it is none that may be told of.
  const google::protobuf::FileDescriptor* Told(const google::protobuf::FileDescriptor* file) const;

  std::vector<std::string> services_;
  std::set<const google::protobuf::FileDescriptor*> files_;
};

}  // namespace mokv::standard
