// x86-64 with AVX-512 F and BW: the byte shuffle counts bits.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(64), may_alias));

__attribute__((always_inline)) inline void add3(Word a, Word& b, Word& c) {
    const __m512i x = (__m512i)a, y = (__m512i)b, z = (__m512i)c;
    b = (Word)_mm512_ternarylogic_epi64(x, y, z, 0x96);  // x ^ y ^ z
    c = (Word)_mm512_ternarylogic_epi64(x, y, z, 0xE8);  // majority
}

__attribute__((always_inline)) inline bool any(Word word) { return _mm512_test_epi64_mask((__m512i)word, (__m512i)word) != 0; }

__attribute__((always_inline)) inline __m512i ones_per_code(__m512i codes) {
    const __m512i table = _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
    const __m512i nibble = _mm512_set1_epi8(15);
    const __m512i low = _mm512_shuffle_epi8(table, _mm512_and_si512(codes, nibble));
    const __m512i high = _mm512_shuffle_epi8(table, _mm512_and_si512(_mm512_srli_epi16(codes, 4), nibble));
    return _mm512_sad_epu8(_mm512_add_epi8(low, high), _mm512_setzero_si512());
}

class Nearness {
public:
    static constexpr std::size_t rows = 16;

    __attribute__((always_inline)) Nearness(std::uint64_t query, unsigned bound)
        : query_(_mm512_set1_epi64(static_cast<long long>(query))), bound_(_mm512_set1_epi64(bound)) {}

    __attribute__((always_inline)) bool any(const std::uint8_t* codes) const {
        return (near(codes) | near(codes + 64)) != 0;
    }

private:
    __attribute__((always_inline)) unsigned near(const std::uint8_t* codes) const {
        const __m512i differ = _mm512_xor_si512(query_, _mm512_loadu_si512(codes));
        return _mm512_cmple_epu64_mask(ones_per_code(differ), bound_);
    }

    __m512i query_, bound_;
};

}  // namespace
}  // namespace kinbits

#include "kernels.inl"

namespace kinbits {
namespace {

bool has_avx512() {
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("popcnt");
}

}  // namespace

extern const Kernels avx512bw_kernels = KINBITS_KERNELS("avx512bw", has_avx512);

}  // namespace kinbits
