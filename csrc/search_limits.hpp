// What a search may return.
#pragma once

#include <cstddef>
#include <cstdint>

namespace kinbits {

struct SearchLimits {
    std::size_t limit;          // maximum number of rows per query
    std::uint32_t radius;       // maximum distance
    const std::uint8_t* allow;  // bit i % 8 of byte i / 8 tells whether row i may be found; null allows all rows
};

}  // namespace kinbits
