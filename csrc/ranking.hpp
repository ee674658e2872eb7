// Counts that every ranking metric is made of. Plain C++: knows nothing of Python.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codes.hpp"

namespace kinbits {

// What each run of alike codes is worth to each query. Run r ends before row ends[r]; the last one ends with the codes.
struct Worth {
    const std::int64_t* ends;
    std::size_t runs;
    const std::uint16_t* levels;  // queries * runs, each less than `count`
    std::size_t count;
};

// counts[(q * worth.count + level) * distances + d] is raised by one for every code at distance d from query q whose
// run has this level; distances = 8 * width + 1. The caller hands in zeroed memory. Results do not depend on `threads`.
void tally(const Codes& queries, const Codes& codes, const Worth& worth, std::int64_t* counts, std::size_t threads);

}  // namespace kinbits
