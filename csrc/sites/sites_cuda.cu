#include "sites/sites_body.h"

namespace emfast::sites {

Table find(Executor& ex, const Volumes& volumes) { return find_anywhere(ex, volumes); }

int64_t paint(Executor& ex, const Volumes& volumes, const Colours& colours, uint8_t* out) {
    return paint_anywhere(ex, volumes, colours, out);
}

}  // namespace emfast::sites
