// Hamming distances between packed codes, and their histograms. Plain C++: knows nothing of Python.
#pragma once

#include <cstdint>

#include "codes.hpp"

namespace kinbits {

// out[q * codes.rows + i] = number of bits in which query q and code i differ.
void distances(const Codes& queries, const Codes& codes, std::uint16_t* out);

// counts[(q * levels + d) * 2 + relevant[q * codes.rows + i]] is raised by one for every pair (q, i) at distance d;
// levels = 8 * width + 1. The caller hands in zeroed memory.
void histograms(const Codes& queries, const Codes& codes, const bool* relevant, std::int64_t* counts);

}  // namespace kinbits
