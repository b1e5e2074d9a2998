#include "cli/ctl_rebuild.h"

#include <ctime>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "cli/ctl_answer.h"
#include "node/node_name.h"
#include "node/rebuild_directory.h"

namespace mokv {
namespace {

// replaced-20300131T235959Z
std::string NewAsideName() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  return fmt::format("{}{:04}{:02}{:02}T{:02}{:02}{:02}Z", kAsidePrefix, parts.tm_year + 1900,
                     parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
}

}  // namespace

int CtlRebuild(CtlFormat format, const std::string& data_dir, const std::string& node_name) {
  if (!node_name.empty() && !IsNodeName(node_name)) {
    return ComplainOfUsage(InvalidArgument(
        "--node-name is {}, expected 1 to {} letters, digits, dots, dashes or underscores",
        Quoted(node_name), kNodeNameBytesMax));
  }
  const absl::StatusOr<RebuiltDirectory> rebuilt =
      RebuildDirectory(PosixFileSystem(), data_dir, node_name, NewAsideName());
  if (absl::IsInvalidArgument(rebuilt.status())) return ComplainOfUsage(rebuilt.status());
  if (!rebuilt.ok()) return CtlComplain(OfFile(rebuilt.status()));
  const Identity& identity = rebuilt->identity;
  if (format == CtlFormat::kJson) {
    PrintLine(fmt::format(
        R"({{"data_dir":{},"node_name":{},"cluster_id":{},"instance_id":{},"moved_to":{}}})",
        JsonString(data_dir), JsonString(identity.node_name), JsonString(identity.cluster_id),
        JsonString(identity.instance_id), JsonString(rebuilt->aside)));
    return kCtlDone;
  }
  if (!rebuilt->aside.empty()) {
    PrintLine(fmt::format("what was there is in {}: remove that once the node is a member again",
                          rebuilt->aside));
  }
  for (const std::string& name : rebuilt->left) {
    PrintLine(fmt::format("left where it is, since no node made it: {}/{}", data_dir, name));
  }
  PrintLine(
      fmt::format("{} is ready: start {} on it, and the leader puts it, as instance {}, in the "
                  "place of what it "
                  "was",
                  data_dir, identity.node_name, identity.instance_id));
  return kCtlDone;
}

}  // namespace mokv
