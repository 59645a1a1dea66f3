// For long work of one thread on the host: pause(ex) lets Ctrl-C in where the executor is the host's.
#pragma once

#include <cstdint>

namespace emfast {

template <class Ex>
void pause(Ex& ex) {
    constexpr auto nothing = [](int64_t, int64_t, int) {};
    if constexpr (requires { ex.for_chunks(1, 1, nothing); }) ex.for_chunks(1, 1, nothing);
}

}  // namespace emfast
