#include "core/team.h"
#include "core/threads.h"
#include "surface/engine.h"

namespace emfast::surface {

namespace {

// Boxes of objects are small work, and much of it, for threads of the host: the labels come there.
struct Fetched {
    std::vector<uint8_t> bytes[2];
    Task task;

    Fetched(Executor& ex, const Task& from) : task(from) {
        for (int side = 0; side < 2; ++side) {
            const int64_t n = from.shape.voxels() * from.labels[side].bytes;
            bytes[side] = ex.fetch(static_cast<const uint8_t*>(from.labels[side].data), n);
            task.labels[side].data = bytes[side].data();
        }
    }
};

auto team_of(Team& team) {
    return [&team](int64_t n, int64_t grain, const auto& f) { team.run(n, grain, f); };
}

}  // namespace

Histograms distances(Executor& ex, const Task& task, const std::vector<Pair>& pairs) {
    const Fetched fetched(ex, task);
    Team team(get_threads(), {});
    return run_on_host(fetched.task, pairs, false, team.threads(), team_of(team));
}

Histograms mask_distances(Executor& ex, const Task& task) {
    const Fetched fetched(ex, task);
    Team team(get_threads(), {});
    const Box box = bounds_on_host(fetched.task, team.threads(), team_of(team));
    return run_on_host(fetched.task, {{{0, 0}, box}}, true, team.threads(), team_of(team));
}

}  // namespace emfast::surface
