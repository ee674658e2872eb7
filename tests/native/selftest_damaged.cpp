#include <cmath>

#include "selftest.hpp"
#include "selftest_multi_index.hpp"

namespace selftest {
namespace {

// Overwrites a few values, with values that are small, large or random.
template <class Value>
void damage(std::vector<Value>& values) {
    for (std::size_t count = values.empty() ? 0 : below(4); count > 0; --count) {
        const std::size_t random = below(SIZE_MAX);
        values[below(values.size())] =
            static_cast<Value>(std::vector<std::size_t>{below(300), SIZE_MAX, random}[below(3)]);
    }
}

void damage(MadeIndex& made) {
    damage(made.keys);
    damage(made.unique);
    damage(made.members);
    damage(made.starts);
    damage(made.offsets[below(made.offsets.size())]);
    damage(made.entries[below(made.entries.size())]);
    made.connect();
}

// Calls `read`, which may say that the index is damaged; it may do nothing else that is wrong.
template <class Read>
void tolerate(Read read) {
    try {
        read();
    } catch (const mih::Damaged&) {
    }
}

void read_everything(const MadeIndex& made, const Codes& queries) {
    const std::size_t width = queries.width, radii = 8 * width + 1;
    const auto filter = random_filter(made.index.rows);
    const kinbits::SearchLimits limits{1 + below(50), static_cast<std::uint32_t>(8 * width), pointer(filter)};
    for (std::size_t query = 0; query < queries.rows; ++query) {
        for (const double budget : {0.0, 3000.0, HUGE_VAL}) {
            tolerate([&] {
                mih::Neighbours found;
                mih::search(made.index, queries.row(query), limits, budget, found);
                for (const std::int64_t row : found.rows)
                    require(row >= 0 && row < static_cast<std::int64_t>(made.index.rows), "a row of a damaged index");
            });
            tolerate([&] {
                std::vector<std::int64_t> steps(3 * radii);
                const auto excluded = static_cast<std::uint32_t>(below(made.index.groups + 1));
                mih::trace(made.index, queries.row(query), excluded, limits, budget, steps.data(), radii);
            });
        }
    }
    tolerate([&] {
        std::vector<mih::GroupPair> pairs;
        const auto groups = static_cast<std::uint32_t>(made.index.groups);
        mih::pair_groups(made.index, 0, groups, static_cast<unsigned>(below(2 * width)), 2, pairs);
        std::int64_t first[50], second[50];
        std::int32_t distances[50];
        mih::PairCursor cursor{};
        for (int chunk = 0; chunk < 20; ++chunk)
            mih::expand_pairs(made.index, pairs.data(), pairs.size(), cursor, 50, first, second, distances);
    });
}

}  // namespace

void check_damaged_multi_index(std::size_t rounds) {
    for (std::size_t round = 0; round < 4 * rounds; ++round)
        for (const std::size_t width : {2, 5, 8, 9, 16}) {
            Buffer queries(3, width), codes(1 + below(250), width);
            codes.resemble(queries);
            MadeIndex made = random_index(codes.codes(), 1);
            damage(made);
            read_everything(made, queries.codes());
        }
}

}  // namespace selftest
