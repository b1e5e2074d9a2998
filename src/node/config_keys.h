// The table of all configuration keys; private to the configuration code.
//
// Threads: immutable after its first use.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "node/config.h"

namespace mokv {

// How a key's value is written, and where it goes.
struct KeyType {
  enum class Shape { kScalar, kSwitch, kList };

  Shape shape = Shape::kScalar;
  std::string label;     // For `--help`: PORT.
  std::string expected;  // For errors: "a number from 1 to 65535".
  // Stores the value, or returns false when it is not what was expected. Scalars get one text.
  std::function<bool(Config&, const std::vector<std::string>&)> set;
  // For keys that name a file which has to be readable at the start; else null.
  std::string Config::*readable_file = nullptr;
};

struct ConfigKey {
  std::string_view name;
  // Stored when the key is given nowhere; written as in a file.
  std::string_view default_value;
  // Shown instead of `default_value`, in words. If that is empty there is no default, or the start
  // finds it out.
  std::string_view default_note;
  std::string_view meaning;
  KeyType type;
  // Why giving the key has no effect yet; empty when it has one.
  std::string_view not_yet = {};
  bool secret = false;  // Its value stays out of messages.
};

const std::vector<ConfigKey>& ConfigKeys();
const ConfigKey* FindConfigKey(std::string_view name);  // Null when there is none.

// ` (did you mean ...?)` with `prefix` before a key that resembles `name`, or nothing.
std::string Suggestion(std::string_view name, std::string_view prefix = "");

// `rpc-port` is the flag `--rpc-port` and the variable `MOKV_RPC_PORT`.
std::string FlagName(const ConfigKey& key);
std::string VariableName(const ConfigKey& key);

// One value as it was given. `where` is what an error names: a flag, a variable or file:line.
struct GivenValue {
  const ConfigKey* key = nullptr;
  std::vector<std::string> texts;
  std::string where;
};

// Stores a value in `config`, or says what is wrong with it.
absl::Status StoreValue(const GivenValue& given, Config& config);

// The line of an error about one value: `WHERE: KEY is "VALUE", TROUBLE`.
absl::Status ValueError(const GivenValue& given, std::string_view trouble);

// Reads a YAML file (config_file.cc). Values are expanded, and not yet stored.
absl::StatusOr<std::vector<GivenValue>> ReadConfigFile(const std::string& path,
                                                       const Environment& environment);

// The value of each key that was given, the winning one where there were several.
using GivenValues = std::map<std::string_view, GivenValue>;

// What must hold between keys, and that files can be read (config_checks.cc).
absl::Status CheckConfig(const Config& config, const GivenValues& given);

}  // namespace mokv
