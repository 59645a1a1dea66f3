// One component as a graph: its runs along x, each with the place of the first run that may touch it in the eight rows
// around. Nodes are the voxels, numbered in C order.
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "core/view.h"

namespace emfast::skeleton {

struct Span {
    int64_t begin, length;  // flat indices of voxels in one row
};

// Lengths of steps, by how many axes they move along: 4 z + 2 y + x.
struct Steps {
    std::array<int64_t, 8> length{};
    double unit;

    Steps(double z, double y, double x) : unit(std::max({z, y, x}) / 1024) {
        for (int k = 1; k < 8; ++k) {
            const double sz = k & 4 ? z : 0, sy = k & 2 ? y : 0, sx = k & 1 ? x : 0;
            length[k] = std::max<int64_t>(1, std::llrint(std::sqrt(sz * sz + sy * sy + sx * sx) / unit));
        }
    }
};

class Grid {
  public:
    void build(const Span* spans, int64_t count, const Shape& shape) {
        const int64_t width = shape.y + 2;  // rows of neighbouring sections do not touch
        runs_.clear();
        uint32_t node = 0;
        for (int64_t k = 0; k < count; ++k) {
            const int64_t row = spans[k].begin / shape.x, first = spans[k].begin - row * shape.x;
            const int64_t at = row / shape.y * width + row % shape.y + 1;
            runs_.push_back({at, first, first + spans[k].length - 1, spans[k].begin, node, {}});
            node += static_cast<uint32_t>(spans[k].length);
        }
        runs_.push_back({std::numeric_limits<int64_t>::max(), 0, 0, 0, node, {}});
        run_of_.resize(node);
        for (uint32_t r = 0; r < count; ++r) std::fill_n(run_of_.begin() + runs_[r].node, spans[r].length, r);
        for (int k = 0; k < 8; ++k) {
            const int at = k < 4 ? k : k + 1;
            const int64_t dz = at / 3 - 1, dy = at % 3 - 1;
            around_[k] = {dz * width + dy, (dz ? 4 : 0) + (dy ? 2 : 0)};
            uint32_t to = 0;
            for (int64_t r = 0; r < count; ++r) {
                const int64_t row = runs_[r].row + around_[k].row, x = runs_[r].first - 1;
                while (runs_[to].row < row || (runs_[to].row == row && runs_[to].last < x)) ++to;
                runs_[r].near[k] = to;
            }
        }
    }

    int64_t size() const { return static_cast<int64_t>(run_of_.size()); }

    int64_t voxel(uint32_t node) const {
        const Run& run = runs_[run_of_[node]];
        return run.begin + (node - run.node);
    }

    // The node of a voxel of the component.
    uint32_t node(int64_t voxel) const {
        const auto after = std::upper_bound(runs_.begin(), runs_.end() - 1, voxel,
                                            [](int64_t at, const Run& run) { return at < run.begin; });
        const Run& run = *(after - 1);
        return run.node + static_cast<uint32_t>(voxel - run.begin);
    }

    // f(neighbour, kind of step) for every neighbour.
    template <class F>
    void neighbours(uint32_t node, F&& f) const {
        const Run& run = runs_[run_of_[node]];
        const int64_t x = run.first + (node - run.node);
        if (x > run.first) f(node - 1, 1);
        if (x < run.last) f(node + 1, 1);
        for (int k = 0; k < 8; ++k) {
            const int64_t row = run.row + around_[k].row;
            const Run* other = &runs_[run.near[k]];
            const int kind = around_[k].kind;
            if (other->row == row && other->first < x && other->last > x) {  // the common case, without a loop
                const uint32_t middle = other->node + static_cast<uint32_t>(x - other->first);
                f(middle - 1, kind + 1);
                f(middle, kind);
                f(middle + 1, kind + 1);
                continue;
            }
            for (; other->row == row && other->first <= x + 1; ++other) {
                const int64_t end = std::min(x + 1, other->last);
                for (int64_t at = std::max(x - 1, other->first); at <= end; ++at)
                    f(static_cast<uint32_t>(other->node + (at - other->first)), kind + (at != x));
            }
        }
    }

  private:
    struct Run {
        int64_t row, first, last, begin;
        uint32_t node;
        uint32_t near[8];
    };
    struct Around {
        int64_t row;
        int kind;
    };

    std::vector<Run> runs_;
    std::vector<uint32_t> run_of_;
    std::array<Around, 8> around_{};
};

}  // namespace emfast::skeleton
