// How many threads a call may use: the number set by the user, else EMFAST_THREADS, else the processors this process
// may run on (affinity, lowered by a cgroup CPU quota).
#pragma once

namespace emfast {

int get_threads();
void set_threads(int n);  // n = 0 goes back to the default
int available_processors();

}  // namespace emfast
