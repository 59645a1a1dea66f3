// The search, on the host. See skeleton.h.
#pragma once

#include <algorithm>
#include <numeric>

#include "core/check.h"
#include "skeleton/grid.h"
#include "skeleton/queue.h"
#include "skeleton/skeleton.h"

namespace emfast::skeleton {

struct Tree {
    std::vector<int64_t> voxels, parents;
    std::vector<float> radii;
};

// The work on one component at a time; memory stays from one to the next.
class Search {
  public:
    Search(const Objects& objects, const Rules& rules)
        : objects_(objects), rules_(rules), steps_(rules.z, rules.y, rules.x) {}

    Tree run(const Span* spans, int64_t count, const std::vector<int64_t>& ends) {
        grid_.build(spans, count, objects_.shape);
        rate();
        from_root(ends.empty() ? farthest() : grid_.node(ends.front()));
        tree_.clear();
        parents_.clear();
        place_.assign(grid_.size(), none);
        add(order_.front(), -1);
        left_.assign(grid_.size(), -1);
        distance_.assign(grid_.size(), far);
        const auto lead_to = [&](uint32_t node) {
            const size_t old = tree_.size() == 1 ? 0 : tree_.size();
            grow(node);
            cover(old);
        };
        for (const int64_t end : ends)
            if (const uint32_t node = grid_.node(end); place_[node] == none) lead_to(node);
        for (auto node = order_.rbegin(); node != order_.rend(); ++node)
            if (left_[*node] < 0) lead_to(*node);
        Tree tree{{}, parents_, {}};
        for (const uint32_t node : tree_) {
            tree.voxels.push_back(grid_.voxel(node));
            tree.radii.push_back(objects_.radii[tree.voxels.back()]);
        }
        return tree;
    }

  private:
    static constexpr int64_t far = std::numeric_limits<int64_t>::max();
    static constexpr uint32_t none = std::numeric_limits<uint32_t>::max();

    float radius(uint32_t node) const { return objects_.radii[grid_.voxel(node)]; }

    // f of every node, at least 1.
    void rate() {
        rates_.resize(grid_.size());
        float most = 0;
        for (uint32_t node = 0; node < rates_.size(); ++node) most = std::max(most, radius(node));
        for (uint32_t node = 0; node < rates_.size(); ++node) {
            const double depth = 1 - static_cast<double>(radius(node)) / static_cast<double>(most);
            double power = 1;
            for (int k = 0; k < rules_.exponent; ++k) power *= depth;
            rates_[node] = 1 + static_cast<uint32_t>(std::llrint(rules_.penalty * power));
        }
    }

    // Distances from one node along steps; order_ lists the nodes by them.
    void spread(uint32_t from) {
        distance_.assign(grid_.size(), far);
        order_.clear();
        queue_.clear();
        distance_[from] = 0;
        queue_.push(0, from);
        while (!queue_.empty()) {
            const auto [key, node] = queue_.pop();
            if (key != distance_[node]) continue;
            order_.push_back(node);
            grid_.neighbours(node, [&](uint32_t to, int kind) { lower(to, key + steps_.length[kind]); });
        }
    }

    // The node farthest from the first one; of equally far ones the first.
    uint32_t farthest() {
        spread(0);
        uint32_t root = order_.back();
        for (auto node = order_.rbegin(); node != order_.rend() && distance_[*node] == distance_[root]; ++node)
            root = std::min(root, *node);
        return root;
    }

    // Nodes by their distance from the root; of equally far ones the first comes last.
    void from_root(uint32_t root) {
        spread(root);
        for (size_t begin = 0, end; begin < order_.size(); begin = end) {
            for (end = begin + 1; end < order_.size() && distance_[order_[end]] == distance_[order_[begin]];) ++end;
            std::sort(order_.begin() + begin, order_.begin() + end, std::greater<>());
        }
    }

    void lower(uint32_t node, int64_t key) {
        if (key >= distance_[node]) return;
        distance_[node] = key;
        queue_.push(key, node);
    }

    int64_t cost(uint32_t a, uint32_t b, int kind) const {
        return steps_.length[kind] * (int64_t(rates_[a]) + rates_[b]);
    }

    // The cheapest path between a node and the tree. distance_ is far everywhere before and after.
    void grow(uint32_t tip) {
        queue_.clear();
        touched_.clear();
        reach(tip, 0);
        int64_t limit = far;
        uint32_t join = none;
        while (!queue_.empty()) {
            const auto [key, node] = queue_.pop();
            if (key > limit) break;
            if (key != distance_[node]) continue;
            if (place_[node] != none) {
                limit = key;
                join = std::min(join, node);
                continue;
            }
            grid_.neighbours(node, [&](uint32_t to, int kind) { reach(to, key + cost(node, to, kind)); });
        }
        for (uint32_t node = join; node != tip;) {
            uint32_t next = none;
            grid_.neighbours(node, [&](uint32_t to, int kind) {
                if (distance_[to] != far && distance_[to] + cost(node, to, kind) == distance_[node])
                    next = std::min(next, to);
            });
            add(next, place_[node]);
            node = next;
        }
        for (const uint32_t node : touched_) distance_[node] = far;
    }

    void reach(uint32_t node, int64_t key) {
        if (distance_[node] == far) touched_.push_back(node);
        lower(node, key);
    }

    void add(uint32_t node, int64_t parent) {
        place_[node] = static_cast<uint32_t>(tree_.size());
        tree_.push_back(node);
        parents_.push_back(parent);
    }

    // left_ is how far covering may still go on from a node, -1 where nothing covers it.
    void cover(size_t from) {
        int64_t most = 0;
        for (size_t k = from; k < tree_.size(); ++k) most = std::max(most, reach_of(tree_[k]));
        queue_.clear();
        auto raise = [&](uint32_t node, int64_t left) {
            if (left <= left_[node]) return;
            left_[node] = left;
            queue_.push(most - left, node);
        };
        for (size_t k = from; k < tree_.size(); ++k) raise(tree_[k], reach_of(tree_[k]));
        while (!queue_.empty()) {
            const auto [key, node] = queue_.pop();
            if (most - key != left_[node]) continue;
            grid_.neighbours(node, [&](uint32_t to, int kind) { raise(to, most - key - steps_.length[kind]); });
        }
    }

    int64_t reach_of(uint32_t node) const {
        const double nm = rules_.scale * static_cast<double>(radius(node)) + rules_.constant;
        return std::llrint(std::min(nm / steps_.unit, 0x1p40));
    }

    const Objects objects_;
    const Rules rules_;
    const Steps steps_;
    Grid grid_;
    Queue queue_;
    std::vector<uint32_t> rates_, order_, place_, tree_, touched_;
    std::vector<int64_t> distance_, left_, parents_;
};

// The runs of all components along x, one component after another.
struct Spans {
    std::vector<Span> spans;
    std::vector<int64_t> starts, voxels;  // of component k + 1; starts has one more
};

template <class F>
void each_span(const Objects& objects, F&& f) {
    const Shape& s = objects.shape;
    for (int64_t row = 0; row < s.rows(); ++row) {
        const uint32_t* labels = objects.components + row * s.x;
        for (int64_t x = 0, end; x < s.x; x = end) {
            for (end = x + 1; end < s.x && labels[end] == labels[x];) ++end;
            if (labels[x]) f(static_cast<int64_t>(labels[x]) - 1, Span{row * s.x + x, end - x});
        }
    }
}

inline Spans spans_of(const Objects& objects) {
    Spans out;
    out.starts.assign(objects.count + 1, 0);
    out.voxels.assign(objects.count, 0);
    each_span(objects, [&](int64_t k, const Span& span) {
        ++out.starts[k];
        out.voxels[k] += span.length;
    });
    std::exclusive_scan(out.starts.begin(), out.starts.end(), out.starts.begin(), int64_t(0));
    out.spans.resize(out.starts.back());
    std::vector<int64_t> next(out.starts.begin(), out.starts.end() - 1);
    each_span(objects, [&](int64_t k, const Span& span) { out.spans[next[k]++] = span; });
    return out;
}

// share(n, f) calls f(begin, end, worker) over pieces of [0, n), by at most so many workers.
template <class Share>
Trees run_on_host(const Objects& objects, const Rules& rules, int workers, const Share& share) {
    const Spans all = spans_of(objects);
    std::vector<int64_t> work;  // the largest first, so that no thread is left with it at the end
    for (int64_t k = 0; k < objects.count; ++k) {
        if (all.voxels[k] >= (int64_t(1) << 32) - 1)
            refuse("labels must have fewer than 2**32 - 1 voxels in one object, got ", all.voxels[k]);
        if (all.voxels[k] >= rules.dust) work.push_back(k);
    }
    std::stable_sort(work.begin(), work.end(), [&](int64_t a, int64_t b) { return all.voxels[a] > all.voxels[b]; });
    std::vector<std::vector<int64_t>> ends(objects.count);
    if (objects.ends)
        for (const int64_t end : *objects.ends) ends[objects.components[end] - 1].push_back(end);
    std::vector<Tree> found(objects.count);
    std::vector<Search> searches(workers, Search(objects, rules));
    share(static_cast<int64_t>(work.size()), [&](int64_t begin, int64_t end, int worker) {
        for (int64_t i = begin; i < end; ++i) {
            const int64_t k = work[i], first = all.starts[k];
            found[k] = searches[worker].run(&all.spans[first], all.starts[k + 1] - first, ends[k]);
        }
    });
    Trees out;
    out.starts.push_back(0);
    for (int64_t k = 0; k < objects.count; ++k) {
        const Tree& tree = found[k];
        if (tree.voxels.empty()) continue;
        const int64_t first = out.starts.back();
        for (const int64_t parent : tree.parents) out.parents.push_back(parent < 0 ? -1 : first + parent);
        out.voxels.insert(out.voxels.end(), tree.voxels.begin(), tree.voxels.end());
        out.radii.insert(out.radii.end(), tree.radii.begin(), tree.radii.end());
        out.components.push_back(static_cast<uint32_t>(k + 1));
        out.starts.push_back(first + static_cast<int64_t>(tree.voxels.size()));
    }
    return out;
}

}  // namespace emfast::skeleton
