#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "selftest.hpp"
#include "table_search.hpp"

namespace selftest {
namespace {

struct Scored {
    float distance;
    std::int64_t row;
    auto operator<=>(const Scored&) const = default;
};

// Values of several kinds: whole numbers with many ties, small differences on a large value, and a wide range.
float random_value(std::size_t kind) {
    const auto draw = static_cast<float>(below(1 << 20));
    if (kind == 0) return static_cast<float>(below(4));
    if (kind == 1) return 1000.0f + draw * 1e-7f;
    if (kind == 2) return std::ldexp(draw - 500000.0f, static_cast<int>(below(40)) - 30);
    return draw / (1 << 20);
}

std::vector<float> random_values(std::size_t count) {
    const std::size_t kind = below(4);
    std::vector<float> values(count);
    for (float& value : values) value = random_value(kind);
    return values;
}

float naive_sum(const kinbits::Tables& tables, std::size_t query, const std::uint8_t* code) {
    float sum = 0;
    for (std::size_t part = 0; part < tables.parts; ++part) {
        const std::uint8_t byte = code[tables.words == 16 ? part / 2 : part];
        const unsigned word = tables.words == 256 ? byte : part % 2 ? byte % 16 : byte / 16;
        sum += tables.of(query)[part * tables.words + word];
    }
    return sum;
}

void compare_tables(std::size_t width, std::size_t words, std::size_t max_rows, std::size_t queries) {
    const Buffer codes(below(max_rows + 1), width);
    const std::size_t rows = codes.codes().rows, parts = words == 16 ? 2 * width : width;
    const std::vector<float> values = random_values(queries * parts * words);
    std::vector<float> scales(rows), offsets = random_values(rows);
    for (float& scale : scales) scale = std::fabs(random_value(below(4)));
    const bool scaled = below(3) == 0;
    const kinbits::Tables tables{values.data(), queries, parts, words};
    const auto filter = random_filter(rows);
    const std::size_t limit = std::vector<std::size_t>{0, 1, 10, rows / 2, SIZE_MAX}[below(5)];
    float radius = std::numeric_limits<float>::infinity();
    if (rows && below(2)) radius = naive_sum(tables, 0, codes.data());
    const auto found = kinbits::search_tables(tables, codes.codes(),
                                              {scaled ? scales.data() : nullptr, scaled ? offsets.data() : nullptr},
                                              {limit, radius, pointer(filter)}, 1 + below(4));
    const std::string name = "tables of " + std::to_string(words) + ", " + std::to_string(width) + " bytes";
    std::size_t at = 0;
    for (std::size_t query = 0; query < queries; ++query) {
        std::vector<Scored> expected;
        for (std::size_t row = 0; row < rows; ++row) {
            float distance = naive_sum(tables, query, codes.data() + row * width);
            if (scaled) {
                const volatile float product = scales[row] * distance;  // rounded, not fused with the sum
                distance = offsets[row] + product;
            }
            if (distance <= radius && allows(filter, row))
                expected.push_back({distance, static_cast<std::int64_t>(row)});
        }
        std::sort(expected.begin(), expected.end());
        expected.resize(std::min(expected.size(), limit));
        require(found.counts[query] == static_cast<std::int64_t>(expected.size()), name + ": count");
        for (const Scored& hit : expected) {
            require(hit == Scored{found.distances[at], found.rows[at]}, name + ": neighbour");
            ++at;
        }
    }
    require(at == found.rows.size(), name + ": too many rows");
}

}  // namespace

void check_tables(std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
        for (const std::size_t width : widths)
            for (const std::size_t words : {16, 256}) compare_tables(width, words, 600, 1 + below(4));
        for (const std::size_t words : {16, 256}) compare_tables(8, words, 20000, 3);  // several threads and chunks
        compare_tables(2, 16, 300, 150);                                               // several groups of queries
    }
}

}  // namespace selftest
