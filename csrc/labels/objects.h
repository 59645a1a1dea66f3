// Objects of a label volume: dust, largest_k, fill_holes.
//
// dust, largest: an object is a connected component (connectivity 6, 18 or 26) of equal labels other than 0.
// They are kept or set to 0 as a whole, once their sizes are complete.
//
// fill_holes: here an object is a 26-connected component of equal labels other than 0, and a cavity a
// 6-connected component of label 0; so in a mask a diagonal wall holds, as it does for
// scipy.ndimage.binary_fill_holes. Consider the graph of objects and cavities, an edge between two that share
// a face, and the outside, which touches all that reach the volume's border. An object encloses what it cuts
// off from the outside: whatever has no path to the outside but through it. Objects are never torn: one that
// leads out anywhere is not enclosed. Everything enclosed takes the label of the object that encloses it; of
// several the outermost, which encloses the others too. In the words of graphs: the first object on the way
// from the outside down the tree of dominators, found as cut vertices of one depth-first search. The result
// is unique and filling it again changes nothing. per_section: every section on its own, 8-connected objects,
// 4-connected cavities, the border being that of the section.
//
// Host: objects are joined run by run; a slab of sections is one piece, seams between slabs follow. Device: a
// union-find over voxels; the graph alone, already without repetition, is searched on the host.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::labels {

enum class Border { ignore, keep, remove };  // what to do with objects that touch the border

struct Grid {
    Shape shape;
    bool planar;  // a picture: its two faces in z are no border
};

// Keeps objects of low <= size < high; invert keeps exactly the others. Returns the number of objects kept.
template <class T>
int64_t dust(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t low, int64_t high,
             Border border, bool invert, T* out);

// Keeps the k largest objects, ties by the smaller first voxel. Returns the number of objects kept.
template <class T>
int64_t largest(Executor& ex, const T* labels, const Grid& grid, int connectivity, int64_t k, T* out);

// Returns the number of voxels that changed.
template <class T>
int64_t fill_holes(Executor& ex, const T* labels, const Grid& grid, bool per_section, T* out);

}  // namespace emfast::labels
