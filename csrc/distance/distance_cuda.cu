#include "core/dtypes.h"
#include "distance/distance_body.h"

namespace emfast::distance {

template <class T>
void transform(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style,
               float* out) {
    transform_plain(ex, labels, shape, metric, style, out);
}

template <class T>
void nearest(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, int64_t* out) {
    nearest_plain(ex, labels, shape, metric, out);
}

void measure(Executor& ex, const int64_t* nearest, const Shape& shape, const Metric& metric, bool squared, float* out) {
    measure_plain(ex, nearest, shape, metric, squared, out);
}

template <class T>
void barrier(Executor& ex, const T* labels, const uint8_t* graph, int64_t graph_bytes, const Shape& shape,
             const Metric& metric, const Style& style, float* out) {
    barrier_plain(ex, labels, graph, graph_bytes, shape, metric, style, out);
}

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::distance
