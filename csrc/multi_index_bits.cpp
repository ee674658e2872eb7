#include "multi_index_bits.hpp"

#include <cstring>

#include "kernels.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#include <immintrin.h>
#define KINBITS_AVX2
#endif

// One compiled clone per instruction set; the loader picks the best one that the processor has.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__has_attribute)
#if __has_attribute(target_clones)
#define KINBITS_CLONES __attribute__((target_clones("popcnt", "default")))
#endif
#endif
#ifndef KINBITS_CLONES
#define KINBITS_CLONES
#endif
// What is inlined into a clone is compiled with the instructions of that clone.
#define KINBITS_INLINE inline __attribute__((always_inline))

namespace kinbits::mih {
namespace {

KINBITS_INLINE unsigned differing(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    unsigned count = 0;
    std::size_t byte = 0;
    for (; byte + 8 <= width; byte += 8) {
        std::uint64_t x, y;
        std::memcpy(&x, a + byte, 8);
        std::memcpy(&y, b + byte, 8);
        count += static_cast<unsigned>(std::popcount(x ^ y));
    }
    std::uint64_t x = 0, y = 0;
    std::memcpy(&x, a + byte, width - byte);
    std::memcpy(&y, b + byte, width - byte);
    return count + static_cast<unsigned>(std::popcount(x ^ y));
}

KINBITS_INLINE std::size_t near_rows(const std::uint8_t* codes, std::size_t width, const std::uint8_t* query,
                                     Range range, unsigned bound, Hit* hits) {
    std::size_t found = 0;
    for (std::uint32_t i = range.begin; i < range.end; ++i)
        if (differing(codes + i * width, query, width) <= bound) hits[found++] = {i, 0};
    return found;
}

KINBITS_CLONES std::size_t near_scalars(const Entries& entries, const Probe& probe, std::uint32_t number,
                                        unsigned bound, Hit* hits) {
    const std::uint64_t mask = entries.mask();
    std::size_t found = 0;
    for (std::uint32_t i = probe.range.begin; i < probe.range.end; ++i) {
        hits[found] = {i, number};  // no branch: whether a code is near cannot be predicted
        const std::uint64_t bits = (load_low(entries.data + i * entries.stride) ^ probe.own) & mask;
        found += static_cast<unsigned>(std::popcount(bits)) <= bound;
    }
    return found;
}

#ifdef KINBITS_AVX2
bool has_avx2() { return std::strncmp(kernels().name, "avx", 3) == 0; }

struct Vectors {
    __m256i spread, own, half, ones;
};

// How many bits of the query four entries differ from, as four integers: the entries are spread to eight bytes each,
// and bits are counted by looking up half bytes.
__attribute__((target("avx2"))) inline __m256i apart(const std::uint8_t* data, std::size_t stride, const Vectors& v) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 2 * stride));
    const __m256i loaded = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m256i bits = _mm256_xor_si256(_mm256_shuffle_epi8(loaded, v.spread), v.own);
    const __m256i low = _mm256_shuffle_epi8(v.ones, _mm256_and_si256(bits, v.half));
    const __m256i high = _mm256_shuffle_epi8(v.ones, _mm256_and_si256(_mm256_srli_epi16(bits, 4), v.half));
    return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

__m128i spreading(const Entries& entries) {
    alignas(16) std::int8_t bytes[16];
    const int stride = static_cast<int>(entries.stride), skipped = static_cast<int>(entries.skipped);
    for (int byte = 0; byte < 16; ++byte)
        bytes[byte] =
            static_cast<std::int8_t>(byte % 8 >= skipped && byte % 8 < stride ? byte / 8 * stride + byte % 8 : -1);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

// Eight entries at a time; bit 2 i tells of entry i < 4, bit 2 i + 1 of entry i + 4.
__attribute__((target("avx2,popcnt"))) std::size_t near_vectors(const Entries& entries, const Probe* probes,
                                                                std::size_t count, unsigned bound, Hit* hits) {
    constexpr std::uint8_t valid[8] = {0, 0b1, 0b101, 0b10101, 0b1010101, 0b1010111, 0b1011111, 0b1111111};
    const std::size_t stride = entries.stride;
    const std::uint64_t mask = entries.mask();
    Vectors v{_mm256_broadcastsi128_si256(spreading(entries)),
              {},
              _mm256_set1_epi8(15),
              _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4))};
    const __m256i most = _mm256_set1_epi32(static_cast<int>(bound));
    std::size_t found = 0;
    for (std::uint32_t number = 0; number < count; ++number) {
        const Probe& probe = probes[number];
        if (probe.range.end > entries.safe) {
            found += near_scalars(entries, probe, number, bound, hits + found);
            continue;
        }
        v.own = _mm256_set1_epi64x(static_cast<long long>(probe.own & mask));
        const std::uint8_t* data = entries.data + probe.range.begin * stride;
        for (std::uint32_t i = probe.range.begin; i < probe.range.end; i += 8, data += 8 * stride) {
            const __m256i behind = _mm256_slli_epi64(apart(data + 4 * stride, stride, v), 32);
            const __m256i all = _mm256_or_si256(apart(data, stride, v), behind);
            unsigned near =
                ~static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(all, most)))) & 255;
            if (probe.range.end - i < 8) near &= valid[probe.range.end - i];
            for (; near; near &= near - 1) {
                const auto bit = static_cast<std::uint32_t>(std::countr_zero(near));
                hits[found++] = {i + bit / 2 + bit % 2 * 4, number};
            }
        }
    }
    return found;
}
#endif

}  // namespace

std::size_t near_entries(const Entries& entries, const Probe* probes, std::size_t count, unsigned bound, Hit* hits) {
#ifdef KINBITS_AVX2
    static const bool vectors = has_avx2();
    if (vectors) return near_vectors(entries, probes, count, bound, hits);
#endif
    std::size_t found = 0;
    for (std::uint32_t number = 0; number < count; ++number)
        found += near_scalars(entries, probes[number], number, bound, hits + found);
    return found;
}

KINBITS_CLONES std::size_t near_codes(const std::uint8_t* codes, std::size_t width, const std::uint8_t* query,
                                      Range range, unsigned bound, Hit* hits) {
    switch (width) {  // the usual widths are constants here, so that the loops over bytes vanish
        case 16: return near_rows(codes, 16, query, range, bound, hits);
        case 32: return near_rows(codes, 32, query, range, bound, hits);
        case 64: return near_rows(codes, 64, query, range, bound, hits);
        default: return near_rows(codes, width, query, range, bound, hits);
    }
}

KINBITS_CLONES unsigned code_distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    return differing(a, b, width);
}

}  // namespace kinbits::mih
