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

// Overwrites the last bytes of codes by factors; now and then they are no numbers.
std::vector<kinbits::Factors> write_factors(std::uint8_t* codes, std::size_t rows, std::size_t width) {
    const std::vector<float> offsets = random_values(rows), errors = random_values(rows);
    std::vector<kinbits::Factors> all(rows);
    for (std::size_t row = 0; row < rows; ++row) {
        all[row] = {std::fabs(random_value(below(4))), offsets[row], errors[row]};
        if (below(50) == 0) all[row].scale = std::vector<float>{-1.5f, NAN, INFINITY}[below(3)];
        std::memcpy(codes + (row + 1) * width - sizeof all[row], &all[row], sizeof all[row]);
    }
    return all;
}

float scaled_distance(const kinbits::Tables& tables, std::size_t query, const kinbits::Factors& factors, float sum) {
    // rounded each, not fused
    const volatile float product = factors.scale * sum, loss = tables.slack(query) * factors.error;
    const volatile float above = factors.offset + product;
    const volatile float inner = above - loss;
    const float distance = tables.base(query) + inner;
    constexpr float largest = std::numeric_limits<float>::max();
    return std::isnan(distance) ? largest : std::min(std::max(distance, -largest), largest);
}

void compare_tables(std::size_t bytes, std::size_t words, std::size_t max_rows, std::size_t queries) {
    const bool scaled = words == 16 && below(2) == 0;
    const std::size_t width = bytes + (scaled ? kinbits::factor_bytes : 0);
    Buffer codes(below(max_rows + 1), width);
    const std::size_t rows = codes.codes().rows, parts = words == 16 ? 2 * bytes : bytes;
    std::vector<kinbits::Factors> factors;
    if (scaled) factors = write_factors(codes.data(), rows, width);
    std::vector<float> values = random_values(queries * (parts + scaled) * words);
    const kinbits::Tables tables{values.data(), queries, parts, words, scaled};
    if (scaled && below(2))
        for (std::size_t query = 0; query < queries; ++query)
            values[(query * (parts + 1) + parts) * words + 1] = 0;  // no slack
    const auto filter = random_filter(rows);
    const std::size_t limit = std::vector<std::size_t>{0, 1, 10, rows / 2, SIZE_MAX}[below(5)];
    float radius = std::numeric_limits<float>::infinity();
    if (rows && below(2)) radius = naive_sum(tables, 0, codes.data());
    const auto found = kinbits::search_tables(tables, codes.codes(), {limit, radius, pointer(filter)}, 1 + below(4));
    const std::string name =
        "tables of " + std::to_string(words) + ", " + std::to_string(width) + " bytes" + (scaled ? ", scaled" : "");
    std::size_t at = 0;
    for (std::size_t query = 0; query < queries; ++query) {
        std::vector<Scored> expected;
        for (std::size_t row = 0; row < rows; ++row) {
            float distance = naive_sum(tables, query, codes.data() + row * width);
            if (scaled) distance = scaled_distance(tables, query, factors[row], distance);
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
