#include "components/components_body.h"

namespace emfast::components {

template <class T>
std::unique_ptr<Labelling> label(Executor& ex, View<const T> labels, const Options& options) {
    return label_plain(ex, labels, Equal<T>{}, static_cast<T>(options.background), options);
}

#define EMFAST_INSTANTIATE(T) template std::unique_ptr<Labelling> label<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
#undef EMFAST_INSTANTIATE
#define EMFAST_INSTANTIATE(T) \
    template std::unique_ptr<Labelling> label_near<T>(Executor&, View<const T>, double, const Options&);
EMFAST_FOR_NUMBERS(EMFAST_INSTANTIATE)

}  // namespace emfast::components
