// The 13 directions of a volume: steps (z, y, x) whose first component that is not zero is positive. Their opposites are
// the other 13 neighbours.
#pragma once

#include "core/hd.h"

namespace emfast {

struct Step {
    int z, y, x;
    EMFAST_HD int axes() const { return (z != 0) + (y != 0) + (x != 0); }  // 1: a face, 2: an edge, 3: a corner
};

inline constexpr int directions = 13;

EMFAST_HD inline Step direction(int d) {  // (0,0,1) (0,1,-1) (0,1,0) (0,1,1) (1,-1,-1) ... (1,1,1)
    const int code = d + 14;
    return {code / 9 - 1, code / 3 % 3 - 1, code % 3 - 1};
}

}  // namespace emfast
