#pragma once

#include "embedding/embedding.h"

namespace emfast::embedding {

struct Nearest {
    const int32_t* points;
    int64_t d;
    const int32_t* places;
    const int64_t* gaps;
    int64_t count, far;
    uint32_t* out;

    EMFAST_HD void operator()(int64_t i) const {
        const int32_t* point = points + i * d;
        int64_t best = far + 1;
        uint32_t found = 0;
        for (int64_t k = 0; k < count; ++k) {
            const int32_t* place = places + k * d;
            int64_t sum = 0;
            for (int64_t a = 0; a < d && sum < best; ++a) {
                const int64_t difference = int64_t(point[a]) - place[a];
                sum += difference * difference;
            }
            if (sum >= best) continue;
            best = sum;
            found = static_cast<uint32_t>(k + 1);
            if (4 * sum < gaps[k]) break;
        }
        out[i] = found;
    }
};

void nearest(Executor& ex, const int32_t* points, int64_t n, int64_t d, const int32_t* places, const int64_t* gaps,
             int64_t count, int64_t far, uint32_t* out) {
    ex.for_each(n, Nearest{points, d, places, gaps, count, far, out});
}

}  // namespace emfast::embedding
