#include "contingency/contingency_body.h"

namespace emfast::contingency {

Table count(Executor& ex, const Volumes& volumes) { return count_anywhere(ex, volumes); }

Table sum(Executor& ex, const Parts& a, const Parts& b, uint64_t truth_flip, uint64_t label_flip) {
    return sum_anywhere(ex, a, b, truth_flip, label_flip);
}

}  // namespace emfast::contingency
