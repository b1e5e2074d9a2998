// ScriptRunner: runs the commands of one script (script.h says what they are). The commands are in
// script.cc, what `expect` compares in script_expectations.cc.
//
// Threads: confined to the test's.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/check.h"
#include "raft/testing/cluster.h"

namespace mokv::raft::testing {

using Words = std::vector<std::string>;

Words Split(const std::string& line);
uint64_t Number(const std::string& word);
std::string_view StateName(Progress::State state);

class ScriptRunner {
 public:
  ScriptRunner() {
    cluster_.set_trace([this](const std::string& line) {
      if (!quiet_) out_ += line + "\n";
    });
  }

  // What the command prints.
  std::string Run(const Words& words) {
    out_.clear();
    Execute(words);
    if (!cluster_.invariants().violation().empty()) {
      Fail("invariant: " + cluster_.invariants().violation());
    }
    return out_;
  }
  const std::string& failures() const { return failures_; }
  int expectations() const { return expectations_; }

 private:
  using Command = void (ScriptRunner::*)(const Words&);
  using Expectation = std::string (ScriptRunner::*)(const Words&);

  void Fail(const std::string& why) {
    out_ += "FAILED: " + why + "\n";
    failures_ += why + "\n";
  }

  Node& At(const Words& words, size_t i = 1) {
    MOKV_CHECK_LT(i, words.size());
    return cluster_.node(words[i]);
  }
  Core& Up(const Words& words, size_t i = 1) {
    MOKV_CHECK(At(words, i).core != nullptr);
    return *At(words, i).core;
  }

  void Execute(const Words& words);
  void MakeCluster(const Words& words);
  void SetOption(const std::string& key, const std::string& value, Options& options);
  void Start(const Words& words);
  void Quietly(const Words& words);
  void Timeout(const Words& words);
  void Tick(const Words& words);
  void Pass(const Words& words) {
    cluster_.Advance(std::chrono::milliseconds(Number(words.at(1))));
  }
  void Elect(const Words& words);
  void DeliverUntilElected(const std::string& candidate, const Words& voters);
  void Propose(const Words& words);
  void Read(const Words& words);
  void Change(const Words& words);
  void Transfer(const Words& words);
  void Closed(const Words& words);
  void Deliver(const Words& words);
  void Drop(const Words& words);
  void Duplicate(const Words& words);
  void Delay(const Words& words);
  void Late(const Words& words);
  void Cut(const Words& words);
  void Isolate(const Words& words);
  void Heal(const Words&) { cluster_.Heal(); }
  void Disk(const Words& words);
  void Persist(const Words& words);
  void Crash(const Words& words) { cluster_.Crash(At(words)); }
  void Restart(const Words& words) { cluster_.Restart(At(words)); }
  void Wipe(const Words& words);
  void Fill(const Words& words);
  void Copy(const Words& words) { At(words).copy = At(words).disk; }
  void PutBack(const Words& words) { At(words).disk = At(words).copy; }
  void Snapshot(const Words& words) { cluster_.TakeSnapshot(At(words)); }
  void Compact(const Words& words) { cluster_.Compact(At(words), Index(Number(words.at(2)))); }
  void SnapshotFailed(const Words& words);
  void Show(const Words& words);
  void Expect(const Words& words);

  std::string Leader(const Words& words);
  std::string Log(const Words& words);
  std::string Membership(const Words& words);
  std::string ReadState(const Words& words);
  std::string Peer(const Words& words);
  std::string Lost(const Words& words);
  std::string Sent(const Words& words);
  std::string LastOf(const Words& words);

  // "A->B": whether a message in flight is on that link. Without it every message is.
  bool OnLink(const Message& message, const std::string& link) {
    const auto arrow = link.find("->");
    MOKV_CHECK(arrow != std::string::npos);
    return cluster_.Find(message.from)->name == link.substr(0, arrow) &&
           cluster_.Find(message.to)->name == link.substr(arrow + 2);
  }

  CoreCluster cluster_;
  std::vector<Message> delayed_;
  Options options_;
  uint64_t requests_ = 0;
  std::string out_;
  std::string failures_;
  bool quiet_ = false;
  int expectations_ = 0;
};

}  // namespace mokv::raft::testing
