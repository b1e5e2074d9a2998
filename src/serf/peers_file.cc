#include "serf/peers_file.h"

#include <charconv>

namespace mokv::serf {
namespace {

// More than any cluster has; a file that somebody else wrote must not take all memory.
constexpr size_t kPeersMax = 65536;

bool TakePrefix(std::string_view prefix, std::string_view* line) {
  if (!line->starts_with(prefix)) return false;
  line->remove_prefix(prefix.size());
  return true;
}

void ParseClock(std::string_view text, LamportTime* clock) {
  LamportTime value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc() && end == text.data() + text.size()) *clock = value;
}

void ParsePeer(std::string_view text, bool alive, Remembered* remembered) {
  // Names may contain spaces, addresses do not.
  const size_t space = text.rfind(' ');
  if (space == std::string_view::npos || remembered->peers.size() >= kPeersMax) return;
  const std::string_view name = text.substr(0, space);
  const std::string_view address = text.substr(space + 1);
  if (!IsValidName(name) || address.empty()) return;
  remembered->peers.push_back({std::string(name), std::string(address), alive});
}

}  // namespace

std::string FormatRemembered(const Remembered& remembered) {
  std::string text;
  for (const RememberedPeer& peer : remembered.peers) {
    text += peer.alive ? "alive: " : "failed: ";
    text += peer.name + " " + peer.address + "\n";
  }
  text += "clock: " + std::to_string(remembered.clock) + "\n";
  text += "event-clock: " + std::to_string(remembered.event_clock) + "\n";
  text += "query-clock: " + std::to_string(remembered.query_clock) + "\n";
  if (remembered.left) text += "leave\n";
  return text;
}

Remembered ParseRemembered(std::string_view text) {
  Remembered remembered;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    if (end == std::string_view::npos) break;  // A line without its end was not written whole.
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (TakePrefix("alive: ", &line)) {
      ParsePeer(line, /*alive=*/true, &remembered);
    } else if (TakePrefix("failed: ", &line)) {
      ParsePeer(line, /*alive=*/false, &remembered);
    } else if (TakePrefix("clock: ", &line)) {
      ParseClock(line, &remembered.clock);
    } else if (TakePrefix("event-clock: ", &line)) {
      ParseClock(line, &remembered.event_clock);
    } else if (TakePrefix("query-clock: ", &line)) {
      ParseClock(line, &remembered.query_clock);
    } else if (line == "leave") {
      remembered.left = true;
    }
  }
  return remembered;
}

}  // namespace mokv::serf
