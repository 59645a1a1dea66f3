#include "core/dtypes.h"
#include "voxel_graph/voxel_graph_body.h"

namespace emfast::voxel_graph {

template <class T, class G>
void build(Executor& ex, View<const T> labels, int connectivity, G* graph) {
    build_anywhere(ex, labels, connectivity, graph);
}

template <class G, class Id>
int64_t components(Executor& ex, View<const G> graph, int connectivity, Id* out) {
    return components_anywhere(ex, graph, connectivity, out);
}

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE_BUILD)
EMFAST_INSTANTIATE_COMPONENTS(uint8_t)
EMFAST_INSTANTIATE_COMPONENTS(uint32_t)

}  // namespace emfast::voxel_graph
