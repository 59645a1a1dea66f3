// Bodies and schedules of the labels: see labels.h for the idea.
#pragma once

#include <algorithm>
#include <bit>
#include <type_traits>

#include "core/atomic.h"
#include "core/ops.h"
#include "labels/labels.h"

namespace emfast::labels {

template <class T>
EMFAST_HD uint64_t hash(T label) {
    const uint64_t x = uint64_t(label) * 0x9E3779B97F4A7C15u;
    return x ^ (x >> 32);
}

// The label as a number of 64 bits.
template <class T>
EMFAST_HD uint64_t widen(T label, bool is_signed) {
    return is_signed ? static_cast<uint64_t>(static_cast<int64_t>(static_cast<std::make_signed_t<T>>(label))) : label;
}

// The bit that, flipped, makes two's complement ascend as unsigned.
template <class T>
EMFAST_HD T sign_bit(bool is_signed) {
    return is_signed ? static_cast<T>(T(1) << (sizeof(T) * 8 - 1)) : T(0);
}

// ---- ranks: the same verbs everywhere, for there are few ids ----

template <class T>
struct RankKey {
    const T* ids;
    const int64_t *counts, *first;
    const int64_t* order;
    Rank by;
    bool zero_first;
    uint64_t* keys;
    EMFAST_HD void operator()(int64_t k) const {
        const int64_t e = order[k];
        uint64_t key = by == Rank::size ? ~uint64_t(counts[e]) : uint64_t(first[e]) + 1;
        if (by == Rank::value) key = ids[e];
        if (by == Rank::signed_value) key = static_cast<T>(ids[e] ^ sign_bit<T>(true));
        keys[k] = zero_first && ids[e] == 0 ? 0 : key;
    }
};

struct Iota {
    int64_t* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = i; }
};

// order[r] = the entry of rank r. With zero_first an order by value is not wanted by anyone.
template <class T>
void rank_entries(Executor& ex, int64_t n, const T* ids, const int64_t* counts, const int64_t* first, Rank rank,
                  bool zero_first, int64_t* order) {
    ex.for_each(n, Iota{order});
    auto keys = ex.scratch<uint64_t>(n);
    auto sort_by = [&](Rank by) {
        ex.for_each(n, RankKey<T>{ids, counts, first, order, by, zero_first, keys.data()});
        ex.sort_pairs(keys.data(), order, n);
    };
    if (rank == Rank::size) sort_by(Rank::first);
    sort_by(rank);
}

template <class T>
struct WriteEntries {
    const T* from_ids;
    const int64_t *from_counts, *from_first, *order;
    T* ids;
    int64_t *counts, *first;
    EMFAST_HD void operator()(int64_t k) const {
        const int64_t e = order[k];
        if (ids) ids[k] = from_ids[e];
        if (counts) counts[k] = from_counts[e];
        if (first) first[k] = from_first[e];
    }
};

template <class Out>
struct Number {
    bool zero_kept;
    uint64_t start;
    Out* values;
    EMFAST_HD void operator()(int64_t k) const {
        values[k] = static_cast<Out>(zero_kept ? (k ? start + uint64_t(k) - 1 : 0) : start + uint64_t(k));
    }
};

template <class Out>
void number(Executor& ex, int64_t n, bool zero_kept, uint64_t start, Out* values) {
    ex.for_each(n, Number<Out>{zero_kept, start, values});
}

// ---- one pass bodies ----

template <class T, class Out>
struct Narrow {
    const T* labels;
    Out* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = static_cast<Out>(labels[i]); }
};

template <class T>
struct Gather {
    const T* labels;
    const int64_t* indices;
    T* out;
    EMFAST_HD void operator()(int64_t k) const { out[k] = labels[indices[k]]; }
};

template <class T>
void gather(Executor& ex, const T* labels, const int64_t* indices, int64_t n, T* out) {
    ex.for_each(n, Gather<T>{labels, indices, out});
}

// Values are reduced with the sign bit flipped, as unsigned numbers.
template <class T>
struct Flipped {
    const T* labels;
    T flip;
    EMFAST_HD Extremes<T> operator()(int64_t i) const {
        const T v = static_cast<T>(labels[i] ^ flip);
        return {v, v};
    }
};

template <class T>
struct Widest {
    EMFAST_HD Extremes<T> operator()(const Extremes<T>& a, const Extremes<T>& b) const {
        return {a.least < b.least ? a.least : b.least, a.most > b.most ? a.most : b.most};
    }
};

// ---- the hash table of the device ----

inline constexpr uint64_t vacant = ~uint64_t(0);

// Slots hold the index of an element of `labels` that has the slot's label. enter() makes it the smallest
// such index entered (last = false) or the largest. Relaxed atomics suffice: a slot, once taken, only ever
// changes to another index of the same label.
template <class T>
struct Slots {
    const T* labels;
    uint64_t* owner;
    uint64_t mask;
    int64_t reach;  // probes before giving up
    bool last = false;

    // The slot of the label of element i, or -1 if there was no room within reach.
    EMFAST_HD int64_t enter(uint64_t i) const {
        const T label = labels[i];
        uint64_t at = hash(label) & mask;
        for (int64_t probe = 0; probe < reach; ++probe, at = (at + 1) & mask) {
            uint64_t seen = atomic_load(owner[at]);
            if (seen == vacant) {
                if (atomic_claim(owner[at], vacant, i)) return static_cast<int64_t>(at);
                seen = atomic_load(owner[at]);
            }
            if (labels[seen] != label) continue;
            if (last) atomic_max(owner[at], i);
            else atomic_min(owner[at], i);
            return static_cast<int64_t>(at);
        }
        return -1;
    }

    // The slot of a label, or -1. Only after the verb that entered them.
    EMFAST_HD int64_t find(T label) const {
        uint64_t at = hash(label) & mask;
        for (int64_t probe = 0; probe < reach; ++probe, at = (at + 1) & mask) {
            const uint64_t seen = owner[at];
            if (seen == vacant) return -1;
            if (labels[seen] == label) return static_cast<int64_t>(at);
        }
        return -1;
    }
};

// A tile enters the runs of its voxels. A run adds (its end) at its end and subtracts (its begin) at its
// begin: the sums are the counts, modulo the word. Labels that find no room in the tile's own table go
// straight to the global one.
template <class T>
struct Collect {
    static constexpr int64_t length = 4096, cells = 1024, shared = cells * 8;
    static constexpr uint32_t empty = ~uint32_t(0);

    Slots<T> slots;
    int64_t n;
    uint64_t* counts;
    uint32_t* overflow;

    EMFAST_HD void add(uint64_t i, uint64_t amount) const {
        const int64_t slot = slots.enter(i);
        if (slot < 0) atomic_store(*overflow, uint32_t(1));
        else atomic_add(counts[slot], amount);
    }

    EMFAST_HD void operator()(const Tile& tile) const {
        auto* owner = reinterpret_cast<uint32_t*>(tile.shared);
        auto* local = owner + cells;
        const int64_t from = tile.index * length;
        const int64_t here = n - from < length ? n - from : length;
        const T* labels = slots.labels + from;
        tile.each(cells, [&](int64_t c) {
            owner[c] = empty;
            local[c] = 0;
        });
        tile.each(here, [&](int64_t k) {
            const T label = labels[k];
            const bool begins = k == 0 || labels[k - 1] != label, ends = k + 1 == here || labels[k + 1] != label;
            if (!begins && !ends) return;
            const uint32_t amount = (ends ? uint32_t(k) + 1 : 0) - (begins ? uint32_t(k) : 0);
            uint64_t at = hash(label) & (cells - 1);
            for (int probe = 0; probe < 16; ++probe, at = (at + 1) & (cells - 1)) {
                uint32_t seen = atomic_load(owner[at]);
                if (seen == empty) {
                    if (atomic_claim(owner[at], empty, uint32_t(k))) seen = uint32_t(k);
                    else seen = atomic_load(owner[at]);
                }
                if (labels[seen] != label) continue;
                atomic_min(owner[at], uint32_t(k));
                atomic_add(local[at], amount);
                return;
            }
            const uint64_t signed_amount = (ends ? uint64_t(k) + 1 : 0) - (begins ? uint64_t(k) : 0);
            add(uint64_t(from + k), signed_amount);
        });
        tile.each(cells, [&](int64_t c) {
            if (owner[c] != empty) add(uint64_t(from) + owner[c], local[c]);
        });
    }
};

struct Taken {
    const uint64_t* owner;
    EMFAST_HD bool operator()(int64_t slot) const { return owner[slot] != vacant; }
};

template <class T>
struct ReadSlots {
    const T* labels;
    const int64_t* slots;
    const uint64_t *owner, *slot_counts;
    T* ids;
    int64_t *counts, *first;
    EMFAST_HD void operator()(int64_t e) const {
        const int64_t slot = slots[e];
        ids[e] = labels[owner[slot]];
        counts[e] = static_cast<int64_t>(slot_counts[slot]);
        first[e] = static_cast<int64_t>(owner[slot]);
    }
};

struct RankOfSlot {
    const int64_t *slots, *order;
    int64_t* ranks;
    EMFAST_HD void operator()(int64_t k) const { ranks[slots[order[k]]] = k; }
};

template <class T, class Out>
struct Spread {
    Slots<T> slots;
    const int64_t* ranks;
    const Out* values;
    Out* out;
    EMFAST_HD void operator()(int64_t i) const { out[i] = values[ranks[slots.find(slots.labels[i])]]; }
};

// What an Index of the device holds.
template <class T>
struct Gathered {
    Gathered(Executor& ex, const T* labels, int64_t n, Rank rank, bool zero_first) : labels(labels), n(n) {
        // The table grows until everything finds its place within reach; a second attempt is rare with real
        // labels.
        const uint64_t whole = std::bit_ceil(uint64_t(std::max<int64_t>(n, 4)) * 2);
        uint64_t capacity = std::min<uint64_t>(whole, scrambled ? 8 : 1 << 17);
        auto overflow = ex.scratch<uint32_t>(1);
        for (;; capacity = std::min(whole, capacity * 16)) {
            owner = ex.scratch<uint64_t>(int64_t(capacity));
            slot_counts = ex.scratch<uint64_t>(int64_t(capacity));
            slots = {labels, owner.data(), capacity - 1,
                     capacity == whole ? int64_t(capacity) : std::min<int64_t>(64, int64_t(capacity))};
            ex.fill(owner.data(), int64_t(capacity), vacant);
            ex.fill(slot_counts.data(), int64_t(capacity), uint64_t(0));
            ex.fill(overflow.data(), 1, uint32_t(0));
            ex.tiles((n + Collect<T>::length - 1) / Collect<T>::length, 256, Collect<T>::shared,
                     Collect<T>{slots, n, slot_counts.data(), overflow.data()});
            if (n == 0 || !ex.fetch(overflow.data())) break;
        }
        auto taken = ex.scratch<int64_t>(int64_t(capacity));
        size = ex.compact(int64_t(capacity), Taken{owner.data()}, taken.data());
        ids = ex.scratch<T>(size);
        counts = ex.scratch<int64_t>(size);
        first = ex.scratch<int64_t>(size);
        order = ex.scratch<int64_t>(size);
        ranks = ex.scratch<int64_t>(int64_t(capacity));
        ex.for_each(size, ReadSlots<T>{labels, taken.data(), owner.data(), slot_counts.data(), ids.data(),
                                       counts.data(), first.data()});
        rank_entries(ex, size, ids.data(), counts.data(), first.data(), rank, zero_first, order.data());
        ex.for_each(size, RankOfSlot{taken.data(), order.data(), ranks.data()});
        zero = size > 0 && ex.fetch(ids.data() + ex.fetch(order.data())) == 0;
    }

    const T* labels;
    int64_t n, size = 0;
    bool zero = false;
    Slots<T> slots{};
    Scratch<uint64_t> owner, slot_counts;
    Scratch<T> ids;
    Scratch<int64_t> counts, first, order, ranks;
};

// ---- remap ----

template <class T>
struct EnterKeys {
    Slots<T> slots;
    EMFAST_HD void operator()(int64_t k) const { slots.enter(uint64_t(k)); }
};

template <class T, class Out>
struct RemapVoxel {
    Remap<T, Out> job;
    Slots<T> slots;
    int64_t* lost;
    EMFAST_HD void operator()(int64_t i) const {
        const T label = job.labels[i];
        int64_t at = -1;
        if (job.keys) {
            const int64_t slot = slots.find(label);
            if (slot >= 0) at = static_cast<int64_t>(slots.owner[slot]);
        } else if (const uint64_t k = widen(label, job.is_signed); k < uint64_t(job.entries)) {
            at = static_cast<int64_t>(k);
        }
        if (at >= 0) job.out[i] = job.values[at];
        else if (job.missing == Missing::keep) job.out[i] = static_cast<Out>(widen(label, job.is_signed));
        else if (job.missing == Missing::value) job.out[i] = job.otherwise;
        else atomic_min(*lost, i);
    }
};

template <class T, class Out>
int64_t remap_voxels(Executor& ex, const Remap<T, Out>& job) {
    const uint64_t capacity = std::bit_ceil(uint64_t(job.keys ? std::max<int64_t>(job.entries, 1) : 1) * 2);
    auto owner = ex.scratch<uint64_t>(int64_t(capacity));
    auto lost = ex.scratch<int64_t>(1);
    const Slots<T> slots{job.keys, owner.data(), capacity - 1, int64_t(capacity), true};
    ex.fill(lost.data(), 1, job.n);
    if (job.keys) {
        ex.fill(owner.data(), int64_t(capacity), vacant);
        ex.for_each(job.entries, EnterKeys<T>{slots});
    }
    ex.for_each(job.n, RemapVoxel<T, Out>{job, slots, lost.data()});
    if (job.missing != Missing::error) return -1;
    const int64_t found = ex.fetch(lost.data());
    return found < job.n ? found : -1;
}

// ---- points ----

template <class T>
struct IsZero {
    const T* labels;
    EMFAST_HD int64_t operator()(int64_t i) const { return labels[i] == 0; }
};

template <class T>
struct Listed {
    const T* labels;
    bool skip_zero;
    EMFAST_HD bool operator()(int64_t i) const { return !skip_zero || labels[i] != 0; }
};

template <class T, class I>
struct RankOfVoxel {
    Slots<T> slots;
    const int64_t* ranks;
    const I* indices;
    uint32_t* keys;
    EMFAST_HD void operator()(int64_t k) const {
        keys[k] = static_cast<uint32_t>(ranks[slots.find(slots.labels[indices[k]])]);
    }
};

// ---- the schedules, as _emu and _cuda run them ----

#if EMFAST_BACKEND != EMFAST_CORE

template <class T>
struct Index<T>::State : Gathered<T> {
    using Gathered<T>::Gathered;
};

template <class T>
Index<T>::Index(Executor& ex, const T* labels, int64_t n, Rank rank, bool zero_first, bool)
    : state_(std::make_unique<State>(ex, labels, n, rank, zero_first)) {}

template <class T>
template <class Out>
void Index<T>::spread(Executor& ex, const Out* values, Out* out) const {
    ex.for_each(state_->n, Spread<T, Out>{state_->slots, state_->ranks.data(), values, out});
}

template <class T>
struct Points<T>::State {
    State(Executor& ex, const T* labels, int64_t n, bool is_signed, bool skip_zero)
        : index(ex, labels, n, is_signed ? Rank::signed_value : Rank::value, false), skip_zero(skip_zero) {}
    Gathered<T> index;
    bool skip_zero;
    int64_t zeros = 0, size = 0;
};

template <class T>
Points<T>::Points(Executor& ex, const T* labels, int64_t n, bool is_signed, bool skip_zero)
    : state_(std::make_unique<State>(ex, labels, n, is_signed, skip_zero)) {
    State& s = *state_;
    s.size = s.index.size;
    if (!skip_zero || n == 0) return;
    s.zeros = ex.reduce(n, int64_t(0), IsZero<T>{labels}, Plus{});
    s.size -= s.zeros > 0;
}

template <class T>
template <class I>
void Points<T>::write(Executor& ex, T* ids, int64_t* offsets, I* indices) const {
    const State& s = *state_;
    const Gathered<T>& g = s.index;
    // Ranks count label 0; where it is left out, the ranks after it move up by one.
    auto all = ex.scratch<T>(g.size);
    auto counts = ex.scratch<int64_t>(g.size);
    ex.for_each(g.size, WriteEntries<T>{g.ids.data(), g.counts.data(), nullptr, g.order.data(), all.data(),
                                        counts.data(), nullptr});
    auto kept = ex.scratch<int64_t>(g.size);
    ex.compact(g.size, Listed<T>{all.data(), s.skip_zero}, kept.data());
    auto kept_counts = ex.scratch<int64_t>(s.size);
    ex.for_each(s.size, Gather<T>{all.data(), kept.data(), ids});
    ex.for_each(s.size, Gather<int64_t>{counts.data(), kept.data(), kept_counts.data()});
    ex.scan(kept_counts.data(), offsets, s.size);
    ex.fill(offsets + s.size, 1, voxels());
    ex.compact(g.n, Listed<T>{g.labels, s.skip_zero}, indices);
    auto keys = ex.scratch<uint32_t>(voxels());
    ex.for_each(voxels(), RankOfVoxel<T, I>{g.slots, g.ranks.data(), indices, keys.data()});
    ex.sort_pairs(keys.data(), indices, voxels());
}

template <class T>
int64_t Points<T>::voxels() const {
    return state_->index.n - state_->zeros;
}

template <class T, class Out>
int64_t remap(Executor& ex, const Remap<T, Out>& job) {
    return remap_voxels(ex, job);
}

template <class T>
Extremes<T> extremes(Executor& ex, const T* labels, int64_t n, bool is_signed) {
    const T flip = sign_bit<T>(is_signed), all = static_cast<T>(~T(0));
    const auto found = ex.reduce(n, Extremes<T>{all, 0}, Flipped<T>{labels, flip}, Widest<T>{});
    return {static_cast<T>(found.least ^ flip), static_cast<T>(found.most ^ flip)};
}

template <class T, class Out>
void narrow(Executor& ex, const T* labels, int64_t n, Out* out) {
    ex.for_each(n, Narrow<T, Out>{labels, out});
}

#endif

// ---- what both kinds of Index share ----

template <class T>
Index<T>::~Index() = default;
template <class T>
Points<T>::~Points() = default;

template <class T>
int64_t Points<T>::size() const {
    return state_->size;
}

template <class T>
int64_t Index<T>::size() const {
    return state_->size;
}

template <class T>
bool Index<T>::begins_with_zero() const {
    return state_->zero;
}

template <class T>
void Index<T>::write(Executor& ex, T* ids, int64_t* counts, int64_t* first) const {
    const State& s = *state_;
    ex.for_each(s.size,
                WriteEntries<T>{s.ids.data(), s.counts.data(), s.first.data(), s.order.data(), ids, counts, first});
}

#define EMFAST_LABELS_PAIR(T, Out)                                          \
    template void Index<T>::spread<Out>(Executor&, const Out*, Out*) const; \
    template int64_t remap<T, Out>(Executor&, const Remap<T, Out>&);        \
    template void narrow<T, Out>(Executor&, const T*, int64_t, Out*);

#define EMFAST_LABELS_ONE(T)                                                          \
    template class Index<T>;                                                          \
    template class Points<T>;                                                         \
    template void Points<T>::write<int32_t>(Executor&, T*, int64_t*, int32_t*) const; \
    template void Points<T>::write<int64_t>(Executor&, T*, int64_t*, int64_t*) const; \
    template void number<T>(Executor&, int64_t, bool, uint64_t, T*);                  \
    template Extremes<T> extremes<T>(Executor&, const T*, int64_t, bool);             \
    template void gather<T>(Executor&, const T*, const int64_t*, int64_t, T*);        \
    EMFAST_LABELS_PAIR(T, uint8_t)                                                    \
    EMFAST_LABELS_PAIR(T, uint16_t)                                                   \
    EMFAST_LABELS_PAIR(T, uint32_t)                                                   \
    EMFAST_LABELS_PAIR(T, uint64_t)

}  // namespace emfast::labels
