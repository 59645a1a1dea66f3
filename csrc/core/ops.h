// Operators for reduce and reduce_by_key.
#pragma once

#include "core/hd.h"

namespace emfast {

struct Plus {
    template <class T>
    EMFAST_HD T operator()(T a, T b) const {
        return a + b;
    }
};

struct Smaller {
    template <class T>
    EMFAST_HD T operator()(T a, T b) const {
        return b < a ? b : a;
    }
};

struct Larger {
    template <class T>
    EMFAST_HD T operator()(T a, T b) const {
        return a < b ? b : a;
    }
};

}  // namespace emfast
