// Shared by the two AVX-512 paths: kernels.inl with vectors of 64 bytes.
//
// The including file first includes immintrin.h and defines in an anonymous namespace of kinbits:
//   ones_per_code(codes)        the number of set bits in each of eight codes
//   look_up_256(table, index)   as kernels_tables.inl describes, with vectors of the type Bytes

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(64), may_alias));

__attribute__((always_inline)) inline void add3(Word a, Word& b, Word& c) {
    const __m512i x = (__m512i)a, y = (__m512i)b, z = (__m512i)c;
    b = (Word)_mm512_ternarylogic_epi64(x, y, z, 0x96);  // x ^ y ^ z
    c = (Word)_mm512_ternarylogic_epi64(x, y, z, 0xE8);  // majority
}

__attribute__((always_inline)) inline bool any(Word word) {
    return _mm512_test_epi64_mask((__m512i)word, (__m512i)word) != 0;
}

class AnyWithin {
public:
    static constexpr std::size_t rows = 16;

    __attribute__((always_inline)) AnyWithin(std::uint64_t query, unsigned bound)
        : query_(_mm512_set1_epi64(static_cast<long long>(query))), bound_(_mm512_set1_epi64(bound)) {}

    __attribute__((always_inline)) bool any(const std::uint8_t* codes) const {
        return (within(codes) | within(codes + 64)) != 0;
    }

private:
    __attribute__((always_inline)) unsigned within(const std::uint8_t* codes) const {
        const __m512i differ = _mm512_xor_si512(query_, _mm512_loadu_si512(codes));
        return _mm512_cmple_epu64_mask(ones_per_code(differ), bound_);
    }

    __m512i query_, bound_;
};

__attribute__((always_inline)) inline Bytes look_up_16(const std::uint8_t* table, Bytes index) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return (Bytes)_mm512_shuffle_epi8(_mm512_broadcast_i32x4(entries), (__m512i)index);
}

}  // namespace
}  // namespace kinbits

#include "kernels.inl"

#include "kernels_entries_avx2.inl"

#include "kernels_tables.inl"
