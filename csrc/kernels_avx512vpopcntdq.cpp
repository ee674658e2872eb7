// x86-64 with AVX-512 F and VPOPCNTDQ.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

__attribute__((always_inline)) inline __m512i ones_per_code(__m512i codes) { return _mm512_popcnt_epi64(codes); }

}  // namespace
}  // namespace kinbits

#include "kernels_avx512.inl"

namespace kinbits {
namespace {

bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vpopcntdq") &&
           __builtin_cpu_supports("popcnt");
}

}  // namespace

extern const Kernels avx512vpopcntdq_kernels = KINBITS_KERNELS("avx512vpopcntdq", supported);

}  // namespace kinbits
