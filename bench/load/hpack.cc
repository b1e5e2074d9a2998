#include "load/hpack.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>

#include "base/check.h"
#include "base/status.h"

namespace mokv::load {
namespace {

// RFC 7541, appendix A.
constexpr uint32_t kStaticFields = 61;
constexpr uint32_t kStaticAuthority = 1;
constexpr uint32_t kStaticMethodPost = 3;
constexpr uint32_t kStaticPath = 4;
constexpr uint32_t kStaticSchemeHttp = 6;
constexpr uint32_t kStaticSchemeHttps = 7;
constexpr uint32_t kStaticContentType = 31;
constexpr uint32_t kStaticUserAgent = 58;

constexpr uint32_t kTableBytesDefault = 4096;
constexpr uint32_t kFieldOverheadBytes = 32;  // RFC 7541, 4.1.

// First bits of the representations (RFC 7541, 6).
constexpr uint8_t kIndexed = 0x80;
constexpr uint8_t kLiteralIndexed = 0x40;
constexpr uint8_t kTableSizeUpdate = 0x20;
constexpr uint8_t kLiteralPlain = 0x00;

// Blocks longer than this do not repeat often enough to be worth comparing.
constexpr size_t kKnownBlockBytesMax = 32;

// RFC 7541, 5.1.
void AppendInteger(std::string& out, uint8_t first_bits, int prefix_bits, uint32_t value) {
  const uint32_t limit = (1U << prefix_bits) - 1;
  if (value < limit) {
    out.push_back(static_cast<char>(first_bits | value));
    return;
  }
  out.push_back(static_cast<char>(first_bits | limit));
  value -= limit;
  while (value >= 0x80) {
    out.push_back(static_cast<char>(value | 0x80));
    value >>= 7;
  }
  out.push_back(static_cast<char>(value));
}

void AppendString(std::string& out, std::string_view text) {
  AppendInteger(out, 0, 7, static_cast<uint32_t>(text.size()));
  out.append(text);
}

// Whether each byte is a whole indexed field. 0xff would begin a longer index.
bool OnlyIndexedFields(std::string_view block) {
  return std::all_of(block.begin(), block.end(), [](char c) {
    const auto byte = static_cast<uint8_t>(c);
    return byte > kIndexed && byte != 0xff;
  });
}

}  // namespace

HeaderEncoder::HeaderEncoder(std::string scheme, std::string authority, uint32_t table_bytes)
    : scheme_(std::move(scheme)),
      authority_(std::move(authority)),
      table_bytes_max_(std::min(table_bytes, kTableBytesDefault)),
      must_announce_size_(table_bytes < kTableBytesDefault) {}

const std::string& HeaderEncoder::Encode(const std::string& path) {
  auto block = std::find_if(blocks_.begin(), blocks_.end(),
                            [&](const Block& known) { return known.path == path; });
  if (block == blocks_.end()) {
    block = blocks_.insert(block, Block{.path = path, .table_fields = 0, .bytes = ""});
  }
  if (block->bytes.empty() || block->table_fields != table_.size()) Rebuild(*block);
  return block->bytes;
}

void HeaderEncoder::Rebuild(Block& block) {
  std::string& out = block.bytes;
  out.clear();
  // Fields are looked up in the table as it was: each insertion moves the indexes of all others.
  block.table_fields = table_.size();
  const bool announces_size = std::exchange(must_announce_size_, false);
  if (announces_size) {
    AppendInteger(out, kTableSizeUpdate, 5, table_bytes_max_);
    block.table_fields = SIZE_MAX;  // Said once: not a block to repeat.
  }
  AppendInteger(out, kIndexed, 7, kStaticMethodPost);
  AppendInteger(out, kIndexed, 7, scheme_ == "https" ? kStaticSchemeHttps : kStaticSchemeHttp);
  AppendField(out, kStaticPath, ":path", block.path);
  AppendField(out, kStaticAuthority, ":authority", authority_);
  AppendField(out, 0, "te", "trailers");
  AppendField(out, kStaticContentType, "content-type", "application/grpc");
  AppendField(out, kStaticUserAgent, "user-agent", kUserAgent);
}

void HeaderEncoder::AppendField(std::string& out, uint32_t name_index, std::string_view name,
                                std::string_view value) {
  for (size_t i = 0; i < table_.size(); ++i) {
    if (table_[i].first == name && table_[i].second == value) {
      const size_t newer = table_.size() - i;
      AppendInteger(out, kIndexed, 7, kStaticFields + static_cast<uint32_t>(newer));
      return;
    }
  }
  const auto field_bytes = static_cast<uint32_t>(name.size() + value.size()) + kFieldOverheadBytes;
  const bool fits = table_bytes_ + field_bytes <= table_bytes_max_;
  AppendInteger(out, fits ? kLiteralIndexed : kLiteralPlain, fits ? 6 : 4, name_index);
  if (name_index == 0) AppendString(out, name);
  AppendString(out, value);
  if (fits) {
    table_.emplace_back(name, value);
    table_bytes_ += field_bytes;
  }
}

struct HeaderDecoder::Inflater {
  Inflater() { MOKV_CHECK_EQ(nghttp2_hd_inflate_new(&inflater), 0); }
  ~Inflater() { nghttp2_hd_inflate_del(inflater); }
  nghttp2_hd_inflater* inflater = nullptr;
};

HeaderDecoder::HeaderDecoder() : inflater_(std::make_unique<Inflater>()) {}
HeaderDecoder::~HeaderDecoder() = default;

absl::StatusOr<AnswerStatus> HeaderDecoder::Decode(std::string_view block) {
  for (const Known& known : known_) {
    if (known.block == block && !block.empty()) return known.status;
  }
  absl::StatusOr<AnswerStatus> status = Inflate(block);
  if (!status.ok()) return status;
  if (!OnlyIndexedFields(block)) {
    for (Known& known : known_) known.block.clear();  // The table may have changed.
  } else if (block.size() <= kKnownBlockBytesMax) {
    known_[next_known_] = {std::string(block), *status};
    next_known_ = (next_known_ + 1) % known_.size();
  }
  return status;
}

absl::StatusOr<AnswerStatus> HeaderDecoder::Inflate(std::string_view block) {
  AnswerStatus status;
  const auto* in = reinterpret_cast<const uint8_t*>(block.data());
  size_t left = block.size();
  while (true) {
    nghttp2_nv field;
    int flags = 0;
    const ssize_t used =
        nghttp2_hd_inflate_hd2(inflater_->inflater, &field, &flags, in, left, /*in_final=*/1);
    if (used < 0) {
      return Unavailable("malformed header block: {}", nghttp2_strerror(static_cast<int>(used)));
    }
    in += used;
    left -= static_cast<size_t>(used);
    if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
      NoteHeader(status, {reinterpret_cast<const char*>(field.name), field.namelen},
                 {reinterpret_cast<const char*>(field.value), field.valuelen});
    }
    if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
      nghttp2_hd_inflate_end_headers(inflater_->inflater);
      return status;
    }
  }
}

}  // namespace mokv::load
