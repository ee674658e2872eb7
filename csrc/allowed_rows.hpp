// The rows of a block that a search may return.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kinbits {

static_assert(std::endian::native == std::endian::little, "bitmaps are read as words");

constexpr std::size_t max_rows = 4096;    // per block of a scan
constexpr std::size_t sparse_ratio = 16;  // with at most one allowed row in 16, only these are compared

// The rows of a block that may be found.
class AllowedRows {
public:
    explicit AllowedRows(const std::uint8_t* bitmap) : bitmap_(bitmap) {}

    // Loads the rows [first, first + rows); first is a multiple of 64. Returns the number of allowed rows.
    std::size_t load(std::size_t first, std::size_t rows) {
        words_ = (rows + 63) / 64;
        if (bitmap_) {
            flags_[words_ - 1] = 0;
            std::memcpy(flags_, bitmap_ + first / 8, (rows + 7) / 8);
        } else {
            std::fill_n(flags_, words_, ~std::uint64_t{0});
        }
        if (rows % 64) flags_[words_ - 1] &= (std::uint64_t{1} << rows % 64) - 1;
        count_ = 0;
        for (std::size_t word = 0; word < words_; ++word) count_ += std::popcount(flags_[word]);
        return count_;
    }

    bool is_sparse(std::size_t rows) const { return count_ * sparse_ratio <= rows; }
    bool has(std::size_t position) const { return flags_[position / 64] >> position % 64 & 1; }

    // Calls visit(position) for every allowed row of the block.
    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t word = 0; word < words_; ++word)
            for (std::uint64_t left = flags_[word]; left; left &= left - 1) visit(word * 64 + std::countr_zero(left));
    }

private:
    const std::uint8_t* bitmap_;
    std::size_t words_ = 0, count_ = 0;
    std::uint64_t flags_[max_rows / 64];
};

}  // namespace kinbits
