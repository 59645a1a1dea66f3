// The host sibling takes one object after another, and the window axis by axis: three sums along x from the runs of a row,
// six along y of those, ten along z of these. Sums are doubles that hold whole numbers below 2^53, so the order of
// additions does not matter, and what is 0 can be left out.
#include <algorithm>
#include <cstring>

#include "core/isa.h"
#include "descriptors/descriptors_body.h"

namespace emfast::descriptors {
namespace {

struct Run {
    int32_t z, y, begin, end;
};

// Eight columns at a time, whose sums stay in registers.
constexpr int64_t block = 8;
using Block = double __attribute__((vector_size(block * sizeof(double))));

EMFAST_INLINE void load(const double* from, Block& to) { std::memcpy(&to, from, sizeof to); }

// The weights of rows and what they are times: count of them, their powers 0, 1 and 2 of the distance.
struct Weights {
    const double* of[3];
};

// The six planes of a row of n columns, powers (y, x) 00, 10, 01, 20, 11, 02: the sums over rows, with three planes each at planes[k] + row * width, of which
// only those with filled[row] hold anything. n is rounded up to whole blocks.
[[maybe_unused]] EMFAST_CLONES void sum_rows(const double* const* planes, int64_t width, const uint8_t* filled,
                                             const Weights& weights, int64_t rows, int64_t n, double* const* out) {
    for (int64_t x = 0; x < n; x += block) {
        Block sum[6] = {};
        for (int64_t j = 0; j < rows; ++j) {
            if (!filled[j]) continue;
            Block a, b, c;
            load(planes[0] + j * width + x, a);
            load(planes[1] + j * width + x, b);
            load(planes[2] + j * width + x, c);
            const double w0 = weights.of[0][j], w1 = weights.of[1][j], w2 = weights.of[2][j];
            sum[0] += w0 * a;
            sum[1] += w1 * a;
            sum[2] += w0 * b;
            sum[3] += w2 * a;
            sum[4] += w1 * b;
            sum[5] += w0 * c;
        }
        for (int k = 0; k < 6; ++k) std::memcpy(out[k] + x, &sum[k], sizeof sum[k]);
    }
}

// The ten sums of n columns over sections, whose first planes are at from[j] and whose others each `step` further; out has
// `wide` columns for each sum, n rounded up to whole blocks. In two halves, for want of registers.
[[maybe_unused]] EMFAST_CLONES void sum_sections(const double* const* from, int64_t step, const Weights& weights,
                                                 int64_t sections, int64_t n, int64_t wide, double* out) {
    for (int64_t x = 0; x < n; x += block) {
        Block half[5] = {}, rest[5] = {};
        for (int64_t j = 0; j < sections; ++j) {
            Block a, b;
            load(from[j] + x, a);
            load(from[j] + step + x, b);
            const double w0 = weights.of[0][j], w1 = weights.of[1][j], w2 = weights.of[2][j];
            half[0] += w0 * a;  // 1
            half[1] += w1 * a;  // z
            half[2] += w2 * a;  // zz
            half[3] += w0 * b;  // y
            half[4] += w1 * b;  // zy
        }
        for (int64_t j = 0; j < sections; ++j) {
            Block a, b, c, d;
            load(from[j] + 2 * step + x, a);
            load(from[j] + 3 * step + x, b);
            load(from[j] + 4 * step + x, c);
            load(from[j] + 5 * step + x, d);
            const double w0 = weights.of[0][j], w1 = weights.of[1][j];
            rest[0] += w0 * a;  // x
            rest[1] += w1 * a;  // zx
            rest[2] += w0 * b;  // yy
            rest[3] += w0 * c;  // yx
            rest[4] += w0 * d;  // xx
        }
        const Block* sum[sums] = {&half[0], &half[1], &half[3], &rest[0], &half[2],
                                  &rest[2], &rest[4], &half[4], &rest[1], &rest[3]};
        for (int k = 0; k < sums; ++k) std::memcpy(out + k * wide + x, sum[k], sizeof *sum[k]);
    }
}

// out[x] += high[-x] - low[-x]
[[maybe_unused]] EMFAST_CLONES void add_run(const double* high, const double* low, int64_t n, double* out) {
    for (int64_t x = 0; x < n; ++x) out[x] += high[-x] - low[-x];
}

// One row of weights and its products with the distance and the square of that, by distance from the middle.
struct Row {
    int64_t radius;
    std::array<std::vector<double>, 3> by_power;

    explicit Row(const std::vector<int64_t>& weights) : radius(static_cast<int64_t>(weights.size()) / 2) {
        for (int64_t d = -radius; d <= radius; ++d) {
            const double w = static_cast<double>(weights[d + radius]);
            by_power[0].push_back(w);
            by_power[1].push_back(w * d);
            by_power[2].push_back(w * d * d);
        }
    }
    double operator()(int power, int64_t d) const { return by_power[power][d + radius]; }
};

// Sums of a row of weights below distance t, for -reach <= t <= reach.
struct Prefix {
    int64_t reach;
    std::array<std::vector<double>, 3> by_power;

    Prefix(const Row& row, int64_t reach) : reach(reach) {
        for (int power = 0; power < 3; ++power) {
            double sum = 0;
            for (int64_t t = -reach; t <= reach; ++t) {
                by_power[power].push_back(sum);
                if (t >= -row.radius && t <= row.radius) sum += row(power, t);
            }
        }
    }
    const double* at(int power, int64_t t) const { return by_power[power].data() + t + reach; }
};

class Object {
  public:
    Object(const Run* first, const Run* last, const Row& wz, const Row& wy, const Prefix& px)
        : first_(first), last_(last), wz_(wz), wy_(wy), px_(px) {
        z0_ = first->z;
        z1_ = (last - 1)->z + 1;
        for (const Run* r = first; r != last; ++r) {
            y0_ = std::min(y0_, r->y);
            y1_ = std::max(y1_, r->y + 1);
            x0_ = std::min(x0_, r->begin);
            x1_ = std::max(x1_, r->end);
        }
        width_ = x1_ - x0_ + block;  // room for the last block
        height_ = y1_ - y0_;
        from_.assign(height_, x1_);
        to_.assign(height_, x0_);
        for (const Run* r = first; r != last; ++r) {
            from_[r->y - y0_] = std::min(from_[r->y - y0_], r->begin);
            to_[r->y - y0_] = std::max(to_[r->y - y0_], r->end);
        }
        ring_ = std::min<int64_t>(2 * wz.radius + 1, z1_ - z0_);
        planes_.resize(ring_ * 6 * height_ * width_);
        rows_.resize(3 * height_ * width_);
    }

    void describe(View<const uint32_t> labels, const Finish& finish) {
        const Run* next = first_;  // whose section is not in the ring yet
        const Run* write = first_;  // whose voxels are not described yet
        for (int64_t z = z0_, filled = z0_; z < z1_; ++z) {
            for (; filled < std::min<int64_t>(z1_, z + wz_.radius + 1); ++filled) {
                const Run* end = next;
                while (end != last_ && end->z == filled) ++end;
                fill(next, end, plane(filled, 0));
                next = end;
            }
            for (; write != last_ && write->z == z; ++write) put(*write, labels.shape, finish);
        }
    }

  private:
    double* plane(int64_t z, int k) { return planes_.data() + ((z - z0_) % ring_ * 6 + k) * height_ * width_; }

    // The six planes of a section.
    void fill(const Run* begin, const Run* end, double* to) {
        std::fill(to, to + 6 * height_ * width_, 0.0);
        std::fill(rows_.begin(), rows_.end(), 0.0);
        std::vector<uint8_t> filled(height_, 0);
        for (const Run* r = begin; r != end; ++r) {
            filled[r->y - y0_] = 1;
            for (int power = 0; power < 3; ++power)
                add_run(px_.at(power, r->end - x0_), px_.at(power, r->begin - x0_), x1_ - x0_, row(power, r->y - y0_));
        }
        for (int64_t y = 0; y < height_; ++y) {
            const int64_t x = from_[y] - x0_, n = to_[y] - from_[y];
            if (n <= 0) continue;
            const int64_t low = std::max<int64_t>(0, y - wy_.radius), high = std::min(height_, y + wy_.radius + 1);
            const double* in[3];
            double* out[6];
            Weights weights;
            for (int k = 0; k < 3; ++k) {
                in[k] = row(k, low) + x;
                weights.of[k] = wy_.by_power[k].data() + wy_.radius + low - y;
            }
            for (int k = 0; k < 6; ++k) out[k] = to + (k * height_ + y) * width_ + x;
            sum_rows(in, width_, filled.data() + low, weights, high - low, n, out);
        }
    }

    double* row(int power, int64_t y) { return rows_.data() + (power * height_ + y) * width_; }

    void put(const Run& r, const Shape& shape, const Finish& finish) {
        const int64_t n = r.end - r.begin, at = (r.y - y0_) * width_ + r.begin - x0_;
        const int64_t wide = n + block;
        line_.resize(std::max<size_t>(line_.size(), sums * wide));
        const int64_t low = std::max<int64_t>(z0_, r.z - wz_.radius),
                      high = std::min<int64_t>(z1_, r.z + wz_.radius + 1);
        from_planes_.clear();
        for (int64_t z = low; z < high; ++z) from_planes_.push_back(plane(z, 0) + at);
        Weights weights;
        for (int k = 0; k < 3; ++k) weights.of[k] = wz_.by_power[k].data() + wz_.radius + low - r.z;
        sum_sections(from_planes_.data(), height_ * width_, weights, high - low, n, wide, line_.data());
        double sum[sums];
        for (int64_t x = 0; x < n; ++x) {
            for (int k = 0; k < sums; ++k) sum[k] = line_[k * wide + x];
            finish(sum, shape.index(r.z, r.y, r.begin + x));
        }
    }

    const Run *first_, *last_;
    const Row &wz_, &wy_;
    const Prefix& px_;
    int32_t z0_ = 0, z1_ = 0, y0_ = INT32_MAX, y1_ = 0, x0_ = INT32_MAX, x1_ = 0;
    int64_t width_ = 0, height_ = 0, ring_ = 0;
    std::vector<int32_t> from_, to_;  // by y: where voxels of the object lie in any section
    std::vector<double> planes_, rows_, line_;
    std::vector<const double*> from_planes_;
};

// The runs of each object, objects one after another; starts has one more.
std::vector<Run> runs_of(View<const uint32_t> labels, int64_t count, std::vector<int64_t>& starts) {
    const Shape s = labels.shape;
    auto each = [&](const auto& f) {
        for (int64_t r = 0; r < s.rows(); ++r) {
            const uint32_t* row = labels.row(r);
            for (int64_t x = 0; x < s.x;) {
                const int64_t begin = x;
                while (x < s.x && row[x] == row[begin]) ++x;
                if (row[begin]) f(row[begin], r, begin, x);
            }
        }
    };
    starts.assign(count + 2, 0);
    each([&](uint32_t label, int64_t, int64_t, int64_t) { ++starts[label + 1]; });
    for (int64_t k = 1; k < count + 2; ++k) starts[k] += starts[k - 1];
    std::vector<Run> runs(starts.back());
    auto place = starts;
    each([&](uint32_t label, int64_t r, int64_t begin, int64_t end) {
        runs[place[label]++] = {static_cast<int32_t>(r / s.y), static_cast<int32_t>(r % s.y),
                                static_cast<int32_t>(begin), static_cast<int32_t>(end)};
    });
    return runs;
}

}  // namespace

void describe(Executor& ex, View<const uint32_t> labels, int64_t count, const Window& window, float* out) {
    if constexpr (scrambled) return describe_anywhere(ex, labels, window, out);
    ex.fill(out, labels.size() * window.channels(), 0.0f);
    std::vector<int64_t> starts;
    const std::vector<Run> runs = runs_of(labels, count, starts);
    const Row wz(window.weights[0]), wy(window.weights[1]), wx(window.weights[2]);
    const Prefix px(wx, std::max(labels.shape.x, wx.radius) + 1);
    const Finish finish = finish_of(window, labels.size(), out);
    ex.for_chunks(count, 1, [&](int64_t begin, int64_t end, int) {
        for (int64_t k = begin; k < end; ++k)
            if (starts[k + 1] < starts[k + 2])
                Object(&runs[starts[k + 1]], runs.data() + starts[k + 2], wz, wy, px).describe(labels, finish);
    });
}

}  // namespace emfast::descriptors
