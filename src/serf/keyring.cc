#include "serf/keyring.h"

#include <openssl/evp.h>

#include <algorithm>
#include <memory>

#include "base/check.h"
#include "base/status.h"

namespace mokv::serf {
namespace {

constexpr size_t kBlockBytes = 16;

struct ContextDeleter {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, ContextDeleter>;

bool IsKeySize(size_t bytes) { return bytes == 16 || bytes == 24 || bytes == 32; }

const EVP_CIPHER* CipherFor(size_t key_bytes) {
  switch (key_bytes) {
    case 16:
      return EVP_aes_128_gcm();
    case 24:
      return EVP_aes_192_gcm();
    default:
      return EVP_aes_256_gcm();
  }
}

const uint8_t* Bytes(std::string_view text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}
uint8_t* Bytes(std::string& text) { return reinterpret_cast<uint8_t*>(text.data()); }

bool OpenWith(std::string_view key, std::string_view nonce, std::string_view ciphertext,
              std::string_view tag, std::string_view additional_data, std::string* plain) {
  const Context context(EVP_CIPHER_CTX_new());
  MOKV_CHECK(context != nullptr);
  plain->resize(ciphertext.size());
  int size = 0;
  std::string tag_copy(tag);  // The interface wants it mutable.
  return EVP_DecryptInit_ex(context.get(), CipherFor(key.size()), nullptr, Bytes(key),
                            Bytes(nonce)) == 1 &&
         (additional_data.empty() ||
          EVP_DecryptUpdate(context.get(), nullptr, &size, Bytes(additional_data),
                            static_cast<int>(additional_data.size())) == 1) &&
         EVP_DecryptUpdate(context.get(), Bytes(*plain), &size, Bytes(ciphertext),
                           static_cast<int>(ciphertext.size())) == 1 &&
         EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_SET_TAG, static_cast<int>(kTagBytes),
                             tag_copy.data()) == 1 &&
         EVP_DecryptFinal_ex(context.get(), Bytes(*plain) + plain->size(), &size) == 1;
}

bool RemovePadding(std::string* plain) {
  if (plain->empty() || plain->size() % kBlockBytes != 0) return false;
  const auto padding = static_cast<uint8_t>(plain->back());
  if (padding == 0 || padding > kBlockBytes) return false;
  plain->resize(plain->size() - padding);
  return true;
}

}  // namespace

absl::StatusOr<Keyring> Keyring::Create(const std::vector<std::string>& keys) {
  Keyring keyring;
  for (const std::string& key : keys) MOKV_RETURN_IF_ERROR(keyring.Install(key));
  return keyring;
}

absl::Status Keyring::Install(std::string_view key) {
  if (!IsKeySize(key.size())) {
    return InvalidArgument("a key has 16, 24 or 32 bytes, not {}", key.size());
  }
  if (std::find(keys_.begin(), keys_.end(), key) != keys_.end()) return absl::OkStatus();
  if (keys_.size() >= kKeysMax) {
    return ResourceExhausted("the keyring holds {} keys already; remove one first", kKeysMax);
  }
  keys_.emplace_back(key);
  return absl::OkStatus();
}

absl::Status Keyring::Use(std::string_view key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found == keys_.end()) return FailedPrecondition("the key is not in the keyring");
  std::rotate(keys_.begin(), found, found + 1);
  return absl::OkStatus();
}

absl::Status Keyring::Remove(std::string_view key) {
  const auto found = std::find(keys_.begin(), keys_.end(), key);
  if (found == keys_.end()) return absl::OkStatus();
  if (found == keys_.begin()) {
    return FailedPrecondition("the primary key is in use; use another one first");
  }
  keys_.erase(found);
  return absl::OkStatus();
}

std::string Keyring::Seal(std::string_view plain, std::string_view additional_data,
                          Random& random) const {
  std::string nonce;
  while (nonce.size() < kNonceBytes) {
    uint64_t bits = random.Next();
    for (int i = 0; i < 8 && nonce.size() < kNonceBytes; ++i, bits >>= 8) {
      nonce.push_back(static_cast<char>(bits));
    }
  }
  return SealWithNonce(plain, additional_data, nonce);
}

std::string Keyring::SealWithNonce(std::string_view plain, std::string_view additional_data,
                                   std::string_view nonce) const {
  MOKV_CHECK(enabled());
  MOKV_CHECK_EQ(nonce.size(), kNonceBytes);
  const std::string& key = keys_.front();
  std::string sealed(1, static_cast<char>(kSealVersion));
  sealed.append(nonce);
  const size_t ciphertext_at = sealed.size();
  sealed.resize(sealed.size() + plain.size() + kTagBytes);
  const Context context(EVP_CIPHER_CTX_new());
  MOKV_CHECK(context != nullptr);
  int size = 0;
  uint8_t* ciphertext = Bytes(sealed) + ciphertext_at;
  MOKV_CHECK(EVP_EncryptInit_ex(context.get(), CipherFor(key.size()), nullptr, Bytes(key),
                                Bytes(nonce)) == 1);
  if (!additional_data.empty()) {
    MOKV_CHECK(EVP_EncryptUpdate(context.get(), nullptr, &size, Bytes(additional_data),
                                 static_cast<int>(additional_data.size())) == 1);
  }
  MOKV_CHECK(EVP_EncryptUpdate(context.get(), ciphertext, &size, Bytes(plain),
                               static_cast<int>(plain.size())) == 1);
  MOKV_CHECK(EVP_EncryptFinal_ex(context.get(), ciphertext + plain.size(), &size) == 1);
  MOKV_CHECK(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_GCM_GET_TAG, static_cast<int>(kTagBytes),
                                 ciphertext + plain.size()) == 1);
  return sealed;
}

bool Keyring::Open(std::string_view sealed, std::string_view additional_data,
                   std::string* plain) const {
  if (sealed.size() < kSealOverheadBytes) return false;
  const auto version = static_cast<uint8_t>(sealed.front());
  if (version > kSealVersion) return false;
  const std::string_view nonce = sealed.substr(1, kNonceBytes);
  const std::string_view tag = sealed.substr(sealed.size() - kTagBytes);
  const std::string_view ciphertext =
      sealed.substr(1 + kNonceBytes, sealed.size() - kSealOverheadBytes);
  for (const std::string& key : keys_) {
    if (OpenWith(key, nonce, ciphertext, tag, additional_data, plain)) {
      return version == kSealVersion || RemovePadding(plain);
    }
  }
  return false;
}

}  // namespace mokv::serf
