// MALIS the plain way, for comparison: what the public implementations do, written anew. All edges of the volume are listed
// and sorted by a comparison of what their numbers stand for, each voxel has a std::map of the labels in its set, and an
// edge goes through all pairs of entries of both maps.
#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <utility>
#include <vector>

namespace {

// By rank, with compressed paths.
struct Sets {
    std::vector<int64_t> parent, rank;
    explicit Sets(int64_t n) : parent(n), rank(n) { std::iota(parent.begin(), parent.end(), 0); }
    int64_t find(int64_t i) {
        int64_t root = i;
        while (parent[root] != root) root = parent[root];
        while (parent[i] != root) i = std::exchange(parent[i], root);
        return root;
    }
    void link(int64_t a, int64_t b) {
        if (rank[a] > rank[b]) std::swap(a, b);
        parent[a] = b;
        rank[b] += rank[a] == rank[b];
    }
};

}  // namespace

extern "C" void malis_pass(int64_t voxels, const uint64_t* labels, int64_t edges, const int64_t* from,
                           const int64_t* to, const float* weights, int positive, uint64_t* pairs) {
    Sets sets(voxels);
    std::vector<std::map<uint64_t, uint64_t>> overlap(voxels);
    for (int64_t i = 0; i < voxels; ++i)
        if (labels[i]) overlap[i].emplace(labels[i], 1);
    std::vector<int64_t> order;
    for (int64_t e = 0; e < edges; ++e)
        if (from[e] != to[e]) order.push_back(e);
    std::sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return weights[a] > weights[b]; });
    for (const int64_t e : order) {
        int64_t a = sets.find(from[e]), b = sets.find(to[e]);
        if (a == b) continue;
        sets.link(a, b);
        uint64_t count = 0;
        for (const auto& [label, n] : overlap[a])
            for (const auto& [other, m] : overlap[b])
                if ((label == other) == (positive != 0)) count += n * m;
        pairs[e] = count;
        if (sets.find(a) == a) std::swap(a, b);
        for (const auto& [label, n] : overlap[a]) overlap[b][label] += n;
        overlap[a].clear();
    }
}
