#include "search.hpp"

#include <utility>

#include "selector.hpp"
#include "selftest.hpp"

namespace selftest {
namespace {

void compare_search(const Codes& q, const Codes& c, std::size_t limit, std::uint32_t radius,
                    const std::vector<std::uint8_t>& filter) {
    const std::size_t threads = 1 + below(4);
    const auto found = kinbits::search(q, c, {limit, radius, pointer(filter)}, threads);
    const std::string name = "search " + std::to_string(q.width) + " bytes, " + std::to_string(q.rows) + " queries, " +
                             std::to_string(c.rows) + " rows, limit " + std::to_string(limit) + ", radius " +
                             std::to_string(radius) + ", " + std::to_string(threads) + " threads";
    require(found.counts.size() == q.rows && found.distances.size() == found.rows.size(), name + ": sizes");
    std::size_t at = 0;
    for (std::size_t query = 0; query < q.rows; ++query) {
        const auto expected = naive_search(q, query, c, limit, radius, filter);
        require(found.counts[query] == static_cast<std::int64_t>(expected.size()), name + ": count");
        for (const Neighbour& neighbour : expected) {
            require(neighbour == Neighbour{found.distances[at], found.rows[at]}, name + ": neighbour");
            ++at;
        }
    }
    require(at == found.rows.size(), name + ": too many rows");
}

void check_random_search(std::size_t width, std::size_t max_rows, std::size_t max_queries) {
    Buffer queries(below(max_queries + 1), width), codes(below(max_rows + 1), width);
    codes.resemble(queries);
    const std::size_t rows = codes.codes().rows;
    const std::size_t limit = std::vector<std::size_t>{0, 1, 10, rows / 2, rows + 5, SIZE_MAX}[below(6)];
    const auto radius = below(2) ? 8 * width : static_cast<std::size_t>(random_bound(width));
    compare_search(queries.codes(), codes.codes(), limit, static_cast<std::uint32_t>(radius), random_filter(rows));
}

// Distances that fall slowly, so that most rows get in for a while and must be forgotten again.
void check_selector(std::size_t limit, std::uint32_t radius) {
    kinbits::RowSelector selector(limit, radius);
    std::vector<std::pair<std::int32_t, std::int64_t>> best;
    std::vector<std::int32_t> distances(limit);
    std::vector<std::int64_t> rows(limit);
    const std::size_t count = 20000;
    for (std::size_t row = 0; row < count; ++row) {
        const auto distance =
            static_cast<std::int32_t>(std::min<std::size_t>(radius, radius * (count - row) / count + below(9)));
        if (distance > selector.bound()) continue;
        selector.add(row, static_cast<std::uint32_t>(distance));
        const std::pair<std::int32_t, std::int64_t> hit(distance, row);
        best.insert(std::upper_bound(best.begin(), best.end(), hit), hit);
        if (best.size() > limit) best.pop_back();
        if (row % 7) continue;
        selector.write(distances.data(), rows.data());
        require(selector.size() == best.size(), "selector's size");
        for (std::size_t i = 0; i < best.size(); ++i)
            require(best[i] == std::make_pair(distances[i], rows[i]), "selector's rows");
    }
}

}  // namespace

void check_search(std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
        for (const std::size_t width : widths) check_random_search(width, 1500, 20);
        check_random_search(8, 30000, 20);  // several threads, and blocks of every size
        check_random_search(16, 40000, 12);
        check_random_search(16, 200, 600);  // several groups of queries
        check_random_search(8, 200000, 2);
    }
    for (const std::size_t limit : {1, 30, 500}) check_selector(limit, 300);
}

}  // namespace selftest
