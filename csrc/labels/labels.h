// Which labels there are, and giving them other values: unique, renumber, remap, mask, point_cloud.
//
// Labels are bit patterns of n elements in raster order; only an order by value needs to know of signs. Host:
// runs of equal labels are found by vector comparisons, and a run costs one look-up in a hash table of its
// thread; tables are merged (counts add, the first appearance is the smallest index), so the result does not
// depend on threads. renumber keeps what it saw as short records of runs, so that the second pass writes
// without reading the labels again. Device: a block gathers its labels in a table in shared memory, then in
// one table in global memory whose slots hold the index of a voxel rather than a label: one word tells which
// label it is, where it appeared first, and that the slot is taken, whatever the bits of the label. No memory
// here grows with the largest id, only with the number of different ids.
#pragma once

#include <cstdint>
#include <memory>

#include "core/exec.h"

namespace emfast::labels {

enum class Rank {
    value,         // ascending, as unsigned numbers
    signed_value,  // ascending, as two's complement
    first,         // by first appearance
    size,          // most voxels first, then by first appearance
};

// The different labels of an array, ranked. Holds on to the array (not owned) and to the executor's memory.
template <class T>
class Index {
  public:
    // zero_first: label 0, where it occurs, takes rank 0. spreads: spread() will be called.
    Index(Executor& ex, const T* labels, int64_t n, Rank rank, bool zero_first = false, bool spreads = false);
    ~Index();
    Index(const Index&) = delete;

    int64_t size() const;
    bool begins_with_zero() const;  // rank 0 is label 0

    // By rank: the label, its number of voxels, and the smallest index where it stands. Null pointers are
    // skipped.
    void write(Executor& ex, T* ids, int64_t* counts, int64_t* first) const;

    // out[i] = values[rank of labels[i]]
    template <class Out>
    void spread(Executor& ex, const Out* values, Out* out) const;

    struct State;

  private:
    std::unique_ptr<State> state_;
};

// values[k] = start + k; where zero_kept, values[0] = 0 and the others follow from start.
template <class Out>
void number(Executor& ex, int64_t n, bool zero_kept, uint64_t start, Out* values);

enum class Missing { error, keep, value };

template <class T, class Out>
struct Remap {
    const T* labels;
    int64_t n;
    const T* keys;      // null: values is looked up by label, label k at values[k]
    const Out* values;  // where a key occurs twice, its last value counts
    int64_t entries;
    Missing missing;
    Out otherwise;   // for Missing::value
    bool is_signed;  // how labels widen to Out, and to indices of values
    Out* out;
};

// Returns the smallest i whose label is not in the table, or -1; with Missing::error out is then of no use.
template <class T, class Out>
int64_t remap(Executor& ex, const Remap<T, Out>& job);

// The indices of every label's voxels, label after label in ascending order, ascending within a label:
// offsets[k] is where label k begins, offsets[size] the number of voxels listed.
template <class T>
class Points {
  public:
    Points(Executor& ex, const T* labels, int64_t n, bool is_signed, bool skip_zero);
    ~Points();
    Points(const Points&) = delete;

    int64_t size() const;
    int64_t voxels() const;
    // indices has voxels() entries; I is int32_t only where n fits.
    template <class I>
    void write(Executor& ex, T* ids, int64_t* offsets, I* indices) const;

    struct State;

  private:
    std::unique_ptr<State> state_;
};

template <class T>
struct Extremes {
    T least, most;
};

// n > 0
template <class T>
Extremes<T> extremes(Executor& ex, const T* labels, int64_t n, bool is_signed);

// out[i] = labels[i], cut to the width of Out.
template <class T, class Out>
void narrow(Executor& ex, const T* labels, int64_t n, Out* out);

// out[k] = labels[indices[k]]
template <class T>
void gather(Executor& ex, const T* labels, const int64_t* indices, int64_t n, T* out);

}  // namespace emfast::labels
