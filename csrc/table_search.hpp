// The exact scan of codes whose distance is a sum of look-ups: the nearest codes of a batch of queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes.hpp"

namespace kinbits {

// The tables of all queries: (queries, parts, words) finite values. With 16 words, a byte of a code is two parts, the
// upper half byte first; with 256 words, a byte is one part.
struct Tables {
    const float* values;
    std::size_t queries;
    std::size_t parts;
    std::size_t words;

    const float* of(std::size_t query) const { return values + query * parts * words; }
};

// The distance of a row is offset + scale * sum. Both are null if the sum is the distance. No scale is negative.
struct RowFactors {
    const float* scales;
    const float* offsets;
};

struct TableLimits {
    std::size_t limit;          // maximum number of rows per query
    float radius;               // maximum distance
    const std::uint8_t* allow;  // as in SearchLimits
};

// The nearest rows of all queries, query after query, each ordered by (distance, row).
struct ScoredNeighbours {
    std::vector<std::int64_t> counts;  // per query
    std::vector<float> distances;
    std::vector<std::int64_t> rows;
};

// A sum is added up part by part in float32, so it is the same number everywhere. Results do not depend on the number
// of threads.
ScoredNeighbours search_tables(const Tables& tables, const Codes& codes, const RowFactors& factors,
                               const TableLimits& limits, std::size_t threads);

}  // namespace kinbits
