// The host executor (_core) and its scrambled twin (_emu). The twin runs the GPU's schedules: several threads even on one
// processor, indices in a pseudo-random order, tile threads out of step, so that a body which relies on an order, or a
// schedule which forgets a barrier, is found where there is no GPU (also under the thread sanitizer).
#pragma once

#include <algorithm>
#include <cstring>
#include <numeric>
#include <vector>

#include "core/hd.h"
#include "core/memory.h"
#include "core/team.h"
#include "core/threads.h"

namespace emfast {

inline constexpr bool scrambled = EMFAST_BACKEND == 2;

// A bijection of [0, n) that looks random; the identity on the plain executor.
class Order {
  public:
    explicit Order(int64_t n) : n_(n) {
        if (!scrambled || n < 3) return;
        step_ = n / 2 + n / 8 + 1;
        while (std::gcd(step_, n) != 1) ++step_;
        offset_ = n / 3;
    }
    int64_t operator()(int64_t i) const {
        if constexpr (!scrambled) return i;
        return static_cast<int64_t>((static_cast<unsigned __int128>(i) * step_ + offset_) % n_);
    }

  private:
    int64_t n_, step_ = 1, offset_ = 0;
};

// One block of a tiled kernel. shared is aligned to 64 bytes and uninitialised.
class Tile {
  public:
    Tile(int64_t index, char* memory) : index(index), shared(memory) {}

    template <class F>
    void each(int64_t n, F f) const {
        const Order order(n);
        for (int64_t k = 0; k < n; ++k) f(order(k));
    }

    const int64_t index;
    char* const shared;
};

}  // namespace emfast

#include "core/tiled_verbs.h"

namespace emfast {

class Executor {
  public:
    using Poll = Team::Poll;

    explicit Executor(Poll poll = {})
        : team_(scrambled ? std::max(3, get_threads()) : get_threads(), std::move(poll)) {}

    int threads() const { return team_.threads(); }
    Team& team() { return team_; }

    // The piece for work that costs about a nanosecond an item: enough pieces to balance, none too small to pay.
    int64_t grain(int64_t n, int64_t least = 1 << 14) const {
        if constexpr (scrambled) return std::max<int64_t>(1, n / (threads() * 4));
        return std::clamp<int64_t>(n / (threads() * 8), least, int64_t(1) << 22);
    }

    template <class F>
    void for_chunks(int64_t n, int64_t grain, F&& f) {
        team_.run(n, grain, f);
    }

    template <class Body>
    void for_each(int64_t n, const Body& body) {
        const Order order(n);
        team_.run(n, grain(n), [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) body(order(i));
        });
    }

    template <class Kernel>
    void tiles(int64_t n, int /*threads*/, int64_t shared, const Kernel& kernel) {
        const Order order(n);
        team_.run(n, scrambled ? 1 : std::max<int64_t>(1, n / (threads() * 16)), [&](int64_t begin, int64_t end, int) {
            std::vector<char> memory(shared + 64);
            auto* aligned = memory.data() + (64 - reinterpret_cast<uintptr_t>(memory.data()) % 64) % 64;
            for (int64_t i = begin; i < end; ++i) kernel(Tile(order(i), aligned));
        });
    }

    template <class T>
    T scan(const T* in, T* out, int64_t n) {
        if (n <= 0) return 0;
        const int64_t piece = chunk(n), pieces = (n - 1) / piece + 1;
        std::vector<T> sums(pieces);
        if (pieces > 1)
            team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
                T sum = 0;
                for (int64_t i = begin; i < end; ++i) sum += in[i];
                sums[begin / piece] = sum;
            });
        std::exclusive_scan(sums.begin(), sums.end(), sums.begin(), T(0));
        T total = 0;
        team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
            T sum = sums[begin / piece];
            for (int64_t i = begin; i < end; ++i) {
                const T value = in[i];
                out[i] = sum;
                sum += value;
            }
            if (end == n) total = sum;
        });
        return total;
    }

    template <class T, class Value, class Op>
    T reduce(int64_t n, T first, const Value& value, const Op& op) {
        if constexpr (scrambled) return tiled::reduce(*this, n, first, value, op);
        if (n <= 0) return first;
        const int64_t piece = chunk(n), pieces = (n - 1) / piece + 1;
        std::vector<T> partial(pieces);
        team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
            T sum = value(begin);
            for (int64_t i = begin + 1; i < end; ++i) sum = op(sum, value(i));
            partial[begin / piece] = sum;
        });
        for (const T& p : partial) first = op(first, p);
        return first;
    }

    // Least significant digit first, 8 bits at a time, digits that are equal everywhere skipped.
    template <class Key, class Value>
    void sort_pairs(Key* keys, Value* values, int64_t n) {
        auto other_keys = scratch<Key>(n);
        auto other_values = scratch<Value>(n);
        Key *ka = keys, *kb = other_keys.data();
        Value *va = values, *vb = other_values.data();
        const int64_t piece = chunk(n), pieces = n > 0 ? (n - 1) / piece + 1 : 0;
        std::vector<int64_t> counts(pieces * 256);
        for (int shift = 0; shift < int(sizeof(Key)) * 8; shift += 8) {
            std::fill(counts.begin(), counts.end(), 0);
            team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
                int64_t* count = &counts[begin / piece * 256];
                for (int64_t i = begin; i < end; ++i) ++count[(ka[i] >> shift) & 255];
            });
            int64_t place = 0, fullest = 0;
            for (int digit = 0; digit < 256; ++digit) {
                const int64_t from = place;
                for (int64_t p = 0; p < pieces; ++p) place += std::exchange(counts[p * 256 + digit], place);
                fullest = std::max(fullest, place - from);
            }
            if (fullest == n) continue;
            team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
                int64_t* to = &counts[begin / piece * 256];
                for (int64_t i = begin; i < end; ++i) {
                    const int64_t at = to[(ka[i] >> shift) & 255]++;
                    kb[at] = ka[i];
                    vb[at] = va[i];
                }
            });
            std::swap(ka, kb);
            std::swap(va, vb);
        }
        if (ka != keys) {
            copy(ka, keys, n);
            copy(va, values, n);
        }
    }

    template <class Key, class Value, class Op>
    int64_t reduce_by_key(const Key* keys, const Value* values, int64_t n, Key* keys_out, Value* values_out,
                          const Op& op) {
        if constexpr (scrambled) return tiled::reduce_by_key(*this, keys, values, n, keys_out, values_out, op);
        int64_t count = 0;
        for (int64_t i = 0; i < n; ++i) {
            if (i > 0 && keys[i] == keys[i - 1]) {
                values_out[count - 1] = op(values_out[count - 1], values[i]);
            } else {
                keys_out[count] = keys[i];
                values_out[count++] = values[i];
            }
        }
        return count;
    }

    template <class Holds, class Out>
    int64_t compact(int64_t n, const Holds& holds, Out* out) {
        return select_into(n, holds, [out](int64_t) { return out; });
    }

    template <class Out, class Holds>
    Scratch<Out> select(int64_t n, const Holds& holds) {
        Scratch<Out> out;
        select_into(n, holds, [&](int64_t count) {
            out = scratch<Out>(count);
            return out.data();
        });
        return out;
    }

    template <class T>
    void fill(T* p, int64_t n, T value) {
        team_.run(n, grain(n, 1 << 16), [&](int64_t begin, int64_t end, int) { std::fill(p + begin, p + end, value); });
    }

    template <class T>
    void copy(const T* from, T* to, int64_t n) {
        team_.run(n, grain(n, 1 << 16), [&](int64_t begin, int64_t end, int) {
            std::memcpy(to + begin, from + begin, (end - begin) * sizeof(T));
        });
    }

    template <class T>
    Scratch<T> scratch(int64_t n) {
        return Scratch<T>(memory_, n);
    }

    template <class T>
    T fetch(const T* p) {
        return *p;
    }

    template <class T>
    void store(T* p, T value) {
        *p = value;
    }

    template <class T>
    std::vector<T> fetch(const T* p, int64_t n) {
        return std::vector<T>(p, p + n);
    }

    template <class T>
    void store(T* p, const std::vector<T>& values) {
        std::copy(values.begin(), values.end(), p);
    }

  private:
    // place(count) gives the memory to write to.
    template <class Holds, class Place>
    int64_t select_into(int64_t n, const Holds& holds, const Place& place) {
        if constexpr (scrambled) return tiled::select(*this, n, holds, place);
        const int64_t piece = n > 0 ? chunk(n) : 1, pieces = n > 0 ? (n - 1) / piece + 1 : 0;
        std::vector<int64_t> starts(pieces);
        team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
            int64_t count = 0;
            for (int64_t i = begin; i < end; ++i) count += holds(i) ? 1 : 0;
            starts[begin / piece] = count;
        });
        const int64_t total = std::accumulate(starts.begin(), starts.end(), int64_t(0));
        std::exclusive_scan(starts.begin(), starts.end(), starts.begin(), int64_t(0));
        auto* out = place(total);
        team_.run(n, piece, [&](int64_t begin, int64_t end, int) {
            int64_t at = starts[begin / piece];
            for (int64_t i = begin; i < end; ++i)
                if (holds(i)) out[at++] = static_cast<std::remove_pointer_t<decltype(out)>>(i);
        });
        return total;
    }

    // The piece of two-sweep verbs: the same in both sweeps.
    int64_t chunk(int64_t n) const { return std::max<int64_t>(scrambled ? 3 : 1 << 14, (n - 1) / (threads() * 4) + 1); }

    HostMemory memory_;
    Team team_;
};

}  // namespace emfast
