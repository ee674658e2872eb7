// Hamming distances between packed codes, and their histograms. Plain C++, independent of Python.
#pragma once

#include <cstdint>

#include "codes.hpp"

namespace kinbits {

// Sets out[q * codes.rows + i] to the number of bits in which query q and code i differ.
void distances(const Codes& queries, const Codes& codes, std::uint16_t* out);

// Adds one to counts[(q * levels + d) * 2 + relevant[q * codes.rows + i]] for every pair (q, i) at distance d;
// levels = 8 * width + 1.
void histograms(const Codes& queries, const Codes& codes, const bool* relevant, std::int64_t* counts);

}  // namespace kinbits
