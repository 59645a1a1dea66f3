#include "core/dtypes.h"
#include "statistics/statistics_body.h"

namespace emfast::statistics {

template <class T>
Table measure(Executor& ex, View<const T> labels, const Options& options) {
    return measure_anywhere(ex, labels, options);
}

#define EMFAST_INSTANTIATE(T) template Table measure<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::statistics
