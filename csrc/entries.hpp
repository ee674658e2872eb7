// Entries of the tables of a multi-index, as the kernels compare them. Types alone: a function here would be compiled
// for every instruction set, and the linker would keep one of them for all.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits::mih {

struct Range {
    std::uint32_t begin, end;
};

// One bucket to search.
struct Probe {
    std::uint64_t query_bits;        // the bits of the query that are compared with entries
    std::uint32_t substring, query;  // the bucket's substring, and the number of the query
    Range range;                     // the bucket's entries
};

// Integers of `stride` <= 8 bytes, one after the other. `mask` selects the bits that are compared: all but the lowest
// `skipped` bytes. Behind every entry before `safe`, another `slack` bytes can be read.
struct Entries {
    static constexpr std::size_t slack = 56;
    const std::uint8_t* data;
    std::size_t stride, skipped;
    std::uint64_t mask;
    std::uint32_t safe;
};

// An entry within the bound of a probe.
struct EntryHit {
    std::uint32_t entry, probe;
};

}  // namespace kinbits::mih
