#include "scan.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <vector>

// One compiled clone of the scan per instruction set; the loader picks the best one that the processor has.
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

namespace kinbits {
namespace {

template <class Word>
KINBITS_INLINE unsigned differing(const std::uint8_t* a, const std::uint8_t* b) {
    Word x, y;
    std::memcpy(&x, a, sizeof(Word));  // codes are not aligned to words
    std::memcpy(&y, b, sizeof(Word));
    return static_cast<unsigned>(std::popcount(static_cast<Word>(x ^ y)));
}

KINBITS_INLINE unsigned differing(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    unsigned count = 0;
    std::size_t byte = 0;
    for (; byte + 8 <= width; byte += 8) count += differing<std::uint64_t>(a + byte, b + byte);
    if (width & 4) count += differing<std::uint32_t>(a + byte, b + byte), byte += 4;
    if (width & 2) count += differing<std::uint16_t>(a + byte, b + byte), byte += 2;
    if (width & 1) count += differing<std::uint8_t>(a + byte, b + byte);
    return count;
}

KINBITS_INLINE void scan(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                         std::uint16_t* out) {
    for (std::size_t row = 0; row < rows; ++row)
        out[row] = static_cast<std::uint16_t>(differing(query, codes + row * width, width));
}

// Distances of one query. The usual widths are constants here, so that the loops over bytes vanish.
KINBITS_CLONES void scan_rows(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows,
                              std::size_t width, std::uint16_t* out) {
    switch (width) {
        case 2: return scan(query, codes, rows, 2, out);
        case 4: return scan(query, codes, rows, 4, out);
        case 6: return scan(query, codes, rows, 6, out);
        case 8: return scan(query, codes, rows, 8, out);
        case 16: return scan(query, codes, rows, 16, out);
        case 32: return scan(query, codes, rows, 32, out);
        default: return scan(query, codes, rows, width, out);
    }
}

// Rows per block: their codes stay in cache while every query passes over them.
constexpr std::size_t block_rows = 2048;

// Calls visit(query, first_row, rows) for every query over every block of rows.
template <class Visit>
void each_block(const Codes& queries, const Codes& codes, Visit visit) {
    for (std::size_t first = 0; first < codes.rows; first += block_rows)
        for (std::size_t query = 0; query < queries.rows; ++query)
            visit(query, first, std::min(block_rows, codes.rows - first));
}

}  // namespace

void distances(const Codes& queries, const Codes& codes, std::uint16_t* out) {
    each_block(queries, codes, [&](std::size_t query, std::size_t first, std::size_t rows) {
        scan_rows(queries.data + query * queries.width, codes.data + first * codes.width, rows, codes.width,
                  out + query * codes.rows + first);
    });
}

void histograms(const Codes& queries, const Codes& codes, const bool* relevant, std::int64_t* counts) {
    const std::size_t levels = 8 * codes.width + 1;
    std::array<std::uint16_t, block_rows> block;
    // Neighbouring rows often fall into one bin; with a table per lane their increments need not wait for each other.
    constexpr std::size_t lanes = 4;
    std::vector<std::uint32_t> bins(lanes * levels * 2);
    each_block(queries, codes, [&](std::size_t query, std::size_t first, std::size_t rows) {
        scan_rows(queries.data + query * queries.width, codes.data + first * codes.width, rows, codes.width,
                  block.data());
        const bool* flags = relevant + query * codes.rows + first;
        for (std::size_t row = 0; row < rows; ++row)
            ++bins[(block[row] * 2 + flags[row]) * lanes + row % lanes];
        std::int64_t* sums = counts + query * levels * 2;
        for (std::size_t bin = 0; bin < levels * 2; ++bin)
            for (std::size_t lane = 0; lane < lanes; ++lane) sums[bin] += bins[bin * lanes + lane];
        std::fill(bins.begin(), bins.end(), 0);
    });
}

}  // namespace kinbits
