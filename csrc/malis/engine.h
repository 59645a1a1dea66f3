// Both passes on the host. Sets of voxels know how many voxels of each label they hold: most hold one label, which is
// kept beside the root; others have a table, and the smaller table goes into the larger.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <unordered_map>
#include <vector>

#include "core/check.h"
#include "core/union_find.h"
#include "malis/malis.h"

namespace emfast::malis {

class Sample {
  public:
    // Sample s of a graph whose arrays are on the host.
    Sample(const Graph& graph, int64_t s)
        : graph_(graph),
          voxels_(graph.shape.voxels()),
          affinities_(graph.affinities + s * graph.edges()),
          target_(graph.target + s * graph.edges()),
          known_(graph.known ? graph.known + s * graph.edges() : nullptr) {
        for (const Point& o : graph.offsets) steps_.push_back(graph.shape.index(o.z, o.y, o.x));
        for_edges([&](int64_t p, int64_t k, int64_t) {
            const int64_t at = k * voxels_ + p;
            const float a = affinities_[at];
            if (!(a >= 0.0f && a <= 1.0f)) refuse("affinities must be from 0 to 1, got ", a);
            surest_ = surest_ || (a == 1.0f && !(target_[at] && is_known(at)));
        });
        if (graph.labels) labels_.assign(graph.labels + s * voxels_, graph.labels + (s + 1) * voxels_);
        else label();
        sizes_.resize(voxels_ ? *std::max_element(labels_.begin(), labels_.end()) + size_t(1) : 1);
        for (const uint32_t l : labels_) ++sizes_[l];
    }

    // The pairs of one label, and of two.
    std::array<uint64_t, 2> all() const {
        const uint64_t counted = voxels_ - sizes_[0];
        uint64_t same = 0;
        for (size_t l = 1; l < sizes_.size(); ++l) same += sizes_[l] * (sizes_[l] - (sizes_[l] > 0)) / 2;
        return {same, counted * (counted - (counted > 0)) / 2 - same};
    }

    // The sum of what it writes.
    uint64_t pass(bool positive, uint64_t* pairs) const;

  private:
    // f(p, channel, q) for all edges inside, by id.
    template <class F>
    void for_edges(const F& f) const {
        const Shape& s = graph_.shape;
        const int64_t channels = graph_.channels();
        std::vector<int64_t> here;  // channels whose edges stay in the volume along z and y
        for (int64_t z = 0, p = 0; z < s.z; ++z)
            for (int64_t y = 0; y < s.y; ++y) {
                here.clear();
                for (int64_t k = 0; k < channels; ++k) {
                    const Point& o = graph_.offsets[k];
                    if (z + o.z >= 0 && z + o.z < s.z && y + o.y >= 0 && y + o.y < s.y) here.push_back(k);
                }
                for (int64_t x = 0; x < s.x; ++x, ++p)
                    for (const int64_t k : here) {
                        const int64_t other = x + graph_.offsets[k].x;
                        if (other >= 0 && other < s.x) f(p, k, p + steps_[k]);
                    }
            }
    }

    bool is_known(int64_t at) const { return !known_ || known_[at]; }

    void label() {
        std::vector<uint32_t> parent(voxels_);
        std::iota(parent.begin(), parent.end(), 0u);
        labels_.assign(voxels_, 0);
        for_edges([&](int64_t p, int64_t k, int64_t q) {
            const int64_t at = k * voxels_ + p;
            if (!target_[at] || !is_known(at)) return;
            unite(parent.data(), static_cast<uint32_t>(p), static_cast<uint32_t>(q));
            labels_[p] = labels_[q] = 1;
        });
        for (int64_t i = 0; i < voxels_; ++i)
            if (labels_[i]) labels_[i] = find(parent.data(), static_cast<uint32_t>(i)) + 1;
    }

    const Graph& graph_;
    const int64_t voxels_;
    const float* affinities_;
    const uint8_t* target_;
    const uint8_t* known_;
    std::vector<int64_t> steps_;
    std::vector<uint32_t> labels_;
    std::vector<uint64_t> sizes_;  // voxels by label
    bool surest_ = false;          // an edge that the target does not set to 1 is 1
};

// Sets of voxels with their labels.
class Sets {
  public:
    explicit Sets(const std::vector<uint32_t>& labels) : parent_(labels.size()), owners_(labels.size()) {
        std::iota(parent_.begin(), parent_.end(), 0u);
        for (size_t i = 0; i < labels.size(); ++i) owners_[i] = {labels[i], labels[i] ? 1u : 0u};
    }

    // Of which the voxels of a label are one, whose first is the label less one.
    Sets(const std::vector<uint32_t>& labels, const std::vector<uint64_t>& sizes) : Sets(labels) {
        for (size_t i = 0; i < labels.size(); ++i)
            if (labels[i]) parent_[i] = labels[i] - 1;
        for (size_t l = 1; l < sizes.size(); ++l)
            if (sizes[l]) owners_[l - 1].count = static_cast<uint32_t>(sizes[l]);
    }

    struct Sides {
        uint32_t a, b;
    };
    // The roots of two voxels, smaller first; equal numbers if they are of one set.
    Sides sides(int64_t p, int64_t q) {
        if (parent_[p] == parent_[q]) return {0, 0};
        const uint32_t a = find(parent_.data(), static_cast<uint32_t>(p));
        const uint32_t b = find(parent_.data(), static_cast<uint32_t>(q));
        return {std::min(a, b), std::max(a, b)};
    }

    // Pairs of a voxel on either side: of one label, or of two.
    uint64_t between(const Sides& s, bool of_one) const {
        const uint64_t same = of_one_label(owners_[s.a], owners_[s.b]);
        return of_one ? same : voxels(owners_[s.a]) * voxels(owners_[s.b]) - same;
    }

    void join(const Sides& s) {
        parent_[s.b] = s.a;
        owners_[s.a] = joined(owners_[s.a], owners_[s.b]);
    }

  private:
    // A set of one label and so many voxels of it (label 0 and none: it holds nothing that counts); or, with `several`,
    // the number of its table.
    struct Owner {
        uint32_t label, count;
    };
    static constexpr uint32_t several = ~0u;
    struct Counts {
        uint64_t voxels = 0;
        std::unordered_map<uint32_t, uint32_t> of;
    };

    uint64_t voxels(const Owner& o) const { return o.label == several ? tables_[o.count].voxels : o.count; }

    uint64_t of_one_label(const Owner& a, const Owner& b) const {
        if (a.label != several && b.label != several) return a.label == b.label ? uint64_t(a.count) * b.count : 0;
        if (a.label != several) return of_one_label(b, a);
        const auto& large = tables_[a.count].of;
        if (b.label != several) return found(large, b.label) * b.count;
        const auto& small = tables_[b.count].of;
        if (small.size() > large.size()) return of_one_label(b, a);
        uint64_t sum = 0;
        for (const auto& [label, count] : small) sum += found(large, label) * count;
        return sum;
    }

    static uint64_t found(const std::unordered_map<uint32_t, uint32_t>& counts, uint32_t label) {
        const auto it = counts.find(label);
        return it == counts.end() ? 0 : it->second;
    }

    Owner joined(Owner a, Owner b) {
        if (b.label == 0) return a;
        if (a.label == 0) return b;
        if (a.label == b.label && a.label != several) return {a.label, a.count + b.count};
        if (a.label != several) std::swap(a, b);
        if (a.label != several) {
            tables_.emplace_back();
            add(tables_.back(), a.label, a.count);
            a = {several, static_cast<uint32_t>(tables_.size() - 1)};
        }
        if (b.label != several) {
            add(tables_[a.count], b.label, b.count);
            return a;
        }
        if (tables_[b.count].of.size() > tables_[a.count].of.size()) std::swap(a, b);
        for (const auto& [label, count] : tables_[b.count].of) add(tables_[a.count], label, count);
        tables_[b.count] = {};
        return a;
    }

    static void add(Counts& table, uint32_t label, uint32_t count) {
        table.of[label] += count;
        table.voxels += count;
    }

    std::vector<uint32_t> parent_;
    std::vector<Owner> owners_;
    std::vector<Counts> tables_;
};

// Ascending by key, stable: three digits of 11 bits.
inline void sort(std::vector<uint32_t>& keys, std::vector<uint32_t>& values) {
    std::vector<uint32_t> other_keys(keys.size()), other_values(keys.size());
    for (int shift = 0; shift < 32; shift += 11) {
        std::array<uint32_t, 2048> place{};
        for (const uint32_t key : keys) ++place[(key >> shift) & 2047];
        std::exclusive_scan(place.begin(), place.end(), place.begin(), 0u);
        for (size_t i = 0; i < keys.size(); ++i) {
            const uint32_t at = place[(keys[i] >> shift) & 2047]++;
            other_keys[at] = keys[i];
            other_values[at] = values[i];
        }
        keys.swap(other_keys);
        values.swap(other_values);
    }
}

inline uint64_t Sample::pass(bool positive, uint64_t* pairs) const {
    const int64_t channels = graph_.channels();
    // Parts that the target connects are there before any edge that counts, unless one is as sure as those.
    const bool from_labels = !positive && !graph_.labels && !surest_;
    Sets sets = from_labels ? Sets(labels_, sizes_) : Sets(labels_);
    uint64_t sum = 0;
    auto counts = [&](int64_t at) { return (target_[at] != 0) == positive && is_known(at); };
    auto visit = [&](int64_t p, int64_t k, int64_t q) {
        const auto sides = sets.sides(p, q);
        if (sides.a == sides.b) return;
        const int64_t at = k * voxels_ + p;
        if (counts(at)) sum += pairs[at] = sets.between(sides, positive);
        sets.join(sides);
    };
    // Edges whose affinity the target sets have one value, 0 or 1, that no edge is beyond: they come last or first,
    // among others of that value, and need no sorting. Last ones decide nothing that counts, unless one of the others
    // may count.
    const float set = positive ? 0.0f : 1.0f;
    auto is_set = [&](int64_t at) {
        return affinities_[at] == set || ((target_[at] == 0) == positive && is_known(at));
    };
    auto visit_set = [&] {
        for_edges([&](int64_t p, int64_t k, int64_t q) {
            if (is_set(k * voxels_ + p)) visit(p, k, q);
        });
    };
    if (!positive && !from_labels) visit_set();
    bool last_counts = false;
    std::vector<uint32_t> keys, ids;
    for_edges([&](int64_t p, int64_t k, int64_t) {
        const int64_t at = k * voxels_ + p;
        if (is_set(at)) {
            last_counts = last_counts || counts(at);
            return;
        }
        const float a = affinities_[at] + 0.0f;  // -0 is 0
        uint32_t bits;
        std::memcpy(&bits, &a, sizeof bits);
        keys.push_back(~bits);
        ids.push_back(static_cast<uint32_t>(p * channels + k));
    });
    sort(keys, ids);
    for (const uint32_t id : ids) {
        const int64_t p = id / channels, k = id % channels;
        visit(p, k, p + steps_[k]);
    }
    if (positive && last_counts) visit_set();
    return sum;
}

// run(n, f) does f(i) for i < n, in any order, several at once.
template <class Run>
void count_on_host(const Graph& graph, uint64_t* pairs, uint64_t* sums, const Run& run) {
    std::fill(pairs, pairs + graph.samples * graph.edges(), uint64_t(0));
    std::vector<std::unique_ptr<const Sample>> samples(graph.samples);
    run(graph.samples, [&](int64_t s) {
        samples[s] = std::make_unique<const Sample>(graph, s);
        const auto all = samples[s]->all();
        std::copy(all.begin(), all.end(), sums + 4 * s);
    });
    run(2 * graph.samples, [&](int64_t i) {
        const int64_t s = i / 2;
        sums[4 * s + 2 + i % 2] = samples[s]->pass(i % 2 == 0, pairs + s * graph.edges());
    });
}

}  // namespace emfast::malis
