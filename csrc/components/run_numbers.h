// Runs of a volume's rows that slabs have united: their numbers and labels.
//
// A slab's ids count from the index of its first voxel, so they keep raster order across slabs without being counted
// beforehand; parents point to smaller ids. Roots are smallest members, so numbering them in order of id is numbering by
// first voxel. Rows has: shape, words (of a row), start (bits of runs' first voxels), before (id of the last run that
// begins before a word, one less than the row's first id at first) and parent.
#pragma once

#include <utility>
#include <vector>

#include "components/components_body.h"
#include "components/slabs.h"

namespace emfast::components {

template <class Rows>
class RunNumbers {
  public:
    using Id = std::remove_pointer_t<decltype(Rows::parent)>;

    RunNumbers(const Slabs& slabs, int64_t width)
        : ends(slabs.count), slabs_(slabs), width_(width), base_(slabs.count) {}

    Id first_id(int64_t slab) const { return static_cast<Id>(slabs_.row(slab) * width_); }

    // Each slab replaces the parents of its runs: by the root's rank in its slab, marked, where the root is in the slab; by
    // an id of an earlier slab otherwise. base_ turns ranks in slabs into labels. Returns the number of roots.
    int64_t number(Executor& ex, const Rows& rows) {
        ex.for_chunks(slabs_.count, 1, [&](int64_t k, int64_t, int) {
            Id* parent = rows.parent;
            const Id first = first_id(k), end = ends[k];
            Id roots = 0;
            for (Id i = first; i < end; ++i) {
                const Id up = parent[i];
                if (up == i) parent[i] = top | roots++;
                else if (up >= first) parent[i] = parent[up];
            }
            base_[k] = roots;
        });
        Id sum = 1;
        for (Id& b : base_) sum += std::exchange(b, sum);
        return static_cast<int64_t>(sum) - 1;
    }

    // spread(labels of the row's runs, from [1] on, row, where the row is written).
    template <class Out, class Spread>
    void write(Executor& ex, const Rows& rows, Out* out, const Spread& spread) const {
        if (rows.shape.voxels() == 0) return;
        ex.for_chunks(rows.shape.rows(), std::max<int64_t>(1, (1 << 18) / width_),
                      [&](int64_t begin, int64_t end, int) {
                          std::vector<Out> labels(width_ + 16);  // room for what reads eight at a time
                          for (int64_t r = begin; r < end; ++r) {
                              collect(rows, r, labels.data());
                              spread(labels.data(), r, out + r * width_);
                          }
                      });
    }

    // f(row, its bits, its starts, the labels of its runs from [1] on), row by row.
    template <class F>
    void each_row(const Rows& rows, F&& f) const {
        std::vector<uint32_t> labels(rows.shape.x + 1);
        for (int64_t r = 0; r < rows.shape.rows(); ++r) {
            collect(rows, r, labels.data());
            f(r, rows.fg + r * rows.words, rows.start + r * rows.words, labels.data());
        }
    }

    // The labels of a row's runs, from [1] on.
    template <class Out>
    void collect(const Rows& rows, int64_t r, Out* labels) const {
        const int64_t last = (r + 1) * rows.words - 1;
        const Id first = rows.before[r * rows.words];
        const Id runs = rows.before[last] + static_cast<Id>(std::popcount(rows.start[last])) - first;
        const Id own = base_[slab_of(first + 1)];
        for (Id k = 1; k <= runs; ++k) {
            Id up = rows.parent[first + k];
            if (up & top) {
                labels[k] = static_cast<Out>(own + (up & ~top));
                continue;
            }
            Id at = up;
            for (; !(up & top); up = rows.parent[up]) at = up;  // the root is in an earlier slab
            labels[k] = static_cast<Out>(base_[slab_of(at)] + (up & ~top));
        }
    }

    std::vector<Id> ends;  // one past each slab's last id; whoever marks the runs writes them

  private:
    static constexpr Id top = Marks<Id>::top;

    int64_t slab_of(Id i) const {
        int64_t k = 0;
        while (k + 1 < slabs_.count && first_id(k + 1) <= i) ++k;
        return k;
    }

    Slabs slabs_;
    int64_t width_;
    std::vector<Id> base_;
};

}  // namespace emfast::components
