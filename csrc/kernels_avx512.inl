// Shared by the two AVX-512 paths: kernels.inl with vectors of 64 bytes.
//
// The including file first includes immintrin.h and defines ones_per_code(codes), in an anonymous namespace of kinbits:
// the number of set bits in each of eight codes.

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

}  // namespace
}  // namespace kinbits

#include "kernels.inl"

#include "kernels_entries_avx2.inl"
