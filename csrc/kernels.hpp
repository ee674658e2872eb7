// The innermost loops, compiled once per instruction set: each kernels_<path>.cpp includes kernels.inl with its own
// vectors. This is the only place where the code depends on the processor.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "entries.hpp"

namespace kinbits {

// A 64-bit word of a code is split into 21 triples of bits and one single bit; see kernels.inl.
constexpr std::size_t triples = 21;
constexpr std::size_t patterns = 8;  // values of three bits of a query
constexpr std::size_t lookups = triples + 1;

// Vectors per 64-bit word in the tables of a slice: a sum and a carry for each triple and pattern, and the last plane
// with its complement.
constexpr std::size_t table_vectors = triples * patterns * 2 + 2;

// A block of `lanes` codes, bit-sliced: tables of partial sums that all queries share.
struct Slice {
    void* tables;  // words * table_vectors * lanes / 8 bytes, aligned to 64
    std::size_t words;
};

// The queries of a slice.
struct SlicedQueries {
    const std::uint8_t* codes;
    const std::uint16_t* offsets;  // (count, words, lookups): bytes into the tables of the word, where a sum is read
    const std::int32_t* bounds;    // (count): maximum distance, less than 64 * words; a negative one skips the query
    std::size_t count;
};

// A code of a block within the bound of a query.
struct Hit {
    std::uint32_t query;
    std::uint16_t position;  // in the block
    std::uint16_t distance;
};

// Neighbouring codes often have equal distances. Each of these lanes has counters of its own, so that increments need
// not wait for each other.
constexpr std::size_t counter_lanes = 8;
constexpr std::size_t counter_stride(std::size_t width) { return 8 * width + 8; }

// A scan of tables reads blocks of so many codes, each of which is split into parts: half bytes, which select one of 16
// entries of a table, or bytes, which select one of 256.
constexpr std::size_t table_block = 64;
constexpr std::uint8_t max_entry = 63;  // four entries are added in a byte

// When a row with factors is within reach: if offset + scale (base + step sum) - slack error <= limit, in float32.
// `most` bounds the absolute values of sums; the test allows for rounding.
struct ScaledBound {
    float base, step, most, slack, limit;
};
// The factors of the rows of a block, in the order of the sums. A scale that is negative is NaN here.
struct BlockFactors {
    const float *scales, *offsets, *errors;
};
constexpr float rounding = 1e-6f;   // more than the relative error of a few operations in float32
constexpr float smallest = 1e-37f;  // more than their absolute error where numbers are not normal

// The loops of one instruction set. `width` is the number of bytes of a code.
struct Kernels {
    const char* name;
    bool (*supported)();

    // Returns the number of bits in which two codes differ.
    unsigned (*distance)(const std::uint8_t* a, const std::uint8_t* b, std::size_t width);
    // Writes the distance between a query and each of `rows` codes.
    void (*distances)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                      std::uint16_t* out);
    // Adds one to counters[lane * counter_stride(width) + distance] for each of `rows` codes, in any lane.
    void (*count_distances)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                            std::uint32_t* counters);
    // Collects the codes at most `bound` away, in order; rows <= 65536. `hits` has room for all. Returns their number.
    std::size_t (*collect_within)(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows,
                                  std::size_t width, unsigned bound, Hit* hits);

    std::size_t lanes;  // codes per slice
    // Fills the tables of the slice from `rows` <= lanes codes.
    void (*build_slice)(const std::uint8_t* codes, std::size_t rows, std::size_t width, const Slice& slice);
    // Collects the hits of all queries in the codes of the slice: query by query, in order. `hits` has room for all.
    // Returns their number.
    std::size_t (*collect_sliced)(const Slice& slice, const SlicedQueries& queries, const std::uint8_t* codes,
                                  std::size_t rows, std::size_t width, Hit* hits);
    // Collects the entries at most `bound` away from the query of their probe: probe by probe, in order. `hits` has
    // room for all. Returns their number.
    std::size_t (*collect_entries)(const mih::Entries& entries, const mih::Probe* probes, std::size_t count,
                                   unsigned bound, mih::EntryHit* hits);

    const std::uint8_t* row_order;  // (table_block): the rows of a block in the order of their sums
    // Writes each part of the first `bytes` bytes of `rows` <= table_block codes: parts * table_block bytes; the rows
    // behind the last are any.
    void (*split_parts)(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t bytes,
                        std::size_t words, std::uint8_t* block);
    // Collects the rows of a block whose parts select entries with a sum of at most `bound`, in any order. `tables` has
    // `words` entries for each part, at most max_entry each and 65535 together. Returns the number of rows.
    std::size_t (*collect_sums)(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables,
                                std::size_t words, std::uint16_t bound, std::uint16_t* rows);
    // The same for rows with factors, of which all that are not numbers are collected. The words are 16.
    std::size_t (*collect_scaled)(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables,
                                  const ScaledBound& bound, const BlockFactors& factors, std::uint16_t* rows);
};

// All compiled paths, the fastest first; the last one runs on every processor.
std::vector<const Kernels*> compiled_kernels();

// The path in use: KINBITS_SIMD, or the first one that this processor supports. Chosen once.
// Throws std::invalid_argument if KINBITS_SIMD names no path that this processor supports.
const Kernels& kernels();

}  // namespace kinbits
