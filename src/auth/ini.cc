#include "auth/ini.h"

#include <algorithm>
#include <utility>

#include "auth/text.h"
#include "base/status.h"
#include "base/utf8.h"

namespace mokv::auth {
namespace {

// Sections, and entries of all sections. Each is compared with those before it; a model has five
// sections, and an entry for each role definition, up to g999.
constexpr size_t kSectionsMax = 2'000;
constexpr size_t kEntriesMax = 2'000;

// Behind a quote that is not closed on its line there is no comment: expressions are refused for it later.
// `quote` is that quote, or 0.
std::string_view WithoutComment(std::string_view line, char& quote) {
  quote = 0;
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote != 0) {
      if (c == '\\') {
        ++i;
      } else if (c == quote) {
        quote = 0;
      }
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '#' || c == ';') {
      return Trim(line.substr(0, i));
    }
  }
  return Trim(line);
}

// One line of the file's sense: several of its lines, where one ends with a backslash. Those between that
// are empty or comments do not count, as in Casbin.
struct Joined {
  std::string text;
  std::vector<Ini::Entry::Part> parts;
};

absl::StatusOr<Joined> Join(std::string_view first, char quote, std::string_view name,
                            Lines& lines) {
  Joined joined;
  std::string_view line = first;
  while (true) {
    if (quote != 0 && line.ends_with('\\')) {
      return InvalidArgument(
          "{}:{}: a text in quotes that goes on in the next line; it would not be clear what "
          "stands "
          "between the two: write it in one line",
          name, lines.number());
    }
    joined.parts.push_back({joined.text.size(), lines.number()});
    if (!line.ends_with('\\')) {
      joined.text += line;
      return joined;
    }
    joined.text += Trim(line.substr(0, line.size() - 1));
    // Words of two lines are two words.
    joined.text += ' ';
    do {
      const auto next = lines.Next();
      if (!next.has_value()) return joined;
      line = WithoutComment(*next, quote);
    } while (line.empty());
  }
}

absl::Status AddSection(std::string_view line, std::string_view name, int number, Ini& ini) {
  if (!line.ends_with(']')) {
    return InvalidArgument("{}:{}: a section without its closing bracket", name, number);
  }
  std::string section(line.substr(1, line.size() - 2));
  if (Trim(section).size() != section.size()) {
    return InvalidArgument("{}:{}: white space within the brackets of a section; take it out", name,
                           number);
  }
  for (const Ini::Section& known : ini.sections) {
    if (known.name == section) {
      return InvalidArgument("{}:{}: section [{}] is there twice, first on line {}", name, number,
                             section, known.line);
    }
  }
  if (ini.sections.size() == kSectionsMax) {
    return InvalidArgument("{}:{}: more than {} sections", name, number, kSectionsMax);
  }
  ini.sections.push_back({std::move(section), number});
  return absl::OkStatus();
}

absl::Status AddEntry(const Joined& joined, std::string_view name, Ini& ini) {
  const int number = joined.parts.front().line;
  const std::string_view line = joined.text;
  const size_t equals = line.find('=');
  if (equals == std::string_view::npos) {
    return InvalidArgument("{}:{}: expected [section] or key = value", name, number);
  }
  if (ini.sections.empty()) {
    return InvalidArgument("{}:{}: a line before the first section", name, number);
  }
  Ini::Entry entry;
  entry.section = ini.sections.back().name;
  entry.key = Trim(line.substr(0, equals));
  entry.value = Trim(line.substr(equals + 1));
  entry.line = number;
  if (entry.key.empty()) return InvalidArgument("{}:{}: a line without a key", name, number);
  if (entry.value.empty()) {
    return InvalidArgument("{}:{}: [{}] {} has no value", name, number, entry.section,
                           Quoted(entry.key));
  }
  for (const Ini::Entry& known : ini.entries) {
    if (known.section == entry.section && known.key == entry.key) {
      return InvalidArgument("{}:{}: [{}] {} is there twice, first on line {}", name, number,
                             entry.section, entry.key, known.line);
    }
  }
  if (ini.entries.size() == kEntriesMax) {
    return InvalidArgument("{}:{}: more than {} lines of the form key = value", name, number,
                           kEntriesMax);
  }
  const size_t start = line.find_first_not_of(kWhiteSpace, equals + 1);
  for (const Ini::Entry::Part& part : joined.parts) {
    entry.parts.push_back({std::max(part.offset, start) - start, part.line});
  }
  ini.entries.push_back(std::move(entry));
  return absl::OkStatus();
}

}  // namespace

int Ini::Entry::LineAt(size_t offset) const {
  int result = line;
  for (const Part& part : parts) {
    if (part.offset <= offset) result = part.line;
  }
  return result;
}

absl::StatusOr<Ini> ParseIni(std::string_view text, std::string_view name) {
  MOKV_RETURN_IF_ERROR(CheckText(text, name));
  Ini ini;
  Lines lines(text);
  while (const auto whole = lines.Next()) {
    char quote = 0;
    const std::string_view line = WithoutComment(*whole, quote);
    if (line.empty()) continue;
    if (line.starts_with('[')) {
      MOKV_RETURN_IF_ERROR(AddSection(line, name, lines.number(), ini));
    } else {
      MOKV_ASSIGN_OR_RETURN(const Joined joined, Join(line, quote, name, lines));
      MOKV_RETURN_IF_ERROR(AddEntry(joined, name, ini));
    }
  }
  return ini;
}

}  // namespace mokv::auth
