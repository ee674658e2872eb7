// Bits of packed codes: codes as integers, their substrings, their distances.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace kinbits::mih {

static_assert(std::endian::native == std::endian::little, "integers are kept with their lowest byte first");

// Up to eight bytes as an integer whose most significant bit is the first bit of the code: integers order as codes do.
inline std::uint64_t load_key(const std::uint8_t* code, std::size_t width) {
    std::uint64_t key = 0;
    std::memcpy(&key, code, std::min<std::size_t>(width, 8));
    return __builtin_bswap64(key);
}

// Bits [first, first + bits) of a code, bits >= 1; a field of a wide code may have at most 57 bits.
inline std::uint64_t field(std::uint64_t key, unsigned first, unsigned bits) { return key << first >> (64 - bits); }

inline std::uint64_t field(const std::uint8_t* code, std::size_t width, unsigned first, unsigned bits) {
    return field(load_key(code + first / 8, width - first / 8), first % 8, bits);
}

// Integers of up to eight bytes, the lowest byte first. All eight are read, the first `bytes` are written.
inline std::uint64_t load_low(const std::uint8_t* from) {
    std::uint64_t value;
    std::memcpy(&value, from, 8);
    return value;
}

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

// A code of an index: an integer where eight bytes hold it, a pointer to its bytes where not.
struct Item {
    std::uint64_t key;
    const std::uint8_t* code;
};

struct Range {
    std::uint32_t begin, end;
};

// A bucket that is looked into.
struct Probe {
    std::uint64_t own;           // what the query has where entries are compared
    std::uint32_t value, query;  // the substring, and whose it is
    Range range;                 // its entries
};

struct Hit {
    std::uint32_t entry, probe;
};

// Integers of `stride` <= 8 bytes, one after the other, of which all but the lowest `skipped` bytes are compared.
// Behind every entry before `safe` further `slack` bytes can be read.
struct Entries {
    static constexpr std::size_t slack = 56;
    const std::uint8_t* data;
    std::size_t stride, skipped;
    std::uint32_t safe;

    std::uint64_t mask() const {
        return low_bits(static_cast<unsigned>(8 * stride)) & ~low_bits(static_cast<unsigned>(8 * skipped));
    }
};

// Both find what is within `bound`; they return the number of hits.
std::size_t near_entries(const Entries& entries, const Probe* probes, std::size_t count, unsigned bound, Hit* hits);
std::size_t near_codes(const std::uint8_t* codes, std::size_t width, const std::uint8_t* query, Range range,
                       unsigned bound, Hit* hits);
unsigned code_distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t width);

}  // namespace kinbits::mih
