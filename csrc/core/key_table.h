// A set of 64-bit keys that many threads fill at once: open addressing, linear probing, claimed by compare-exchange.
// Memory is proportional to the number of distinct keys, whatever their size: when a fill finds no free place the caller
// takes a larger table and fills again (`fill_keys`). Places depend on the order of arrival, so results are ordered by
// key afterwards (`sorted_keys`): then nothing depends on it.
//
// No memory order beyond relaxed: a place is claimed once and never changes, and readers that want the place of a key
// which some thread has put there run in a later verb.
#pragma once

#include "core/atomic.h"
#include "core/exec.h"
#include "core/mix.h"

namespace emfast {

struct KeyTable {
    static constexpr uint64_t empty = ~uint64_t(0);  // as a key it has the place after the last, keys[mask + 1]
    static constexpr int64_t longest_probe = 512;

    uint64_t* keys;
    uint64_t mask;  // places - 1, a power of two less one
    int32_t* full;  // set where a key found no place

    EMFAST_HD int64_t places() const { return static_cast<int64_t>(mask) + 2; }
    EMFAST_HD bool holds(int64_t place) const {
        return place <= static_cast<int64_t>(mask) ? keys[place] != empty : keys[place] == 0;
    }
    EMFAST_HD uint64_t key(int64_t place) const { return place <= static_cast<int64_t>(mask) ? keys[place] : empty; }

    // The place of key, which is put there if it is new; -1 where the table is full.
    EMFAST_HD int64_t insert(uint64_t key) const {
        if (key == empty) {
            atomic_store(keys[mask + 1], uint64_t(0));
            return static_cast<int64_t>(mask) + 1;
        }
        uint64_t place = mix(key) & mask;
        for (int64_t step = 0; step < longest_probe; ++step, place = (place + 1) & mask) {
            const uint64_t seen = atomic_load(keys[place]);
            if (seen == key) return static_cast<int64_t>(place);
            if (seen != empty) continue;
            if (atomic_claim(keys[place], empty, key) || atomic_load(keys[place]) == key)
                return static_cast<int64_t>(place);
        }
        atomic_store(*full, int32_t(1));
        return -1;
    }

    // The place of a key that is in the table.
    EMFAST_HD int64_t find(uint64_t key) const {
        if (key == empty) return static_cast<int64_t>(mask) + 1;
        uint64_t place = mix(key) & mask;
        while (keys[place] != key) place = (place + 1) & mask;
        return static_cast<int64_t>(place);
    }
};

struct KeyTableMemory {
    Scratch<uint64_t> keys;
    Scratch<int32_t> full;
    KeyTable table{};
};

// Places for a table that is to hold at most so many keys: 2^bits, fewer for few keys. The twin begins small, so that
// tables have to grow.
inline int64_t first_places(int64_t most, int bits) {
    int64_t places = scrambled ? 8 : int64_t(1) << bits;
    while (places > 1024 && places / 4 > most) places /= 2;
    return places;
}

inline KeyTableMemory empty_keys(Executor& ex, int64_t places) {
    KeyTableMemory memory{ex.scratch<uint64_t>(places + 1), ex.scratch<int32_t>(1)};
    memory.table = {memory.keys.data(), static_cast<uint64_t>(places - 1), memory.full.data()};
    ex.fill(memory.keys.data(), places + 1, KeyTable::empty);
    ex.store(memory.full.data(), int32_t(0));
    return memory;
}

// Calls fill(table) with larger and larger tables until all keys have a place. `most` bounds the number of keys.
template <class Fill>
KeyTableMemory fill_keys(Executor& ex, int64_t most, Fill&& fill) {
    for (int64_t places = first_places(most, 16);; places *= 8) {
        KeyTableMemory memory = empty_keys(ex, places);
        fill(memory.table);
        if (!ex.fetch(memory.full.data())) return memory;
    }
}

struct KeyTableHolds {
    KeyTable table;
    EMFAST_HD bool operator()(int64_t place) const { return table.holds(place); }
};

struct KeyOfPlace {
    KeyTable table;
    const int64_t* places;
    uint64_t flip;
    uint64_t* keys;
    EMFAST_HD void operator()(int64_t i) const { keys[i] = table.key(places[i]) ^ flip; }
};

struct RankOfPlace {
    const int64_t* places;
    int64_t* rank;
    EMFAST_HD void operator()(int64_t i) const { rank[places[i]] = i; }
};

// The keys of a table, ascending after `flip` has been XORed onto them (the sign bit, for signed values), their number,
// and the rank of each occupied place.
struct SortedKeys {
    int64_t count = 0;
    Scratch<uint64_t> keys;  // flipped
    Scratch<int64_t> places, rank;
};

inline SortedKeys sorted_keys(Executor& ex, const KeyTable& table, uint64_t flip, int64_t count_at_most) {
    SortedKeys out;
    const int64_t room = count_at_most < table.places() ? count_at_most : table.places();
    out.places = ex.scratch<int64_t>(room);
    out.count = ex.compact(table.places(), KeyTableHolds{table}, out.places.data());
    out.keys = ex.scratch<uint64_t>(out.count);
    out.rank = ex.scratch<int64_t>(table.places());
    ex.for_each(out.count, KeyOfPlace{table, out.places.data(), flip, out.keys.data()});
    ex.sort_pairs(out.keys.data(), out.places.data(), out.count);
    ex.for_each(out.count, RankOfPlace{out.places.data(), out.rank.data()});
    return out;
}

}  // namespace emfast
