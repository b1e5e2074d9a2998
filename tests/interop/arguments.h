// Command lines of the servers and clients here: where, with which certificates, and which cases.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace mokv::interop {

struct Arguments {
  uint16_t port = 0;
  std::string certificate_file;
  std::string key_file;
  std::string ca_file;
  std::vector<std::string> cases;  // A client's.

  std::string address() const { return "127.0.0.1:" + std::to_string(port); }
};

inline void AddArguments(CLI::App& app, Arguments& arguments) {
  app.add_option("--port", arguments.port, "Port")->required();
  auto* certificate =
      app.add_option("--tls-cert-file", arguments.certificate_file, "Own certificate (PEM)");
  auto* key = app.add_option("--tls-key-file", arguments.key_file, "Its key (PEM)");
  certificate->needs(key);
  key->needs(certificate);
  app.add_option("--tls-ca-file", arguments.ca_file, "Whom the other side must be signed by (PEM)");
}

inline void AddCases(CLI::App& app, Arguments& arguments) {
  app.add_option("cases", arguments.cases, "Cases to run")->required();
}

}  // namespace mokv::interop
