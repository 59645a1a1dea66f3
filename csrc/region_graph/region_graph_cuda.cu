#include "core/dtypes.h"
#include "region_graph/region_graph_body.h"

namespace emfast::region_graph {

template <class T, class A>
std::unique_ptr<Build> build(Executor& ex, View<const T> labels, const A* affinities, const Options& options) {
    return std::make_unique<BuildAnywhere<T, A>>(ex, labels, affinities, options);
}

#define EMFAST_INSTANTIATE(T)                                                                                    \
    template std::unique_ptr<Build> build<T, uint8_t>(Executor&, View<const T>, const uint8_t*, const Options&); \
    template std::unique_ptr<Build> build<T, Half>(Executor&, View<const T>, const Half*, const Options&);       \
    template std::unique_ptr<Build> build<T, float>(Executor&, View<const T>, const float*, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::region_graph
