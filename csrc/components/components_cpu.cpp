#include "components/components_body.h"

#if EMFAST_BACKEND == EMFAST_CORE
#include "components/components_blocks.h"
#include "components/components_runs.h"
#endif

namespace emfast::components {

template <class T>
std::unique_ptr<Labelling> label(Executor& ex, View<const T> labels, const Options& options) {
#if EMFAST_BACKEND == EMFAST_CORE
    auto with = [&](auto id) -> std::unique_ptr<Labelling> {
        using Id = decltype(id);
        const bool thick = options.connectivity == 26 || (options.connectivity == 18 && labels.shape.z == 1);
        if (thick && options.has_background && labels.size() > 0)
            if (auto mask = MaskLabelling<Id>::make(ex, labels, options)) return mask;
        return std::make_unique<RunLabelling<Id>>(ex, labels, options);
    };
    if (labels.size() < (int64_t(1) << 31) - 2) return with(uint32_t{});
    return with(uint64_t{});
#else
    return label_plain(ex, labels, Equal<T>{}, static_cast<T>(options.background), options);
#endif
}

#define EMFAST_INSTANTIATE(T) template std::unique_ptr<Labelling> label<T>(Executor&, View<const T>, const Options&);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)
#undef EMFAST_INSTANTIATE
#define EMFAST_INSTANTIATE(T) \
    template std::unique_ptr<Labelling> label_near<T>(Executor&, View<const T>, double, const Options&);
EMFAST_FOR_NUMBERS(EMFAST_INSTANTIATE)

}  // namespace emfast::components
