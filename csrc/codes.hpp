// Packed codes as the kernel sees them. Plain C++: knows nothing of Python.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits {

// Rows of `width` bytes, one after the other.
struct Codes {
    const std::uint8_t* data;
    std::size_t rows;
    std::size_t width;

    const std::uint8_t* row(std::size_t number) const { return data + number * width; }
    // Words of 64 bits that hold one code, the last one padded with zeros.
    std::size_t words() const { return (width + 7) / 8; }
};

}  // namespace kinbits
