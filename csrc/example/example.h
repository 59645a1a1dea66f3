// A living example: `scale_add(a, b, factor)` gives a + factor * b of two label arrays of one width, modulo 2^width, and
// `tile_minimum(a)` the smallest value of every run of 64 elements (a tiled kernel). Copy this folder to begin a new
// operation: <op>.h is the contract, all that bindings and readers need.
#pragma once

#include <cstdint>

#include "core/exec.h"

namespace emfast::example {

inline constexpr int64_t tile_length = 64;

// out[i] = a[i] + factor * b[i], i < n. out may be a or b.
template <class T>
void scale_add(Executor& ex, const T* a, const T* b, T factor, T* out, int64_t n);

// out[t] = min of a[64 t .. 64 t + 63] within n; out holds ceil(n / 64) values.
template <class T>
void tile_minimum(Executor& ex, const T* a, T* out, int64_t n);

}  // namespace emfast::example
