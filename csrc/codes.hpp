// Packed codes. Plain C++, independent of Python.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits {

// Rows of `width` bytes each, one after the other.
struct Codes {
    const std::uint8_t* data;
    std::size_t rows;
    std::size_t width;

    const std::uint8_t* row(std::size_t number) const { return data + number * width; }
    // The number of 64-bit words of a code; the last word is padded with zeros.
    std::size_t words() const { return (width + 7) / 8; }
};

}  // namespace kinbits
