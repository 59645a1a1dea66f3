// Distances between the surfaces of two objects, for any number of pairs of objects: how far every place of one surface is
// from the nearest place of the other one, both ways, as a histogram of exact squared distances.
//
// Places are, by `Sites`,
//   voxels  the voxels of an object with a face neighbour outside of it
//   points  all voxels of an object
//   cells   the corners of the voxel grid around which some voxels are inside and some are not. The code of a corner says
//           which: bit 7 - (4 dz + 2 dy + dx) for the voxel at corner - 1 + (dz, dy, dx); in a picture bit 3 - (2 dy + dx).
//           Outside of the volume lies background. These are the surfels of DeepMind's surface-distance.
//
// Squared distances are sums of weight_i k_i^2 in 64-bit integers, as in distance.h; what lies nowhere is at -1, infinity. The
// answer does not depend on threads. A pair is worked on in the box that holds both objects. Rows along x that hold a place
// are filled with the distance to it, and every place of the other surface looks at the rows nearest to it: where objects
// match, a few. Places that are far from all rows look further, or, where that would be more work, columns along y are filled
// too, in linear time, and only along z places look outwards.
//
// Host code. It needs about 8 bytes per voxel of the boxes at work (16 where squares pass 2^31).
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::surface {

enum class Sites { voxels, points, cells };

// One side: labels of 1, 2, 4 or 8 bytes.
struct Labels {
    const void* data = nullptr;
    int bytes = 1;
};

struct Box {
    int64_t begin[3], end[3];
};

struct Pair {
    uint64_t id[2];  // the bits of the labels: in the first volume and in the second one
    Box box;  // holds all voxels of both
};

struct Task {
    Labels labels[2];
    Shape shape;
    bool picture = false;  // there is no axis z
    uint64_t weight[3] = {1, 1, 1};  // squared spacings; no sum of them over the shape passes 2^54
    Sites sites = Sites::voxels;
    bool border = true;  // outside of the volume lies background (voxels; cells always see it so)
};

// Rows starts[2 k] to starts[2 k + 1] are the places of the first object of pair k and their squared distances to the second
// one, the next ones the way back: distinct (square, code) in ascending order, and how often each occurs.
struct Histograms {
    std::vector<int64_t> starts, squares, counts;
    std::vector<uint8_t> codes;  // of cells, else 0
};

Histograms distances(Executor& ex, const Task& task, const std::vector<Pair>& pairs);

// One pair: its objects are all voxels other than 0.
Histograms mask_distances(Executor& ex, const Task& task);

}  // namespace emfast::surface
