// Flooding by a queue, with the pixels of scikit-image 0.26 (skimage.segmentation.watershed). Voxels are taken from a binary
// heap by (height, age), where a height is at least that of the voxel it was reached from, and age is the number of the push; a voxel taken hands its label on to its neighbours, faces first,
// then edges, then corners, each in raster order. Seeds enter first, in raster order and all of age 0: which of two equally high
// seeds comes first is decided by the heap's own moves, which are therefore these: a new item goes up while it is less than its
// parent; the last item, put at the top, goes down along the lesser child (the left one of equals) while that is less.
// With lines or compactness a voxel is labelled when it is taken, by the first that reaches it then, else when it is pushed.
#pragma once

#include <algorithm>
#include <cmath>
#include <functional>
#include <vector>

#include "seeds/seeds.h"

namespace emfast::seeds {
namespace {

struct Item {
    double height;
    int64_t age, voxel, source;
    bool operator<(const Item& other) const { return height != other.height ? height < other.height : age < other.age; }
};

class Heap {
  public:
    bool empty() const { return items_.empty(); }
    void push(const Item& item) {
        size_t at = items_.size();
        items_.push_back(item);
        for (; at > 0 && item < items_[(at - 1) / 2]; at = (at - 1) / 2) items_[at] = items_[(at - 1) / 2];
        items_[at] = item;
    }
    Item pop() {
        const Item first = items_.front(), last = items_.back();
        items_.pop_back();
        const size_t n = items_.size();
        if (n == 0) return first;
        size_t at = 0;
        for (size_t child = 1; child < n; child = 2 * at + 1) {
            if (child + 1 < n && items_[child + 1] < items_[child]) ++child;
            if (!(items_[child] < last)) break;
            items_[at] = items_[child];
            at = child;
        }
        items_[at] = last;
        return first;
    }

  private:
    std::vector<Item> items_;
};

template <class S>
void flood_in_queue(const Shape& shape, const double* height, const uint8_t* mask, const S* seeds, int axes,
                    double compactness, bool lines, const std::function<void()>& look_up, S* out) {
    const int64_t n = shape.voxels();
    const Field<uint8_t> all{shape, nullptr, nullptr, axes, shape.z == 1};
    std::vector<int> codes;
    for (int moves = 1; moves <= 3; ++moves)
        for (int code = 0; code < 27; ++code)
            if (all.counts(code) && (code / 9 != 1) + (code / 3 % 3 != 1) + (code % 3 != 1) == moves)
                codes.push_back(code);
    std::vector<uint8_t> open(n);  // inside the mask and no line
    Heap heap;
    for (int64_t i = 0; i < n; ++i) {
        open[i] = !mask || mask[i];
        out[i] = open[i] ? seeds[i] : S(0);
        if (out[i]) heap.push({height[i], 0, i, i});
    }
    const bool compact = compactness > 0;
    int64_t age = 1;
    for (int64_t taken = 0; !heap.empty(); ++taken) {
        if (taken % (1 << 20) == 0) look_up();
        const Item item = heap.pop();
        const Point p = point(shape, item.voxel);
        auto each_neighbour = [&](auto&& f) {
            for (int code : codes)
                if (const int64_t q = all.neighbour(item.voxel, p, code); q >= 0 && open[q]) f(q);
        };
        if (compact || lines) {
            if (out[item.voxel] && item.voxel != item.source) continue;
            bool on_line = !open[item.voxel];
            if (on_line && axes > 1) continue;  // it has handed on before; again and again would take for ever
            if (!compact && !on_line) {
                each_neighbour([&](int64_t q) { on_line |= out[q] && out[q] != out[item.source]; });
                if (on_line) open[item.voxel] = 0;
            }
            if (compact || !on_line) out[item.voxel] = out[item.source];
        }
        each_neighbour([&](int64_t q) {
            if (out[q]) return;
            Item next{height[q], ++age, q, item.source};
            if (compact) {
                const Point a = point(shape, q), b = point(shape, item.source);
                const double dz = static_cast<double>(a.z - b.z), dy = static_cast<double>(a.y - b.y),
                             dx = static_cast<double>(a.x - b.x);
                next.height += compactness * std::sqrt(dz * dz + dy * dy + dx * dx);
            } else if (!lines) {
                out[q] = out[item.voxel];
            }
            next.height = std::max(next.height, item.height);
            heap.push(next);
        });
    }
}

}  // namespace
}  // namespace emfast::seeds
