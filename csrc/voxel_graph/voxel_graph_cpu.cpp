// The host sibling: rows are compared with their neighbouring rows a direction at a time, in loops that compilers
// vectorise; the components are found in raster order with the union-find of one thread per slab, seams last.
#include <algorithm>

#include "core/dtypes.h"
#include "core/isa.h"
#include "voxel_graph/voxel_graph_body.h"

namespace emfast::voxel_graph {
namespace {

template <class T, class G>
EMFAST_INLINE void or_equal(const T* a, const T* b, int64_t n, G bit, G* out) {
    for (int64_t i = 0; i < n; ++i) out[i] |= a[i] == b[i] ? bit : G(0);
}

// Plain functions, so that each can be compiled for several instruction sets. _emu has no use for them.
#define EMFAST_ROW(T, G)                                                                              \
    [[maybe_unused]] EMFAST_CLONES void set_equal(const T* a, const T* b, int64_t n, G bit, G* out) { \
        or_equal(a, b, n, bit, out);                                                                  \
    }
#define EMFAST_ROWS(T) EMFAST_ROW(T, uint8_t) EMFAST_ROW(T, uint32_t)
EMFAST_FOR_WIDTHS(EMFAST_ROWS)

template <class T, class G>
void build_rows(Executor& ex, View<const T> labels, int connectivity, G* graph) {
    const Shape s = labels.shape;
    const bool picture = connectivity == 4 || connectivity == 8;
    if (labels.size() == 0) return;
    ex.for_chunks(s.rows(), ex.grain(s.rows(), (1 << 15) / s.x + 1), [&](int64_t begin, int64_t end, int) {
        for (int64_t r = begin; r < end; ++r) {
            const T* row = labels.row(r);
            G* out = graph + r * s.x;
            std::fill_n(out, s.x, G(0));
            for (int bit = 0; bit < connectivity; ++bit) {
                const Step step = step_of_bit(bit, picture);
                const G mask = static_cast<G>(uint32_t(1) << bit);
                const int64_t z = r / s.y + step.z, y = r % s.y + step.y;
                if (z < 0 || z >= s.z || y < 0 || y >= s.y) {
                    for (int64_t x = 0; x < s.x; ++x) out[x] |= mask;
                    continue;
                }
                const int64_t from = step.x < 0, n = s.x - (step.x != 0);
                set_equal(row + from, labels.row(z * s.y + y) + (step.x > 0), n, mask, out + from);
                if (step.x) out[step.x > 0 ? s.x - 1 : 0] |= mask;
            }
        }
    });
}

template <class G, class Id>
int64_t components_in_slabs(Executor& ex, View<const G> graph, int connectivity, Id* out) {
    const Shape s = graph.shape;
    const bool picture = connectivity == 4 || connectivity == 8;
    Step backward[directions];
    int bits[directions], count = 0;
    for (int bit = 0; bit < connectivity; ++bit) {
        const Step step = step_of_bit(bit, picture);
        if ((step.z ? step.z : step.y ? step.y : step.x) > 0) continue;
        backward[count] = step;
        bits[count++] = bit;
    }
    // Joins the voxels of a row with their earlier neighbours; those before `first` belong to another slab.
    auto join_row = [&](int64_t r, int64_t first, bool seam) {
        const int64_t z = r / s.y, y = r % s.y;
        for (int k = 0; k < count; ++k) {
            const Step step = backward[k];
            const int64_t oz = z + step.z, oy = y + step.y;
            if (oz < 0 || oy < 0 || oy >= s.y) continue;
            const int64_t other = oz * s.y + oy;
            if ((other < first) != seam) continue;
            const int64_t from = step.x < 0, to = s.x - (step.x > 0);
            const G* row = graph.row(r);
            for (int64_t x = from; x < to; ++x)
                if (row[x] >> bits[k] & 1)
                    unite(out, static_cast<Id>(r * s.x + x), static_cast<Id>(other * s.x + x + step.x));
        }
    };
    const int64_t n = graph.size(), rows = s.rows();
    if (n == 0) return 0;
    const int64_t slab = (rows - 1) / ex.threads() + 1;
    ex.for_chunks(rows, slab, [&](int64_t begin, int64_t end, int) {
        for (int64_t i = begin * s.x; i < end * s.x; ++i) out[i] = static_cast<Id>(i);
        for (int64_t r = begin; r < end; ++r) join_row(r, begin, false);
    });
    for (int64_t begin = slab; begin < rows; begin += slab)
        for (int64_t r = begin; r < std::min(rows, begin + s.y + 1); ++r) join_row(r, begin, true);
    // Parents come before their children, so that one sweep gives every voxel the number of its root.
    Id labels = 0;
    for (int64_t i = 0; i < n; ++i) out[i] = out[i] == static_cast<Id>(i) ? ++labels : out[out[i]];
    return static_cast<int64_t>(labels);
}

}  // namespace

template <class T, class G>
void build(Executor& ex, View<const T> labels, int connectivity, G* graph) {
    if constexpr (scrambled) build_anywhere(ex, labels, connectivity, graph);
    else build_rows(ex, labels, connectivity, graph);
}

template <class G, class Id>
int64_t components(Executor& ex, View<const G> graph, int connectivity, Id* out) {
    if constexpr (scrambled) return components_anywhere(ex, graph, connectivity, out);
    else return components_in_slabs(ex, graph, connectivity, out);
}

EMFAST_FOR_WIDTHS(EMFAST_INSTANTIATE_BUILD)
EMFAST_INSTANTIATE_COMPONENTS(uint8_t)
EMFAST_INSTANTIATE_COMPONENTS(uint32_t)

}  // namespace emfast::voxel_graph
