#include "distances.hpp"
#include "ranking.hpp"
#include "selftest.hpp"

namespace selftest {
namespace {

void check_histograms(std::size_t width) {
    Buffer queries(below(3), width), codes(below(2300), width);
    const Codes q = queries.codes(), c = codes.codes();
    const std::size_t levels = 8 * width + 1;
    std::unique_ptr<bool[]> relevant(new bool[q.rows * c.rows]);
    std::unique_ptr<std::uint16_t[]> distances(new std::uint16_t[q.rows * c.rows]);
    std::vector<std::int64_t> counts(q.rows * levels * 2), expected(counts.size());
    for (std::size_t pair = 0; pair < q.rows * c.rows; ++pair) {
        relevant[pair] = below(2);
        ++expected[(pair / c.rows * levels + naive(q, pair / c.rows, c, pair % c.rows)) * 2 + relevant[pair]];
    }
    kinbits::distances(q, c, distances.get());
    kinbits::histograms(q, c, relevant.get(), counts.data());
    require(counts == expected, "histograms");
    for (std::size_t pair = 0; pair < q.rows * c.rows; ++pair)
        require(distances[pair] == naive(q, pair / c.rows, c, pair % c.rows), "distances");
}

void check_tally(std::size_t width, std::size_t rows, std::size_t runs) {
    Buffer queries(below(4), width), codes(below(rows), width);
    const Codes q = queries.codes(), c = codes.codes();
    const std::size_t distances = 8 * width + 1, levels = 3;
    std::vector<std::int64_t> ends(runs + 1, static_cast<std::int64_t>(c.rows));
    for (std::size_t run = 0; run < runs; ++run) ends[run] = static_cast<std::int64_t>(below(c.rows + 1));
    std::sort(ends.begin(), ends.end());
    std::vector<std::uint16_t> level(q.rows * ends.size());
    for (auto& one : level) one = static_cast<std::uint16_t>(below(levels));
    std::vector<std::int64_t> counts(q.rows * levels * distances), expected(counts.size());
    for (std::size_t query = 0; query < q.rows; ++query)
        for (std::size_t row = 0; row < c.rows; ++row) {
            const auto end = std::upper_bound(ends.begin(), ends.end(), static_cast<std::int64_t>(row));
            const std::size_t grade = level[query * ends.size() + (end - ends.begin())];
            ++expected[(query * levels + grade) * distances + naive(q, query, c, row)];
        }
    kinbits::tally(q, c, {ends.data(), ends.size(), level.data(), levels}, counts.data(), 1 + below(3));
    require(counts == expected, "tally");
}

}  // namespace

void check_ranking(std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round) {
        for (const std::size_t width : widths) {
            check_histograms(width);
            check_tally(width, 2300, below(9));
        }
        check_tally(8, 200000, 12);  // several blocks and threads
    }
}

}  // namespace selftest
