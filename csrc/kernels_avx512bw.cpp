// x86-64 with AVX-512 F and BW: counts bits with a table of half bytes.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

__attribute__((always_inline)) inline __m512i ones_per_code(__m512i codes) {
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
    const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble));
    return _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512());
}

typedef std::uint8_t Bytes __attribute__((vector_size(64), may_alias));

// A shuffle gives 0 where the highest bit of an index is set: here wherever the upper half byte differs from
// `sixteenth`.
__attribute__((always_inline)) inline Bytes look_up_256(const std::uint8_t* table, Bytes index) {
    __m512i found = _mm512_setzero_si512();
#pragma GCC unroll 16
    for (int sixteenth = 0; sixteenth < 16; ++sixteenth) {
        const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table) + sixteenth);
        const __m512i near = _mm512_xor_si512((__m512i)index, _mm512_set1_epi8(static_cast<char>(16 * sixteenth)));
        const __m512i place = _mm512_adds_epu8(near, _mm512_set1_epi8(0x70));
        found = _mm512_or_si512(found, _mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), place));
    }
    return (Bytes)found;
}

}  // namespace
}  // namespace kinbits

#include "kernels_avx512.inl"

namespace kinbits {
namespace {

bool supported() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("popcnt");
}

}  // namespace

extern const Kernels avx512bw_kernels = KINBITS_KERNELS("avx512bw", supported);

}  // namespace kinbits
