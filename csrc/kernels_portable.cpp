// Any processor: compilers map vectors of 16 bytes to its own instructions (SSE2 on x86-64).
#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(16), may_alias));

__attribute__((always_inline)) inline bool any(Word word) { return (word[0] | word[1]) != 0; }

// Compares one code at a time: nothing is faster without vector instructions.
class AnyWithin {
public:
    static constexpr std::size_t rows = 1;

    AnyWithin(std::uint64_t query, unsigned bound) : query_(query), bound_(bound) {}

    bool any(const std::uint8_t* codes) const {
        std::uint64_t code;
        __builtin_memcpy(&code, codes, 8);
        return static_cast<unsigned>(__builtin_popcountll(query_ ^ code)) <= bound_;
    }

private:
    std::uint64_t query_;
    unsigned bound_;
};

typedef std::uint8_t Bytes __attribute__((vector_size(16), may_alias));

inline Bytes look_up_256(const std::uint8_t* table, Bytes index) {
    std::uint8_t bytes[sizeof index];
    __builtin_memcpy(bytes, &index, sizeof bytes);
    for (std::uint8_t& byte : bytes) byte = table[byte];
    __builtin_memcpy(&index, bytes, sizeof bytes);
    return index;
}

inline Bytes look_up_16(const std::uint8_t* table, Bytes index) { return look_up_256(table, index); }

}  // namespace
}  // namespace kinbits

#include "kernels_add3.inl"

#include "kernels.inl"

#include "kernels_entries.inl"

#include "kernels_tables.inl"

namespace kinbits {
namespace {

bool supported() { return true; }

}  // namespace

extern const Kernels portable_kernels = KINBITS_KERNELS("portable", supported);

}  // namespace kinbits
