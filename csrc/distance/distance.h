// Exact Euclidean distances between voxel centres.
//
// transform   distance of every voxel to the nearest voxel of another label (labels are each other's background)
// nearest     flat index of the nearest voxel with label 0; ties go to the smallest index
// measure     the distances that belong to the indices of `nearest`
// barrier     distance of every foreground voxel to background and to the blocked faces of a voxel graph
// row_words, column_words, column_distances   transform axis by axis, for volumes that are cut into blocks
//
// All arithmetic is in integers. With spacings w_i * unit (w_i integers), the squared distance is unit^2 times the integer
// sum of weight_i * k_i^2, weight_i = w_i^2. The integer is exact, it becomes a float once, by Finish, and every executor
// gives the same bits. Axes are separable: along x the nearest change of label, then along y and z
//     d[p] = min over q of f[q] + weight * (p - q)^2        (Felzenszwalb & Huttenlocher 2012, Meijster et al. 2000)
// over the whole column, labels or not: where the label changes at distance u from p, `weight * u^2` is a candidate of its
// own, and whatever lies beyond costs at least as much. So the labels are read once, by the pass along x, which leaves
// behind in the top bits of every word whether the next voxel along y and along z has another label.
//
// Words are 32 bits wide and live in the output itself. Values saturate at `far`, which is exact for everything below it;
// where a result is saturated and the metric could go beyond, the transform is repeated with 64-bit words.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#include "core/exec.h"
#include "core/view.h"

namespace emfast::distance {

// weight 0 along z: the axis does not exist (a picture), so it has no border either.
struct Metric {
    uint64_t z, y, x;  // squared spacings in units of unit^2
    double unit;  // nanometres
    double unit_squared;

    // An upper bound of finite squared distances, as a double since it serves to choose the word only.
    double reach(const Shape& s) const {
        auto along = [](uint64_t weight, int64_t n) { return double(weight) * double(n) * double(n); };
        return along(z, s.z) + along(y, s.y) + along(x, s.x);
    }
};

struct Style {
    bool border = false;  // outside of the volume lies background: the first voxel inside is one spacing away
    bool with_sign = false;  // 0 is one more label, its distances are negative; else they are 0
    bool squared = false;
    float clip = std::numeric_limits<float>::infinity();  // distances beyond become this
    double tanh = 0;  // > 0: tanh(distance / this), after clipping
};

// The one place where an integer becomes a float, on every executor. Errors: squared distances of integer spacings are
// exact up to 2^53 and then rounded once to float; a distance has the double's sqrt and one product before that rounding.
struct Finish {
    double unit, unit_squared, tanh;
    float clip;
    bool squared;

    Finish(const Metric& metric, const Style& style)
        : unit(metric.unit),
          unit_squared(metric.unit_squared),
          tanh(style.tanh),
          clip(style.clip),
          squared(style.squared) {}

    EMFAST_HD float operator()(uint64_t d) const {
        const double exact = static_cast<double>(d);
        return shape(static_cast<float>(squared ? exact * unit_squared : std::sqrt(exact) * unit));
    }
    EMFAST_HD float infinite() const { return shape(std::numeric_limits<float>::infinity()); }

    // Clipping and tanh.
    EMFAST_HD float shape(float distance) const {
        const float clipped = distance < clip ? distance : clip;
        return tanh > 0 ? static_cast<float>(hyperbolic(static_cast<double>(clipped) / tanh)) : clipped;
    }

    // tanh(x) for x >= 0 within 1e-15, of + - * / alone: the libraries' own differ between host and device.
    EMFAST_HD static double hyperbolic(double x) {
        if (x > 20) return 1;
        if (x < 1e-3) return x * (1 - x * x * (1.0 / 3 - x * x * (2.0 / 15)));
        // e^(2x) = 2^n e^r with |r| <= ln 2 / 2
        const double n = static_cast<double>(static_cast<int>(2 * x * 1.4426950408889634 + 0.5));
        const double r = (2 * x - n * 0.693147180369123816490) - n * 1.90821492927058770002e-10;
        const double end =
            1.0 / 5040 +
            r * (1.0 / 40320 +
                 r * (1.0 / 362880 +
                      r * (1.0 / 3628800 + r * (1.0 / 39916800 + r * (1.0 / 479001600.0 + r * (1.0 / 6227020800.0))))));
        const double e =
            1 + r * (1 + r * (1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720 + r * end))))));
        const uint64_t bits = static_cast<uint64_t>(1023 + static_cast<int>(n)) << 52;
        double power;
        memcpy(&power, &bits, sizeof power);
        return 1 - 2 / (e * power + 1);
    }
};

template <class T>
void transform(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style, float* out);

// The same, one axis a call, with the words of distance_body.h (U: 32 or 64 bits) between them. What is given may be a part
// of a volume as long as it holds whole lines of the call's axis, x first, then y, then z; the last one gives distances.
// For row_words it must go one voxel beyond the lines wanted along y and z, where the volume does, to tell whether
// the label changes there. No finite squared distance of the volume may reach 2^29 - 1 where words have 32 bits. A picture
// ends with y.
template <class T, class U>
void row_words(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, const Style& style, U* out);

template <class U>
void column_words(Executor& ex, const U* words, const Shape& shape, const Metric& metric, bool border, U* out);  // y

// Along z, of a picture along y.
template <class U>
void column_distances(Executor& ex, const U* words, const Shape& shape, const Metric& metric, const Style& style,
                      float* out);

// -1 where the volume holds no background.
template <class T>
void nearest(Executor& ex, const T* labels, const Shape& shape, const Metric& metric, int64_t* out);

// Infinite where an index is negative.
void measure(Executor& ex, const int64_t* nearest, const Shape& shape, const Metric& metric, bool squared, float* out);

// Distances in a volume whose faces may be blocked: bit 2 k of a voxel's graph word is clear where its face towards
// the next voxel along axis k is blocked (the numbering of voxel_graph; bits of opposite directions are not looked at). Labels count as
// foreground or 0. A blocked face of a foreground voxel is background at half a spacing; a background voxel fills its cell
// up to the faces on its positive side; the border, where asked for, lies half a spacing away. So does `edt`.
// graph holds shape.voxels() words of graph_bytes bytes each. Scratch: 72 bytes per voxel.
template <class T>
void barrier(Executor& ex, const T* labels, const uint8_t* graph, int64_t graph_bytes, const Shape& shape,
             const Metric& metric, const Style& style, float* out);

}  // namespace emfast::distance
