// What an edge carries for each score, how two edges join, and the key that orders edges.
//
// A key has 128 bits: 96 of the score, ascending, and 32 of the edge's slot, descending. Slots are ranks of ids, so greater
// keys are better, no two are equal, and one comparison settles the total order. The upper part is exact:
//   mean: floor(2^f sum / count). Two different quotients with counts b and d differ by 1 / (b d) at least, so with
//   2^f >= b d their floors differ as well; f is chosen for the sum of all counts.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <vector>

#include "agglomerate/agglomerate.h"
#include "core/check.h"

namespace emfast::agglomerate {

using Key = unsigned __int128;

inline constexpr uint32_t no_slot = 0xffffffffu;

EMFAST_HD inline uint32_t slot_of(Key key) { return no_slot - static_cast<uint32_t>(key); }
EMFAST_HD inline Key key_of(Key value, uint32_t slot) { return value << 32 | (no_slot - slot); }
EMFAST_HD inline Key forbidden(uint32_t slot) { return key_of(0, slot); }  // no score has the value 0
EMFAST_HD inline bool is_forbidden(Key key) { return key >> 32 == 0; }

// Ascending as the doubles are; -0 is +0.
EMFAST_HD inline Key ordered(double value) {
    value += 0.0;
    uint64_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    return Key(bits >> 63 ? ~bits : bits | uint64_t(1) << 63) << 1 | 1;
}

EMFAST_HD inline int leading_zeros(uint64_t value) {  // of a value that is not 0
#if defined(__CUDA_ARCH__)
    return __clzll(static_cast<long long>(value));
#else
    return std::countl_zero(value);
#endif
}

// Host memory whose pages cost nothing until they are touched.
template <class T>
Scratch<T> lazy(int64_t n) {
    static HostMemory memory;
    return Scratch<T>(memory, n);
}

// Memory for lists that grow and join: blocks of powers of two, used again.
template <class T>
class Pool {
  public:
    T* exactly(int64_t n) {
        if (chunks_.empty() || used_ + n > room_) {
            room_ = std::max<int64_t>(n, int64_t(1) << 20);
            used_ = 0;
            chunks_.push_back(lazy<T>(room_));
        }
        T* out = chunks_.back().data() + used_;
        used_ += n;
        return out;
    }
    T* take(uint32_t capacity) {  // a power of two
        auto& free = free_[std::countr_zero(capacity)];
        if (free.empty()) return exactly(capacity);
        T* out = free.back();
        free.pop_back();
        return out;
    }
    void give(T* block, uint32_t capacity) {
        if (capacity >= 8) free_[std::bit_width(capacity) - 1].push_back(block);
    }

  private:
    std::vector<Scratch<T>> chunks_;
    int64_t used_ = 0, room_ = 0;
    std::vector<T*> free_[32];
};

struct Mean {
    static constexpr bool reducible = true, sized = false;
    struct Data {
        int64_t sum, count;
    };

    // `total` is the sum of all counts, `widest` the largest width.
    Mean(const Problem& p, const Rules& r, int64_t total, int64_t widest)
        : sums(p.sums), counts(p.counts), unit(r.unit) {
        const int exact = 2 * std::bit_width(static_cast<uint64_t>(total));
        fraction = std::max(exact, 1);
        if (std::bit_width(static_cast<uint64_t>(widest)) + fraction > 94)
            refuse("score mean takes fewer than 2^", 47 - std::bit_width(static_cast<uint64_t>(widest)) / 2,
                   " voxel edges in all with such weights, got ", total);
    }

    Mean(const Problem& p, const Rules& r) : Mean(p, r, total_of(p), widest_of(p)) {}

    // An integer no smaller than |sum / count|.
    EMFAST_HD static int64_t width(int64_t sum, int64_t count) { return ((sum < 0 ? -sum : sum) + count - 1) / count; }
    static int64_t total_of(const Problem& p) { return std::accumulate(p.counts, p.counts + p.edges, int64_t(0)); }
    static int64_t widest_of(const Problem& p) {
        int64_t widest = 0;
        for (int64_t i = 0; i < p.edges; ++i) widest = std::max(widest, width(p.sums[i], p.counts[i]));
        return widest;
    }

    EMFAST_HD Data load(int64_t row) const { return {sums[row], counts[row]}; }
    EMFAST_HD static void join(Data& into, const Data& other) {
        into.sum += other.sum;
        into.count += other.count;
    }
    EMFAST_HD Key value(const Data& d, int64_t, int64_t) const {
        const uint64_t magnitude = d.sum < 0 ? -static_cast<uint64_t>(d.sum) : static_cast<uint64_t>(d.sum);
        const auto count = static_cast<uint64_t>(d.count);
        Key quotient = magnitude / count;
        uint64_t rest = magnitude % count;
        for (int left = fraction; left > 0;) {  // long division, as many bits at a time as 64 hold
            const int room = leading_zeros(count), bits = left < room ? left : room;
            rest <<= bits;
            quotient = quotient << bits | rest / count;
            rest %= count;
            left -= bits;
        }
        const Key middle = Key(1) << 95;
        if (d.sum >= 0) return middle + quotient;
        return middle - quotient - (rest != 0);
    }
    EMFAST_HD double score(const Data& d, int64_t, int64_t) const {
        return static_cast<double>(d.sum) / (static_cast<double>(d.count) * unit);
    }

    const int64_t *sums, *counts;
    double unit;
    int fraction = 0;
};

struct Sum {
    static constexpr bool reducible = false, sized = false;
    struct Data {
        int64_t sum;
    };

    Sum(const Problem& p, const Rules& r) : problem(p), unit(r.unit) {}
    Data load(int64_t row) { return {problem.sums[row]}; }
    static void join(Data& into, const Data& other) { into.sum += other.sum; }
    Key value(const Data& d, int64_t, int64_t) const {
        return (Key(static_cast<uint64_t>(d.sum) ^ uint64_t(1) << 63) << 1) | 1;
    }
    double score(const Data& d, int64_t, int64_t) const { return static_cast<double>(d.sum) / unit; }

    const Problem& problem;
    const double unit;
};

template <Score which>
struct Extreme {
    static constexpr bool reducible = true, sized = false;
    struct Data {
        double value;
    };

    Extreme(const Problem& p, const Rules&) : values(which == Score::minimum ? p.low : p.high) {}
    EMFAST_HD Data load(int64_t row) const { return {values[row]}; }
    EMFAST_HD static void join(Data& into, const Data& other) {
        if constexpr (which == Score::maximum) {
            if (into.value < other.value) into = other;
        } else if constexpr (which == Score::minimum) {
            if (other.value < into.value) into = other;
        } else {
            const double a = into.value < 0 ? -into.value : into.value,
                         b = other.value < 0 ? -other.value : other.value;
            if (b > a || (b == a && other.value > into.value)) into.value = other.value;
        }
    }
    EMFAST_HD Key value(const Data& d, int64_t, int64_t) const { return ordered(d.value); }
    EMFAST_HD double score(const Data& d, int64_t, int64_t) const { return d.value; }

    const double* values;
};

// Sparse histograms: ascending bins, each count << 8 | bin.
struct Histograms {
    struct Data {
        uint64_t* list;
        uint32_t length, capacity;
        int64_t count;
    };

    explicit Histograms(const Problem& p) : problem(p) {}

    Data load(int64_t row) {
        const int64_t begin = problem.starts[row], end = problem.starts[row + 1];
        const auto length = static_cast<uint32_t>(end - begin);
        Data out{pool.exactly(length), length, length, 0};
        for (int64_t i = begin; i < end; ++i) {
            out.list[i - begin] = static_cast<uint64_t>(problem.bin_counts[i]) << 8 | problem.bins[i];
            out.count += problem.bin_counts[i];
        }
        return out;
    }

    void join(Data& into, const Data& other) {
        uint64_t merged[256];
        uint32_t n = 0, i = 0, j = 0;
        while (i < into.length || j < other.length) {
            const int a = i < into.length ? static_cast<int>(into.list[i] & 255) : 256;
            const int b = j < other.length ? static_cast<int>(other.list[j] & 255) : 256;
            if (a == b) merged[n++] = into.list[i++] + (other.list[j++] >> 8 << 8);
            else merged[n++] = a < b ? into.list[i++] : other.list[j++];
        }
        Data wide = into.capacity >= other.capacity ? into : other;
        const Data& narrow = into.capacity >= other.capacity ? other : into;
        pool.give(narrow.list, narrow.capacity);
        if (n > wide.capacity) {
            pool.give(wide.list, wide.capacity);
            wide.capacity = std::bit_ceil(std::max<uint32_t>(n, 8));
            wide.list = pool.take(wide.capacity);
        }
        std::copy_n(merged, n, wide.list);
        into = {wide.list, n, wide.capacity, into.count + other.count};
    }

    // The bin of the value with rank floor(rank * count / ranks), from 0.
    static int quantile(const Data& d, uint64_t rank, uint64_t ranks) {
        const auto count = static_cast<unsigned __int128>(d.count);
        auto left = static_cast<int64_t>(count * rank / ranks);
        left = std::min(left, d.count - 1);
        for (uint32_t i = 0; i < d.length; ++i) {
            left -= static_cast<int64_t>(d.list[i] >> 8);
            if (left < 0) return static_cast<int>(d.list[i] & 255);
        }
        return 0;
    }

    const Problem& problem;
    Pool<uint64_t> pool;
};

inline double value_of_bin(int bin, double unit) { return unit == 255 ? bin / 255.0 : (bin + 0.5) / 256; }

struct Quantile {
    static constexpr bool reducible = true, sized = false;
    using Data = Histograms::Data;

    Quantile(const Problem& p, const Rules& r) : histograms(p), rank(r.rank), ranks(r.ranks), unit(r.unit) {}
    Data load(int64_t row) { return histograms.load(row); }
    void join(Data& into, const Data& other) { histograms.join(into, other); }
    Key value(const Data& d, int64_t, int64_t) const { return Key(Histograms::quantile(d, rank, ranks)) + 1; }
    double score(const Data& d, int64_t, int64_t) const {
        return value_of_bin(Histograms::quantile(d, rank, ranks), unit);
    }

    Histograms histograms;
    const uint64_t rank, ranks;
    const double unit;
};

struct Formula {
    static constexpr bool reducible = false, sized = true;
    struct Data {
        int64_t sum, count;
        double low, high;
        Histograms::Data bins;
    };

    Formula(const Problem& p, const Rules& r) : problem(p), rules(r), histograms(p) {
        for (const Instruction& i : r.program) by_size |= i.op == Op::smaller || i.op == Op::larger;
    }

    Data load(int64_t row) {
        Data d{problem.sums[row], problem.counts[row], problem.low[row], problem.high[row], {nullptr, 0, 0, 0}};
        if (problem.starts) d.bins = histograms.load(row);
        return d;
    }
    void join(Data& into, const Data& other) {
        into.sum += other.sum;
        into.count += other.count;
        into.low = std::min(into.low, other.low);
        into.high = std::max(into.high, other.high);
        if (problem.starts) histograms.join(into.bins, other.bins);
    }
    Key value(const Data& d, int64_t a, int64_t b) const { return ordered(score(d, a, b)); }

    double score(const Data& d, int64_t a, int64_t b) const {
        double stack[32];
        int top = -1;
        for (const Instruction& i : rules.program) {
            switch (i.op) {
                case Op::number: stack[++top] = i.value; break;
                case Op::mean:
                    stack[++top] = static_cast<double>(d.sum) / (static_cast<double>(d.count) * rules.unit);
                    break;
                case Op::sum: stack[++top] = static_cast<double>(d.sum) / rules.unit; break;
                case Op::count: stack[++top] = static_cast<double>(d.count); break;
                case Op::minimum: stack[++top] = d.low; break;
                case Op::maximum: stack[++top] = d.high; break;
                case Op::quantile: {
                    const auto rank = static_cast<uint64_t>(i.value * 1e6 + 0.5);
                    stack[++top] = value_of_bin(Histograms::quantile(d.bins, rank, 1'000'000), rules.unit);
                    break;
                }
                case Op::smaller: stack[++top] = static_cast<double>(std::min(a, b)); break;
                case Op::larger: stack[++top] = static_cast<double>(std::max(a, b)); break;
                case Op::negate: stack[top] = -stack[top]; break;
                case Op::root: stack[top] = std::sqrt(stack[top]); break;
                case Op::step: stack[top] = stack[top] > 0 ? 1 : 0; break;
                default: {
                    const double y = stack[top--], x = stack[top];
                    stack[top] = i.op == Op::add        ? x + y
                                 : i.op == Op::subtract ? x - y
                                 : i.op == Op::multiply ? x * y
                                 : i.op == Op::divide   ? x / y
                                 : i.op == Op::least    ? (y < x ? y : x)
                                                        : (x < y ? y : x);
                }
            }
        }
        return stack[0] == stack[0] ? stack[0] : -HUGE_VAL;  // what has no value is merged last
    }

    const Problem& problem;
    const Rules& rules;
    Histograms histograms;
    bool by_size = false;  // all edges of a segment get new scores when it grows
};

}  // namespace emfast::agglomerate
