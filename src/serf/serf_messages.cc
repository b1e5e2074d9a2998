#include "serf/serf_messages.h"

#include "base/status.h"

namespace mokv::serf {
namespace {

constexpr char kTagMagic = '\xff';
// Tags of one node: 512 bytes of meta hold fewer than this many.
constexpr uint32_t kTagsMax = 512;

std::string Begin(SerfType type) { return std::string(1, static_cast<char>(type)); }

void WriteTags(const Tags& tags, MsgpackWriter& writer) {
  writer.Map(static_cast<uint32_t>(tags.size()));
  for (const auto& [name, value] : tags) {
    writer.Raw(name);
    writer.Raw(value);
  }
}

// What could be read before an error stays.
bool ReadTags(MsgpackReader& reader, Tags* tags) {
  return ReadStruct(reader, [&](std::string_view key) {
    std::string_view value;
    if (tags->size() >= kTagsMax || !reader.Text(&value)) return false;
    tags->insert_or_assign(std::string(key), std::string(value));
    return true;
  });
}

void RawOrNil(std::string_view bytes, MsgpackWriter& writer) {
  if (bytes.empty()) {
    writer.Nil();
  } else {
    writer.Raw(bytes);
  }
}

// `read_element()` is called for each element, and gives up with false.
template <typename ReadElement>
bool ReadArray(MsgpackReader& reader, ReadElement&& read_element) {
  uint32_t count = 0;
  if (!reader.Array(&count)) return false;
  for (uint32_t i = 0; i < count; ++i) {
    if (!read_element(i)) return false;
  }
  return true;
}

bool ReadTexts(MsgpackReader& reader, std::vector<std::string_view>* texts) {
  return ReadArray(reader, [&](uint32_t place) {
    return place < kStateNamesMax && reader.Text(&texts->emplace_back());
  });
}

bool ReadEvents(MsgpackReader& reader, BufferedEvents* events) {
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "LTime") return reader.Uint(&events->ltime);
    if (key != "Events") return reader.Skip();
    return ReadArray(reader, [&](uint32_t place) {
      if (place >= kEventsPerSlotMax) return false;
      auto& [name, payload] = events->events.emplace_back();
      return ReadStruct(reader, [&](std::string_view field) {
        if (field == "Name") return reader.Text(&name);
        if (field == "Payload") return reader.Raw(&payload);
        return reader.Skip();
      });
    });
  });
}

void WriteEvents(const BufferedEvents& events, MsgpackWriter& writer) {
  writer.Map(2);
  writer.Raw("Events");
  writer.Array(static_cast<uint32_t>(events.events.size()));
  for (const auto& [name, payload] : events.events) {
    writer.Map(2);
    writer.Raw("Name");
    writer.Raw(name);
    writer.Raw("Payload");
    RawOrNil(payload, writer);
  }
  writer.Raw("LTime");
  writer.Uint(events.ltime);
}

}  // namespace

// ---- Intents and user events.

std::string Encode(const LeaveIntent& message) {
  std::string out = Begin(SerfType::kLeave);
  MsgpackWriter writer(&out);
  writer.Map(3);
  writer.Raw("LTime");
  writer.Uint(message.ltime);
  writer.Raw("Node");
  writer.Raw(message.node);
  writer.Raw("Prune");
  writer.Bool(message.prune);
  return out;
}

bool Decode(std::string_view body, LeaveIntent* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "LTime") return reader.Uint(&message->ltime);
    if (key == "Node") return reader.Text(&message->node);
    if (key == "Prune") return reader.Bool(&message->prune);
    return reader.Skip();
  });
}

std::string Encode(const JoinIntent& message) {
  std::string out = Begin(SerfType::kJoin);
  MsgpackWriter writer(&out);
  writer.Map(2);
  writer.Raw("LTime");
  writer.Uint(message.ltime);
  writer.Raw("Node");
  writer.Raw(message.node);
  return out;
}

bool Decode(std::string_view body, JoinIntent* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "LTime") return reader.Uint(&message->ltime);
    if (key == "Node") return reader.Text(&message->node);
    return reader.Skip();
  });
}

std::string Encode(const UserEventMessage& message) {
  std::string out = Begin(SerfType::kUserEvent);
  MsgpackWriter writer(&out);
  writer.Map(4);
  writer.Raw("CC");
  writer.Bool(message.coalesce);
  writer.Raw("LTime");
  writer.Uint(message.ltime);
  writer.Raw("Name");
  writer.Raw(message.name);
  writer.Raw("Payload");
  RawOrNil(message.payload, writer);
  return out;
}

bool Decode(std::string_view body, UserEventMessage* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "CC") return reader.Bool(&message->coalesce);
    if (key == "LTime") return reader.Uint(&message->ltime);
    if (key == "Name") return reader.Text(&message->name);
    if (key == "Payload") return reader.Raw(&message->payload);
    return reader.Skip();
  });
}

// ---- Queries.

std::string Encode(const QueryMessage& message) {
  std::string out = Begin(SerfType::kQuery);
  MsgpackWriter writer(&out);
  writer.Map(11);
  writer.Raw("Addr");
  writer.Raw(message.addr);
  writer.Raw("Filters");
  if (message.filters.empty()) {
    writer.Nil();
  } else {
    writer.Array(static_cast<uint32_t>(message.filters.size()));
    for (const std::string_view filter : message.filters) writer.Raw(filter);
  }
  writer.Raw("Flags");
  writer.Uint(message.flags);
  writer.Raw("ID");
  writer.Uint(message.id);
  writer.Raw("LTime");
  writer.Uint(message.ltime);
  writer.Raw("Name");
  writer.Raw(message.name);
  writer.Raw("Payload");
  RawOrNil(message.payload, writer);
  writer.Raw("Port");
  writer.Uint(message.port);
  writer.Raw("RelayFactor");
  writer.Uint(message.relay_factor);
  writer.Raw("SourceNode");
  writer.Raw(message.source_node);
  writer.Raw("Timeout");
  writer.Int(message.timeout_ns);
  return out;
}

bool Decode(std::string_view body, QueryMessage* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Addr") return reader.Raw(&message->addr);
    if (key == "Filters") {
      return ReadArray(reader,
                       [&](uint32_t) { return reader.Raw(&message->filters.emplace_back()); });
    }
    if (key == "Flags") return reader.UintAs(&message->flags);
    if (key == "ID") return reader.UintAs(&message->id);
    if (key == "LTime") return reader.Uint(&message->ltime);
    if (key == "Name") return reader.Text(&message->name);
    if (key == "Payload") return reader.Raw(&message->payload);
    if (key == "Port") return reader.UintAs(&message->port);
    if (key == "RelayFactor") return reader.UintAs(&message->relay_factor);
    if (key == "SourceNode") return reader.Text(&message->source_node);
    if (key == "Timeout") return reader.Int(&message->timeout_ns);
    return reader.Skip();
  });
}

std::string Encode(const QueryResponseMessage& message) {
  std::string out = Begin(SerfType::kQueryResponse);
  MsgpackWriter writer(&out);
  writer.Map(5);
  writer.Raw("Flags");
  writer.Uint(message.flags);
  writer.Raw("From");
  writer.Raw(message.from);
  writer.Raw("ID");
  writer.Uint(message.id);
  writer.Raw("LTime");
  writer.Uint(message.ltime);
  writer.Raw("Payload");
  RawOrNil(message.payload, writer);
  return out;
}

bool Decode(std::string_view body, QueryResponseMessage* message) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Flags") return reader.UintAs(&message->flags);
    if (key == "From") return reader.Text(&message->from);
    if (key == "ID") return reader.UintAs(&message->id);
    if (key == "LTime") return reader.Uint(&message->ltime);
    if (key == "Payload") return reader.Raw(&message->payload);
    return reader.Skip();
  });
}

std::string EncodeRelay(const RelayHeader& header, std::string_view message) {
  std::string out = Begin(SerfType::kRelay);
  MsgpackWriter writer(&out);
  writer.Map(2);
  writer.Raw("DestAddr");
  writer.Map(3);
  writer.Raw("IP");
  writer.Raw(header.addr);
  writer.Raw("Port");
  writer.Uint(header.port);
  writer.Raw("Zone");
  writer.Raw("");
  writer.Raw("DestName");
  writer.Raw(header.node);
  out.append(message);
  return out;
}

bool DecodeRelay(std::string_view body, RelayHeader* header, std::string_view* message) {
  MsgpackReader reader(body);
  const bool read = ReadStruct(reader, [&](std::string_view key) {
    if (key == "DestName") return reader.Text(&header->node);
    if (key != "DestAddr") return reader.Skip();
    return ReadStruct(reader, [&](std::string_view field) {
      if (field == "IP") return reader.Raw(&header->addr);
      if (field == "Port") return reader.UintAs(&header->port);
      return reader.Skip();
    });
  });
  *message = reader.rest();
  return read;
}

std::string EncodeConflictResponse(const MemberRecord* member) {
  std::string out = Begin(SerfType::kConflictResponse);
  MsgpackWriter writer(&out);
  if (member == nullptr) {
    writer.Nil();
    return out;
  }
  const auto field = [&](std::string_view name, uint64_t value) {
    writer.Raw(name);
    writer.Uint(value);
  };
  writer.Map(11);
  writer.Raw("Addr");
  writer.Raw(member->addr);
  field("DelegateCur", member->vsn[kDelegateCur]);
  field("DelegateMax", member->vsn[kDelegateMax]);
  field("DelegateMin", member->vsn[kDelegateMin]);
  writer.Raw("Name");
  writer.Raw(member->name);
  field("Port", member->port);
  field("ProtocolCur", member->vsn[kProtocolCur]);
  field("ProtocolMax", member->vsn[kProtocolMax]);
  field("ProtocolMin", member->vsn[kProtocolMin]);
  field("Status", member->status);
  writer.Raw("Tags");
  WriteTags(member->tags, writer);
  return out;
}

bool DecodeConflictResponse(std::string_view body, MemberRecord* member, bool* known) {
  MsgpackReader reader(body);
  *known = !reader.NextIsNil();
  return ReadStruct(reader, [&](std::string_view key) {
    Versions& vsn = member->vsn;
    if (key == "Addr") return reader.Raw(&member->addr);
    if (key == "DelegateCur") return reader.UintAs(&vsn[kDelegateCur]);
    if (key == "DelegateMax") return reader.UintAs(&vsn[kDelegateMax]);
    if (key == "DelegateMin") return reader.UintAs(&vsn[kDelegateMin]);
    if (key == "Name") return reader.Text(&member->name);
    if (key == "Port") return reader.UintAs(&member->port);
    if (key == "ProtocolCur") return reader.UintAs(&vsn[kProtocolCur]);
    if (key == "ProtocolMax") return reader.UintAs(&vsn[kProtocolMax]);
    if (key == "ProtocolMin") return reader.UintAs(&vsn[kProtocolMin]);
    if (key == "Status") return reader.UintAs(&member->status);
    if (key == "Tags") return ReadTags(reader, &member->tags);
    return reader.Skip();
  });
}

std::string EncodeKeyRequest(std::string_view key) {
  std::string out = Begin(SerfType::kKeyRequest);
  MsgpackWriter writer(&out);
  writer.Map(1);
  writer.Raw("Key");
  writer.Raw(key);
  return out;
}

bool DecodeKeyRequest(std::string_view body, std::string_view* key) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view field) {
    return field == "Key" ? reader.Raw(key) : reader.Skip();
  });
}

std::string Encode(const KeyResponse& response) {
  std::string out = Begin(SerfType::kKeyResponse);
  MsgpackWriter writer(&out);
  writer.Map(4);
  writer.Raw("Keys");
  if (response.keys.empty()) {
    writer.Nil();
  } else {
    writer.Array(static_cast<uint32_t>(response.keys.size()));
    for (const std::string& key : response.keys) writer.Raw(key);
  }
  writer.Raw("Message");
  writer.Raw(response.message);
  writer.Raw("PrimaryKey");
  writer.Raw(response.primary_key);
  writer.Raw("Result");
  writer.Bool(response.result);
  return out;
}

bool Decode(std::string_view body, KeyResponse* response) {
  MsgpackReader reader(body);
  const auto text_into = [&](std::string* out) {
    std::string_view text;
    if (!reader.Text(&text)) return false;
    out->assign(text);
    return true;
  };
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Keys") {
      return ReadArray(reader, [&](uint32_t) { return text_into(&response->keys.emplace_back()); });
    }
    if (key == "Message") return text_into(&response->message);
    if (key == "PrimaryKey") return text_into(&response->primary_key);
    if (key == "Result") return reader.Bool(&response->result);
    return reader.Skip();
  });
}

// ---- Filters.

std::string EncodeNodeFilter(const std::vector<std::string>& names) {
  std::string out(1, '\0');
  MsgpackWriter writer(&out);
  writer.Array(static_cast<uint32_t>(names.size()));
  for (const std::string& name : names) writer.Raw(name);
  return out;
}

std::string EncodeTagFilter(std::string_view tag, std::string_view expression) {
  std::string out(1, '\1');
  MsgpackWriter writer(&out);
  writer.Map(2);
  writer.Raw("Expr");
  writer.Raw(expression);
  writer.Raw("Tag");
  writer.Raw(tag);
  return out;
}

bool DecodeNodeFilter(std::string_view body, std::vector<std::string_view>* names) {
  MsgpackReader reader(body);
  return ReadTexts(reader, names);
}

bool Decode(std::string_view body, TagFilter* filter) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "Expr") return reader.Text(&filter->expression);
    if (key == "Tag") return reader.Text(&filter->tag);
    return reader.Skip();
  });
}

// ---- Push/pull.

std::string Encode(const PushPullState& state) {
  std::string out = Begin(SerfType::kPushPull);
  MsgpackWriter writer(&out);
  writer.Map(6);
  writer.Raw("EventLTime");
  writer.Uint(state.event_ltime);
  writer.Raw("Events");
  writer.Array(kRingSlots);
  uint32_t slot = 0;
  for (const auto& [place, events] : state.events) {
    for (; slot < place; ++slot) writer.Nil();
    WriteEvents(events, writer);
    ++slot;
  }
  for (; slot < kRingSlots; ++slot) writer.Nil();
  writer.Raw("LTime");
  writer.Uint(state.ltime);
  writer.Raw("LeftMembers");
  writer.Array(static_cast<uint32_t>(state.left_members.size()));
  for (const std::string_view name : state.left_members) writer.Raw(name);
  writer.Raw("QueryLTime");
  writer.Uint(state.query_ltime);
  writer.Raw("StatusLTimes");
  writer.Map(static_cast<uint32_t>(state.status_ltimes.size()));
  for (const auto& [name, ltime] : state.status_ltimes) {
    writer.Raw(name);
    writer.Uint(ltime);
  }
  return out;
}

bool Decode(std::string_view body, PushPullState* state) {
  MsgpackReader reader(body);
  return ReadStruct(reader, [&](std::string_view key) {
    if (key == "EventLTime") return reader.Uint(&state->event_ltime);
    if (key == "LTime") return reader.Uint(&state->ltime);
    if (key == "QueryLTime") return reader.Uint(&state->query_ltime);
    if (key == "LeftMembers") return ReadTexts(reader, &state->left_members);
    if (key == "StatusLTimes") {
      return ReadStruct(reader, [&](std::string_view name) {
        if (state->status_ltimes.size() >= kStateNamesMax) return false;
        return reader.Uint(&state->status_ltimes.emplace_back(name, 0).second);
      });
    }
    if (key == "Events") {
      return ReadArray(reader, [&](uint32_t place) {
        if (reader.NextIsNil()) return reader.Skip();
        // More than the ring has places for is no agent's doing.
        if (state->events.size() >= kRingSlots) return false;
        return ReadEvents(reader, &state->events.emplace_back(place, BufferedEvents{}).second);
      });
    }
    return reader.Skip();
  });
}

// ---- Tags.

std::string EncodeTags(const Tags& tags) {
  std::string meta(1, kTagMagic);
  MsgpackWriter writer(&meta);
  WriteTags(tags, writer);
  return meta;
}

absl::Status CheckTags(const Tags& tags) {
  const size_t bytes = EncodeTags(tags).size();
  if (bytes <= kMetaBytesSendMax) return absl::OkStatus();
  return InvalidArgument("tags take {} bytes, and a packet has room for {}", bytes,
                         kMetaBytesSendMax);
}

Tags DecodeTags(std::string_view meta) {
  Tags tags;
  if (meta.empty() || meta.front() != kTagMagic) {
    tags.emplace("role", meta);
    return tags;
  }
  MsgpackReader reader(meta.substr(1));
  ReadTags(reader, &tags);
  return tags;
}

}  // namespace mokv::serf
