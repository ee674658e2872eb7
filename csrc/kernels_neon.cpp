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

}  // namespace
}  // namespace kinbits

#include "kernels_add3.inl"

#include "kernels.inl"

#include "kernels_entries.inl"

namespace kinbits {
namespace {

bool supported() { return true; }

}  // namespace

extern const Kernels neon_kernels = KINBITS_KERNELS("neon", supported);

}  // namespace kinbits
