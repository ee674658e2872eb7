// Shared by the files of the self-test. Each check compares a part of the kernels with a naive loop, on random codes
// whose memory ends where the codes end, so that sanitizers see every access outside.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "codes.hpp"

namespace selftest {

using kinbits::Codes;

// A random number below `end`, or 0; the same numbers in every run.
std::size_t below(std::size_t end);

// Prints `what` and exits with 1, unless the condition holds.
void require(bool holds, const std::string& what);

// Codes that start at an odd address and end at the end of their memory.
class Buffer {
public:
    Buffer(std::size_t rows, std::size_t width)
        : rows_(rows), width_(width), memory_(new std::uint8_t[rows * width + 1]) {
        for (std::size_t byte = 0; byte < rows * width; ++byte) data()[byte] = static_cast<std::uint8_t>(below(256));
    }
    std::uint8_t* data() const { return memory_.get() + 1; }
    Codes codes() const { return {data(), rows_, width_}; }

    // Makes about half of the rows copies of rows of `others`, with a few bits flipped: ties and small distances.
    void resemble(Buffer& others) {
        if (!others.rows_) return;
        for (std::size_t row = 0; row < rows_; ++row) {
            if (below(2)) continue;
            std::copy_n(others.data() + below(others.rows_) * width_, width_, data() + row * width_);
            for (std::size_t flips = below(4); flips > 0; --flips)
                data()[row * width_ + below(width_)] ^= static_cast<std::uint8_t>(1 << below(8));
        }
    }

private:
    std::size_t rows_, width_;
    std::unique_ptr<std::uint8_t[]> memory_;
};

// The distance between row i of a and row j of b.
unsigned naive(const Codes& a, std::size_t i, const Codes& b, std::size_t j);

// A distance from 0 to all bits, mostly near the distances that occur.
std::int32_t random_bound(std::size_t width);

// Bits of a filter, with the bits after the last row set; an empty vector allows all rows.
std::vector<std::uint8_t> random_filter(std::size_t rows);

inline bool allows(const std::vector<std::uint8_t>& filter, std::size_t row) {
    return filter.empty() || (filter[row / 8] >> row % 8 & 1);
}

inline const std::uint8_t* pointer(const std::vector<std::uint8_t>& filter) {
    return filter.empty() ? nullptr : filter.data();
}

struct Neighbour {
    std::int32_t distance;
    std::int64_t row;
    auto operator<=>(const Neighbour&) const = default;
};

// The nearest allowed rows of one query, ordered by (distance, row).
std::vector<Neighbour> naive_search(const Codes& queries, std::size_t query, const Codes& codes, std::size_t limit,
                                    std::size_t radius, const std::vector<std::uint8_t>& filter);

constexpr std::size_t widths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 100, 256, 257};

void check_kernels(std::size_t rounds);
void check_search(std::size_t rounds);
void check_tables(std::size_t rounds);
void check_ranking(std::size_t rounds);
void check_multi_index(std::size_t rounds);
void check_damaged_multi_index(std::size_t rounds);
void check_mapped_file();

}  // namespace selftest
