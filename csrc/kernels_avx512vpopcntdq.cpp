// x86-64 with AVX-512 F, BW, VBMI and VPOPCNTDQ.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

__attribute__((always_inline)) inline __m512i ones_per_code(__m512i codes) { return _mm512_popcnt_epi64(codes); }

typedef std::uint8_t Bytes __attribute__((vector_size(64), may_alias));

// A permutation reads the lower six bits of an index: one for each quarter of the table.
__attribute__((always_inline)) inline Bytes look_up_256(const std::uint8_t* table, Bytes index) {
    const __m512i at = (__m512i)index;
    const __mmask64 upper = _mm512_movepi8_mask(at), odd = _mm512_test_epi8_mask(at, _mm512_set1_epi8(64));
    __m512i found = _mm512_permutexvar_epi8(at, _mm512_loadu_si512(table));
    found = _mm512_mask_permutexvar_epi8(found, odd, at, _mm512_loadu_si512(table + 64));
    found = _mm512_mask_permutexvar_epi8(found, upper, at, _mm512_loadu_si512(table + 128));
    return (Bytes)_mm512_mask_permutexvar_epi8(found, upper & odd, at, _mm512_loadu_si512(table + 192));
}

}  // namespace
}  // namespace kinbits

#include "kernels_avx512.inl"

namespace kinbits {
namespace {

bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vpopcntdq") &&
           __builtin_cpu_supports("popcnt");
}

}  // namespace

extern const Kernels avx512vpopcntdq_kernels = KINBITS_KERNELS("avx512vpopcntdq", supported);

}  // namespace kinbits
