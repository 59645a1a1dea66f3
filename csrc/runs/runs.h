// Labels of a block as runs along x, which is how the host finds them: what is written later, under other names, need not be
// spread over the voxels in between, and takes a byte a voxel or less where labels take four.
//
// A run is a stretch of voxels of one label along x. Of each row there are words of 64 bits that say where labels are not 0,
// then as many that say where runs begin; labels has one for each run, in raster order, and before says how many come before
// each row, and in the end how many there are. Labels count from 1 in the order of their first voxels. All of this is of the
// host, in _cuda too.
#pragma once

#include <cstdint>
#include <vector>

#include "components/components.h"
#include "core/exec.h"
#include "core/lines.h"
#include "core/runs.h"
#include "core/view.h"
#include "watershed/watershed.h"

namespace emfast::runs {

struct Runs {
    Shape shape;
    std::vector<uint64_t> bits;  // rows x (2 words)
    std::vector<uint32_t> labels;
    std::vector<int64_t> before;
    std::vector<int64_t> first;  // of label k + 1: its first voxel, an index in the block
    std::vector<int64_t> sizes;  // and its voxels in the core, where they are asked for
    bool sound = true;  // false: there are values that are refused, and no runs

    explicit Runs(const Shape& s) : shape(s), bits(s.rows() * 2 * bit_words(s.x)), before(s.rows() + 1) {}
    int64_t words() const { return bit_words(shape.x); }
};

// Adds rows to Runs, one after another.
class Collector {
  public:
    // core: where voxels are counted; null: nowhere.
    Collector(Runs& into, const watershed::Box* core) : runs_(into), core_(core), begins_(into.shape.x + 1) {}

    // label[k]: of the k-th run of row r, from 1 on.
    void add(int64_t r, const uint64_t* there, const uint64_t* start, const uint32_t* label);

  private:
    void count(int64_t r, const uint64_t* there, const uint64_t* start, const uint32_t* label);

    Runs& runs_;
    const watershed::Box* core_;
    std::vector<int64_t> begins_;
};

// Of labels that count from 1 in the order of their first voxels.
Runs of_labels(View<const uint32_t> labels, const watershed::Box* core);

// Runs as they are kept. steps: from plane to plane and from row to row of out, in elements.
struct Kept {
    Shape shape;
    const uint64_t* bits;
    const uint32_t* labels;
    int64_t count;  // of labels
    const int64_t* before;
};

// Writes the labels of a box, each as table[label], to out. Refuses runs that are not of this shape, or whose labels the table
// does not have.
template <class Out>
void spread(Executor& ex, const Kept& runs, const watershed::Box& box, const Out* table, int64_t n, Out* out,
            int64_t plane, int64_t row);

// The components of a block, and the fragments of one; each where it lies in a larger array.
template <class T>
Runs components_of(Executor& ex, Lines<const T> labels, const components::Options& options, const watershed::Box* core);
template <class A>
Runs fragments_of(Executor& ex, const watershed::Edges<A>& edges, const watershed::Options& options, bool sizes);

}  // namespace emfast::runs
