// collect_entries of kernels.hpp, eight entries at a time. Include it after immintrin.h and kernels.inl.

namespace kinbits {
namespace {

struct EntryVectors {
    __m256i shuffle, query, low_half, popcounts;
};

// The distances between the query and four entries, as four 64-bit integers. The entries are expanded to eight bytes
// each; a table gives the set bits of each half byte.
KINBITS_INLINE __m256i four_distances(const std::uint8_t* data, std::size_t stride, const EntryVectors& vectors) {
    const __m128i first = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data));
    const __m128i second = _mm_loadu_si128(reinterpret_cast<const __m128i*>(data + 2 * stride));
    const __m256i loaded = _mm256_inserti128_si256(_mm256_castsi128_si256(first), second, 1);
    const __m256i bits = _mm256_xor_si256(_mm256_shuffle_epi8(loaded, vectors.shuffle), vectors.query);
    const __m256i low = _mm256_shuffle_epi8(vectors.popcounts, _mm256_and_si256(bits, vectors.low_half));
    const __m256i high =
        _mm256_shuffle_epi8(vectors.popcounts, _mm256_and_si256(_mm256_srli_epi16(bits, 4), vectors.low_half));
    return _mm256_sad_epu8(_mm256_add_epi8(low, high), _mm256_setzero_si256());
}

// Expands two entries to eight bytes each; bytes that are not compared become zero.
KINBITS_INLINE __m128i entry_shuffle(const mih::Entries& entries) {
    alignas(16) std::int8_t bytes[16];
    const int stride = static_cast<int>(entries.stride), skipped = static_cast<int>(entries.skipped);
    for (int byte = 0; byte < 16; ++byte)
        bytes[byte] =
            static_cast<std::int8_t>(byte % 8 >= skipped && byte % 8 < stride ? byte / 8 * stride + byte % 8 : -1);
    return _mm_load_si128(reinterpret_cast<const __m128i*>(bytes));
}

// Which of the next eight entries are nearer than `beyond`: bit 2 i belongs to entry i < 4, bit 2 i + 1 to entry i + 4.
KINBITS_INLINE unsigned eight_within(const std::uint8_t* data, std::size_t stride, const EntryVectors& vectors,
                                     __m256i beyond) {
    const __m256i last = _mm256_slli_epi64(four_distances(data + 4 * stride, stride, vectors), 32);
    const __m256i distances = _mm256_or_si256(four_distances(data, stride, vectors), last);
    return static_cast<unsigned>(_mm256_movemask_ps(_mm256_castsi256_ps(_mm256_cmpgt_epi32(beyond, distances))));
}

// Appends those of eight entries that eight_within has selected; returns the new number of hits.
KINBITS_INLINE std::size_t append_eight(unsigned within, std::uint32_t first, std::uint32_t number, mih::EntryHit* hits,
                                        std::size_t found) {
    for (; within; within &= within - 1) {
        const auto bit = static_cast<std::uint32_t>(__builtin_ctz(within));
        hits[found++] = {first + bit / 2 + bit % 2 * 4, number};
    }
    return found;
}

std::size_t collect_entries(const mih::Entries& entries, const mih::Probe* probes, std::size_t count, unsigned bound,
                            mih::EntryHit* hits) {
    constexpr std::uint8_t first_entries[8] = {0, 0b1, 0b101, 0b10101, 0b1010101, 0b1010111, 0b1011111, 0b1111111};
    const std::size_t stride = entries.stride;
    EntryVectors vectors{_mm256_broadcastsi128_si256(entry_shuffle(entries)),
                         {},
                         _mm256_set1_epi8(15),
                         _mm256_broadcastsi128_si256(_mm_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4))};
    const __m256i beyond = _mm256_set1_epi32(static_cast<int>(bound + 1));
    std::size_t found = 0;
    for (std::uint32_t number = 0; number < count; ++number) {
        const mih::Range range = probes[number].range;
        if (range.end > entries.safe) {
            found += collect_probe(entries, probes[number], number, bound, hits + found);
            continue;
        }
        vectors.query = _mm256_set1_epi64x(static_cast<long long>(probes[number].query_bits & entries.mask));
        const std::uint8_t* data = entries.data + range.begin * stride;
        std::uint32_t first = range.begin;
        for (; range.end - first >= 8; first += 8, data += 8 * stride)
            found = append_eight(eight_within(data, stride, vectors, beyond), first, number, hits, found);
        if (const std::uint32_t left = range.end - first)
            found = append_eight(eight_within(data, stride, vectors, beyond) & first_entries[left], first, number, hits,
                                 found);
    }
    return found;
}

}  // namespace
}  // namespace kinbits
