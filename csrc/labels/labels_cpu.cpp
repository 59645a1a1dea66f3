// The host's labels: a look-up per run of equal labels, not per voxel.
#include <vector>

#include "core/dtypes.h"
#include "core/runs.h"
#include "labels/labels_body.h"
#include "labels/numbers.h"

namespace emfast::labels {

#if EMFAST_BACKEND == EMFAST_CORE

namespace {

template <class T>
struct Entry {
    T label;
    int64_t count, first;
};

// The labels of a part of the array. Parts must be shown in ascending order.
template <class T>
struct Counter {
    Numbers<T> numbers;
    std::vector<Entry<T>> entries;

    EMFAST_INLINE uint32_t add(T label, int64_t from, int64_t length) {
        const uint32_t k = numbers.enter(label, [&](uint32_t) { entries.push_back({label, 0, from}); });
        entries[k].count += length;
        return k;
    }
};

// What is kept of a run for the second pass: the label's number and the length, longer runs in parts.
struct Record {
    static constexpr uint32_t numbers = 1 << 20, lengths = 1 << 12;

    Record(uint32_t number, int64_t length) : bits(number * lengths + static_cast<uint32_t>(length - 1)) {}
    uint32_t number() const { return bits / lengths; }
    int64_t length() const { return bits % lengths + 1; }

    uint32_t bits;
};

}  // namespace

// The array is dealt in pieces; a worker counts all its pieces in one table. A piece keeps records of its runs unless they
// are so short that labels are better read again: at most one record for 8 voxels, half a byte a voxel.
template <class T>
struct Index<T>::State {
    static constexpr int64_t piece = 1 << 18, voxels_a_record = 8;

    const T* labels;
    int64_t n, size = 0;
    bool zero = false;
    std::vector<Counter<T>> counters;  // a worker's each
    std::vector<std::vector<int64_t>> entry;  // counter, its number -> entry
    std::vector<int> counted_by;  // piece -> counter
    std::vector<int64_t> recorded;  // piece -> records, or -1
    Scratch<Record> records;
    Scratch<T> ids;
    Scratch<int64_t> counts, first, order;

    State(Executor& ex, const T* labels, int64_t n, Rank rank, bool zero_first, bool spreads)
        : labels(labels), n(n), counters(ex.threads()) {
        const int64_t pieces = n > 0 ? (n - 1) / piece + 1 : 0, room = spreads ? piece / voxels_a_record : 0;
        counted_by.resize(pieces);
        recorded.assign(pieces, -1);
        records = ex.scratch<Record>(pieces * room);
        ex.for_chunks(n, piece, [&](int64_t begin, int64_t end, int worker) {
            Counter<T>& counter = counters[worker];
            const int64_t p = begin / piece;
            counted_by[p] = worker;
            if (spreads) {
                Record *to = records.data() + p * room, *const full = to + room;
                each_run(labels, begin, end, [&](int64_t from, int64_t next) {
                    const uint32_t number = counter.add(labels[from], from, next - from);
                    for (; next - from > Record::lengths && to < full; from += Record::lengths)
                        *to++ = Record(number, Record::lengths);
                    if (to < full && number < Record::numbers) *to++ = Record(number, next - from);
                    else to = full;
                });
                if (to < full) recorded[p] = to - (records.data() + p * room);
            } else {
                each_run(labels, begin, end,
                         [&](int64_t from, int64_t next) { counter.add(labels[from], from, next - from); });
            }
        });
        merge(ex, rank, zero_first);
    }

    void merge(Executor& ex, Rank rank, bool zero_first) {
        Numbers<T> numbers;
        std::vector<Entry<T>> all;
        entry.resize(counters.size());
        for (size_t c = 0; c < counters.size(); ++c) {
            const auto& entries = counters[c].entries;
            entry[c].resize(entries.size());
            for (size_t k = 0; k < entries.size(); ++k) {
                const Entry<T>& e = entries[k];
                const uint32_t number = numbers.enter(e.label, [&](uint32_t) { all.push_back({e.label, 0, e.first}); });
                all[number].count += e.count;
                all[number].first = std::min(all[number].first, e.first);
                entry[c][k] = number;
            }
        }
        size = static_cast<int64_t>(all.size());
        ids = ex.scratch<T>(size);
        counts = ex.scratch<int64_t>(size);
        first = ex.scratch<int64_t>(size);
        order = ex.scratch<int64_t>(size);
        for (int64_t k = 0; k < size; ++k) {
            ids[k] = all[k].label;
            counts[k] = all[k].count;
            first[k] = all[k].first;
        }
        rank_entries(ex, size, ids.data(), counts.data(), first.data(), rank, zero_first, order.data());
        zero = size > 0 && ids[order[0]] == 0;
    }
};

template <class T>
Index<T>::Index(Executor& ex, const T* labels, int64_t n, Rank rank, bool zero_first, bool spreads)
    : state_(std::make_unique<State>(ex, labels, n, rank, zero_first, spreads)) {}

template <class T>
template <class Out>
void Index<T>::spread(Executor& ex, const Out* values, Out* out) const {
    const State& s = *state_;
    std::vector<Out> value(s.size);  // of an entry
    for (int64_t k = 0; k < s.size; ++k) value[s.order[k]] = values[k];
    std::vector<std::vector<Out>> of(s.counters.size());  // of a counter's number
    for (size_t c = 0; c < of.size(); ++c)
        for (int64_t e : s.entry[c]) of[c].push_back(value[e]);
    const int64_t room = s.piece / s.voxels_a_record;
    ex.for_chunks(s.n, s.piece, [&](int64_t begin, int64_t end, int) {
        const int64_t p = begin / s.piece;
        const Out* mine = of[s.counted_by[p]].data();
        if (s.recorded[p] >= 0) {
            const Record* record = s.records.data() + p * room;
            int64_t from = begin;
            for (int64_t r = 0; r < s.recorded[p]; ++r) {
                const int64_t next = from + record[r].length();
                fill_run(out, from, next, end, mine[record[r].number()]);
                from = next;
            }
        } else {
            const Numbers<T>& numbers = s.counters[s.counted_by[p]].numbers;
            each_run(s.labels, begin, end, [&](int64_t from, int64_t next) {
                fill_run(out, from, next, end, mine[numbers.find(s.labels[from])]);
            });
        }
    });
}

// The array is dealt in parts, a table each; a part's entries know where its voxels of a label go.
template <class T>
struct Points<T>::State {
    const T* labels;
    int64_t n, part, size = 0, voxels = 0;
    bool skip_zero;
    std::vector<Counter<T>> parts;  // after the constructor, Entry::first is where the part's voxels go
    std::vector<T> ids;
    std::vector<int64_t> offsets;
};

template <class T>
Points<T>::Points(Executor& ex, const T* labels, int64_t n, bool is_signed, bool skip_zero)
    : state_(std::make_unique<State>()) {
    State& s = *state_;
    s.labels = labels;
    s.n = n;
    s.skip_zero = skip_zero;
    s.part = std::max<int64_t>(1 << 16, (n - 1) / (ex.threads() * 8) + 1);
    s.parts.resize(n > 0 ? (n - 1) / s.part + 1 : 0);
    ex.for_chunks(n, s.part, [&](int64_t begin, int64_t end, int) {
        Counter<T>& counter = s.parts[begin / s.part];
        each_run(labels, begin, end, [&](int64_t from, int64_t next) {
            if (!skip_zero || labels[from]) counter.add(labels[from], from, next - from);
        });
    });
    Numbers<T> numbers;
    std::vector<int64_t> counts;
    for (const auto& part : s.parts)
        for (const Entry<T>& e : part.entries) {
            const uint32_t k = numbers.enter(e.label, [&](uint32_t) {
                s.ids.push_back(e.label);
                counts.push_back(0);
            });
            counts[k] += e.count;
        }
    s.size = static_cast<int64_t>(s.ids.size());
    const T flip = sign_bit<T>(is_signed);
    std::vector<uint32_t> order(s.size);
    for (size_t k = 0; k < order.size(); ++k) order[k] = static_cast<uint32_t>(k);
    std::sort(order.begin(), order.end(),
              [&](uint32_t a, uint32_t b) { return T(s.ids[a] ^ flip) < T(s.ids[b] ^ flip); });
    std::vector<int64_t> next(s.size);
    std::vector<T> sorted;
    for (uint32_t k : order) {
        sorted.push_back(s.ids[k]);
        s.offsets.push_back(s.voxels);
        next[k] = s.voxels;
        s.voxels += counts[k];
    }
    s.offsets.push_back(s.voxels);
    s.ids = std::move(sorted);
    for (auto& part : s.parts)
        for (Entry<T>& e : part.entries) {
            e.first = next[numbers.find(e.label)];
            next[numbers.find(e.label)] += e.count;
        }
}

template <class T>
template <class I>
void Points<T>::write(Executor& ex, T* ids, int64_t* offsets, I* indices) const {
    State& s = *state_;
    std::copy(s.ids.begin(), s.ids.end(), ids);
    std::copy(s.offsets.begin(), s.offsets.end(), offsets);
    ex.for_chunks(s.n, s.part, [&](int64_t begin, int64_t end, int) {
        Counter<T>& counter = s.parts[begin / s.part];
        std::vector<int64_t> at;
        for (const Entry<T>& e : counter.entries) at.push_back(e.first);
        each_run(s.labels, begin, end, [&](int64_t from, int64_t next) {
            const T label = s.labels[from];
            if (s.skip_zero && !label) return;
            int64_t& to = at[counter.numbers.find(label)];
            for (int64_t i = from; i < next; ++i) indices[to++] = static_cast<I>(i);
        });
    });
}

template <class T>
int64_t Points<T>::voxels() const {
    return state_->voxels;
}

template <class T, class Out>
int64_t remap(Executor& ex, const Remap<T, Out>& job) {
    Numbers<T> numbers;
    std::vector<Out> values;
    if (job.keys) {
        for (int64_t k = 0; k < job.entries; ++k) {
            const uint32_t number = numbers.enter(job.keys[k], [&](uint32_t) { values.emplace_back(); });
            values[number] = job.values[k];
        }
    }
    const Out* const value = job.keys ? values.data() : job.values;
    const uint64_t entries = job.keys ? values.size() : uint64_t(job.entries);
    int64_t lost = job.n;
    ex.for_chunks(job.n, 1 << 18, [&](int64_t begin, int64_t end, int) {
        auto pass = [&](auto&& at) {
            each_run(job.labels, begin, end, [&](int64_t from, int64_t next) {
                const T label = job.labels[from];
                const uint64_t k = at(label);
                Out to;
                if (k < entries) [[likely]] {
                    to = value[k];
                } else if (job.missing == Missing::keep) {
                    to = static_cast<Out>(widen(label, job.is_signed));
                } else {
                    if (job.missing == Missing::error) atomic_min(lost, from);
                    to = job.otherwise;
                }
                fill_run(job.out, from, next, end, to);
            });
        };
        if (job.keys) pass([&](T label) { return uint64_t(numbers.find(label)); });
        else pass([&](T label) { return widen(label, job.is_signed); });
    });
    return job.missing == Missing::error && lost < job.n ? lost : -1;
}

namespace {

// Plain loops for the vectoriser, compiled for each instruction set.
template <class T>
EMFAST_INLINE Extremes<T> extremes_of(const T* labels, int64_t n, T flip) {
    T least = static_cast<T>(~T(0)), most = 0;
    for (int64_t i = 0; i < n; ++i) {
        const T v = static_cast<T>(labels[i] ^ flip);
        least = v < least ? v : least;
        most = v > most ? v : most;
    }
    return {least, most};
}

EMFAST_CLONES Extremes<uint8_t> extremes_part(const uint8_t* p, int64_t n, uint8_t flip) {
    return extremes_of(p, n, flip);
}
EMFAST_CLONES Extremes<uint16_t> extremes_part(const uint16_t* p, int64_t n, uint16_t flip) {
    return extremes_of(p, n, flip);
}
EMFAST_CLONES Extremes<uint32_t> extremes_part(const uint32_t* p, int64_t n, uint32_t flip) {
    return extremes_of(p, n, flip);
}
EMFAST_CLONES Extremes<uint64_t> extremes_part(const uint64_t* p, int64_t n, uint64_t flip) {
    return extremes_of(p, n, flip);
}

}  // namespace

template <class T>
Extremes<T> extremes(Executor& ex, const T* labels, int64_t n, bool is_signed) {
    const T flip = sign_bit<T>(is_signed);
    T least = static_cast<T>(~T(0)), most = 0;
    ex.for_chunks(n, 1 << 18, [&](int64_t begin, int64_t end, int) {
        const Extremes<T> here = extremes_part(labels + begin, end - begin, flip);
        atomic_min(least, here.least);
        atomic_max(most, here.most);
    });
    return {static_cast<T>(least ^ flip), static_cast<T>(most ^ flip)};
}

template <class T, class Out>
void narrow(Executor& ex, const T* labels, int64_t n, Out* out) {
    ex.for_chunks(n, 1 << 18, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin; i < end; ++i) out[i] = static_cast<Out>(labels[i]);
    });
}

#endif

EMFAST_FOR_WIDTHS(EMFAST_LABELS_ONE)

}  // namespace emfast::labels
