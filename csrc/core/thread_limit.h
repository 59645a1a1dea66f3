// A lower number of threads for the calls of one thread of the user's: where several blocks are worked on at once, their
// calls together use no more than get_threads() gave. What only the bindings need of core/threads.cpp.
#pragma once

namespace emfast {

int limit_threads(int n);  // n = 0 is no limit; gives back the limit before

}  // namespace emfast
