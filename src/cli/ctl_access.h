// mokvctl acl: what access rules say, in files or on a node. For the thread of main.
#pragma once

#include <string>

#include "cli/ctl_client.h"
#include "cli/ctl_output.h"

namespace mokv {

struct AccessQuestion {
  std::string subject;
  std::string object;
  std::string action;
};

// Prints the decision and the rule that made it. Returns kCtlDone if it is allowed, kCtlRefused if not,
// kCtlUsage if the files do not load. Asks no node.
int CtlAclCheckFiles(CtlFormat format, const std::string& model_file,
                     const std::string& policy_file, const AccessQuestion& question);
// By the rules that are in force on a node. Returns kCtlUsage also if the question is not text, or the
// node does not say: the asker is no admin. kCtlUnreachable: none could be asked.
int CtlAclCheckNode(const CtlConnection& connection, CtlFormat format,
                    const AccessQuestion& question);

}  // namespace mokv
