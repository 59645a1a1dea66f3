#include "core/isa.h"
#include "phantom/phantom_body.h"

namespace emfast::phantom {

namespace {

// The two hot loops, compiled per instruction set: runs of voxels are what the compiler makes vectors of.
EMFAST_CLONES void tissue_runs(const Tissue& body, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
}
EMFAST_CLONES void affinity_runs(const Affinity& body, int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
}

struct InPieces {
    void operator()(Executor& ex, int64_t n, const Tissue& body) const {
        ex.for_chunks(n, 512, [&](int64_t begin, int64_t end, int) { tissue_runs(body, begin, end); });
    }
    void operator()(Executor& ex, int64_t n, const Affinity& body) const {
        ex.for_chunks(n, 512, [&](int64_t begin, int64_t end, int) { affinity_runs(body, begin, end); });
    }
};

}  // namespace

void make(Executor& ex, const Settings& settings, const Result& result) {
    if constexpr (scrambled) build(ex, settings, result, EachBody());
    else build(ex, settings, result, InPieces());
}

}  // namespace emfast::phantom
