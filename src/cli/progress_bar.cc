#include "cli/progress_bar.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

#include "base/status.h"
#include "cli/ctl_output.h"

namespace mokv {
namespace {

constexpr Duration kDrawInterval = std::chrono::milliseconds(100);
constexpr uint64_t kCells = 30;
// Carriage return, and away with the line.
constexpr std::string_view kClear = "\r\x1b[K";

void Draw(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stderr);
  std::fflush(stderr);
}

}  // namespace

ProgressBar::ProgressBar() : on_terminal_(isatty(STDERR_FILENO) == 1) {}

ProgressBar::~ProgressBar() {
  if (shown_) Draw(kClear);
}

void ProgressBar::Show(uint64_t done, uint64_t estimated) {
  if (!on_terminal_) return;
  const MonotonicTime now = SystemClock().Now();
  if (shown_ && now < next_) return;
  shown_ = true;
  next_ = now + kDrawInterval;
  // An estimate that is passed is not the end: only the line's going away is.
  const double part =
      estimated == 0 ? 0
                     : std::min(0.99, static_cast<double>(done) / static_cast<double>(estimated));
  const auto full = static_cast<size_t>(part * static_cast<double>(kCells));
  Draw(fmt::format("{}[{}{}] {:2.0f}%  {}", kClear, std::string(full, '#'),
                   std::string(kCells - full, '.'), part * 100, FormatBytes(done)));
}

}  // namespace mokv
