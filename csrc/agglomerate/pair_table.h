#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <vector>

namespace emfast::agglomerate {

// Pairs of numbers, in no order -> a number: a hash table of one thread.
class PairTable {
  public:
    static constexpr uint32_t none = 0xffffffffu;

    void set(uint32_t a, uint32_t b, uint32_t value) {
        if ((filled_ + 1) * 2 > places_.size()) rehash();
        Place& place = find(key(a, b), true);
        if (place.key == empty || place.key == removed) {
            filled_ += place.key == empty;
            ++live_;
            place.key = key(a, b);
        }
        place.value = value;
    }
    uint32_t get(uint32_t a, uint32_t b) {
        if (places_.empty()) return none;
        const Place& place = find(key(a, b), false);
        return place.key == empty ? none : place.value;
    }
    void remove(uint32_t a, uint32_t b) {
        if (places_.empty()) return;
        Place& place = find(key(a, b), false);
        if (place.key == empty) return;
        place.key = removed;
        --live_;
    }

  private:
    static constexpr uint64_t empty = ~uint64_t(0), removed = empty - 1;
    struct Place {
        uint64_t key;
        uint32_t value;
    };

    static uint64_t key(uint32_t a, uint32_t b) { return a < b ? uint64_t(a) << 32 | b : uint64_t(b) << 32 | a; }

    Place& find(uint64_t wanted, bool to_set) {
        const uint64_t mask = places_.size() - 1;
        Place* room = nullptr;
        for (uint64_t at = (wanted * 0x9E3779B97F4A7C15ull) >> shift_;; at = (at + 1) & mask) {
            Place& place = places_[at];
            if (place.key == wanted) return place;
            if (place.key == empty) return room ? *room : place;
            if (to_set && place.key == removed && !room) room = &place;
        }
    }
    void rehash() {
        std::vector<Place> old(std::bit_ceil(std::max<size_t>(1024, live_ * 4)), Place{empty, 0});
        old.swap(places_);
        shift_ = 64 - std::countr_zero(places_.size());
        filled_ = live_;
        for (const Place& p : old)
            if (p.key < removed) find(p.key, true) = p;
    }

    std::vector<Place> places_;
    size_t filled_ = 0, live_ = 0;
    int shift_ = 64;
};

}  // namespace emfast::agglomerate
