#include "runs/runs.h"

#include <algorithm>
#include <bit>

#include "components/slabs.h"
#include "core/check.h"
#include "core/dtypes.h"
#include "core/isa.h"

namespace emfast::runs {
namespace {

EMFAST_CLONES_BITS int64_t count_starts(const uint64_t* start, int64_t words) {
    int64_t n = 0;
    for (int64_t w = 0; w < words; ++w) n += std::popcount(start[w]);
    return n;
}

// The runs of a row, with the labels that are written: label[k] is that of the k-th, [0] any value.
template <class Out>
EMFAST_INLINE void spread_words(const uint64_t* there, const uint64_t* start, int64_t width, const Out* label,
                                Out* out) {
    for (int64_t x = 0; x < width; x += 64) {
        const int64_t n = std::min<int64_t>(64, width - x);
        const uint64_t f = *there++, s = *start++, turns = (f ^ (f << 1)) | s;
        if (n == 64 && std::popcount(turns) <= 8) {
            components::spread_turns(f, s, turns, label, out + x);
        } else {
            int64_t k = 0;
            for (int64_t i = 0; i < n; ++i) {
                k += s >> i & 1;
                out[x + i] = static_cast<Out>(label[k] & -(f >> i & 1));
            }
        }
        label += std::popcount(s);
    }
}

#define EMFAST_SPREAD(Out)                                                                                            \
    EMFAST_CLONES_BITS void spread_row(const uint64_t* there, const uint64_t* start, int64_t width, const Out* label, \
                                       Out* out) {                                                                    \
        spread_words(there, start, width, label, out);                                                                \
    }
EMFAST_FOR_WIDTHS(EMFAST_SPREAD)

// Which run of its row, from 1 on, a voxel belongs to; 0: none.
EMFAST_CLONES_BITS int64_t run_at(const uint64_t* there, const uint64_t* start, int64_t x) {
    if (!(there[x / 64] >> (x % 64) & 1)) return 0;
    int64_t n = std::popcount(start[x / 64] << (63 - x % 64));
    for (int64_t w = 0; w < x / 64; ++w) n += std::popcount(start[w]);
    return n;
}

}  // namespace

void Collector::add(int64_t r, const uint64_t* there, const uint64_t* start, const uint32_t* label) {
    const int64_t words = runs_.words();
    uint64_t* bits = runs_.bits.data() + 2 * r * words;
    std::copy(there, there + words, bits);
    std::copy(start, start + words, bits + words);
    int64_t n = 0;
    for (int64_t w = 0; w < words; ++w)
        for (uint64_t s = start[w]; s; s &= s - 1)
            if (label[++n] > runs_.first.size())
                runs_.first.push_back(r * runs_.shape.x + w * 64 + std::countr_zero(s));
    runs_.labels.insert(runs_.labels.end(), label + 1, label + 1 + n);
    runs_.before[r + 1] = static_cast<int64_t>(runs_.labels.size());
    if (core_) count(r, there, start, label);
}

void Collector::count(int64_t r, const uint64_t* there, const uint64_t* start, const uint32_t* label) {
    const Point p = point(runs_.shape, r * runs_.shape.x);
    runs_.sizes.resize(runs_.first.size());
    if (p.z < core_->begin.z || p.z >= core_->end.z || p.y < core_->begin.y || p.y >= core_->end.y) return;
    int64_t begun = 0, ended = 0;
    for (int64_t w = 0, words = runs_.words(); w < words; ++w) {
        const bool last = w + 1 == words;
        const uint64_t next = there[w] >> 1 | (last ? 0 : there[w + 1] << 63),
                       anew = start[w] >> 1 | (last ? 0 : start[w + 1] << 63);
        for (uint64_t s = start[w]; s; s &= s - 1) begins_[++begun] = w * 64 + std::countr_zero(s);
        for (uint64_t e = there[w] & ~(next & ~anew); e; e &= e - 1) {
            const int64_t from = std::max(begins_[++ended], core_->begin.x),
                          to = std::min<int64_t>(w * 64 + std::countr_zero(e) + 1, core_->end.x);
            if (to > from) runs_.sizes[label[ended] - 1] += to - from;
        }
    }
}

Runs of_labels(View<const uint32_t> labels, const watershed::Box* core) {
    Runs found(labels.shape);
    Collector into(found, core);
    std::vector<uint64_t> there(found.words()), start(found.words());
    std::vector<uint32_t> of_runs;
    for (int64_t r = 0; r < labels.shape.rows(); ++r) {
        std::fill(there.begin(), there.end(), 0);
        std::fill(start.begin(), start.end(), 0);
        of_runs.assign(1, 0);
        const uint32_t* row = labels.row(r);
        for (int64_t x = 0; x < labels.shape.x; ++x) {
            if (!row[x]) continue;
            there[x / 64] |= uint64_t(1) << (x % 64);
            if (x && row[x] == row[x - 1]) continue;
            start[x / 64] |= uint64_t(1) << (x % 64);
            of_runs.push_back(row[x]);
        }
        into.add(r, there.data(), start.data(), of_runs.data());
    }
    return found;
}

template <class Out>
void spread(Executor& ex, const Kept& runs, const watershed::Box& box, const Out* table, int64_t n, Out* out,
            int64_t plane, int64_t row) {
    const int64_t words = bit_words(runs.shape.x);
    const int64_t deep = box.end.z - box.begin.z, high = box.end.y - box.begin.y, wide = box.end.x - box.begin.x;
    const auto named = [&](uint32_t label) {
        if (label >= n) refuse("table must have label ", label, ", got ", n, " rows");
        return table[label];
    };
    ex.for_chunks(deep * high, std::max<int64_t>(1, (1 << 16) / std::max<int64_t>(1, wide)),
                  [&](int64_t begin, int64_t end, int) {
                      std::vector<Out> labels(runs.shape.x + 1), whole(runs.shape.x);
                      for (int64_t k = begin; k < end; ++k) {
                          const int64_t z = k / high, y = k % high;
                          const int64_t r = (box.begin.z + z) * runs.shape.y + box.begin.y + y;
                          const uint64_t *there = runs.bits + 2 * r * words, *start = there + words;
                          const int64_t from = runs.before[r], here = count_starts(start, words);
                          if (from < 0 || from > runs.count - here || runs.before[r + 1] != from + here)
                              refuse("runs must be as their bits say, got others in row ", r);
                          const uint32_t* of_runs = runs.labels + from;
                          Out* to = out + z * plane + y * row;
                          if (wide < 8 && wide < runs.shape.x) {
                              for (int64_t x = 0; x < wide; ++x) {
                                  const int64_t run = run_at(there, start, box.begin.x + x);
                                  to[x] = run ? named(of_runs[run - 1]) : Out(0);
                              }
                              continue;
                          }
                          for (int64_t i = 0; i < here; ++i) labels[i + 1] = named(of_runs[i]);
                          if (wide == runs.shape.x) {
                              spread_row(there, start, wide, labels.data(), to);
                          } else {
                              spread_row(there, start, runs.shape.x, labels.data(), whole.data());
                              std::copy_n(whole.data() + box.begin.x, wide, to);
                          }
                      }
                  });
}

#define EMFAST_INSTANTIATE(Out)                                                                                  \
    template void spread<Out>(Executor&, const Kept&, const watershed::Box&, const Out*, int64_t, Out*, int64_t, \
                              int64_t);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::runs
