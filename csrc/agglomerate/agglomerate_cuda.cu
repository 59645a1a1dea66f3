#include "agglomerate/engine.h"
#include "agglomerate/rounds.h"

namespace emfast::agglomerate {
namespace {

// A device's array, brought to the host.
template <class T>
void bring(Executor& ex, const T*& array, int64_t n, std::vector<T>& to) {
    if (!array) return;
    to = ex.fetch(array, n);
    array = to.data();
}

}  // namespace

Merges run(Executor& ex, const Problem& device, const Rules& r) {
    if (rounds::suit(device, r)) return rounds::run(ex, device, r);
    Problem p = device;
    std::vector<uint32_t> ends, seeds;
    std::vector<int64_t> ids, sums, counts, starts, bin_counts, sizes;
    std::vector<double> low, high;
    std::vector<uint8_t> bins, frozen;
    bring(ex, p.ends, 2 * p.edges, ends);
    bring(ex, p.ids, p.edges, ids);
    bring(ex, p.sums, p.edges, sums);
    bring(ex, p.counts, p.edges, counts);
    bring(ex, p.low, p.edges, low);
    bring(ex, p.high, p.edges, high);
    bring(ex, p.starts, p.edges + 1, starts);
    bring(ex, p.bins, starts.empty() ? 0 : starts.back(), bins);
    bring(ex, p.bin_counts, starts.empty() ? 0 : starts.back(), bin_counts);
    bring(ex, p.sizes, p.nodes, sizes);
    bring(ex, p.seeds, p.nodes, seeds);
    bring(ex, p.frozen, p.nodes, frozen);
    Team team(get_threads(), {});
    return run_on_host(p, r, team);
}

}  // namespace emfast::agglomerate
