#include "kernels.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace kinbits {

extern const Kernels avx512vpopcntdq_kernels, avx512bw_kernels, avx2_kernels, neon_kernels, portable_kernels;

std::vector<const Kernels*> compiled_kernels() {
    return {
#ifdef KINBITS_HAVE_AVX512VPOPCNTDQ
        &avx512vpopcntdq_kernels,
#endif
#ifdef KINBITS_HAVE_AVX512BW
        &avx512bw_kernels,
#endif
#ifdef KINBITS_HAVE_AVX2
        &avx2_kernels,
#endif
#ifdef KINBITS_HAVE_NEON
        &neon_kernels,
#endif
        &portable_kernels,
    };
}

namespace {

const Kernels& choose() {
    const char* requested = std::getenv("KINBITS_SIMD");
    std::string supported;
    for (const Kernels* path : compiled_kernels()) {
        if (!path->supported()) continue;
        if (!requested || !*requested || path->name == std::string(requested)) return *path;
        supported += (supported.empty() ? "" : ", ") + std::string(path->name);
    }
    throw std::invalid_argument("KINBITS_SIMD=" + std::string(requested) + ": this processor runs " + supported);
}

}  // namespace

const Kernels& kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace kinbits
