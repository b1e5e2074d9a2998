// The commands of mokvctl. Each prints its result, or one line about what went wrong, and returns
// the exit status. For the thread of main.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cli/ctl_client.h"
#include "cli/ctl_output.h"

namespace mokv {

int CtlGet(const CtlConnection& connection, CtlFormat format, const std::string& key, bool stale);
// `value` of "-" reads standard input to its end.
int CtlSet(const CtlConnection& connection, CtlFormat format, const std::string& key,
           const std::string& value, std::optional<uint64_t> expected_revision);
int CtlDelete(const CtlConnection& connection, CtlFormat format, const std::string& key,
              std::optional<uint64_t> expected_revision);
// One item a line: key, tab, value, with control bytes escaped on a terminal. `null_separated`:
// keys and values as they are, each with a NUL behind it.
int CtlList(const CtlConnection& connection, CtlFormat format, const std::string& prefix,
            bool stale, bool null_separated);
int CtlStatus(const CtlConnection& connection, CtlFormat format);

int CtlMemberList(const CtlConnection& connection, CtlFormat format);
// Returns when the new member votes, or, once the timeout has passed, is a learner at least.
int CtlMemberAdd(const CtlConnection& connection, const std::string& name,
                 const std::string& address);
int CtlMemberRemove(const CtlConnection& connection, const std::string& name);
// To the most suitable member if `name` is empty.
int CtlLeaderTransfer(const CtlConnection& connection, const std::string& name);

int CtlCertInit(const std::string& directory, const std::vector<std::string>& hosts);
int CtlCertClient(const std::string& directory, const std::string& name);
int CtlCertServer(const std::string& directory, const std::vector<std::string>& hosts);
int CtlKeygen();

}  // namespace mokv
