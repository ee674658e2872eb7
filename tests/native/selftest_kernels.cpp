#include <memory>
#include <new>

#include "kernels.hpp"
#include "selftest.hpp"

namespace selftest {
namespace {

using kinbits::Hit;
using kinbits::Kernels;

std::vector<Hit> naive_hits(const Codes& queries, std::size_t query, const Codes& codes, std::int64_t bound) {
    std::vector<Hit> hits;
    for (std::size_t row = 0; row < codes.rows; ++row) {
        const unsigned distance = naive(queries, query, codes, row);
        if (distance <= bound)
            hits.push_back({static_cast<std::uint32_t>(query), static_cast<std::uint16_t>(row),
                            static_cast<std::uint16_t>(distance)});
    }
    return hits;
}

bool same(const Hit* found, std::size_t count, const std::vector<Hit>& expected) {
    return count == expected.size() &&
           std::equal(found, found + count, expected.begin(), [](const Hit& a, const Hit& b) {
               return a.query == b.query && a.position == b.position && a.distance == b.distance;
           });
}

void check_row_wise(const Kernels& path, std::size_t width) {
    const std::size_t rows = below(200);
    Buffer query(1, width), codes(rows, width);
    codes.resemble(query);
    std::unique_ptr<std::uint16_t[]> distances(new std::uint16_t[rows]);
    path.distances(query.data(), codes.data(), rows, width, distances.get());
    for (std::size_t row = 0; row < rows; ++row) {
        const unsigned expected = naive(query.codes(), 0, codes.codes(), row);
        require(distances[row] == expected, std::to_string(width) + " bytes: distances");
        require(path.distance(query.data(), codes.codes().row(row), width) == expected,
                std::to_string(width) + " bytes: distance");
    }
    const std::int32_t bound = random_bound(width);
    std::unique_ptr<Hit[]> hits(new Hit[rows]);
    const auto count =
        path.collect_within(query.data(), codes.data(), rows, width, static_cast<unsigned>(bound), hits.get());
    require(same(hits.get(), count, naive_hits(query.codes(), 0, codes.codes(), bound)),
            std::to_string(width) + " bytes: collect_within");
}

// The offsets of SlicedQueries.
std::vector<std::uint16_t> table_offsets(const Codes& queries, std::size_t lanes) {
    std::vector<std::uint16_t> offsets;
    for (std::size_t query = 0; query < queries.rows; ++query)
        for (std::size_t word = 0; word < queries.words(); ++word) {
            const auto bit = [&](std::size_t number) -> unsigned {
                const std::size_t byte = 8 * word + number / 8;
                return byte < queries.width ? queries.row(query)[byte] >> number % 8 & 1 : 0;
            };
            for (std::size_t triple = 0; triple < kinbits::triples; ++triple) {
                const unsigned pattern = bit(3 * triple) | bit(3 * triple + 1) << 1 | bit(3 * triple + 2) << 2;
                offsets.push_back(static_cast<std::uint16_t>((triple * kinbits::patterns + pattern) * 2 * lanes / 8));
            }
            offsets.push_back(static_cast<std::uint16_t>((kinbits::table_vectors - 2 + bit(63)) * lanes / 8));
        }
    return offsets;
}

void check_sliced(const Kernels& path, std::size_t width) {
    const std::size_t rows = below(3) ? path.lanes : 1 + below(path.lanes), count = below(6);
    Buffer queries(count, width), codes(rows, width);
    codes.resemble(queries);
    const std::size_t words = codes.codes().words();
    const std::align_val_t alignment{64};
    const auto free = [=](void* memory) { ::operator delete(memory, alignment); };
    const std::unique_ptr<void, decltype(free)> tables(
        ::operator new(words * kinbits::table_vectors * path.lanes / 8, alignment), free);
    const kinbits::Slice slice{tables.get(), words};
    path.build_slice(codes.data(), rows, width, slice);

    std::vector<std::int32_t> bounds(count);
    std::vector<Hit> expected;
    for (std::size_t query = 0; query < count; ++query) {
        bounds[query] = below(6) ? std::min(random_bound(width), static_cast<std::int32_t>(64 * words - 1)) : -1;
        const auto hits = naive_hits(queries.codes(), query, codes.codes(), bounds[query]);
        expected.insert(expected.end(), hits.begin(), hits.end());
    }
    std::unique_ptr<Hit[]> hits(new Hit[count * path.lanes]);
    const auto found = path.collect_sliced(
        slice, {queries.data(), table_offsets(queries.codes(), path.lanes).data(), bounds.data(), count}, codes.data(),
        rows, width, hits.get());
    require(same(hits.get(), found, expected), std::to_string(width) + " bytes: collect_sliced");
}

}  // namespace

void check_kernels(std::size_t rounds) {
    const Kernels& path = kinbits::kernels();
    for (const std::size_t width : widths)
        for (std::size_t round = 0; round < 2 + rounds * 300 / (width + 5); ++round) {
            check_row_wise(path, width);
            check_sliced(path, width);
        }
    check_row_wise(path, 8191);
    check_sliced(path, 8191);
}

}  // namespace selftest
