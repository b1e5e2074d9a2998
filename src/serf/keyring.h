// Keyring: the symmetric keys of a cluster, and AES-GCM with them.
//
// The first key encrypts. What arrives is tried with all of them, so that keys can be replaced
// while all nodes understand each other all the time.
//
// Threads: confined to the owner's.
// Bounds:  kKeysMax, since each packet of a stranger costs one decryption for every key.
#pragma once

#include <absl/status/status.h>
#include <absl/status/statusor.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/random.h"

namespace mokv::serf {

// "Sealed": version, nonce, ciphertext, tag.
inline constexpr size_t kNonceBytes = 12;
inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kSealOverheadBytes = 1 + kNonceBytes + kTagBytes;
// Version 1 writes the plaintext as it is; version 0 (read only) pads it to the cipher's blocks.
inline constexpr uint8_t kSealVersionPadded = 0;
inline constexpr uint8_t kSealVersion = 1;

class Keyring {
 public:
  // Rotations hold two or three; more is a mistake.
  static constexpr size_t kKeysMax = 16;

  // No keys: not encrypted.
  Keyring() = default;
  // Raw keys of 16, 24 or 32 bytes, the first encrypts. Repeated ones count once.
  static absl::StatusOr<Keyring> Create(const std::vector<std::string>& keys);

  bool enabled() const { return !keys_.empty(); }
  const std::vector<std::string>& keys() const { return keys_; }

  absl::Status Install(std::string_view key);
  absl::Status Use(std::string_view key);
  absl::Status Remove(std::string_view key);

  // MOKV_CHECKs that there is a key.
  std::string Seal(std::string_view plain, std::string_view additional_data, Random& random) const;
  // With the nonce given: only for tests, since a nonce must never come twice.
  std::string SealWithNonce(std::string_view plain, std::string_view additional_data,
                            std::string_view nonce) const;
  // False if no key opens it, or it is malformed.
  bool Open(std::string_view sealed, std::string_view additional_data, std::string* plain) const;

 private:
  std::vector<std::string> keys_;
};

}  // namespace mokv::serf
