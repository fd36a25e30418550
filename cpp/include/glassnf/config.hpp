// Macros shared by every header: host/device markers and the namespace of the instruction set being compiled.
#pragma once

#include <cstdint>

// GLASSNF_INLINE goes behind the parameters of a lambda.
#if defined(__CUDACC__)
#define GLASSNF_INLINE
#define GLASSNF_HD __host__ __device__ __forceinline__
#define GLASSNF_HOST inline
#elif defined(__GNUC__)
#define GLASSNF_INLINE __attribute__((always_inline))
#define GLASSNF_HD inline __attribute__((always_inline))
#define GLASSNF_HOST inline __attribute__((always_inline))
#else
#define GLASSNF_INLINE
#define GLASSNF_HD inline
#define GLASSNF_HOST inline
#endif

// Sources of the CPU kernels are compiled once per instruction set. Everything they instantiate from these headers lives in an
// inline namespace named after the instruction set, so that the linker can never merge an AVX-512 copy of a template into code that
// must run without AVX-512.
#ifndef GLASSNF_ISA
#define GLASSNF_ISA generic
#endif
