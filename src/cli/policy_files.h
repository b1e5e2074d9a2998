// The access model and policy of the source tree's `certs/`, built in, so that a tool that was
// installed alone can write them. Thread-safe; the texts live as long as the process.
#pragma once

#include <string_view>

namespace mokv {

std::string_view ShippedModel();
std::string_view ShippedPolicy();

}  // namespace mokv
