// The counts that all ranking metrics need. Plain C++, independent of Python.
#pragma once

#include <cstddef>
#include <cstdint>

#include "codes.hpp"

namespace kinbits {

// Runs of codes with equal relevance grades. Run r ends before row ends[r]; the last run ends with the codes.
struct GradeRuns {
    const std::int64_t* ends;
    std::size_t count;
    const std::uint16_t* grades;  // (queries, count), each less than `levels`
    std::size_t levels;
};

// Adds one to counts[(q * runs.levels + grade) * distances + d] for every code at distance d from query q whose run has
// this grade; distances = 8 * width + 1. Results do not depend on `threads`.
void tally(const Codes& queries, const Codes& codes, const GradeRuns& runs, std::int64_t* counts, std::size_t threads);

}  // namespace kinbits
