// One HTTP/2 client connection as a function from bytes to bytes: calls in, frames out; frames in,
// answers out. No socket, no clock, no thread.
//
// Two engines stand behind it. NewNghttp2Session is the well-trodden one. NewLeanSession writes its
// frames itself and costs a fraction of that, which matters where server and client share the
// machine; it lets nghttp2 decode the header blocks of answers.
// Threads:   confined to the worker that owns the connection.
// Ownership: a Call stays the caller's and must live until OnAnswer has named it, as must the
//            Requests given at the start.
// Errors:    a status from Receive or Submit ends the connection; a call's own fate is in the Call.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "load/wire.h"

namespace mokv::load {

// What the server may send before it hears from us; more than any answer that options.h allows.
inline constexpr uint32_t kStreamWindowBytes = 16 << 20;
inline constexpr uint32_t kConnectionWindowBytes = 256 << 20;

inline constexpr int kNoStatus = -1;

// What header blocks say of a call's fate; kNoStatus where they did not say.
struct AnswerStatus {
  int http = kNoStatus;
  int grpc = kNoStatus;
};

struct Call {
  // Set by whoever submits.
  const Request* request = nullptr;
  KeyDigits digits{};
  uint64_t started_ns = 0;

  // The session's, while the call is open.
  size_t sent_bytes = 0;
  int64_t send_window_bytes = 0;
  int32_t stream_id = 0;
  bool open = false;

  // The answer; valid from OnAnswer to the next Submit of this Call.
  AnswerStatus status;
  bool reset = false;  // RST_STREAM, or the server went away before it looked at the call.
  std::string body;    // Messages with their gRPC prefixes. Keeps its capacity between calls.
};

class AnswerSink {
 public:
  virtual ~AnswerSink() = default;
  // May submit again, this Call or another.
  virtual void OnAnswer(Call& call) = 0;
};

class Session {
 public:
  virtual ~Session() = default;

  // Whether the server's first SETTINGS have come; before that nothing may be submitted.
  virtual bool ready() const = 0;
  // How many calls the server lets us have open; known once ready.
  virtual uint32_t calls_max() const = 0;

  virtual absl::Status Submit(Call& call) = 0;
  virtual absl::Status Receive(std::string_view bytes) = 0;
  // Appends the frames that are due; the preface the first time.
  virtual absl::Status TakeOutput(std::string& out) = 0;
};

struct SessionOptions {
  std::string scheme;  // http or https
  std::string authority;
  std::span<const Request> requests;  // Those that will be submitted.
  uint32_t calls = 0;                 // That will be open at once, at most.
};

std::unique_ptr<Session> NewNghttp2Session(const SessionOptions& options, AnswerSink& sink);
std::unique_ptr<Session> NewLeanSession(const SessionOptions& options, AnswerSink& sink);

// For both engines: takes what a gRPC client needs from an answer's headers or trailers.
void NoteHeader(AnswerStatus& status, std::string_view name, std::string_view value);

// Makes a Call ready to be submitted again.
void ResetCall(Call& call);

inline constexpr std::string_view kUserAgent = "mokv-load";

}  // namespace mokv::load
