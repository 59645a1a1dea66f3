// A radix heap (Ahuja et al., JACM 1990): a queue of keys that never fall below the one taken last.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <vector>

namespace emfast::skeleton {

class Queue {
  public:
    struct Entry {
        int64_t key;
        uint32_t node;
    };

    void clear() {
        for (auto& bucket : buckets_) bucket.clear();
        last_ = 0;
        size_ = 0;
    }
    bool empty() const { return size_ == 0; }

    // key >= the last one taken, >= 0
    void push(int64_t key, uint32_t node) {
        buckets_[place(key)].push_back({key, node});
        ++size_;
    }

    Entry pop() {
        if (buckets_[0].empty()) refill();
        const Entry entry = buckets_[0].back();
        buckets_[0].pop_back();
        --size_;
        return entry;
    }

  private:
    int place(int64_t key) const { return std::bit_width(static_cast<uint64_t>(key ^ last_)); }

    void refill() {
        int full = 1;
        while (buckets_[full].empty()) ++full;
        auto& from = buckets_[full];
        last_ = std::min_element(from.begin(), from.end(), [](const Entry& a, const Entry& b) {
                    return a.key < b.key;
                })->key;
        for (const Entry& e : from) buckets_[place(e.key)].push_back(e);
        from.clear();
    }

    std::array<std::vector<Entry>, 65> buckets_;
    int64_t last_ = 0, size_ = 0;
};

}  // namespace emfast::skeleton
