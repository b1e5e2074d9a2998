// Reads the YAML file. yaml-cpp throws; nothing of it leaves this file.
#include <yaml-cpp/eventhandler.h>
#include <yaml-cpp/yaml.h>

#include <map>
#include <sstream>

#include "base/file.h"
#include "base/json.h"
#include "base/status.h"
#include "base/utf8.h"
#include "node/config_keys.h"

namespace mokv {
namespace {

constexpr size_t kConfigFileBytesMax = size_t{1} << 20;  // Any real one is a few KiB.

std::string Location(const std::string& path, const YAML::Mark& mark) {
  return mark.is_null() ? path : fmt::format("{}:{}", path, mark.line + 1);
}

const char* Describe(const YAML::Node& node) {
  switch (node.Type()) {
    case YAML::NodeType::Scalar:
      return "a single value";
    case YAML::NodeType::Sequence:
      return "a list";
    case YAML::NodeType::Map:
      return "a map";
    default:
      return "empty";
  }
}

// yaml-cpp puts its own line number into what(), but not into msg.
absl::Status SyntaxError(const std::string& path, const YAML::Exception& error) {
  return InvalidArgument("{}: not valid YAML: {}", Location(path, error.mark), error.msg);
}

// YAML forbids control characters, but yaml-cpp 0.7 loops for ever on 0x04, its own mark for the
// end of the input.
absl::Status CheckCharacters(const std::string& path, std::string_view text) {
  size_t line = 1;
  for (const char c : text) {
    if (c == '\n') ++line;
    const auto byte = static_cast<unsigned char>(c);
    if ((byte >= 0x20 && byte != 0x7f) || c == '\n' || c == '\r' || c == '\t') continue;
    return InvalidArgument("{}:{}: not valid YAML: control character {:#04x}", path, line, byte);
  }
  if (!IsUtf8(text)) return InvalidArgument("{}: not valid YAML: not UTF-8", path);
  return absl::OkStatus();
}

class IgnoreEvents final : public YAML::EventHandler {
 public:
  void OnDocumentStart(const YAML::Mark&) override {}
  void OnDocumentEnd() override {}
  void OnNull(const YAML::Mark&, YAML::anchor_t) override {}
  void OnAlias(const YAML::Mark&, YAML::anchor_t) override {}
  void OnScalar(const YAML::Mark&, const std::string&, YAML::anchor_t,
                const std::string&) override {}
  void OnSequenceStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                       YAML::EmitterStyle::value) override {}
  void OnSequenceEnd() override {}
  void OnMapStart(const YAML::Mark&, const std::string&, YAML::anchor_t,
                  YAML::EmitterStyle::value) override {}
  void OnMapEnd() override {}
};

// YAML::Load reads the first document and ignores the rest; YAML::LoadAll reads a stray comma as
// endlessly many empty documents. Throws as they do.
bool HasMoreThanOneDocument(const std::string& text) {
  std::istringstream stream(text);
  YAML::Parser parser(stream);
  IgnoreEvents ignore;
  return parser.HandleNextDocument(ignore) && static_cast<bool>(parser);
}

class FileReader {
 public:
  FileReader(const std::string& path, const Environment& environment)
      : path_(path), environment_(environment) {}

  absl::Status Read(const YAML::Node& root) {
    if (root.IsNull()) return absl::OkStatus();  // Only comments.
    if (!root.IsMap()) {
      return InvalidArgument("{}: the file is {}, expected lines of `key: value`",
                             Location(path_, root.Mark()), Describe(root));
    }
    for (const auto& item : root) MOKV_RETURN_IF_ERROR(ReadItem(item.first, item.second));
    return absl::OkStatus();
  }

  std::vector<GivenValue> TakeValues() { return std::move(values_); }

 private:
  absl::Status ReadItem(const YAML::Node& name_node, const YAML::Node& value) {
    const std::string where = Location(path_, name_node.Mark());
    if (!name_node.IsScalar()) {
      return InvalidArgument("{}: a key is {}, expected a name", where, Describe(name_node));
    }
    const std::string& name = name_node.Scalar();
    const ConfigKey* key = FindConfigKey(name);
    if (key == nullptr) {
      return InvalidArgument("{}: unknown key {}{}", where, JsonString(name), Suggestion(name));
    }
    if (key->name == "config-file") {
      return InvalidArgument("{}: config-file cannot be set in a configuration file", where);
    }
    const auto [first, is_new] = places_.emplace(name, where);
    if (!is_new)
      return InvalidArgument("{}: {} was given before, at {}", where, name, first->second);
    return ReadValue(*key, value, where);
  }

  absl::Status ReadValue(const ConfigKey& key, const YAML::Node& node, const std::string& where) {
    const bool is_list = key.type.shape == KeyType::Shape::kList;
    if (is_list ? !node.IsSequence() : !node.IsScalar()) {
      const std::string found = node.IsScalar() ? JsonString(node.Scalar()) : Describe(node);
      return InvalidArgument("{}: {} is {}, expected {}", where, key.name, found,
                             key.type.expected);
    }
    GivenValue given{.key = &key, .texts = {}, .where = where};
    if (!is_list) {
      MOKV_RETURN_IF_ERROR(AddText(node, given));
    } else {
      for (const YAML::Node& element : node) {
        if (!element.IsScalar()) {
          return InvalidArgument("{}: an element of {} is {}, expected {}",
                                 Location(path_, element.Mark()), key.name, Describe(element),
                                 key.type.expected);
        }
        MOKV_RETURN_IF_ERROR(AddText(element, given));
      }
    }
    values_.push_back(std::move(given));
    return absl::OkStatus();
  }

  absl::Status AddText(const YAML::Node& node, GivenValue& given) {
    absl::StatusOr<std::string> text = ExpandVariables(node.Scalar(), environment_);
    if (!text.ok()) {
      const GivenValue original{.key = given.key, .texts = {node.Scalar()}, .where = given.where};
      return ValueError(original, MessageOf(text.status()));
    }
    given.texts.push_back(*std::move(text));
    return absl::OkStatus();
  }

  const std::string& path_;
  const Environment& environment_;
  std::map<std::string, std::string> places_;  // Key to where it was given.
  std::vector<GivenValue> values_;
};

}  // namespace

absl::StatusOr<std::vector<GivenValue>> ReadConfigFile(const std::string& path,
                                                       const Environment& environment) {
  absl::StatusOr<std::string> text = PosixFileSystem().ReadFile(path);
  if (!text.ok()) return InvalidArgument("config-file: {}", MessageOf(text.status()));
  if (text->size() > kConfigFileBytesMax) {
    return InvalidArgument("config-file: {} has {} bytes, expected at most {}", path, text->size(),
                           kConfigFileBytesMax);
  }
  MOKV_RETURN_IF_ERROR(CheckCharacters(path, *text));
  try {
    if (HasMoreThanOneDocument(*text)) {
      return InvalidArgument("{}: not valid YAML: something follows the first document", path);
    }
    FileReader reader(path, environment);
    MOKV_RETURN_IF_ERROR(reader.Read(YAML::Load(*text)));
    return reader.TakeValues();
  } catch (const YAML::Exception& error) {
    return SyntaxError(path, error);
  }
}

}  // namespace mokv
