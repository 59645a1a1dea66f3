// Centre lines of objects, after TEASAR (Sato et al., Pacific Graphics 2000). Every component is searched by itself, on
// voxels joined over faces, edges and corners:
//
//   root     the voxel farthest from the component's first one
//   a path   from the voxel farthest from the root that no path covers yet, to the tree made so far, by the least cost. A
//            step of length w between voxels p and q costs w (f(p) + f(q)), where
//            f = 1 + round(penalty (1 - radius / largest radius)^exponent): it is cheap in the middle of the object
//   cover    what is no farther, inside the object, than scale * radius + constant from a voxel of the path, with the
//            radius there
//
// until all is covered. The answer is unique. Lengths of steps are integers, in 1024ths of the longest spacing, and sums are
// too; of equally far voxels the first in C order is taken, of equally cheap places to join the tree the first, and a
// path goes on from there to the first of the voxels that are on a cheapest way.
//
// Where an object is cut into pieces, its lines must meet at the seams: each piece is a component here, and `ends` are
// voxels that its tree shall hold. The first of them is its root, and paths to the others come before those above.
//
// Host code: components are shared out among threads. It needs about 40 bytes per voxel of the components at work.
#pragma once

#include <cstdint>
#include <vector>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::skeleton {

struct Objects {
    int64_t count = 0;
    const uint32_t* components = nullptr;  // 1 to count, each joined over faces, edges and corners; 0 is none
    const float* radii = nullptr;  // distance to the boundary, positive and finite inside
    Shape shape;
    const std::vector<int64_t>* ends = nullptr;  // flat indices, ascending, each in a component; null: none
};

struct Rules {
    double z = 1, y = 1, x = 1;  // spacing
    double scale = 1.5, constant = 0;
    double penalty = 100000;  // up to 10^6
    int exponent = 4;
    int64_t dust = 0;  // components of fewer voxels have no line
};

// A tree per component, in the order of components; vertices lie behind their parents, the root comes first.
struct Trees {
    std::vector<uint32_t> components;
    std::vector<int64_t> starts;  // of a tree's vertices, one more than trees
    std::vector<int64_t> voxels;  // of vertices, flat indices
    std::vector<int64_t> parents;  // places among all vertices, -1 for a root
    std::vector<float> radii;
};

Trees trees(Executor& ex, const Objects& objects, const Rules& rules);

}  // namespace emfast::skeleton
