// Ref: a share in an object that counts its holders itself. Eight bytes where std::shared_ptr has
// sixteen, which counts in tree nodes: they are little else than arrays of these.
//
// Threads: as std::shared_ptr. Different Refs to one object may be copied and dropped by different
//          threads; one Ref may not be written by one thread while another uses it.
#pragma once

#include <atomic>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace mokv::store {

// Base of what Ref can hold.
class RefCounted {
 public:
  RefCounted() = default;
  // A copy is a new object, which nobody holds yet.
  RefCounted(const RefCounted&) {}
  RefCounted& operator=(const RefCounted&) = delete;

 protected:
  ~RefCounted() = default;

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
  // By value: the old object is dropped last, and with it perhaps the owner of what we were given.
  Ref& operator=(Ref other) noexcept {
    std::swap(object_, other.object_);
    return *this;
  }
  ~Ref() { Drop(); }

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
  void Drop() {
    // Acquire and release: what every other holder did to the object comes before its end.
    if (object_ != nullptr && object_->holders_.fetch_sub(1, std::memory_order_acq_rel) == 1) {
      delete object_;
    }
  }

  T* object_ = nullptr;
};

template <typename T, typename... Args>
Ref<T> MakeRef(Args&&... args) {
  return Ref<T>(new T(std::forward<Args>(args)...));
}

}  // namespace mokv::store
