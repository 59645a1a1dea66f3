#include "sites/sites_body.h"

namespace emfast::sites {

Table find(Executor& ex, const Volumes& volumes) { return find_anywhere(ex, volumes); }

}  // namespace emfast::sites
