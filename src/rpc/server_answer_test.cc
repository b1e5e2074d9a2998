// What stands beside the messages of an answer: metadata, encodings, limits.
#include <gtest/gtest.h>

#include "rpc/testing/raw_http2.h"
#include "rpc/testing/raw_server.h"
#include "rpc/testing/streams.h"

namespace mokv::rpc {
namespace {

std::string Gzipped(std::string_view text) {
  std::string packed;
  Gzip(text, &packed);
  return Message(packed, /*compressed=*/true);
}

std::string Gunzipped(const RawAnswer& answer) {
  EXPECT_EQ(answer.data.substr(0, 1), "\1") << "is compressed";
  std::string plain;
  UncompressedCost cost;
  EXPECT_TRUE(Gunzip(std::string_view(answer.data).substr(5), 1 << 20, &plain, &cost).ok());
  return plain;
}

// Two messages: the first compressed, the second not; then metadata that was not known before.
class Mixed final : public MessageSource {
 public:
  Next Produce(std::string* message) override {
    if (++made_ == 3) return Next::kEnd;
    *message += "message";
    return Next::kMessage;
  }
  MessageCompression compression() const override {
    return made_ == 1 ? MessageCompression::kAlways : MessageCompression::kNever;
  }
  Metadata trailers() const override { return {{"made", std::to_string(made_ - 1)}}; }

 private:
  int made_ = 0;
};

class Endless final : public MessageSource {
 public:
  Next Produce(std::string* message) override {
    message->append(++made_ < 3 ? 10 : 200'000, 'x');
    return Next::kMessage;
  }

 private:
  int made_ = 0;
};

ServerOptions SmallAnswers() {
  ServerOptions options;
  options.message_bytes_max = 100'000;
  options.response_message_bytes_max = 100'000;
  return options;
}

class ServerAnswerTest : public RawServerTest {
 protected:
  ServerAnswerTest()
      : RawServerTest(SmallAnswers(), [](Server& server) {
          server.AddUnary("/t.T/Metadata", [](UnaryCall& call) {
            for (std::string& value : call.metadata_values("echo-bin")) {
              call.AddLeading({"echo-bin", value});
              call.AddTrailing({"echo", std::to_string(value.size())});
            }
            if (call.request() == "fail") return call.Fail(absl::AbortedError("no"), {{"a", "b"}});
            call.response() += call.request();
            call.Finish();
          });
          server.AddUnary("/t.T/Packed", [](UnaryCall& call) {
            call.set_compression(call.request() == "always" ? MessageCompression::kAlways
                                                            : MessageCompression::kNever);
            call.response().append(2000, call.request_was_compressed() ? 'z' : 'x');
            call.Finish();
          });
          server.AddServerStream(
              "/t.T/Mixed", [](ServerStreamCall& call) { call.Start(std::make_unique<Mixed>()); });
          server.AddServerStream("/t.T/Endless", [](ServerStreamCall& call) {
            call.Start(std::make_unique<Endless>());
          });
          server.AddBidi("/t.T/Talk",
                         [](BidiCall& call) { call.Start(std::make_unique<EchoExchange>()); });
        }) {}

  // The answer to a call with these headers besides those that each has.
  RawAnswer Call(const std::string& path, std::string_view data, const Headers& more) {
    Headers headers = GrpcHeaders(path);
    headers.insert(headers.end(), more.begin(), more.end());
    client_.SendHeaders(next_stream_, headers);
    client_.SendData(next_stream_, data);
    const RawAnswer answer = client_.Wait(next_stream_);
    next_stream_ += 2;
    return answer;
  }

  RawClient client_{port()};
  uint32_t next_stream_ = 1;
};

TEST_F(ServerAnswerTest, CarriesMetadataBeforeAndBehindItsMessage) {
  const RawAnswer answer = Call("/t.T/Metadata", Message("x"), {{"echo-bin", "AAEC"}});
  EXPECT_EQ(answer.headers.at("echo-bin"), "AAEC");
  EXPECT_EQ(answer.headers.at("echo"), "3");
  EXPECT_EQ(answer.grpc_status(), "0");
  EXPECT_EQ(answer.data, Message("x"));
}

TEST_F(ServerAnswerTest, AFailureCarriesMetadataToo) {
  const RawAnswer answer = Call("/t.T/Metadata", Message("fail"), {{"echo-bin", "AAEC"}});
  EXPECT_EQ(answer.headers.at("echo-bin"), "AAEC");
  EXPECT_EQ(answer.headers.at("echo"), "3");
  EXPECT_EQ(answer.headers.at("a"), "b");
  EXPECT_EQ(answer.grpc_status(), "10");
  EXPECT_EQ(answer.data, "");
}

TEST_F(ServerAnswerTest, CompressesForClientsThatCompress) {
  const Headers both = {{"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "identity,gzip"}};
  const std::string text(2000, 'a');
  const RawAnswer packed = Call("/t.T/Echo", Gzipped(text), both);
  EXPECT_EQ(packed.headers.at("grpc-encoding"), "gzip");
  EXPECT_EQ(Gunzipped(packed), text);
  EXPECT_EQ(Call("/t.T/Echo", Gzipped("short"), both).data, Message("short")) << "would not pay";
  EXPECT_EQ(Call("/t.T/Echo", Message(text), {both[1]}).data, Message(text)) << "nobody asked";
  EXPECT_EQ(Call("/t.T/Echo", Gzipped(text), {both[0]}).data, Message(text)) << "cannot read it";
}

TEST_F(ServerAnswerTest, AHandlerDecides) {
  const Headers accepts = {{"grpc-accept-encoding", "deflate, gzip"}};
  EXPECT_EQ(Gunzipped(Call("/t.T/Packed", Message("always"), accepts)), std::string(2000, 'x'));
  EXPECT_EQ(Call("/t.T/Packed", Message("always"), {}).data, Message(std::string(2000, 'x')));
  const Headers both = {{"grpc-encoding", "gzip"}, {"grpc-accept-encoding", "gzip"}};
  EXPECT_EQ(Call("/t.T/Packed", Gzipped("never"), both).data, Message(std::string(2000, 'z')));
}

TEST_F(ServerAnswerTest, AStreamDecidesForEachMessage) {
  const RawAnswer answer = Call("/t.T/Mixed", Message(""), {{"grpc-accept-encoding", "gzip"}});
  EXPECT_EQ(answer.headers.at("grpc-encoding"), "gzip");
  EXPECT_EQ(answer.data, Gzipped("message") + Message("message"));
  EXPECT_EQ(answer.headers.at("made"), "2");
  EXPECT_EQ(Call("/t.T/Mixed", Message(""), {}).data, Message("message") + Message("message"));
}

TEST_F(ServerAnswerTest, StreamsOfRequestsMayBeCompressed) {
  const RawAnswer answer =
      Call("/t.T/Talk", Gzipped("packed") + Message("plain"), {{"grpc-encoding", "gzip"}});
  EXPECT_EQ(answer.data, Message("packed") + Message("plain"));
  EXPECT_EQ(answer.grpc_status(), "0");
}

TEST_F(ServerAnswerTest, NamesTheEncodingsThatItKnows) {
  for (const std::string path : {"/t.T/Echo", "/t.T/Talk"}) {
    const RawAnswer answer = Call(path, Message("x", true), {{"grpc-encoding", "snappy"}});
    EXPECT_EQ(answer.grpc_status(), "12");
    EXPECT_EQ(answer.headers.at("grpc-accept-encoding"), "identity,gzip");
    EXPECT_EQ(answer.headers.at("grpc-message"),
              "grpc-encoding snappy is unknown; identity,gzip are taken");
  }
}

TEST_F(ServerAnswerTest, ABombIsRefused) {
  EXPECT_EQ(Call("/t.T/Echo", Gzipped(std::string(1 << 20, 'x')), {{"grpc-encoding", "gzip"}})
                .grpc_status(),
            "8");
}

TEST_F(ServerAnswerTest, AMessageOverTheLimitIsAFailure) {
  EXPECT_EQ(Call("/t.T/Large", Message(""), {}).grpc_status(), "8");
  const RawAnswer stream = Call("/t.T/Endless", Message(""), {});
  EXPECT_EQ(stream.grpc_status(), "8");
  EXPECT_EQ(stream.data.size(), size_t{2 * 15});
}

}  // namespace
}  // namespace mokv::rpc
