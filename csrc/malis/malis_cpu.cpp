#include <memory>

#include "malis/engine.h"

namespace emfast::malis {

void count(Executor& ex, const Graph& graph, uint64_t* pairs, uint64_t* sums) {
    count_on_host(graph, pairs, sums, [&](int64_t n, const auto& f) {
        ex.for_chunks(n, 1, [&](int64_t begin, int64_t end, int) {
            for (int64_t i = begin; i < end; ++i) f(i);
        });
    });
}

}  // namespace emfast::malis
