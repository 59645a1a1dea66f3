// Flips of voxels that keep the topology of an object (Jain et al., CVPR 2010): towards a prediction, as far as it goes.
//
// A voxel is simple if flipping it changes no connected part, hole or tunnel: the object within its neighbourhood is one
// component that touches it, and so is the background. The object is joined over faces and the background over faces, edges and
// corners: 4 and 8 in a section, 6 and 26 in a volume (Bertrand & Malandain 1994). Outside of the volume lies background.
//
// The candidates are the voxels to be flipped, in the order in which they are tried. A sweep goes through those left and flips
// each that is simple by then; sweeps follow until one flips nothing. So the answer is unique. Only candidates change, so
// groups of them that do not touch (over corners) do not know of each other and are worked on side by side; within a group
// a voxel is looked at again only after a neighbour of it flipped, which leaves the outcome as it is.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::warping {

// object holds 0 and 1, and is changed in place. candidates: n voxels, ascending, n < 2^31 - 1; ranked: their places in that
// list in the order of trial. Sections are volumes of their own
// if `planar`. Scratch: a byte a voxel and four more that are touched near candidates alone, and about 40 bytes a candidate.
void warp(Executor& ex, View<uint8_t> object, bool planar, const int64_t* candidates, const uint32_t* ranked,
          int64_t n);

}  // namespace emfast::warping
