// GiveBack: the memory of a string that will not be needed for a while.
#pragma once

#include <string>

namespace mokv {

// `text` is empty afterwards. (To assign an empty string does not do it: libstdc++ copies one that is
// short into the buffer that is there, and keeps that.)
inline void GiveBack(std::string& text) { std::string().swap(text); }

}  // namespace mokv
