// How mokvctl shows things: text for people and pipes, JSON for programs.
//
// Threads: all that prints is for the thread of main; the rest are pure functions.
#pragma once

#include <absl/status/status.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace api {
class GetResponse;
}

namespace mokv {

enum class CtlFormat { kText, kJson };

// Exit statuses of mokvctl; scripts rely on them.
inline constexpr int kCtlDone = 0;
inline constexpr int kCtlRefused = 1;      // Not found, or the node said no.
inline constexpr int kCtlUsage = 2;        // The command line or a file of ours is wrong.
inline constexpr int kCtlUnreachable = 3;  // No answer, or not in time.

int CtlExitStatus(const absl::Status& status);

// One line on standard error; returns the exit status.
int CtlComplain(const absl::Status& status);

std::string Base64(std::string_view bytes);
// {"key":..,"value":base64,"create_revision":..,"mod_revision":..,"version":..}
std::string ItemJson(const api::GetResponse& item);

// Bytes to standard output, as they are.
void PrintRaw(std::string_view bytes);
void PrintLine(std::string_view line);
bool OutputIsTerminal();
// For a terminal: backslashes, control bytes except `kept`, and bytes that are not UTF-8 become \n,
// \x1b and so on. The bytes can be told from that.
std::string Escaped(std::string_view bytes, std::string_view kept);

// Columns aligned; the first row is the heading.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows);
// 1.5 MiB and the like.
std::string FormatBytes(uint64_t bytes);
// 0.3 ms and the like; "-" for 0, which means not known.
std::string FormatRoundTrip(uint64_t microseconds);

}  // namespace mokv
