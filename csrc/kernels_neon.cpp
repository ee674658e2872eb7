// 64-bit ARM, which always has NEON.
#include <arm_neon.h>

#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(16), may_alias));

__attribute__((always_inline)) inline bool any(Word word) { return (word[0] | word[1]) != 0; }

class AnyWithin {
public:
    static constexpr std::size_t rows = 8;

    __attribute__((always_inline)) AnyWithin(std::uint64_t query, unsigned bound)
        : query_(vreinterpretq_u8_u64(vdupq_n_u64(query))), bound_(vdupq_n_u64(bound)) {}

    __attribute__((always_inline)) bool any(const std::uint8_t* codes) const {
        uint64x2_t within = vdupq_n_u64(0);
#pragma GCC unroll 4
        for (int part = 0; part < 4; ++part) {
            const uint8x16_t differ = veorq_u8(query_, vld1q_u8(codes + 16 * part));
            const uint64x2_t bits = vpaddlq_u32(vpaddlq_u16(vpaddlq_u8(vcntq_u8(differ))));
            within = vorrq_u64(within, vcleq_u64(bits, bound_));
        }
        return vmaxvq_u32(vreinterpretq_u32_u64(within)) != 0;
    }

private:
    uint8x16_t query_;
    uint64x2_t bound_;
};

typedef std::uint8_t Bytes __attribute__((vector_size(16), may_alias));

__attribute__((always_inline)) inline Bytes look_up_16(const std::uint8_t* table, Bytes index) {
    return (Bytes)vqtbl1q_u8(vld1q_u8(table), (uint8x16_t)index);
}

// An index outside of the 64 entries of a quarter leaves what was found before.
__attribute__((always_inline)) inline Bytes look_up_256(const std::uint8_t* table, Bytes index) {
    uint8x16_t found = vdupq_n_u8(0);
#pragma GCC unroll 4
    for (int quarter = 0; quarter < 4; ++quarter) {
        const uint8x16x4_t entries = vld1q_u8_x4(table + 64 * quarter);
        found = vqtbx4q_u8(found, entries, vsubq_u8((uint8x16_t)index, vdupq_n_u8(64 * quarter)));
    }
    return (Bytes)found;
}

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

extern const Kernels neon_kernels = KINBITS_KERNELS("neon", supported);

}  // namespace kinbits
