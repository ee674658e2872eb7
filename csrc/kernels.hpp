// The innermost loops, once per instruction set: each kernels_<path>.cpp compiles kernels.inl for its own.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kinbits {

// A 64-bit word of a code is cut into 21 triples of bits and one single bit; see kernels.inl.
constexpr std::size_t triples = 21;
constexpr std::size_t patterns = 8;  // of the three bits of a query
constexpr std::size_t choices = triples + 1;

// Vectors per 64-bit word in the tables of a slice: a sum and a carry for each triple and pattern, and the last plane
// with its complement.
constexpr std::size_t table_vectors = triples * patterns * 2 + 2;

// One sliced block: `lanes` codes, bit by bit, as sums that all queries share.
struct Slice {
    void* tables;  // words * table_vectors * lanes / 8 bytes, aligned to 64
    std::size_t words;
};

// Queries as a slice is asked with. Of query q: the byte places of its sums in the tables, and the largest distance
// that counts, which is less than 64 * words; negative leaves the query out.
struct SlicedQueries {
    const std::uint8_t* codes;
    const std::uint16_t* places;  // count * words * choices, relative to the tables of the word
    const std::int32_t* bounds;
    std::size_t count;
};

// A code of a block that lies within the bound of a query.
struct Hit {
    std::uint32_t query;
    std::uint16_t place;  // in the block
    std::uint16_t distance;
};

// Lanes of counters, and counters in each: known to the compiler where the width is.
constexpr std::size_t count_lanes = 8;
constexpr std::size_t count_stride(std::size_t width) { return 8 * width + 8; }

struct Kernels {
    const char* name;
    bool (*supported)();

    // The number of bits in which two codes differ.
    unsigned (*distance)(const std::uint8_t* a, const std::uint8_t* b, std::size_t width);
    // The same for a query and each of `rows` codes.
    void (*distances)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                      std::uint16_t* out);
    // Raises bins[lane * count_stride(width) + distance] by one for each of `rows` codes. Neighbours often have equal
    // distances; each of the `count_lanes` lanes is a table of its own, so that their increments need not wait for each
    // other.
    void (*count)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                  std::uint32_t* bins);
    // Which of `rows` <= 65536 codes lie at most `bound` away, in order; `hits` has room for all. Returns how many.
    std::size_t (*near)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                        unsigned bound, Hit* hits);

    std::size_t lanes;  // codes per slice
    // Fills the slice's tables from `rows` <= lanes codes.
    void (*cut)(const std::uint8_t* codes, std::size_t rows, std::size_t width, const Slice& slice);
    // The hits of all queries in the codes that the slice was cut from, query by query, each in order; `hits` has room
    // for all. Returns how many.
    std::size_t (*near_slice)(const Slice& slice, const SlicedQueries& queries, const std::uint8_t* codes,
                              std::size_t rows, std::size_t width, Hit* hits);
};

// All paths that were compiled in, the fastest first; the last one runs everywhere.
std::vector<const Kernels*> compiled_kernels();

// The path in use: KINBITS_SIMD, or the first one that this processor runs. Chosen once.
// Throws std::invalid_argument if KINBITS_SIMD names no path that this processor runs.
const Kernels& kernels();

}  // namespace kinbits
