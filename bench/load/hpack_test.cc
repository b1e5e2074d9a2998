#include "load/hpack.h"

#include <gtest/gtest.h>
#include <nghttp2/nghttp2.h>

#include <string>
#include <utility>
#include <vector>

namespace mokv::load {
namespace {

using Fields = std::vector<std::pair<std::string, std::string>>;

// The other side: nghttp2's HPACK, with a table of the size that its SETTINGS announced.
class Inflater {
 public:
  explicit Inflater(uint32_t table_bytes) {
    EXPECT_EQ(nghttp2_hd_inflate_new(&inflater_), 0);
    EXPECT_EQ(nghttp2_hd_inflate_change_table_size(inflater_, table_bytes), 0);
  }
  ~Inflater() { nghttp2_hd_inflate_del(inflater_); }

  Fields Decode(const std::string& block) {
    Fields fields;
    const auto* in = reinterpret_cast<const uint8_t*>(block.data());
    size_t left = block.size();
    while (true) {
      nghttp2_nv field;
      int flags = 0;
      const ssize_t used = nghttp2_hd_inflate_hd2(inflater_, &field, &flags, in, left, 1);
      if (used < 0) {
        ADD_FAILURE() << nghttp2_strerror(static_cast<int>(used));
        return fields;
      }
      in += used;
      left -= static_cast<size_t>(used);
      if ((flags & NGHTTP2_HD_INFLATE_EMIT) != 0) {
        fields.emplace_back(
            std::string(reinterpret_cast<const char*>(field.name), field.namelen),
            std::string(reinterpret_cast<const char*>(field.value), field.valuelen));
      }
      if ((flags & NGHTTP2_HD_INFLATE_FINAL) != 0) {
        nghttp2_hd_inflate_end_headers(inflater_);
        return fields;
      }
    }
  }

 private:
  nghttp2_hd_inflater* inflater_ = nullptr;
};

Fields Expected(const std::string& scheme, const std::string& path) {
  return {{":method", "POST"},
          {":scheme", scheme},
          {":path", path},
          {":authority", "localhost:1"},
          {"te", "trailers"},
          {"content-type", "application/grpc"},
          {"user-agent", std::string(kUserAgent)}};
}

// Goal: any order of paths, any table that the server allows, decodes to the same headers.
TEST(HeaderEncoder, DecodesToTheSameHeadersForEver) {
  const std::string paths[] = {"/api.KV/Get", "/api.KV/Set", "/" + std::string(300, 'x')};
  for (const uint32_t table_bytes : {0u, 40u, 100u, 250u, 4096u, 65536u}) {
    HeaderEncoder encoder("https", "localhost:1", table_bytes);
    Inflater inflater(table_bytes);
    for (const int i : {0, 0, 1, 0, 0, 1, 1, 2, 0, 1, 2, 2, 0}) {
      EXPECT_EQ(inflater.Decode(encoder.Encode(paths[i])), Expected("https", paths[i]))
          << "table of " << table_bytes;
    }
  }
}

TEST(HeaderEncoder, RepeatedBlocksAreShort) {
  HeaderEncoder encoder("http", "localhost:1", 4096);
  EXPECT_GT(encoder.Encode("/api.KV/Get").size(), 40u);
  EXPECT_EQ(encoder.Encode("/api.KV/Get").size(), 7u);
}

class Deflater {
 public:
  Deflater() { EXPECT_EQ(nghttp2_hd_deflate_new(&deflater_, 4096), 0); }
  ~Deflater() { nghttp2_hd_deflate_del(deflater_); }

  std::string Encode(Fields fields) {
    std::vector<nghttp2_nv> native;
    for (auto& [name, value] : fields) {
      native.push_back({reinterpret_cast<uint8_t*>(name.data()),
                        reinterpret_cast<uint8_t*>(value.data()), name.size(), value.size(), 0});
    }
    std::string out(4096, '\0');
    const ssize_t size = nghttp2_hd_deflate_hd(deflater_, reinterpret_cast<uint8_t*>(out.data()),
                                               out.size(), native.data(), native.size());
    EXPECT_GT(size, 0);
    out.resize(static_cast<size_t>(size));
    return out;
  }

 private:
  nghttp2_hd_deflater* deflater_ = nullptr;
};

// Goal: blocks known by their bytes never outlive the table that they refer to.
TEST(HeaderDecoder, FollowsTheTableThroughChanges) {
  Deflater deflater;
  HeaderDecoder decoder;
  const char* statuses[] = {"0", "0", "5", "0", "5", "5", "0", "14", "0", "5", "14", "14"};
  for (int round = 0; round < 200; ++round) {
    for (const char* status : statuses) {
      // A new message now and then moves every index of the table.
      Fields fields = {{":status", "200"}, {"grpc-status", status}};
      if (round % 7 == 3) fields.emplace_back("grpc-message", std::to_string(round));
      const absl::StatusOr<AnswerStatus> decoded = decoder.Decode(deflater.Encode(fields));
      ASSERT_TRUE(decoded.ok()) << decoded.status();
      EXPECT_EQ(decoded->http, 200);
      EXPECT_EQ(decoded->grpc, std::stoi(status));
    }
  }
}

TEST(HeaderDecoder, RefusesGarbage) {
  HeaderDecoder decoder;
  EXPECT_FALSE(decoder.Decode("\xbe").ok());  // Index 62 of an empty table.
}

TEST(HeaderDecoder, TakesOddStatusesForNone) {
  for (const char* status : {"", "x", "1x", "-1", "99999999999"}) {
    HeaderDecoder decoder;
    Deflater fresh;
    const absl::StatusOr<AnswerStatus> decoded =
        decoder.Decode(fresh.Encode({{":status", "200"}, {"grpc-status", status}}));
    ASSERT_TRUE(decoded.ok()) << decoded.status();
    EXPECT_EQ(decoded->grpc, kNoStatus) << status;
  }
}

}  // namespace
}  // namespace mokv::load
