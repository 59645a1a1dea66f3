#include "affinities/affinities_body.h"

namespace emfast::affinities {

template <class T, class Out>
void build(Executor& ex, View<const T> labels, const uint8_t* usable, const std::vector<Point>& offsets, Out one,
           Out* out, uint8_t* valid) {
    build_anywhere(ex, labels, usable, offsets, one, out, valid);
}

template <class T>
void boundaries(Executor& ex, View<const T> labels, int connectivity, bool inner, uint8_t* out) {
    boundaries_anywhere(ex, labels, connectivity, inner, out);
}

template <class T>
void within(Executor& ex, View<const T> labels, const uint8_t* mask, const std::vector<Point>& offsets,
            const Point& begin, const Shape& core, float* out, float* valid) {
    within_anywhere(ex, labels, mask, offsets, begin, core, out, valid);
}

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::affinities
