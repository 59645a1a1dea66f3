// The executor of this module. Schedules are templates over nothing: each module (_core, _emu, _cuda) is compiled with
// one EMFAST_BACKEND, and the name Executor means host threads, scrambled host threads, or a CUDA stream.
//
// The verbs, alike in all three (a body is a struct with operator()(int64_t) const, marked EMFAST_HD):
//   for_each(n, body)                      body(i) for every i, in no order
//   tiles(n, threads, shared, kernel)      kernel(tile): a block with `shared` bytes of its own; inside it
//                                          tile.each(m, f) runs f(k) for k < m by all threads of the block, then a barrier
//   scan(in, out, n) -> sum                exclusive prefix sum of 4 or 8 bytes; in may be out; the sum comes to the host
//   reduce(n, first, value, op) -> T       op over value(i), starting from first; op must be associative and commutative
//   sort_pairs(keys, values, n)            stable, ascending by unsigned key, in place; both of 4 or 8 bytes
//   reduce_by_key(keys, values, n, keys_out, values_out, op) -> count     neighbours with equal keys folded by op
//   compact(n, holds, out) -> count        the i for which holds(i), ascending
//   select<Out>(n, holds) -> Scratch<Out>  the same into scratch of just that length
//   fill(p, n, value), copy(from, to, n)
//   scratch<T>(n)                          uninitialised memory on the executor's side
//   fetch(p) -> T                          one value brought to the host
//   store(p, value)                        one value written from the host
//   fetch(p, n) -> vector, store(p, vector)   the same for a small table
// Verbs are separated by barriers: what one wrote the next one sees.
// Host executors also have for_chunks(n, grain, f) with f(begin, end, worker), for the *_cpu.cpp siblings.
#pragma once

#define EMFAST_CORE 1
#define EMFAST_EMU 2
#define EMFAST_CUDA 3

#if EMFAST_BACKEND == EMFAST_CUDA
#include "core/exec_cuda.h"
#else
#include "core/exec_host.h"
#endif
