// The voxel graph: for every voxel a bit per neighbour, set where the two have the same label; and the components of such
// a graph, which need not come from labels. The bits are those of cc3d (see `step_of_bit`): bit 0 is the next voxel along
// the first axis, bit 1 the one before, and so on. Bits of neighbours outside the volume are set by `build`, and never
// read by `components`.
//
// An edge belongs to two voxels and has a bit in each. Where they disagree, the voxel that comes later in C order
// decides, as in cc3d.
#pragma once

#include <cstdint>

#include "core/exec.h"
#include "core/steps.h"
#include "core/view.h"

namespace emfast::voxel_graph {

// The step of a bit in a volume (26 bits), or in a picture of depth one (8 bits).
EMFAST_HD inline Step step_of_bit(int bit, bool picture) {
    if (picture) {
        if (bit < 4) return bit < 2 ? Step{0, bit ? -1 : 1, 0} : Step{0, 0, bit == 3 ? -1 : 1};
        return {0, bit & 1 ? -1 : 1, bit & 2 ? -1 : 1};
    }
    if (bit < 6) {
        const int sign = bit & 1 ? -1 : 1;
        return bit < 2 ? Step{sign, 0, 0} : bit < 4 ? Step{0, sign, 0} : Step{0, 0, sign};
    }
    if (bit < 10) return {bit & 1 ? -1 : 1, bit < 8 ? 1 : -1, 0};
    if (bit < 18) {
        const int k = bit - 10;  // +z+x -z+x +y+x -y+x, then the same with -x
        const int sign = k & 1 ? -1 : 1, x = k < 4 ? 1 : -1;
        return k & 2 ? Step{0, sign, x} : Step{sign, 0, x};
    }
    const int k = bit - 18;
    return {k & 1 ? -1 : 1, k & 2 ? -1 : 1, k & 4 ? -1 : 1};
}

// graph[i] for labels. The connectivity (4, 8; 6, 18, 26) is also the number of bits; G is uint8 (4, 8, 6) or uint32 (18, 26).
template <class T, class G>
void build(Executor& ex, View<const T> labels, int connectivity, G* graph);

// Components of a graph, numbered from 1 by first appearance, and their number. Id must hold the number of voxels.
template <class G, class Id>
int64_t components(Executor& ex, View<const G> graph, int connectivity, Id* out);

}  // namespace emfast::voxel_graph
