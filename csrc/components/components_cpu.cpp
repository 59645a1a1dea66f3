#include "components/components_body.h"
#include "runs/runs.h"

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
        const Lines<const T> lines{labels.data, labels.shape, labels.shape.y * labels.shape.x, labels.shape.x};
        return std::make_unique<RunLabelling<Id>>(ex, lines, options);
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

namespace emfast::runs {

template <class T>
Runs components_of(Executor& ex, Lines<const T> labels, const components::Options& options,
                   const watershed::Box* core) {
#if EMFAST_BACKEND == EMFAST_CORE
    const bool thick = options.connectivity == 26 || (options.connectivity == 18 && labels.shape.z == 1);
    if (!(thick && options.has_background) && labels.shape.voxels() > 0) {
        Runs found(labels.shape);
        Collector into(found, core);
        auto with = [&](auto id) {
            const components::RunLabelling<decltype(id)> labelling(ex, labels, options);
            labelling.each_row([&](auto... row) { into.add(row...); });
        };
        if (labels.shape.voxels() < (int64_t(1) << 31) - 2) with(uint32_t{});
        else with(uint64_t{});
        return found;
    }
#endif
    const auto copy = labels.dense() ? std::vector<T>() : labels.copied();
    const auto found = components::label<T>(ex, {labels.dense() ? labels.data : copy.data(), labels.shape}, options);
    const auto out = ex.scratch<uint32_t>(labels.shape.voxels());
    found->write(ex, out.data(), 4);
    return of_labels({out.data(), labels.shape}, core);
}

#define EMFAST_INSTANTIATE_RUNS(T) \
    template Runs components_of<T>(Executor&, Lines<const T>, const components::Options&, const watershed::Box*);
EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE_RUNS)

}  // namespace emfast::runs
