#include "kernels.hpp"

#include <cstdlib>
#include <stdexcept>
#include <string>

namespace kinbits {

#if defined(__x86_64__)
extern const Kernels avx512vpopcntdq_kernels, avx512bw_kernels, avx2_kernels;
#elif defined(__aarch64__)
extern const Kernels neon_kernels;
#endif
extern const Kernels portable_kernels;

std::vector<const Kernels*> compiled_kernels() {
    return {
#if defined(__x86_64__)
        &avx512vpopcntdq_kernels,
        &avx512bw_kernels,
        &avx2_kernels,
#elif defined(__aarch64__)
        &neon_kernels,
#endif
        &portable_kernels,
    };
}

namespace {

const Kernels& choose() {
    const char* forced = std::getenv("KINBITS_SIMD");
    std::string runnable;
    for (const Kernels* path : compiled_kernels()) {
        if (!path->supported()) continue;
        if (!forced || !*forced || path->name == std::string(forced)) return *path;
        runnable += (runnable.empty() ? "" : ", ") + std::string(path->name);
    }
    throw std::invalid_argument("KINBITS_SIMD=" + std::string(forced) + ": this processor runs " + runnable);
}

}  // namespace

const Kernels& kernels() {
    static const Kernels& chosen = choose();
    return chosen;
}

}  // namespace kinbits
