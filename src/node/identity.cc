#include "node/identity.h"

#include <absl/strings/str_join.h>
#include <absl/strings/str_split.h>

#include <charconv>
#include <map>

#include "base/checksum.h"
#include "base/random.h"
#include "base/status.h"

namespace mokv {
namespace {

constexpr int kVersion = 2;
constexpr int kVersionWithoutReplaces = 1;
constexpr std::string_view kReplacesKey = "replaces";
constexpr std::string_view kVersionKey = "mokv-identity";
constexpr std::string_view kChecksumKey = "checksum";

std::string PathIn(const std::string& data_dir) { return data_dir + "/identity"; }

}  // namespace

std::string EncodeIdentity(const Identity& identity) {
  const int version = identity.replaces.empty() ? kVersionWithoutReplaces : kVersion;
  std::string text =
      fmt::format("{}: {}\nnode-name: {}\ninstance-id: {}\ncluster-id: {}\n", kVersionKey, version,
                  identity.node_name, identity.instance_id, identity.cluster_id);
  if (!identity.replaces.empty()) {
    text += fmt::format("{}: {}\n", kReplacesKey, absl::StrJoin(identity.replaces, " "));
  }
  text += fmt::format("{}: {:016x}\n", kChecksumKey, Checksum64(text));
  return text;
}

absl::StatusOr<Identity> DecodeIdentity(const std::string& path, std::string_view text) {
  const auto damaged = [&](std::string_view what) {
    return DataLoss(
        "{} is damaged: {}. If other members have the node's data: mokvctl rebuild "
        "DATA_DIR --node-name NAME",
        path, what);
  };
  std::map<std::string, std::string, std::less<>> fields;
  size_t checked_bytes = 0;
  for (std::string_view rest = text; !rest.empty();) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    if (line.size() == rest.size()) return damaged("its last line is cut off");
    const size_t colon = line.find(": ");
    if (colon == std::string_view::npos) return damaged("a line is not 'key: value'");
    if (line.substr(0, colon) == kChecksumKey) checked_bytes = text.size() - rest.size();
    fields.emplace(line.substr(0, colon), line.substr(colon + 2));
    rest.remove_prefix(line.size() + 1);
  }
  const std::string& version_text = fields[std::string(kVersionKey)];
  int version = 0;
  std::from_chars(version_text.data(), version_text.data() + version_text.size(), version);
  if (version < 1) return damaged("it names no version");
  if (version > kVersion) {
    return FailedPrecondition("{} has format version {}; this mokv reads up to {}", path, version,
                              kVersion);
  }
  if (fields[std::string(kChecksumKey)] !=
      fmt::format("{:016x}", Checksum64(text.substr(0, checked_bytes)))) {
    return damaged("its checksum does not match");
  }
  return Identity{fields["node-name"], fields["instance-id"], fields["cluster-id"],
                  absl::StrSplit(fields[std::string(kReplacesKey)], ' ', absl::SkipEmpty())};
}

absl::StatusOr<Identity> LoadOrMakeIdentity(FileSystem& files, const std::string& data_dir,
                                            const std::string& node_name) {
  const std::string path = PathIn(data_dir);
  const absl::StatusOr<std::string> text = files.ReadFile(path);
  if (absl::IsNotFound(text.status())) {
    Identity identity{node_name, NewUniqueId(), ""};
    MOKV_RETURN_IF_ERROR(SaveIdentity(files, data_dir, identity));
    return identity;
  }
  MOKV_RETURN_IF_ERROR(text.status());
  MOKV_ASSIGN_OR_RETURN(Identity identity, DecodeIdentity(path, *text));
  if (identity.node_name != node_name) {
    return FailedPrecondition("data-dir {} belongs to node {}, not to {}", data_dir,
                              identity.node_name, node_name);
  }
  return identity;
}

absl::Status SaveIdentity(FileSystem& files, const std::string& data_dir,
                          const Identity& identity) {
  return files.WriteFileAtomically(PathIn(data_dir), EncodeIdentity(identity));
}

}  // namespace mokv
