// x86-64 with AVX2 and POPCNT.
#include <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(32), may_alias));

__attribute__((always_inline)) inline bool any(Word word) { return !_mm256_testz_si256((__m256i)word, (__m256i)word); }

// Counts bits with a table of half bytes (Mula, Kurz, Lemire, The Computer Journal 2018), four codes in a vector.
class AnyWithin {
public:
    static constexpr std::size_t rows = 16;

    __attribute__((always_inline)) AnyWithin(std::uint64_t query, unsigned bound)
        : query_(_mm256_set1_epi64x(static_cast<long long>(query))), beyond_(_mm256_set1_epi64x(bound + 1)) {}

    __attribute__((always_inline)) bool any(const std::uint8_t* codes) const {
        const __m256i table =
            _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4));
        const __m256i half = _mm256_set1_epi8(15);
        __m256i within = _mm256_setzero_si256();
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) {
            const __m256i code = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes) + part);
            const __m256i differ = _mm256_xor_si256(query_, code);
            const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(differ, half));
            const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(differ, 4), half));
            const __m256i bits = _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
            within = _mm256_or_si256(within, _mm256_cmpgt_epi64(beyond_, bits));
        }
        return !_mm256_testz_si256(within, within);
    }

private:
    __m256i query_, beyond_;
};

typedef std::uint8_t Bytes __attribute__((vector_size(32), may_alias));

__attribute__((always_inline)) inline Bytes look_up_16(const std::uint8_t* table, Bytes index) {
    const __m128i entries = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return (Bytes)_mm256_shuffle_epi8(_mm256_broadcastsi128_si256(entries), (__m256i)index);
}

// A shuffle gives 0 where the highest bit of an index is set: here wherever the upper half byte differs from
// `sixteenth`.
__attribute__((always_inline)) inline Bytes look_up_256(const std::uint8_t* table, Bytes index) {
    Bytes found = {};
#pragma GCC unroll 16
    for (int sixteenth = 0; sixteenth < 16; ++sixteenth) {
        const __m256i near = _mm256_xor_si256((__m256i)index, _mm256_set1_epi8(static_cast<char>(16 * sixteenth)));
        found |= look_up_16(table + 16 * sixteenth, (Bytes)_mm256_adds_epu8(near, _mm256_set1_epi8(0x70)));
    }
    return found;
}

}  // namespace
}  // namespace kinbits

#include "kernels_add3.inl"

#include "kernels.inl"

#include "kernels_entries_avx2.inl"

#include "kernels_tables.inl"

namespace kinbits {
namespace {

bool supported() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt"); }

}  // namespace

extern const Kernels avx2_kernels = KINBITS_KERNELS("avx2", supported);

}  // namespace kinbits
