#include "multi_index.hpp"

#include <cmath>
#include <tuple>

#include "parallel.hpp"
#include "selftest.hpp"
#include "selftest_multi_index.hpp"

namespace selftest {

MadeIndex::MadeIndex(const Codes& codes, std::size_t table_count, std::size_t bits, std::size_t threads)
    : keys(codes.rows), members(codes.rows) {
    std::vector<std::uint64_t> scratch(2 * codes.rows + 2);
    const std::size_t groups = mih::group_rows(codes, threads, keys.data(), members.data(), scratch.data());
    const auto* first = reinterpret_cast<const std::uint32_t*>(scratch.data());
    if (groups < codes.rows) starts.assign(first, first + groups + 1);
    for (std::size_t group = 0; group < groups && codes.width > 8; ++group) {
        const std::uint8_t* code = codes.row(members[starts.empty() ? group : starts[group]]);
        unique.insert(unique.end(), code, code + codes.width);
    }
    keys.resize(codes.width > 8 ? 0 : groups);
    keys.shrink_to_fit();
    unique.shrink_to_fit();
    index.width = codes.width, index.rows = codes.rows, index.groups = groups;
    index.tables = mih::substrings(codes.width, static_cast<unsigned>(bits), static_cast<unsigned>(table_count));
    for (const mih::Table& table : index.tables) {
        offsets.emplace_back((std::size_t{1} << table.bits) + 1);
        entries.emplace_back(offsets.size() > 1 ? groups * table.stride + mih::Entries::slack : 0);
    }
    connect();
    kinbits::each_task(threads, table_count, [&](std::size_t number) {
        mih::fill_table(index, index.tables[number], offsets[number].data(), number ? entries[number].data() : nullptr);
    });
}

void MadeIndex::connect() {
    index.member_count = members.size();
    index.keys = keys.data();
    index.codes = unique.data();
    index.starts = starts.empty() ? nullptr : starts.data();
    index.members = members.data();
    for (std::size_t number = 0; number < index.tables.size(); ++number) {
        index.tables[number].offsets = offsets[number].data();
        index.tables[number].entries = number ? entries[number].data() : nullptr;
    }
}

MadeIndex random_index(const Codes& codes, std::size_t threads) {
    constexpr std::size_t max_substring = 11;
    const std::size_t bits = below(3) ? 8 * codes.width : 1 + below(8 * codes.width);
    const std::size_t least = (bits + max_substring - 1) / max_substring;
    return MadeIndex(codes, std::min(bits, least + below(3)), bits, threads);
}

namespace {

using Pair = std::tuple<std::int64_t, std::int64_t, std::int32_t>;

// Nanoseconds: scan at once, after some probes, or never.
double random_budget() { return std::vector<double>{0, 3000, HUGE_VAL}[below(3)]; }

std::string describe(const Codes& codes, const char* what) {
    return std::to_string(codes.width) + " bytes, " + std::to_string(codes.rows) + " rows: " + what;
}

void check_searches(const MadeIndex& made, const Codes& codes, const Codes& queries, std::size_t threads) {
    const std::size_t limit = std::vector<std::size_t>{0, 1, 10, codes.rows / 2, codes.rows + 5}[below(5)];
    const std::size_t radius = below(2) ? 8 * codes.width : static_cast<std::size_t>(random_bound(codes.width));
    const auto filter = random_filter(codes.rows);
    const double budget = random_budget();
    std::vector<mih::Neighbours> found(queries.rows);
    kinbits::each_task(threads, queries.rows, [&](std::size_t query) {
        mih::search(made.index, queries.row(query), {limit, static_cast<std::uint32_t>(radius), pointer(filter)},
                    budget, found[query]);
    });
    for (std::size_t query = 0; query < queries.rows; ++query) {
        std::vector<Neighbour> neighbours;
        for (std::size_t i = 0; i < found[query].rows.size(); ++i)
            neighbours.push_back({found[query].distances[i], found[query].rows[i]});
        require(neighbours == naive_search(queries, query, codes, limit, radius, filter),
                describe(codes, "search of the multi-index"));
    }
}

// Excludes a row of the group of row `row`; all others within each complete radius must be counted.
void check_trace(const MadeIndex& made, const Codes& codes, std::size_t row) {
    std::uint32_t group = 0;
    while (std::memcmp(codes.row(made.first_member(group)), codes.row(row), codes.width) != 0) ++group;
    const std::size_t radii = 8 * codes.width + 1;
    std::vector<std::int64_t> steps(3 * radii);
    const kinbits::SearchLimits limits{codes.rows, static_cast<std::uint32_t>(8 * codes.width), nullptr};
    mih::trace(made.index, codes.row(row), group, limits, HUGE_VAL, steps.data(), radii);
    for (std::size_t radius = 0; radius < radii && steps[3 * radius] >= 0; ++radius) {
        const std::size_t within = naive_search(codes, row, codes, codes.rows, radius, {}).size();
        require(steps[3 * radius] == static_cast<std::int64_t>(within) - 1, describe(codes, "trace"));
    }
}

void check_pairs(const MadeIndex& made, const Codes& codes, std::size_t radius, std::size_t threads) {
    std::vector<mih::GroupPair> groups;
    mih::pair_groups(made.index, 0, static_cast<std::uint32_t>(made.index.groups), static_cast<unsigned>(radius),
                     threads, groups);
    constexpr std::size_t room = 13;
    std::vector<Pair> found, expected;
    mih::PairCursor cursor{};
    for (std::size_t written = room; written == room;) {
        std::int64_t first[room], second[room];
        std::int32_t distances[room];
        written = mih::expand_pairs(made.index, groups.data(), groups.size(), cursor, room, first, second, distances);
        for (std::size_t i = 0; i < written; ++i) found.emplace_back(first[i], second[i], distances[i]);
    }
    for (std::size_t a = 0; a < codes.rows; ++a)
        for (std::size_t b = a + 1; b < codes.rows; ++b)
            if (const unsigned distance = naive(codes, a, codes, b); distance <= radius)
                expected.emplace_back(a, b, distance);
    std::sort(found.begin(), found.end());
    require(found == expected, describe(codes, "pairs"));
}

}  // namespace

void check_multi_index(std::size_t rounds) {
    for (std::size_t round = 0; round < rounds; ++round)
        for (const std::size_t width : {1, 2, 3, 5, 7, 8, 9, 12, 16, 17, 32}) {
            Buffer queries(1 + below(5), width), codes(below(400), width);
            codes.resemble(queries);
            const std::size_t threads = 1 + below(3);
            const MadeIndex made = random_index(codes.codes(), threads);
            check_searches(made, codes.codes(), queries.codes(), threads);
            if (codes.codes().rows) check_trace(made, codes.codes(), below(codes.codes().rows));
            check_pairs(made, codes.codes(), below(2) ? below(4) : below(4 * width), threads);
        }
    Buffer queries(4, 8), codes(150000, 8);  // enough rows to be grouped by several threads
    codes.resemble(queries);
    check_searches(MadeIndex(codes.codes(), 5, 64, 4), codes.codes(), queries.codes(), 4);
}

}  // namespace selftest
