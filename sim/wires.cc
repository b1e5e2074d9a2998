#include "sim/wires.h"

#include <utility>

#include "base/check.h"

namespace mokv::sim {

const Wires::End* Wires::Find(Place end, ConnectionId connection) const {
  const auto found = connections_.find(connection);
  return found == connections_.end() ? nullptr : &found->second[Which(found->second, end)];
}

Wires::End* Wires::Find(Place end, ConnectionId connection) {
  return const_cast<End*>(std::as_const(*this).Find(end, connection));
}

Wires::ConnectionId Wires::Connect(const Host& host, Place from, Place to, raft::NodeId from_id,
                                   raft::NodeId to_id) {
  const ConnectionId newest = newest_[from][to];
  if (IsOpen(from, newest) && PeerOf(from, newest) == to_id) return newest;
  const std::vector<ConnectionId> others = With(from, to_id);
  if (!others.empty()) return others.back();
  if (!host.CanConnect(from, to)) return {};
  ++last_;
  Connection& made = connections_[last_];
  made[0].place = from;
  made[0].id = from_id;
  made[1].place = to;
  made[1].id = to_id;
  newest_[from][to] = newest_[to][from] = last_;
  return last_;
}

void Wires::Number(Place from, ConnectionId connection, Packet& packet) {
  End* end = Find(from, connection);
  MOKV_CHECK(end != nullptr && end->open);
  packet.connection = connection;
  packet.number = ++end->sent;
}

std::vector<Packet> Wires::Take(Place to, const Packet& packet) {
  std::vector<Packet> in_order;
  End* end = Find(to, packet.connection);
  if (end == nullptr || !end->open || packet.number <= end->taken) return in_order;
  if (packet.number > end->taken + 1) {
    end->early.emplace(packet.number, packet);
    return in_order;
  }
  in_order.push_back(packet);
  ++end->taken;
  for (auto next = end->early.begin(); next != end->early.end() && next->first == end->taken + 1;) {
    in_order.push_back(std::move(next->second));
    ++end->taken;
    next = end->early.erase(next);
  }
  return in_order;
}

bool Wires::IsOpen(Place end, ConnectionId connection) const {
  const End* found = Find(end, connection);
  return found != nullptr && found->open;
}

bool Wires::Close(Place end, ConnectionId connection) {
  End* found = Find(end, connection);
  if (found == nullptr || !found->open) return false;
  found->open = false;
  found->early.clear();
  return true;
}

void Wires::CloseAll(Place end) {
  for (auto& [id, connection] : connections_) {
    if (connection[0].place == end || connection[1].place == end) Close(end, id);
  }
  std::erase_if(connections_, [](const auto& connection) {
    return !connection.second[0].open && !connection.second[1].open;
  });
}

std::vector<Wires::ConnectionId> Wires::With(Place end, raft::NodeId peer) const {
  std::vector<ConnectionId> found;
  for (const auto& [id, connection] : connections_) {
    const size_t which = Which(connection, end);
    if (connection[which].place != end || !connection[which].open) continue;
    if (connection[1 - which].id == peer) found.push_back(id);
  }
  return found;
}

Place Wires::OtherEnd(Place end, ConnectionId connection) const {
  const Connection& found = connections_.at(connection);
  return found[1 - Which(found, end)].place;
}

raft::NodeId Wires::PeerOf(Place end, ConnectionId connection) const {
  const Connection& found = connections_.at(connection);
  return found[1 - Which(found, end)].id;
}

}  // namespace mokv::sim
