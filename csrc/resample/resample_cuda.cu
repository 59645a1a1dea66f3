#include "resample/resample_body.h"

namespace emfast::resample {

void run(Executor& ex, const Map& map, const Image& image, const std::vector<Labels>& labels,
         const std::vector<Mask>& masks) {
    run_anywhere(ex, map, image, labels, masks);
}

}  // namespace emfast::resample
