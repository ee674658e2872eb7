#include "distances.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "kernels.hpp"

namespace kinbits {
namespace {

// Rows per block: their codes stay in cache while all queries are compared with them.
constexpr std::size_t block_rows = 2048;

// Calls visit(query, first_row, rows) for every query over every block of rows.
template <class Visit>
void each_block(const Codes& queries, const Codes& codes, Visit visit) {
    for (std::size_t first = 0; first < codes.rows; first += block_rows)
        for (std::size_t query = 0; query < queries.rows; ++query)
            visit(query, first, std::min(block_rows, codes.rows - first));
}

}  // namespace

void distances(const Codes& queries, const Codes& codes, std::uint16_t* out) {
    each_block(queries, codes, [&](std::size_t query, std::size_t first, std::size_t rows) {
        kernels().distances(queries.row(query), codes.row(first), rows, codes.width, out + query * codes.rows + first);
    });
}

void histograms(const Codes& queries, const Codes& codes, const bool* relevant, std::int64_t* counts) {
    const std::size_t levels = 8 * codes.width + 1;
    std::array<std::uint16_t, block_rows> block;
    // Neighbouring rows often have equal distances. With counters per lane, increments need not wait for each other.
    constexpr std::size_t lanes = 4;
    std::vector<std::uint32_t> bins(lanes * levels * 2);
    each_block(queries, codes, [&](std::size_t query, std::size_t first, std::size_t rows) {
        kernels().distances(queries.row(query), codes.row(first), rows, codes.width, block.data());
        const bool* flags = relevant + query * codes.rows + first;
        for (std::size_t row = 0; row < rows; ++row) ++bins[(block[row] * 2 + flags[row]) * lanes + row % lanes];
        std::int64_t* sums = counts + query * levels * 2;
        for (std::size_t bin = 0; bin < levels * 2; ++bin)
            for (std::size_t lane = 0; lane < lanes; ++lane) sums[bin] += bins[bin * lanes + lane];
        std::fill(bins.begin(), bins.end(), 0);
    });
}

}  // namespace kinbits
