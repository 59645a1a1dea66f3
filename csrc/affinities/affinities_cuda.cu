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

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE)

}  // namespace emfast::affinities
