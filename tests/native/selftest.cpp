// selftest [rounds]: compares the kernels of the path that KINBITS_SIMD names with naive loops. Exits with 1 at the
// first difference, and with 77 if this processor does not support the path.
#include "selftest.hpp"

#include <cstdio>
#include <cstdlib>
#include <random>
#include <stdexcept>

#include "kernels.hpp"

namespace selftest {

std::size_t below(std::size_t end) {
    static std::mt19937_64 generator(1);
    return end ? generator() % end : 0;
}

void require(bool holds, const std::string& what) {
    if (holds) return;
    std::printf("FAILED: %s\n", what.c_str());
    std::exit(1);
}

unsigned naive(const Codes& a, std::size_t i, const Codes& b, std::size_t j) {
    unsigned count = 0;
    for (std::size_t byte = 0; byte < a.width; ++byte)
        for (unsigned bits = a.row(i)[byte] ^ b.row(j)[byte]; bits; bits &= bits - 1) ++count;
    return count;
}

std::int32_t random_bound(std::size_t width) {
    const std::size_t top = 8 * width;
    switch (below(5)) {
        case 0: return static_cast<std::int32_t>(below(5));
        case 1: return static_cast<std::int32_t>(top - below(2));
        default: return static_cast<std::int32_t>(top / 2 + below(width + 1) - width / 2);
    }
}

std::vector<std::uint8_t> random_filter(std::size_t rows) {
    const std::size_t one_in = std::vector<std::size_t>{0, 1, 2, 40, 1000}[below(5)];
    if (!one_in) return {};
    std::vector<std::uint8_t> bits((rows + 7) / 8);
    for (std::size_t row = 0; row < rows; ++row)
        if (!below(one_in)) bits[row / 8] |= static_cast<std::uint8_t>(1 << row % 8);
    if (rows % 8) bits.back() |= static_cast<std::uint8_t>(0xFF << rows % 8);
    return bits;
}

std::vector<Neighbour> naive_search(const Codes& queries, std::size_t query, const Codes& codes, std::size_t limit,
                                    std::size_t radius, const std::vector<std::uint8_t>& filter) {
    std::vector<Neighbour> found;
    for (std::size_t row = 0; row < codes.rows; ++row) {
        const unsigned distance = naive(queries, query, codes, row);
        if (distance <= radius && allows(filter, row))
            found.push_back({static_cast<std::int32_t>(distance), static_cast<std::int64_t>(row)});
    }
    std::sort(found.begin(), found.end());
    found.resize(std::min(found.size(), limit));
    return found;
}

}  // namespace selftest

int main(int count, char** arguments) {
    const std::size_t rounds = count > 1 ? std::strtoul(arguments[1], nullptr, 10) : 1;
    try {
        std::printf("%s\n", kinbits::kernels().name);
    } catch (const std::invalid_argument& error) {
        std::printf("skipped: %s\n", error.what());
        return 77;
    }
    selftest::check_kernels(rounds);
    selftest::check_search(rounds);
    selftest::check_tables(rounds);
    selftest::check_ranking(rounds);
    selftest::check_multi_index(rounds);
    selftest::check_damaged_multi_index(rounds);
    selftest::check_mapped_file();
    std::printf("passed\n");
}
