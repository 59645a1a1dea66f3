// The host sibling of _core. Volumes are taken in pieces that stay in the nearest memory: where any of the arrays changes
// a run begins (SIMD), the ids at these places are widened, and each run costs one addition. A piece's pairs are mostly
// those of the piece before, so additions go to a small table of recent pairs, which is swept into the worker's table as
// others want the place. Workers' ids are numbered, their pairs sorted by rank and equal ones joined.
#include <algorithm>
#include <bit>
#include <vector>

#include "contingency/contingency_body.h"
#include "core/dtypes.h"
#include "core/runs.h"
#include "labels/numbers.h"

namespace emfast::contingency {
namespace {

// How often pairs came, for one worker.
class Pairs {
  public:
    struct Entry {
        uint64_t truth = 0, label = 0;
        int64_t count = 0;  // 0: free
    };

    Pairs() : recent_(size_t(1) << recent_bits), leaving_(most_leaving) {}

    // No branch on whether the pair is the recent one, for that cannot be foretold.
    EMFAST_INLINE void add(uint64_t truth, uint64_t label, int64_t n) {
        Entry& entry = recent_[(truth * first_prime + label * second_prime) >> (64 - recent_bits)];
        const Entry former = entry;
        const bool same = ((former.truth ^ truth) | (former.label ^ label)) == 0;
        leaving_[leaving_count_] = former;
        leaving_count_ += !same & (former.count != 0);
        entry = {truth, label, n + (former.count & -int64_t(same))};
        if (leaving_count_ == most_leaving) enter_all();
    }

    // The pairs, once all have been added; none comes twice.
    std::vector<Entry> take() {
        enter_all();
        for (const Entry& entry : recent_)
            if (entry.count) enter(entry);
        std::erase_if(table_, [](const Entry& entry) { return entry.count == 0; });
        return std::move(table_);
    }

  private:
    static constexpr int recent_bits = 12;
    static constexpr size_t most_leaving = 256;

    static constexpr uint64_t first_prime = 0x9E3779B97F4A7C15ull, second_prime = 0xC2B2AE3D27D4EB4Full;

    static uint64_t hash(uint64_t truth, uint64_t label) {
        const uint64_t x = truth * first_prime ^ std::rotl(label * second_prime, 32);
        return x * 0xD6E8FEB86659FD93ull;
    }

    // The table is larger than the caches: many places are fetched at a time.
    void enter_all() {
        while ((count_ + leaving_count_) * 3 > table_.size() * 2) grow();
        for (size_t k = 0; k < leaving_count_; ++k)
            __builtin_prefetch(&table_[hash(leaving_[k].truth, leaving_[k].label) >> shift_], 1);
        for (size_t k = 0; k < leaving_count_; ++k) enter(leaving_[k]);
        leaving_count_ = 0;
    }

    void enter(const Entry& from) {
        if ((count_ + 1) * 3 > table_.size() * 2) grow();
        Entry& entry = place(from);
        count_ += entry.count == 0;
        entry = {from.truth, from.label, entry.count + from.count};
    }

    Entry& place(const Entry& wanted) {
        const uint64_t mask = table_.size() - 1;
        uint64_t at = hash(wanted.truth, wanted.label) >> shift_;
        while (table_[at].count && (table_[at].truth != wanted.truth || table_[at].label != wanted.label))
            at = (at + 1) & mask;
        return table_[at];
    }

    void grow() {
        std::vector<Entry> old(table_.empty() ? 1024 : table_.size() * 2);
        old.swap(table_);
        shift_ = 64 - std::countr_zero(table_.size());
        for (const Entry& entry : old)
            if (entry.count) place(entry) = entry;
    }

    std::vector<Entry> recent_, leaving_, table_;
    size_t count_ = 0, leaving_count_ = 0;
    int shift_ = 64;
};

// The order of the pieces: the same piece of several planes, then the next one of these planes. Most pairs are then met
// again while they are among the recent ones: a plane has too many of them.
class Walk {
  public:
    static constexpr int64_t piece = 1024, group = 16;

    explicit Walk(const Shape& s) : planes_(s.z), plane_(s.y * s.x) {
        if (plane_ >= 4 * piece) return;
        plane_ *= planes_;
        planes_ = 1;
    }
    int64_t steps() const { return (planes_ + group - 1) / group * pieces(); }
    int64_t voxels() const { return piece * std::min(group, planes_); }  // of a step, at most

    // f(first voxel, voxels, first voxel of the piece that comes next or the same once more)
    template <class F>
    void each_piece(int64_t step, F&& f) const {
        const int64_t low = step / pieces() * group, high = std::min(low + group, planes_);
        const int64_t at = step % pieces() * piece, n = std::min(piece, plane_ - at);
        const int64_t after = at + piece < plane_ ? at + piece : at;
        for (int64_t z = low; z < high; ++z)
            f(z * plane_ + at, n, z + 1 < high ? (z + 1) * plane_ + at : low * plane_ + after);
    }

  private:
    int64_t pieces() const { return (plane_ + piece - 1) / piece; }

    int64_t planes_, plane_;
};

// Finds the runs of a piece: where they begin and the ids there.
class Piece {
  public:
    static constexpr int64_t length = Walk::piece;

    int64_t runs(const Volumes& v, int64_t begin, int64_t n) {
        std::fill_n(changes_, bit_words(n), v.counts ? ~uint64_t(0) : 0);
        if (!v.counts) {
            note_changes(v.truth, begin, n);
            note_changes(v.labels, begin, n);
            if (v.mask.data) note_changes(v.mask, begin, n);
        }
        int32_t* next = starts;
        *next++ = 0;
        for (int64_t w = 0; w < bit_words(n - 1); ++w)
            for (uint64_t word = changes_[w]; word; word &= word - 1)
                *next++ = static_cast<int32_t>(w * 64 + std::countr_zero(word) + 1);
        int64_t count = next - starts;
        if (v.counts) count = n;  // bits past the end are set
        starts[count] = static_cast<int32_t>(n);
        gather(v.truth, begin, count, truth);
        gather(v.labels, begin, count, label);
        if (v.mask.data) gather(v.mask, begin, count, mask);
        return count;
    }

    int32_t starts[length + 65];
    uint64_t truth[length], label[length], mask[length];

  private:
    // Sets bit k where voxel begin + k + 1 differs from the one before it.
    void note_changes(const Ids& ids, int64_t begin, int64_t n) {
        visit_width(ids.bytes, [&](auto zero) {
            using T = decltype(zero);
            const T* p = static_cast<const T*>(ids.data) + begin;
            uint64_t bits[length / 64];
            differ_bits(p + 1, p, n - 1, bits);
            for (int64_t w = 0; w < bit_words(n - 1); ++w) changes_[w] |= bits[w];
        });
    }

    void gather(const Ids& ids, int64_t begin, int64_t count, uint64_t* out) const {
        visit_width(ids.bytes, [&](auto zero) {
            using T = decltype(zero);
            const T* p = static_cast<const T*>(ids.data) + begin;
            if (ids.is_signed)
                for (int64_t r = 0; r < count; ++r)
                    out[r] =
                        static_cast<uint64_t>(static_cast<int64_t>(static_cast<std::make_signed_t<T>>(p[starts[r]])));
            else
                for (int64_t r = 0; r < count; ++r) out[r] = p[starts[r]];
        });
    }

    uint64_t changes_[length / 64];
};

// Asks for the ids of a piece, a line of memory at a time: pieces jump from plane to plane, which nothing can foresee.
class Ahead {
  public:
    Ahead(const Volumes& v, int64_t begin, int64_t n)
        : truth_(start(v.truth, begin)),
          labels_(start(v.labels, begin)),
          truth_lines_(n * v.truth.bytes / 64),
          labels_lines_(n * v.labels.bytes / 64) {}

    EMFAST_INLINE void fetch(int64_t line) const {
        if (line < truth_lines_) __builtin_prefetch(truth_ + 64 * line);
        if (line < labels_lines_) __builtin_prefetch(labels_ + 64 * line);
    }
    void rest(int64_t from) const {
        for (int64_t line = from; line < std::max(truth_lines_, labels_lines_); ++line) fetch(line);
    }

  private:
    static const char* start(const Ids& ids, int64_t at) { return static_cast<const char*>(ids.data) + at * ids.bytes; }

    const char *truth_, *labels_;
    const int64_t truth_lines_, labels_lines_;
};

void add_piece(const Volumes& v, int64_t begin, int64_t n, int64_t next, Piece& piece, Pairs& pairs) {
    const int64_t runs = piece.runs(v, begin, n);
    const Ahead ahead(v, next, std::min(n, v.size() - next));
    if (!v.mask.data && !v.counts) {
        for (int64_t r = 0; r < runs; ++r) {
            ahead.fetch(r);
            pairs.add(piece.truth[r], piece.label[r], piece.starts[r + 1] - piece.starts[r]);
        }
        ahead.rest(runs);
        return;
    }
    for (int64_t r = 0; r < runs; ++r) {
        if (v.mask.data && !piece.mask[r]) continue;
        const int64_t voxels = v.counts ? v.counts[begin + r] : piece.starts[r + 1] - piece.starts[r];
        if (voxels) pairs.add(piece.truth[r], piece.label[r], voxels);
    }
}

// A worker's pairs by the numbers of their ids, which come in the order of entering.
struct Numbered {
    std::vector<uint64_t> truth_ids, label_ids;
    std::vector<uint32_t> truth, label;
    std::vector<int64_t> counts;

    void take(Pairs& pairs, const std::vector<uint64_t>& ignored) {
        const std::vector<Pairs::Entry> entries = pairs.take();
        labels::Numbers<uint64_t> truths, segments;
        for (const Pairs::Entry& entry : entries) {
            if (!ignored.empty() && std::binary_search(ignored.begin(), ignored.end(), entry.truth)) continue;
            truth.push_back(truths.enter(entry.truth, [&](uint32_t) { truth_ids.push_back(entry.truth); }));
            label.push_back(segments.enter(entry.label, [&](uint32_t) { label_ids.push_back(entry.label); }));
            counts.push_back(entry.count);
        }
    }
};

// The ids of all workers, ascending, and the rank of each worker's numbers.
int64_t rank_ids(Executor& ex, const std::vector<Numbered>& workers, std::vector<uint64_t> Numbered::* ids_of,
                 uint64_t flip, Scratch<uint64_t>& ids, std::vector<int64_t>& rank, std::vector<int64_t>& base) {
    int64_t n = 0;
    for (const Numbered& worker : workers) {
        base.push_back(n);
        n += static_cast<int64_t>((worker.*ids_of).size());
    }
    auto keys = ex.scratch<uint64_t>(n);
    auto from = ex.scratch<int64_t>(n);
    for (int64_t at = 0; const Numbered& worker : workers)
        for (uint64_t id : worker.*ids_of) {
            keys[at] = id ^ flip;
            from[at] = at;
            ++at;
        }
    ex.sort_pairs(keys.data(), from.data(), n);
    rank.resize(n);
    int64_t count = 0;
    for (int64_t i = 0; i < n; ++i) {
        if (i == 0 || keys[i] != keys[i - 1]) ++count;
        rank[from[i]] = count - 1;
    }
    ids = ex.scratch<uint64_t>(count);
    for (int64_t i = 0; i < n; ++i) ids[rank[from[i]]] = keys[i] ^ flip;
    return count;
}

Table count_runs(Executor& ex, const Volumes& v) {
    Table out;
    std::vector<Pairs> pairs(ex.threads());
    std::vector<Piece> pieces(ex.threads());
    const Walk walk(v.shape);
    ex.for_chunks(walk.steps(), std::max<int64_t>(1, ex.grain(v.size()) / walk.voxels()),
                  [&](int64_t begin, int64_t end, int worker) {
                      for (int64_t step = begin; step < end; ++step)
                          walk.each_piece(step, [&](int64_t at, int64_t n, int64_t next) {
                              add_piece(v, at, n, next, pieces[worker], pairs[worker]);
                          });
                  });
    std::vector<Numbered> workers(pairs.size());
    ex.for_chunks(workers.size(), 1, [&](int64_t w, int64_t, int) { workers[w].take(pairs[w], v.ignored); });

    std::vector<int64_t> row_of, column_of, first_row, first_column;
    out.truths = rank_ids(ex, workers, &Numbered::truth_ids, v.truth.flip(), out.truth_ids, row_of, first_row);
    out.labels = rank_ids(ex, workers, &Numbered::label_ids, v.labels.flip(), out.label_ids, column_of, first_column);
    std::vector<int64_t> first(1);
    for (const Numbered& worker : workers) first.push_back(first.back() + static_cast<int64_t>(worker.counts.size()));
    auto keys = ex.scratch<uint64_t>(first.back());
    auto counts = ex.scratch<int64_t>(first.back());
    ex.for_chunks(workers.size(), 1, [&](int64_t w, int64_t, int) {
        const Numbered& from = workers[w];
        for (size_t i = 0; i < from.counts.size(); ++i) {
            const uint64_t row = row_of[first_row[w] + from.truth[i]];
            const uint64_t column = column_of[first_column[w] + from.label[i]];
            keys[first[w] + i] = row << 32 | column;
            counts[first[w] + i] = from.counts[i];
        }
    });
    write_pairs(ex, out, keys.data(), counts.data(), first.back());
    return out;
}

// ---- the sum of two tables: both are sorted, so their ids and then their pairs are merged

struct Joined {
    int64_t count = 0;
    Scratch<uint64_t> ids;
    Scratch<int64_t> sizes, place[2];  // where the ids of either went
};

Joined join(Executor& ex, const uint64_t* ids[2], const int64_t* sizes[2], const int64_t n[2], uint64_t flip) {
    Joined out;
    out.ids = ex.scratch<uint64_t>(n[0] + n[1]);
    out.sizes = ex.scratch<int64_t>(n[0] + n[1]);
    for (int k : {0, 1}) out.place[k] = ex.scratch<int64_t>(n[k]);
    for (int64_t at[2] = {}; at[0] < n[0] || at[1] < n[1]; ++out.count) {
        uint64_t least = ~uint64_t(0);
        for (int k : {0, 1})
            if (at[k] < n[k]) least = std::min(least, ids[k][at[k]] ^ flip);
        out.ids[out.count] = least ^ flip;
        out.sizes[out.count] = 0;
        for (int k : {0, 1})
            if (at[k] < n[k] && (ids[k][at[k]] ^ flip) == least) {
                out.sizes[out.count] += sizes[k][at[k]];
                out.place[k][at[k]++] = out.count;
            }
    }
    return out;
}

// The pairs of one of the tables within some rows of the sum.
struct Range {
    const int64_t *rows, *columns, *counts, *row_of, *column_of;
    int64_t at, end;

    Range(const Parts& p, const Scratch<int64_t>& row, const Scratch<int64_t>& column, int64_t from, int64_t to)
        : rows(p.rows), columns(p.columns), counts(p.counts), row_of(row.data()), column_of(column.data()) {
        auto first = [&](int64_t wanted) {
            return std::partition_point(rows, rows + p.pairs, [&](int64_t r) { return row_of[r] < wanted; }) - rows;
        };
        at = first(from);
        end = first(to);
    }
    // The pair's place in the order of the sum; the largest number at the end.
    unsigned __int128 key() const {
        if (at == end) return ~static_cast<unsigned __int128>(0);
        return static_cast<unsigned __int128>(row_of[rows[at]]) << 64 | static_cast<uint64_t>(column_of[columns[at]]);
    }
};

// f(row, column, count) for the pairs of both, ascending.
template <class F>
void merge(Range a, Range b, F&& f) {
    auto p = a.key(), q = b.key();
    while (a.at < a.end || b.at < b.end) {
        const auto key = std::min(p, q);
        int64_t count = 0;
        if (p == key) {
            count += a.counts[a.at++];
            p = a.key();
        }
        if (q == key) {
            count += b.counts[b.at++];
            q = b.key();
        }
        f(static_cast<int64_t>(key >> 64), static_cast<int64_t>(static_cast<uint64_t>(key)), count);
    }
}

Table merge_tables(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip) {
    const uint64_t *truth_ids[] = {a.truth_ids, b.truth_ids}, *label_ids[] = {a.label_ids, b.label_ids};
    const int64_t *truth_sizes[] = {a.truth_sizes, b.truth_sizes}, *label_sizes[] = {a.label_sizes, b.label_sizes};
    const int64_t truths[] = {a.truths, b.truths}, labels[] = {a.labels, b.labels};
    Joined rows, columns;
    ex.for_chunks(2, 1, [&](int64_t side, int64_t, int) {
        if (side == 0) rows = join(ex, truth_ids, truth_sizes, truths, truth_flip);
        else columns = join(ex, label_ids, label_sizes, labels, label_flip);
    });
    Table out;
    out.truths = rows.count;
    out.labels = columns.count;
    out.truth_ids = std::move(rows.ids);
    out.label_ids = std::move(columns.ids);
    out.truth_sizes = std::move(rows.sizes);
    out.label_sizes = std::move(columns.sizes);

    const int64_t grain = std::max<int64_t>(1, rows.count / (ex.threads() * 8));
    const int64_t pieces = rows.count ? (rows.count - 1) / grain + 1 : 0;
    auto range = [&](const Parts& p, int which, int64_t begin, int64_t end) {
        return Range(p, rows.place[which], columns.place[which], begin, end);
    };
    std::vector<int64_t> first(pieces + 1);
    ex.for_chunks(rows.count, grain, [&](int64_t begin, int64_t end, int) {
        int64_t& n = first[begin / grain + 1];
        merge(range(a, 0, begin, end), range(b, 1, begin, end), [&](int64_t, int64_t, int64_t) { ++n; });
    });
    for (int64_t k = 0; k < pieces; ++k) first[k + 1] += first[k];
    out.pairs = first[pieces];
    out.rows = ex.scratch<int64_t>(out.pairs);
    out.columns = ex.scratch<int64_t>(out.pairs);
    out.counts = ex.scratch<int64_t>(out.pairs);
    ex.for_chunks(rows.count, grain, [&](int64_t begin, int64_t end, int) {
        int64_t at = first[begin / grain];
        merge(range(a, 0, begin, end), range(b, 1, begin, end), [&](int64_t row, int64_t column, int64_t count) {
            out.rows[at] = row;
            out.columns[at] = column;
            out.counts[at++] = count;
        });
    });
    return out;
}

}  // namespace

Table count(Executor& ex, const Volumes& volumes) {
    if constexpr (scrambled) return count_anywhere(ex, volumes);
    else return count_runs(ex, volumes);
}

Table sum(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip) {
    if constexpr (scrambled) return sum_anywhere(ex, a, b, truth_flip, label_flip);
    else return merge_tables(ex, a, b, truth_flip, label_flip);
}

}  // namespace emfast::contingency
