// Bits of packed codes: codes as integers, and their substrings.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kinbits::mih {

static_assert(std::endian::native == std::endian::little, "integers are stored with their lowest byte first");

// Up to eight bytes as an integer whose most significant bit is the first bit of the code: integers order as codes do.
inline std::uint64_t load_key(const std::uint8_t* code, std::size_t width) {
    std::uint64_t key = 0;
    std::memcpy(&key, code, std::min<std::size_t>(width, 8));
    return __builtin_bswap64(key);
}

// Bits [first, first + bits) of a code, bits >= 1; at most 57 bits of a wide code.
inline std::uint64_t field(std::uint64_t key, unsigned first, unsigned bits) { return key << first >> (64 - bits); }

inline std::uint64_t field(const std::uint8_t* code, std::size_t width, unsigned first, unsigned bits) {
    return field(load_key(code + first / 8, width - first / 8), first % 8, bits);
}

// Loads eight bytes, the lowest first.
inline std::uint64_t load_low(const std::uint8_t* from) {
    std::uint64_t value;
    std::memcpy(&value, from, 8);
    return value;
}

// Stores the lowest `bytes` <= 8 bytes of an integer, the lowest first.
inline void store_low(std::uint8_t* to, std::uint64_t value, std::size_t bytes) {
    if (bytes == 8) {
        std::memcpy(to, &value, 8);
        return;
    }
    // Pieces of constant length: a copy of unknown length would be a call.
    if (bytes & 4) std::memcpy(to, &value, 4), to += 4, value >>= 32;
    if (bytes & 2) std::memcpy(to, &value, 2), to += 2, value >>= 16;
    if (bytes & 1) std::memcpy(to, &value, 1);
}

inline std::uint64_t low_bits(unsigned bits) { return bits >= 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << bits) - 1; }

}  // namespace kinbits::mih
