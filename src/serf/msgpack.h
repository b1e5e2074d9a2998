// MessagePack as Go's old codec writes it, and as agents of both generations read it: strings and
// bytes are "raw" (never str8 or bin), integers take their shortest form.
//
// Our own, rather than the packaged library: packets must come out byte for byte as agents write
// them, and hostile input must cost no memory (views into the packet, no object tree, no
// recursion).
//
// Threads: values; confined to whoever holds them.
// Bounds:  a Reader allocates nothing and reads each byte once; Skip needs no stack.
#pragma once

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

namespace mokv::serf {

class MsgpackWriter {
 public:
  explicit MsgpackWriter(std::string* out) : out_(*out) {}

  void Map(uint32_t pairs);
  void Array(uint32_t elements);
  // A struct's field name, or any text or bytes.
  void Raw(std::string_view bytes);
  void Uint(uint64_t value);
  // Non-negative values look like unsigned ones, which both generations read.
  void Int(int64_t value);
  void Bool(bool value);
  void Nil();
  void Double(double value);

 private:
  void BigEndian(uint64_t value, int bytes);

  std::string& out_;
};

class MsgpackReader {
 public:
  explicit MsgpackReader(std::string_view bytes) : rest_(bytes) {}

  // Each returns false on another type, a value that does not fit, or the end of the bytes. The
  // reader must not be used after that. Nil stands for the zero value, as in Go.
  bool Map(uint32_t* pairs);
  bool Array(uint32_t* elements);
  // Text and bytes alike; views into the input.
  bool Raw(std::string_view* bytes);
  // Like Raw, but refuses bin: old agents refuse bin where text is meant, and a node must not know
  // a name that half of the cluster does not.
  bool Text(std::string_view* text);
  bool Uint(uint64_t* value);
  bool Int(int64_t* value);
  bool Bool(bool* value);
  bool Double(double* value);
  // Any one value with all that it contains.
  bool Skip();

  bool NextIsNil() const { return !rest_.empty() && rest_.front() == '\xc0'; }
  std::string_view rest() const { return rest_; }

  // Integers narrower than 64 bits.
  template <typename T>
  bool UintAs(T* value) {
    uint64_t wide = 0;
    if (!Uint(&wide) || wide > std::numeric_limits<T>::max()) return false;
    *value = static_cast<T>(wide);
    return true;
  }

 private:
  bool Take(size_t bytes, std::string_view* taken);
  bool TakeByte(uint8_t* byte);
  bool BigEndian(int bytes, uint64_t* value);

  std::string_view rest_;
};

// Reads a struct: a map whose keys `on_field(key)` knows; it reads or skips the value, and returns
// false to give up. Nil is the empty struct.
template <typename OnField>
bool ReadStruct(MsgpackReader& reader, OnField&& on_field) {
  uint32_t pairs = 0;
  if (!reader.Map(&pairs)) return false;
  for (uint32_t i = 0; i < pairs; ++i) {
    std::string_view key;
    if (!reader.Text(&key) || !on_field(key)) return false;
  }
  return true;
}

// Finds the end of values that arrive in pieces. It remembers how far it came, so that a sender who
// sends byte by byte cannot make us read the beginning again and again.
class MsgpackScanner {
 public:
  enum class Result { kDone, kMore, kMalformed };

  // Restarts at `offset` of the buffer, to skip `values` values.
  void Start(size_t offset, uint64_t values) {
    offset_ = offset;
    remaining_ = values;
  }
  // `buffer` is what has arrived so far, from the same beginning each time. kDone: `offset()` is
  // just after the last value.
  Result Scan(std::string_view buffer);
  size_t offset() const { return offset_; }

 private:
  size_t offset_ = 0;
  uint64_t remaining_ = 0;  // Values still to be skipped; containers add theirs.
};

}  // namespace mokv::serf
