// Ref: a share in an object that counts its holders itself, in eight bytes. What the nodes of the
// path-copying candidates are made of.
//
// Threads: as std::shared_ptr: one object's Refs may be copied and dropped by different threads.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace mokv::bench {

// Base of what Ref can hold. The derived class has a static Destroy.
class Counted {
 public:
  Counted() = default;
  // A copy is a new object, which nobody holds yet.
  Counted(const Counted&) {}
  Counted& operator=(const Counted&) = delete;

 protected:
  ~Counted() = default;

 private:
  template <typename T>
  friend class Ref;
  std::atomic<uint32_t> holders_{0};
};

template <typename T>
class Ref {
 public:
  Ref() = default;
  explicit Ref(T* object) : object_(object) { Take(); }
  Ref(const Ref& other) : object_(other.object_) { Take(); }
  Ref(Ref&& other) noexcept : object_(std::exchange(other.object_, nullptr)) {}
  template <typename Derived>
  requires std::is_convertible_v<Derived*, T*> Ref(Ref<Derived> other) : object_(other.Release()) {}
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() {
    // Acquire and release: what every other holder did to the object comes before its end.
    if (object_ != nullptr && object_->holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      T::Destroy(object_);
    }
  }

  explicit operator bool() const { return object_ != nullptr; }
  T* get() const { return object_; }
  T& operator*() const { return *object_; }
  T* operator->() const { return object_; }

  // Hands the share to the caller, who has to put it into another Ref.
  T* Release() { return std::exchange(object_, nullptr); }

 private:
  void Take() {
    // Relaxed: whoever copies a share holds one, so the object cannot go away meanwhile.
    if (object_ != nullptr) object_->holders_.fetch_add(1, std::memory_order_relaxed);
  }

  T* object_ = nullptr;
};

}  // namespace mokv::bench
