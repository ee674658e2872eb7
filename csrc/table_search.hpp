// The exact scan of codes whose distance is a sum of look-ups: the nearest codes of a batch of queries.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "codes.hpp"

namespace kinbits {

// The tables of all queries: (queries, parts, words) finite values. With 16 words, a byte of a code is two parts, the
// upper half byte first; with 256 words, a byte is one part.
//
// If the codes are scaled, each ends in three factors of float32: scale, offset, error. Its distance is
// base + (offset + scale * sum - slack * error), and base and slack are the first entries of one more part of each
// query's table. The words are 16 then. A distance that is no number is the largest one, and one beyond float32 the
// last one on its side.
struct Tables {
    const float* values;
    std::size_t queries;
    std::size_t parts;  // of a code
    std::size_t words;
    bool scaled;

    const float* of(std::size_t query) const { return values + query * (parts + scaled) * words; }
    float base(std::size_t query) const { return of(query)[parts * words]; }
    float slack(std::size_t query) const { return of(query)[parts * words + 1]; }
    std::size_t bytes() const { return words == 16 ? parts / 2 : parts; }
};

constexpr std::size_t factor_bytes = 12;

struct Factors {
    float scale, offset, error;
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
ScoredNeighbours search_tables(const Tables& tables, const Codes& codes, const TableLimits& limits,
                               std::size_t threads);

}  // namespace kinbits
