#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace emfast::agglomerate {

// A hash table from numbers to numbers, for one thread: open addressing, linear probing.
template <class Number>
class Table {
  public:
    static constexpr uint32_t none = 0xffffffffu;

    void set(Number key, uint32_t value) {
        if ((filled_ + 1) * 3 > places_.size() * 2) rehash();
        Place& place = find(key, true);
        if (place.key != key) {
            filled_ += place.key == empty;
            ++live_;
            place.key = key;
        }
        place.value = value;
    }
    uint32_t get(Number key) {
        if (places_.empty()) return none;
        const Place& place = find(key, false);
        return place.key == key ? place.value : none;
    }
    void remove(Number key) {
        if (places_.empty()) return;
        Place& place = find(key, false);
        if (place.key != key) return;
        place.key = removed;
        --live_;
    }
    void prefetch(Number key) const {
        if (!places_.empty()) __builtin_prefetch(&places_[start(key)]);
    }

  private:
    static constexpr Number empty = ~Number(0), removed = empty - 1;  // no keys
    struct Place {
        Number key;
        uint32_t value;
    };

    uint64_t start(Number key) const { return (key * 0x9E3779B97F4A7C15ull) >> shift_; }

    Place& find(Number key, bool to_set) {
        const uint64_t mask = places_.size() - 1;
        Place* room = nullptr;
        for (uint64_t at = start(key);; at = (at + 1) & mask) {
            Place& place = places_[at];
            if (place.key == key) return place;
            if (place.key == empty) return room ? *room : place;
            if (to_set && place.key == removed && !room) room = &place;
        }
    }
    void rehash() {
        std::vector<Place> old(std::bit_ceil(std::max<size_t>(64, live_ * 2 + 2)), Place{empty, 0});
        old.swap(places_);
        shift_ = 64 - std::countr_zero(places_.size());
        filled_ = live_;
        for (const Place& p : old)
            if (p.key < removed) find(p.key, true) = p;
    }

    std::vector<Place> places_;
    size_t filled_ = 0, live_ = 0;
    int shift_ = 63;
};

}  // namespace emfast::agglomerate
