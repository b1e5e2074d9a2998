// Standard input, output and error of a process that was started without some of them.
#pragma once

namespace mokv {

// To be called first in main. A descriptor that is closed is opened on /dev/null: otherwise the
// first files and sockets of the process would get its number, and log lines would go into them.
void OpenStandardStreams();

}  // namespace mokv
