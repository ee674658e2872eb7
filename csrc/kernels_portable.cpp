// Any processor: vectors of 16 bytes, which compilers make of whatever there is (SSE2 on x86-64).
#include <cstddef>
#include <cstdint>

namespace kinbits {
namespace {

typedef std::uint64_t Word __attribute__((vector_size(16), may_alias));

__attribute__((always_inline)) inline bool any(Word word) { return (word[0] | word[1]) != 0; }

// One code is as good as any number here.
class Nearness {
public:
    static constexpr std::size_t rows = 1;

    Nearness(std::uint64_t query, unsigned bound) : query_(query), bound_(bound) {}

    bool any(const std::uint8_t* codes) const {
        std::uint64_t code;
        __builtin_memcpy(&code, codes, 8);
        return static_cast<unsigned>(__builtin_popcountll(query_ ^ code)) <= bound_;
    }

private:
    std::uint64_t query_;
    unsigned bound_;
};

}  // namespace
}  // namespace kinbits

#include "kernels_add3.inl"

#include "kernels.inl"

namespace kinbits {
namespace {

bool everywhere() { return true; }

}  // namespace

extern const Kernels portable_kernels = KINBITS_KERNELS("portable", everywhere);

}  // namespace kinbits
