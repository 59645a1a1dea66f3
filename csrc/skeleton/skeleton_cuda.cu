#include "core/team.h"
#include "core/threads.h"
#include "skeleton/engine.h"

namespace emfast::skeleton {

// A search along one queue is no work for a device: the host does it.
Trees trees(Executor& ex, const Objects& objects, const Rules& rules) {
    const auto components = ex.fetch(objects.components, objects.shape.voxels());
    const auto radii = ex.fetch(objects.radii, objects.shape.voxels());
    Team team(get_threads(), {});
    return run_on_host({objects.count, components.data(), radii.data(), objects.shape, objects.ends}, rules,
                       team.threads(), [&](int64_t n, const auto& f) { team.run(n, 1, f); });
}

}  // namespace emfast::skeleton
