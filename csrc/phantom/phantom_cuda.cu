#include "phantom/phantom_body.h"

namespace emfast::phantom {

void make(Executor& ex, const Settings& settings, const Result& result) { build(ex, settings, result, EachBody()); }

}  // namespace emfast::phantom
