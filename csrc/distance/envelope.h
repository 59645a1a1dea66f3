// The lower envelope of parabolas, for the separable distance transforms of distance and surface (Felzenszwalb & Huttenlocher
// 2012): a column in linear time, however far its voxels have to look.
#pragma once

#include <cstdint>

#include "core/hd.h"

namespace emfast::distance {

// The lower envelope of the parabolas f[q] + weight * (p - q)^2 of one column, as a stack of sites q. `f(q)` gives a value
// below `far` or nothing to consider; `sites` is read and written as sites.site(k) and sites.put_site(k, q), k < n.
// A site is kept if it is the best one of some position; where parabolas tie, the first site wins. So the site at place k
// is best from position k on at the earliest. All in 64-bit integers: weight * n^2 and f are below 2^62.
template <class Values, class Sites>
struct Envelope {
    const Values& f;
    const Sites& sites;
    uint64_t weight, far;
    int64_t count = 0;

    EMFAST_HD Envelope(const Values& f, const Sites& sites, int64_t n, uint64_t weight, uint64_t far)
        : f(f), sites(sites), weight(weight), far(far) {
        int64_t b = 0, from = 0;  // the topmost site and the first position where it is best
        for (int64_t c = 0; c < n; ++c) {
            if (f(c) >= far) continue;
            int64_t start = 0;
            while (count > 0) {
                start = first(b, c);
                if (start > from) break;
                if (--count > 0) {
                    b = sites.site(count - 1);
                    from = count > 1 ? first(sites.site(count - 2), b) : 0;
                }
                start = 0;
            }
            if (start >= n) continue;
            sites.put_site(count++, static_cast<uint32_t>(c));
            b = c;
            from = start;
        }
    }

    // The first position >= 0 where site b > a is better than site a.
    EMFAST_HD int64_t first(int64_t a, int64_t b) const {
        const int64_t meet =
            static_cast<int64_t>(weight) * (b - a) * (b + a) + static_cast<int64_t>(f(b)) - static_cast<int64_t>(f(a));
        return meet < 0 ? 0 : meet / (2 * static_cast<int64_t>(weight) * (b - a)) + 1;
    }

    EMFAST_HD uint64_t cost(int64_t q, int64_t p) const {
        return f(q) + weight * static_cast<uint64_t>((p - q) * (p - q));
    }
};

// Reads an envelope from the last position to the first. The site at place k of the stack is needed for positions >= k only,
// so results may be written over the stack itself.
template <class Values, class Sites>
struct Descent {
    const Envelope<Values, Sites>& hull;
    int64_t top, site, below;  // the place of the current site, the site, and the one under it

    EMFAST_HD explicit Descent(const Envelope<Values, Sites>& hull)
        : hull(hull), top(hull.count - 1), site(-1), below(-1) {
        if (top >= 0) site = hull.sites.site(top);
        if (top > 0) below = hull.sites.site(top - 1);
    }
    // The best site for p, or -1; p must not grow from call to call.
    EMFAST_HD int64_t operator()(int64_t p) {
        while (top > 0 && hull.cost(below, p) <= hull.cost(site, p)) {
            site = below;
            --top;
            if (top > 0) below = hull.sites.site(top - 1);
        }
        return site;
    }
};

}  // namespace emfast::distance
