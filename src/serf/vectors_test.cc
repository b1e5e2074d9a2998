// Every captured packet and stream is read to what it is known to say, and written again byte for
// byte where agents have only one way to write it.
#include "serf/testing/vectors.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "serf/keyring.h"
#include "serf/lzw.h"
#include "serf/packet.h"
#include "serf/serf_messages.h"
#include "serf/stream.h"

namespace mokv::serf {
namespace {

using Json = nlohmann::json;

Json HexOrNull(std::string_view bytes, bool null_when_empty = true) {
  if (bytes.empty() && null_when_empty) return nullptr;
  return ToHex(bytes);
}

Json ToJson(const Tags& tags) {
  Json json = Json::object();
  for (const auto& [name, value] : tags) json[name] = value;
  return json;
}

void PutSource(const Source& source, Json* body) {
  if (!source.addr.empty()) (*body)["SourceAddr"] = ToHex(source.addr);
  if (!source.node.empty()) (*body)["SourceNode"] = source.node;
  if (source.port != 0) (*body)["SourcePort"] = source.port;
}

Json RecordJson(const Alive& alive) {
  return {{"Addr", ToHex(alive.addr)},
          {"Incarnation", alive.incarnation},
          {"Meta", ToHex(alive.meta)},
          {"Port", alive.port},
          {"Vsn", ToHex(alive.vsn)}};
}

Json StateJson(std::string_view bytes) {
  EXPECT_EQ(bytes.front(), static_cast<char>(SerfType::kPushPull));
  PushPullState state;
  EXPECT_TRUE(Decode(bytes.substr(1), &state));
  Json status = Json::object();
  for (const auto& [name, ltime] : state.status_ltimes) status[std::string(name)] = ltime;
  Json events = Json::array();
  for (const auto& [place, slot] : state.events) {
    Json list = Json::array();
    for (const auto& [name, payload] : slot.events) {
      list.push_back({{"Name", name}, {"Payload", HexOrNull(payload)}});
    }
    events.push_back({{"LTime", slot.ltime}, {"Events", list}});
    EXPECT_EQ(place, slot.ltime % kRingSlots);
  }
  Json left = Json::array();
  for (const std::string_view name : state.left_members) left.push_back(name);
  return {{"type", "pushPull"},
          {"body",
           {{"LTime", state.ltime},
            {"EventLTime", state.event_ltime},
            {"QueryLTime", state.query_ltime},
            {"StatusLTimes", status},
            {"LeftMembers", left},
            {"Events", {{"slots", kRingSlots}, {"non_nil", events}}}}}};
}

Json PayloadJson(std::string_view payload) {
  switch (static_cast<SerfType>(payload.front())) {
    case SerfType::kKeyRequest: {
      std::string_view key;
      EXPECT_TRUE(DecodeKeyRequest(payload.substr(1), &key));
      return {{"type", "keyRequest"}, {"body", {{"Key", ToHex(key)}}}};
    }
    case SerfType::kKeyResponse: {
      KeyResponse response;
      EXPECT_TRUE(Decode(payload.substr(1), &response));
      Json keys = nullptr;
      if (!response.keys.empty()) keys = response.keys;
      return {{"type", "keyResponse"},
              {"body",
               {{"Keys", keys},
                {"Message", response.message},
                {"PrimaryKey", response.primary_key},
                {"Result", response.result}}}};
    }
    case SerfType::kConflictResponse: {
      MemberRecord member;
      bool known = false;
      EXPECT_TRUE(DecodeConflictResponse(payload.substr(1), &member, &known));
      EXPECT_TRUE(known);
      return {{"type", "conflictResponse"},
              {"body",
               {{"Addr", ToHex(member.addr)},
                {"Name", member.name},
                {"Port", member.port},
                {"Status", member.status},
                {"Tags", ToJson(member.tags)},
                {"ProtocolMin", member.vsn[kProtocolMin]},
                {"ProtocolMax", member.vsn[kProtocolMax]},
                {"ProtocolCur", member.vsn[kProtocolCur]},
                {"DelegateMin", member.vsn[kDelegateMin]},
                {"DelegateMax", member.vsn[kDelegateMax]},
                {"DelegateCur", member.vsn[kDelegateCur]}}}};
    }
    default:
      return nullptr;
  }
}

// `expected` says whether the payload is to be looked into.
Json SerfJson(std::string_view bytes, const Json& expected) {
  const std::string_view body = bytes.substr(1);
  switch (static_cast<SerfType>(bytes.front())) {
    case SerfType::kLeave: {
      LeaveIntent m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", "leave"},
              {"body", {{"LTime", m.ltime}, {"Node", m.node}, {"Prune", m.prune}}}};
    }
    case SerfType::kJoin: {
      JoinIntent m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", "join"}, {"body", {{"LTime", m.ltime}, {"Node", m.node}}}};
    }
    case SerfType::kUserEvent: {
      UserEventMessage m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", "userEvent"},
              {"body",
               {{"CC", m.coalesce},
                {"LTime", m.ltime},
                {"Name", m.name},
                {"Payload", HexOrNull(m.payload)}}}};
    }
    case SerfType::kQuery: {
      QueryMessage m;
      EXPECT_TRUE(Decode(body, &m));
      Json filters = nullptr;
      for (const std::string_view filter : m.filters) filters.push_back(ToHex(filter));
      Json json = {{"type", "query"},
                   {"body",
                    {{"Addr", ToHex(m.addr)},
                     {"Filters", filters},
                     {"Flags", m.flags},
                     {"ID", m.id},
                     {"LTime", m.ltime},
                     {"Name", m.name},
                     {"Payload", HexOrNull(m.payload)},
                     {"Port", m.port},
                     {"RelayFactor", m.relay_factor},
                     {"SourceNode", m.source_node},
                     {"Timeout", m.timeout_ns}}}};
      if (expected.contains("payload_decoded")) json["payload_decoded"] = PayloadJson(m.payload);
      return json;
    }
    case SerfType::kQueryResponse: {
      QueryResponseMessage m;
      EXPECT_TRUE(Decode(body, &m));
      Json json = {{"type", "queryResponse"},
                   {"body",
                    {{"Flags", m.flags},
                     {"From", m.from},
                     {"ID", m.id},
                     {"LTime", m.ltime},
                     {"Payload", HexOrNull(m.payload)}}}};
      if (expected.contains("payload_decoded")) json["payload_decoded"] = PayloadJson(m.payload);
      return json;
    }
    case SerfType::kRelay: {
      RelayHeader header;
      std::string_view inner;
      EXPECT_TRUE(DecodeRelay(body, &header, &inner));
      return {{"type", "relay"},
              {"header",
               {{"DestAddr", {{"IP", ToHex(header.addr)}, {"Port", header.port}, {"Zone", ""}}},
                {"DestName", header.node}}},
              {"inner", SerfJson(inner, expected.value("inner", Json::object()))}};
    }
    default:
      ADD_FAILURE() << "serf type " << static_cast<int>(bytes.front());
      return nullptr;
  }
}

Json NodeJson(const NodeRecord& record) {
  Json node = RecordJson(record.alive);
  node["Name"] = record.alive.node;
  node["State"] = static_cast<int>(record.state);
  node["tags"] = ToJson(DecodeTags(record.alive.meta));
  return node;
}

Json PushPullJson(std::string_view body) {
  PushPull message;
  EXPECT_TRUE(Decode(body, 10'000, &message));
  Json nodes = Json::array();
  if (message.nodes.size() > 10) {  // The big one is summarised.
    std::vector<std::string> names;
    for (const NodeRecord& record : message.nodes) names.emplace_back(record.alive.node);
    std::sort(names.begin(), names.end());
    nodes = {{"count", message.nodes.size()},
             {"names", names},
             {"first", NodeJson(message.nodes.front())},
             {"last", NodeJson(message.nodes.back())}};
    return {{"type", "pushPull"},
            {"header",
             {{"Join", message.join},
              {"Nodes", message.nodes.size()},
              {"UserStateLen", message.user_state.size()}}},
            {"nodes", nodes},
            {"serf", StateJson(message.user_state)}};
  }
  for (const NodeRecord& record : message.nodes) {
    nodes.push_back(NodeJson(record));
  }
  return {{"type", "pushPull"},
          {"header",
           {{"Join", message.join},
            {"Nodes", message.nodes.size()},
            {"UserStateLen", message.user_state.size()}}},
          {"nodes", nodes},
          {"serf", StateJson(message.user_state)}};
}

Json MessageJson(std::string_view bytes, const Json& expected);

Json CompressJson(std::string_view body, const Json& expected) {
  Drop reason{};
  const auto plain = DecompressMessage(body, 1 << 20, &reason);
  EXPECT_TRUE(plain.has_value());
  std::string_view packed;
  MsgpackReader reader(body);
  EXPECT_TRUE(ReadStruct(reader, [&](std::string_view key) {
    return key == "Buf" ? reader.Raw(&packed) : reader.Skip();
  }));
  EXPECT_EQ(LzwCompress(*plain), packed) << "not the agents' encoding";
  Json json = expected;  // Counts of codes are not ours to say.
  json["buf_len"] = packed.size();
  json["plain_len"] = plain->size();
  json["plain_crc32"] = fmt::format("{:08x}", Crc32(*plain));
  json["inner"] = MessageJson(*plain, expected.at("inner"));
  return json;
}

Json MessageJson(std::string_view bytes, const Json& expected) {
  const std::string_view body = bytes.substr(1);
  switch (static_cast<MessageType>(bytes.front())) {
    case MessageType::kPing: {
      Ping m;
      EXPECT_TRUE(Decode(body, &m));
      Json fields = {{"Node", m.node}, {"SeqNo", m.seq}};
      PutSource(m.source, &fields);
      return {{"type", "ping"}, {"body", fields}};
    }
    case MessageType::kIndirectPing: {
      IndirectPing m;
      EXPECT_TRUE(Decode(body, &m));
      Json fields = {{"Node", m.node},
                     {"SeqNo", m.seq},
                     {"Nack", m.nack},
                     {"Port", m.port},
                     {"Target", ToHex(m.target)}};
      PutSource(m.source, &fields);
      return {{"type", expected.at("type")}, {"body", fields}};
    }
    case MessageType::kAck: {
      Ack m;
      EXPECT_TRUE(Decode(body, &m));
      Json json = expected;  // The coordinate is looked at by its own test.
      json["body"] = {{"SeqNo", m.seq}, {"Payload", HexOrNull(m.payload)}};
      return json;
    }
    case MessageType::kNack: {
      Nack m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", expected.at("type")}, {"body", {{"SeqNo", m.seq}}}};
    }
    case MessageType::kSuspect: {
      Suspect m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", "suspect"},
              {"body", {{"From", m.from}, {"Incarnation", m.incarnation}, {"Node", m.node}}}};
    }
    case MessageType::kDead: {
      Dead m;
      EXPECT_TRUE(Decode(body, &m));
      return {{"type", "dead"},
              {"body", {{"From", m.from}, {"Incarnation", m.incarnation}, {"Node", m.node}}}};
    }
    case MessageType::kAlive: {
      Alive m;
      EXPECT_TRUE(Decode(body, &m));
      Json fields = RecordJson(m);
      fields["Node"] = m.node;
      return {{"type", "alive"}, {"body", fields}, {"tags", ToJson(DecodeTags(m.meta))}};
    }
    case MessageType::kError: {
      std::string_view text;
      EXPECT_TRUE(DecodeError(body, &text));
      return {{"type", expected.at("type")}, {"body", {{"Error", text}}}};
    }
    case MessageType::kUser:
      return {{"type", "user"}, {"serf", SerfJson(body, expected.at("serf"))}};
    case MessageType::kPushPull:
      return PushPullJson(body);
    case MessageType::kCompress:
      return CompressJson(body, expected);
    case MessageType::kCrc: {
      const std::string_view inner = body.substr(4);
      EXPECT_EQ(fmt::format("{:08x}", Crc32(inner)), ToHex(body.substr(0, 4)));
      return {{"layer", "crc"},
              {"crc32", ToHex(body.substr(0, 4))},
              {"inner", MessageJson(inner, expected.at("inner"))}};
    }
    case MessageType::kCompound: {
      Json lengths = Json::array();
      Json parts = Json::array();
      const size_t count = static_cast<uint8_t>(body.front());
      std::string_view rest = body.substr(1 + 2 * count);
      for (size_t i = 0; i < count; ++i) {
        const size_t length = size_t{static_cast<uint8_t>(body[1 + 2 * i])} << 8 |
                              static_cast<uint8_t>(body[2 + 2 * i]);
        lengths.push_back(length);
        parts.push_back(MessageJson(rest.substr(0, length), expected.at("parts").at(i)));
        rest.remove_prefix(length);
      }
      EXPECT_TRUE(rest.empty());
      return {{"layer", "compound"}, {"lengths", lengths}, {"parts", parts}};
    }
    default:
      ADD_FAILURE() << "type " << static_cast<int>(bytes.front());
      return nullptr;
  }
}

Keyring VectorKeys() { return Keyring::Create({VectorKeyA(), VectorKeyB()}).value(); }

// Opens, and seals again with the captured nonce.
std::string Unseal(const std::string& name, const std::string& bytes, std::string_view aad) {
  const std::string_view sealed = std::string_view(bytes).substr(aad.size());
  std::string plain;
  EXPECT_TRUE(VectorKeys().Open(sealed, aad, &plain));
  const std::string key = name.find("aes128") == std::string::npos ? VectorKeyA() : VectorKeyB();
  EXPECT_EQ(Keyring::Create({key})->SealWithNonce(plain, aad, sealed.substr(1, kNonceBytes)),
            sealed);
  return plain;
}

std::map<std::string, Json> Expected() {
  std::ifstream file(std::string(MOKV_SERF_TESTDATA) + "/vectors/expected.json");
  return Json::parse(file).get<std::map<std::string, Json>>();
}

TEST(Vectors, AreReadAsWhatTheyAre) {
  const auto all = Expected();
  ASSERT_GE(all.size(), 40u);
  for (const auto& [name, expected] : all) {
    SCOPED_TRACE(name);
    std::string bytes = ReadVector(name);
    if (expected.value("layer", "") == "encrypt") {
      Json json = expected;
      const bool is_stream = name.find("tcp") != std::string::npos;
      const std::string aad = is_stream ? bytes.substr(0, 5) : "";
      if (is_stream) {
        EXPECT_EQ(Json(ToHex(aad)), expected.at("aad"));
      }
      json["plain"] = MessageJson(Unseal(name, bytes, aad), expected.at("plain"));
      EXPECT_EQ(json, expected);
      continue;
    }
    EXPECT_EQ(MessageJson(bytes, expected), expected) << MessageJson(bytes, expected).dump(1);
  }
}

// The same through the doors that the node uses.
TEST(Vectors, PacketsAndStreamsAreTaken) {
  for (const auto& [name, expected] : Expected()) {
    SCOPED_TRACE(name);
    const std::string bytes = ReadVector(name);
    const Keyring keys = name.starts_with("enc") ? VectorKeys() : Keyring();
    Stats stats;
    if (name.find("udp") != std::string::npos) {
      PacketReader reader;
      EXPECT_FALSE(reader.Read(bytes, keys, &stats).empty());
    } else {
      // In the smallest pieces: the end is found exactly at the last byte.
      StreamReader reader(1 << 20);
      for (size_t i = 0; i < bytes.size(); ++i) {
        const auto result = reader.Feed(std::string_view(bytes).substr(i, 1));
        ASSERT_EQ(result,
                  i + 1 < bytes.size() ? StreamReader::Result::kMore : StreamReader::Result::kDone)
            << i;
      }
      EXPECT_EQ(reader.message(), bytes);
      const auto plain = OpenStream(reader.message(), 1 << 20, keys, &stats);
      ASSERT_TRUE(plain.ok()) << plain.status();
      if (plain->front() == static_cast<char>(MessageType::kPushPull)) {
        PushPull message;
        EXPECT_TRUE(Decode(std::string_view(*plain).substr(1), 100, &message));
      }
    }
    for (const uint64_t dropped : stats.dropped) EXPECT_EQ(dropped, 0u);
  }
}

TEST(Vectors, AnyFlippedBitIsNoticed) {
  for (const std::string name :
       {"udp-04-compound-crc-alive-alive.hex", "enc-02-udp-crc-compound.hex"}) {
    const std::string bytes = ReadVector(name);
    const Keyring keys = name.starts_with("enc") ? VectorKeys() : Keyring();
    for (size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
      std::string wrong = bytes;
      wrong[bit / 8] = static_cast<char>(wrong[bit / 8] ^ 1 << bit % 8);
      Stats stats;
      PacketReader reader;
      for (const PacketMessage& message : reader.Read(wrong, keys, &stats)) {
        // Only a flip in the type byte itself can lead around the checksum; it leads nowhere else.
        EXPECT_LT(bit, 8u) << static_cast<int>(message.type);
      }
    }
  }
}

TEST(Vectors, StreamLengthIsAuthenticated) {
  for (const std::string name : {"enc-04-tcp-pushpull-join-request.hex",
                                 "enc-05-tcp-pushpull-join-request-compressed.hex"}) {
    const std::string bytes = ReadVector(name);
    std::string header = bytes.substr(0, 5);
    header[4] = static_cast<char>(header[4] ^ 1);
    std::string plain;
    EXPECT_FALSE(VectorKeys().Open(std::string_view(bytes).substr(5), header, &plain));
  }
}

// ---- Written again.

std::string Checksummed(const std::string& message) {
  SeededRandom random(1);
  return PackPacket({message}, {.checksum = true, .compress = false}, Keyring(), random);
}
std::string User(const std::string& serf) { return "\x08" + serf; }

template <typename Message>
std::string Again(std::string_view body) {
  Message message;
  EXPECT_TRUE(Decode(body, &message));
  return Encode(message);
}

TEST(Vectors, AreWrittenAgainByteForByte) {
  const auto expect_plain = [](const std::string& name, auto again) {
    const std::string bytes = ReadVector(name);
    EXPECT_EQ(ToHex(again(std::string_view(bytes).substr(1))), ToHex(bytes)) << name;
  };
  const auto expect_crc = [](const std::string& name, auto again) {
    const std::string bytes = ReadVector(name);
    EXPECT_EQ(ToHex(Checksummed(again(std::string_view(bytes).substr(6)))), ToHex(bytes)) << name;
  };
  const auto expect_user = [&](const std::string& name, auto again) {
    expect_crc(name, [&](std::string_view body) { return User(again(body.substr(1))); });
  };
  expect_plain("udp-01-ping.hex", Again<Ping>);
  expect_user("udp-07-user-join-intent-crc.hex", Again<JoinIntent>);
  expect_user("udp-08-user-leave-intent-crc.hex", Again<LeaveIntent>);
  expect_crc("udp-09-dead-self-crc.hex", Again<Dead>);
  expect_user("udp-10-user-event-crc.hex", Again<UserEventMessage>);
  expect_user("udp-11-query-ack-crc.hex", Again<QueryMessage>);
  expect_user("udp-12-query-filters-crc.hex", Again<QueryMessage>);
  expect_user("udp-15-query-internal-ping.hex", Again<QueryMessage>);
  expect_crc("udp-20-suspect-crc.hex", Again<Suspect>);
  expect_plain("udp-22-indirect-ping.hex", Again<IndirectPing>);
  expect_plain("udp-23-nack.hex", Again<Nack>);
  expect_crc("udp-24-dead-crc.hex", Again<Dead>);
  expect_plain("tcp-07-ping.hex", Again<Ping>);
  expect_plain("tcp-08-ack.hex", Again<Ack>);
  expect_plain("udp-02-ack-coordinate.hex", Again<Ack>);
  expect_crc("udp-03-alive-crc.hex", Again<Alive>);

  const auto response = [](std::string_view body) {
    return User(Again<QueryResponseMessage>(body.substr(1)));
  };
  expect_plain("udp-13-query-response-ack.hex", response);
  expect_plain("udp-14-query-response-payload.hex", response);
  expect_plain("udp-17-query-response-keys-fail.hex", response);
  expect_plain("udp-25-relay.hex", [](std::string_view body) {
    RelayHeader header;
    std::string_view inner;
    EXPECT_TRUE(DecodeRelay(body.substr(1), &header, &inner));
    return User(EncodeRelay(header, Again<QueryResponseMessage>(inner.substr(1))));
  });
  expect_plain("tcp-09-error.hex", [](std::string_view body) {
    std::string_view text;
    EXPECT_TRUE(DecodeError(body, &text));
    return EncodeError(text);
  });
  for (const std::string name :
       {"tcp-01-pushpull-join-request.hex", "tcp-02-pushpull-join-reply.hex",
        "tcp-03-pushpull-antientropy.hex", "tcp-04-pushpull-dead-node.hex"}) {
    expect_plain(name, [](std::string_view body) {
      PushPull message;
      EXPECT_TRUE(Decode(body, 100, &message));
      PushPullState state;
      EXPECT_TRUE(Decode(message.user_state.substr(1), &state));
      return Encode(message.join, message.nodes, Encode(state));
    });
  }
}

// The two generations write one length in different ways.
TEST(Vectors, SignedAndUnsignedIntegersMeanTheSame) {
  const std::string old_bytes = ReadVector("tcp-01-pushpull-join-request.hex");
  const std::string new_bytes = ReadVector("new-01-tcp-pushpull-join-request.hex");
  ASSERT_NE(old_bytes, new_bytes);
  PushPull old_message;
  PushPull new_message;
  ASSERT_TRUE(Decode(std::string_view(old_bytes).substr(1), 10, &old_message));
  ASSERT_TRUE(Decode(std::string_view(new_bytes).substr(1), 10, &new_message));
  EXPECT_EQ(old_message.user_state.size(), 588u);
  EXPECT_EQ(Encode(old_message.join, old_message.nodes, old_message.user_state).size(),
            Encode(new_message.join, new_message.nodes, new_message.user_state).size());
}

}  // namespace
}  // namespace mokv::serf
