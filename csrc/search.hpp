// The exact scan: the nearest codes of a batch of queries, or all within a radius.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes.hpp"

namespace kinbits {

// What is asked of every code.
struct Wanted {
    std::size_t limit;          // at most so many rows per query
    std::uint32_t radius;       // none farther than this
    const std::uint8_t* allow;  // bit i % 8 of byte i / 8 says whether row i may be found; null allows all
};

// Answers of all queries, one behind the other, each ordered by distance, then row.
struct Found {
    std::vector<std::int64_t> counts;  // per query
    std::vector<std::int32_t> distances;
    std::vector<std::int64_t> rows;
};

// Both have the same width. Results do not depend on the number of threads.
Found search(const Codes& queries, const Codes& codes, const Wanted& wanted, std::size_t threads);

}  // namespace kinbits
