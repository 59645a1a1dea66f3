// Instruction sets are chosen at run time: a function marked EMFAST_CLONES is compiled for the baseline, for AVX2 and
// for AVX-512, and the loader picks one, so that a wheel runs on an old processor and is fast on a new one. Mark plain
// (non-template) functions; templates they call must be EMFAST_INLINE so that they are compiled anew inside each clone.
// The levels x86-64-v3 and -v4 ask for features; a processor's name (haswell) would match that make alone.
// EMFAST_CLONES_BITS leaves out AVX-512, for counting and shifting of bits, which gain nothing from wider vectors.
// Sanitizers and processors other than x86-64 take the plain version.
#pragma once

#include <cstdint>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__linux__) && defined(__GLIBC__) && \
    !defined(EMFAST_SANITIZE) && !defined(__CUDACC__)
#define EMFAST_CLONES __attribute__((target_clones("default", "arch=x86-64-v3", "arch=x86-64-v4")))
#define EMFAST_CLONES_BITS __attribute__((target_clones("default", "arch=x86-64-v3")))
#else
#define EMFAST_CLONES
#define EMFAST_CLONES_BITS
#endif

#if defined(EMFAST_SANITIZE)  // instrumented code, inlined everywhere, takes minutes to compile
#define EMFAST_INLINE inline
#else
#define EMFAST_INLINE inline __attribute__((always_inline))
#endif
