#include "serf/messages.h"

#include <algorithm>

#include "base/utf8.h"

namespace mokv::serf {
namespace {

std::string Begin(MessageType type) { return std::string(1, static_cast<char>(type)); }

// Fields that are left out when they are empty.
uint32_t SourceFields(const Source& source) {
  return (source.addr.empty() ? 0u : 1u) + (source.node.empty() ? 0u : 1u) +
         (source.port == 0 ? 0u : 1u);
}

void WriteSource(const Source& source, MsgpackWriter& writer) {
  if (!source.addr.empty()) {
    writer.Raw("SourceAddr");
    writer.Raw(source.addr);
  }
  if (!source.node.empty()) {
    writer.Raw("SourceNode");
    writer.Raw(source.node);
  }
  if (source.port != 0) {
    writer.Raw("SourcePort");
    writer.Uint(source.port);
  }
}

// True when `key` was one of the source's; `*read` says whether its value could be read.
bool ReadSource(std::string_view key, MsgpackReader& reader, Source* source, bool* read) {
  if (key == "SourceAddr") {
    *read = reader.Raw(&source->addr);
  } else if (key == "SourceNode") {
    *read = reader.Text(&source->node);
  } else if (key == "SourcePort") {
    *read = reader.UintAs(&source->port);
  } else {
    return false;
  }
  return true;
}

std::string EncodeAccusation(MessageType type, uint32_t incarnation, std::string_view node,
                             std::string_view from) {
  std::string out = Begin(type);
  MsgpackWriter writer(&out);
  writer.Map(3);
  writer.Raw("From");
  writer.Raw(from);
  writer.Raw("Incarnation");
  writer.Uint(incarnation);
  writer.Raw("Node");
  writer.Raw(node);
  return out;
}

bool DecodeAccusation(std::string_view body, uint32_t* incarnation, std::string_view* node,
                      std::string_view* from) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "From") return reader.Text(from);
    if (key == "Incarnation") return reader.UintAs(incarnation);
    if (key == "Node") return reader.Text(node);
    return reader.Skip();
  });
}

bool ReadSeq(std::string_view body, uint32_t* seq, std::string_view* payload) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "SeqNo") return reader.UintAs(seq);
    if (key == "Payload") return reader.Raw(payload);
    return reader.Skip();
  });
}

}  // namespace

bool IsValidName(std::string_view name) {
  return !name.empty() && name.size() <= kNameBytesMax && IsUtf8(name) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return static_cast<uint8_t>(c) >= 0x20 && c != '\x7f'; });
}

bool IsValidAddress(std::string_view addr) {
  return (addr.size() == 4 || addr.size() == 16) &&
         std::any_of(addr.begin(), addr.end(), [](char c) { return c != '\0'; });
}

std::string Encode(const Ping& message) {
  std::string out = Begin(MessageType::kPing);
  MsgpackWriter writer(&out);
  writer.Map(2 + SourceFields(message.source));
  writer.Raw("Node");
  writer.Raw(message.node);
  writer.Raw("SeqNo");
  writer.Uint(message.seq);
  WriteSource(message.source, writer);
  return out;
}

bool Decode(std::string_view body, Ping* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    bool read = false;
    if (key == "Node") return reader.Text(&message->node);
    if (key == "SeqNo") return reader.UintAs(&message->seq);
    if (ReadSource(key, reader, &message->source, &read)) return read;
    return reader.Skip();
  });
}

std::string Encode(const IndirectPing& message) {
  std::string out = Begin(MessageType::kIndirectPing);
  MsgpackWriter writer(&out);
  writer.Map(5 + SourceFields(message.source));
  writer.Raw("Nack");
  writer.Bool(message.nack);
  writer.Raw("Node");
  writer.Raw(message.node);
  writer.Raw("Port");
  writer.Uint(message.port);
  writer.Raw("SeqNo");
  writer.Uint(message.seq);
  WriteSource(message.source, writer);
  writer.Raw("Target");
  writer.Raw(message.target);
  return out;
}

bool Decode(std::string_view body, IndirectPing* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    bool read = false;
    if (key == "Nack") return reader.Bool(&message->nack);
    if (key == "Node") return reader.Text(&message->node);
    if (key == "Port") return reader.UintAs(&message->port);
    if (key == "SeqNo") return reader.UintAs(&message->seq);
    if (key == "Target") return reader.Raw(&message->target);
    if (ReadSource(key, reader, &message->source, &read)) return read;
    return reader.Skip();
  });
}

std::string Encode(const Ack& message) {
  std::string out = Begin(MessageType::kAck);
  MsgpackWriter writer(&out);
  writer.Map(2);
  writer.Raw("Payload");
  if (message.payload.empty()) {
    writer.Nil();
  } else {
    writer.Raw(message.payload);
  }
  writer.Raw("SeqNo");
  writer.Uint(message.seq);
  return out;
}

bool Decode(std::string_view body, Ack* message) {
  return ReadSeq(body, &message->seq, &message->payload);
}

std::string Encode(const Nack& message) {
  std::string out = Begin(MessageType::kNack);
  MsgpackWriter writer(&out);
  writer.Map(1);
  writer.Raw("SeqNo");
  writer.Uint(message.seq);
  return out;
}

bool Decode(std::string_view body, Nack* message) {
  std::string_view unused;
  return ReadSeq(body, &message->seq, &unused);
}

std::string Encode(const Suspect& message) {
  return EncodeAccusation(MessageType::kSuspect, message.incarnation, message.node, message.from);
}

bool Decode(std::string_view body, Suspect* message) {
  return DecodeAccusation(body, &message->incarnation, &message->node, &message->from);
}

std::string Encode(const Dead& message) {
  return EncodeAccusation(MessageType::kDead, message.incarnation, message.node, message.from);
}

bool Decode(std::string_view body, Dead* message) {
  return DecodeAccusation(body, &message->incarnation, &message->node, &message->from);
}

std::string Encode(const Alive& message) {
  std::string out = Begin(MessageType::kAlive);
  MsgpackWriter writer(&out);
  writer.Map(6);
  writer.Raw("Addr");
  writer.Raw(message.addr);
  writer.Raw("Incarnation");
  writer.Uint(message.incarnation);
  writer.Raw("Meta");
  writer.Raw(message.meta);
  writer.Raw("Node");
  writer.Raw(message.node);
  writer.Raw("Port");
  writer.Uint(message.port);
  writer.Raw("Vsn");
  writer.Raw(message.vsn);
  return out;
}

bool Decode(std::string_view body, Alive* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Addr") return reader.Raw(&message->addr);
    if (key == "Incarnation") return reader.UintAs(&message->incarnation);
    if (key == "Meta") return reader.Raw(&message->meta);
    if (key == "Node") return reader.Text(&message->node);
    if (key == "Port") return reader.UintAs(&message->port);
    if (key == "Vsn") return reader.Raw(&message->vsn);
    return reader.Skip();
  });
}

std::string EncodeError(std::string_view text) {
  std::string out = Begin(MessageType::kError);
  MsgpackWriter writer(&out);
  writer.Map(1);
  writer.Raw("Error");
  writer.Raw(text);
  return out;
}

bool DecodeError(std::string_view body, std::string_view* text) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    return key == "Error" ? reader.Text(text) : reader.Skip();
  });
}

void Append(const PushPullHeader& header, std::string* out) {
  out->push_back(static_cast<char>(MessageType::kPushPull));
  MsgpackWriter writer(out);
  writer.Map(3);
  writer.Raw("Join");
  writer.Bool(header.join);
  writer.Raw("Nodes");
  writer.Int(header.nodes);
  writer.Raw("UserStateLen");
  writer.Int(header.user_state_bytes);
}

bool Decode(MsgpackReader& reader, PushPullHeader* header) {
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Join") return reader.Bool(&header->join);
    if (key == "Nodes") return reader.Int(&header->nodes);
    if (key == "UserStateLen") return reader.Int(&header->user_state_bytes);
    return reader.Skip();
  });
}

void Append(const NodeRecord& record, std::string* out) {
  MsgpackWriter writer(out);
  writer.Map(7);
  writer.Raw("Addr");
  writer.Raw(record.alive.addr);
  writer.Raw("Incarnation");
  writer.Uint(record.alive.incarnation);
  writer.Raw("Meta");
  writer.Raw(record.alive.meta);
  writer.Raw("Name");
  writer.Raw(record.alive.node);
  writer.Raw("Port");
  writer.Uint(record.alive.port);
  writer.Raw("State");
  writer.Uint(static_cast<uint64_t>(record.state));
  writer.Raw("Vsn");
  writer.Raw(record.alive.vsn);
}

bool Decode(MsgpackReader& reader, NodeRecord* record) {
  uint8_t state = 0;
  const bool read = ReadStruct(reader, [&](std::string_view key) {
    Alive& alive = record->alive;
    if (key == "Addr") return reader.Raw(&alive.addr);
    if (key == "Incarnation") return reader.UintAs(&alive.incarnation);
    if (key == "Meta") return reader.Raw(&alive.meta);
    if (key == "Name") return reader.Text(&alive.node);
    if (key == "Port") return reader.UintAs(&alive.port);
    if (key == "State") return reader.UintAs(&state);
    if (key == "Vsn") return reader.Raw(&alive.vsn);
    return reader.Skip();
  });
  if (!read || state > static_cast<uint8_t>(NodeState::kLeft)) return false;
  record->state = static_cast<NodeState>(state);
  return true;
}

}  // namespace mokv::serf
