// The form of a model file: sections of lines `key = value`. What they mean: auth/model.h.
//
// Comments begin with `#` or `;` outside quotes and end with their line. A line that ends with a
// backslash goes on in the next one that is neither empty nor a comment. White space around names and values does not belong to them.
// Pure function.
// Bounds: 2,000 sections, and as many entries.
#pragma once

#include <absl/status/statusor.h>

#include <string>
#include <string_view>
#include <vector>

namespace mokv::auth {

struct Ini {
  struct Section {
    std::string name;
    int line = 0;
  };
  struct Entry {
    std::string section;
    std::string key;
    std::string value;
    int line = 0;
    // Where the parts of a value begin that was written over several lines: none for one line.
    struct Part {
      size_t offset = 0;
      int line = 0;
    };
    std::vector<Part> parts;

    // The line on which the value's byte at `offset` stands.
    int LineAt(size_t offset) const;
  };

  std::vector<Section> sections;
  std::vector<Entry> entries;
};

// INVALID_ARGUMENT for anything that is not of this form, for a section that is there twice and for
// a key that is twice in its section. The message begins with `name` and the line.
absl::StatusOr<Ini> ParseIni(std::string_view text, std::string_view name);

}  // namespace mokv::auth
