// The exact scan: the nearest codes of a batch of queries, or all within a radius.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes.hpp"
#include "search_limits.hpp"

namespace kinbits {

// The nearest rows of all queries, query after query, each ordered by (distance, row).
struct BatchNeighbours {
    std::vector<std::int64_t> counts;  // per query
    std::vector<std::int32_t> distances;
    std::vector<std::int64_t> rows;
};

// Queries and codes have the same width. Results do not depend on the number of threads.
BatchNeighbours search(const Codes& queries, const Codes& codes, const SearchLimits& limits, std::size_t threads);

}  // namespace kinbits
