// reduce, compact and reduce_by_key as the device runs them: a few tiled kernels over for_each, tiles and scan. They take
// any functor at the price of one small kernel each, where a library's tuned ones cost a second of compilation and 100 KB
// of code for every functor and architecture; reading twice what reduce or holds reads is cheap beside that. _emu runs the
// very same kernels on scrambled host threads.
// Included by the executors, behind their Tile.
#pragma once

#include <algorithm>
#include <cstdint>
#include <type_traits>

#include "core/hd.h"
#include "core/memory.h"
#include "core/ops.h"

namespace emfast::tiled {

inline constexpr int64_t lanes = 256;

// Folds part[0 .. m) into part[0]; every lane k < m holds a value.
template <class T, class Op>
EMFAST_HD void fold(const Tile& tile, T* part, int64_t m, const Op& op) {
    for (int64_t half = lanes / 2; half > 0; half /= 2)
        tile.each(half, [&](int64_t k) {
            if (k + half < m) part[k] = op(part[k], part[k + half]);
        });
}

// ---- reduce ----

// partial[tile] = op over value(i) for the i of the tile's piece. No piece is empty.
template <class T, class Value, class Op>
struct Reduce {
    int64_t n, piece;
    Value value;
    Op op;
    T* partial;

    EMFAST_HD void operator()(const Tile& tile) const {
        T* part = reinterpret_cast<T*>(tile.shared);
        const int64_t begin = tile.index * piece, end = begin + piece < n ? begin + piece : n;
        tile.each(lanes, [&](int64_t k) {
            if (begin + k >= end) return;
            T sum = value(begin + k);
            for (int64_t i = begin + k + lanes; i < end; i += lanes) sum = op(sum, value(i));
            part[k] = sum;
        });
        fold(tile, part, end - begin < lanes ? end - begin : lanes, op);
        tile.each(1, [&](int64_t) { partial[tile.index] = part[0]; });
    }
};

template <class T>
struct Read {
    const T* values;
    EMFAST_HD T operator()(int64_t i) const { return values[i]; }
};

// How many indices a tile takes so that at most `most` tiles cover n.
inline int64_t piece_of(int64_t n, int64_t least, int64_t most) { return std::max(least, (n - 1) / most + 1); }

template <class T, class Executor, class Value, class Op>
T reduce(Executor& ex, int64_t n, T first, const Value& value, const Op& op) {
    if (n <= 0) return first;
    const int64_t piece = piece_of(n, 8 * lanes, 2048), pieces = (n - 1) / piece + 1;
    auto partial = ex.template scratch<T>(pieces);
    auto all = ex.template scratch<T>(1);
    const int64_t shared = lanes * int64_t(sizeof(T));
    ex.tiles(pieces, lanes, shared, Reduce<T, Value, Op>{n, piece, value, op, partial.data()});
    ex.tiles(1, lanes, shared, Reduce<T, Read<T>, Op>{pieces, pieces, {partial.data()}, op, all.data()});
    return op(first, ex.fetch(all.data()));
}

// ---- compact ----

inline constexpr int64_t each_lane = 8, compact_span = lanes * each_lane;

// counts[tile] = how many i of the tile's span hold.
template <class Holds>
struct CountHeld {
    int64_t n;
    Holds holds;
    int64_t* counts;

    EMFAST_HD void operator()(const Tile& tile) const {
        uint32_t* part = reinterpret_cast<uint32_t*>(tile.shared);
        const int64_t begin = tile.index * compact_span;
        tile.each(lanes, [&](int64_t k) {
            part[k] = 0;
            for (int64_t i = begin + k; i < begin + compact_span && i < n; i += lanes) part[k] += holds(i) ? 1 : 0;
        });
        fold(tile, part, lanes, Plus{});
        tile.each(1, [&](int64_t) { counts[tile.index] = part[0]; });
    }
};

// Writes the i that hold from starts[tile] on. The second half of the shared memory takes turns with the first in the
// running sums.
template <class Holds, class Out>
struct WriteHeld {
    int64_t n;
    Holds holds;
    const int64_t* starts;
    Out* out;

    static constexpr int64_t shared = compact_span + 2 * lanes * int64_t(sizeof(uint32_t));

    EMFAST_HD void operator()(const Tile& tile) const {
        uint32_t* sums = reinterpret_cast<uint32_t*>(tile.shared);
        uint32_t* other = sums + lanes;
        uint8_t* held = reinterpret_cast<uint8_t*>(other + lanes);
        const int64_t begin = tile.index * compact_span;
        tile.each(compact_span, [&](int64_t k) { held[k] = begin + k < n && holds(begin + k); });
        tile.each(lanes, [&](int64_t k) {
            sums[k] = 0;
            for (int64_t j = 0; j < each_lane; ++j) sums[k] += held[k * each_lane + j];
        });
        for (int64_t reach = 1; reach < lanes; reach *= 2) {
            tile.each(lanes, [&](int64_t k) { other[k] = k < reach ? sums[k] : sums[k] + sums[k - reach]; });
            uint32_t* const former = sums;
            sums = other;
            other = former;
        }
        tile.each(lanes, [&](int64_t k) {
            int64_t at = starts[tile.index] + (k > 0 ? sums[k - 1] : 0);
            for (int64_t j = k * each_lane; j < (k + 1) * each_lane; ++j)
                if (held[j]) out[at++] = static_cast<Out>(begin + j);
        });
    }
};

// select(n, holds, place): place(count) gives the memory to write to.
template <class Executor, class Holds, class Place>
int64_t select(Executor& ex, int64_t n, const Holds& holds, const Place& place) {
    const int64_t pieces = n > 0 ? (n - 1) / compact_span + 1 : 0;
    auto starts = ex.template scratch<int64_t>(pieces);
    ex.tiles(pieces, lanes, lanes * int64_t(sizeof(uint32_t)), CountHeld<Holds>{n, holds, starts.data()});
    const int64_t count = ex.scan(starts.data(), starts.data(), pieces);
    auto* out = place(count);
    using Write = WriteHeld<Holds, std::remove_pointer_t<decltype(out)>>;
    ex.tiles(pieces, lanes, Write::shared, Write{n, holds, starts.data(), out});
    return count;
}

// ---- reduce_by_key ----

template <class Key>
struct BeginsRun {
    const Key* keys;
    EMFAST_HD bool operator()(int64_t i) const { return i == 0 || keys[i] != keys[i - 1]; }
};

// Run r is folded by one thread: made for short runs.
template <class Key, class Value, class Op>
struct FoldRun {
    const Key* keys;
    const Value* values;
    int64_t n, runs;
    const int64_t* begins;
    Op op;
    Key* keys_out;
    Value* values_out;

    EMFAST_HD void operator()(int64_t r) const {
        const int64_t end = r + 1 < runs ? begins[r + 1] : n;
        Value sum = values[begins[r]];
        for (int64_t i = begins[r] + 1; i < end; ++i) sum = op(sum, values[i]);
        keys_out[r] = keys[begins[r]];
        values_out[r] = sum;
    }
};

template <class Executor, class Key, class Value, class Op>
int64_t reduce_by_key(Executor& ex, const Key* keys, const Value* values, int64_t n, Key* keys_out, Value* values_out,
                      const Op& op) {
    const auto begins = ex.template select<int64_t>(n, BeginsRun<Key>{keys});
    ex.for_each(begins.size(),
                FoldRun<Key, Value, Op>{keys, values, n, begins.size(), begins.data(), op, keys_out, values_out});
    return begins.size();
}

}  // namespace emfast::tiled
