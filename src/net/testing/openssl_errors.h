// OpenSSL keeps a queue of errors for each thread. What one connection leaves there, another one takes
// for its own: so whoever calls OpenSSL leaves it empty.
#pragma once

#include <gtest/gtest.h>
#include <openssl/err.h>

namespace mokv::net {

// Of this thread.
inline void ExpectNoOpenSslErrors() {
  while (const unsigned long error = ERR_get_error()) {
    ADD_FAILURE() << "left in OpenSSL's queue: " << ERR_error_string(error, nullptr);
  }
}

}  // namespace mokv::net
