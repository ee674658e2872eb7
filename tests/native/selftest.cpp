// Compares every loop of the kernel that this processor runs with a naive one, on random codes whose buffers end where
// the codes end, so that sanitizers see every step outside. Prints what differs and exits with 1.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "codes.hpp"
#include "distances.hpp"
#include "kernels.hpp"
#include "ranking.hpp"
#include "search.hpp"
#include "selector.hpp"

namespace {

using kinbits::Codes;
using kinbits::Hit;
using kinbits::Kernels;

std::mt19937_64 generator(1);

std::size_t below(std::size_t end) { return end ? generator() % end : 0; }

void require(bool holds, const std::string& what) {
    if (holds) return;
    std::printf("FAILED: %s\n", what.c_str());
    std::exit(1);
}

// Codes that start at an odd address and end at the end of their memory.
class Buffer {
public:
    Buffer(std::size_t rows, std::size_t width)
        : rows_(rows), width_(width), memory_(new std::uint8_t[rows * width + 1]) {
        for (std::size_t byte = 0; byte < rows * width; ++byte) data()[byte] = static_cast<std::uint8_t>(generator());
    }
    std::uint8_t* data() { return memory_.get() + 1; }
    Codes codes() { return {data(), rows_, width_}; }

    // Makes about half of the rows copies of rows of `others`, with a few bits flipped: ties and small distances.
    void resemble(Buffer& others) {
        if (!others.rows_) return;
        for (std::size_t row = 0; row < rows_; ++row) {
            if (below(2)) continue;
            std::copy_n(others.data() + below(others.rows_) * width_, width_, data() + row * width_);
            for (std::size_t flips = below(4); flips > 0; --flips)
                data()[row * width_ + below(width_)] ^= static_cast<std::uint8_t>(1 << below(8));
        }
    }

private:
    std::size_t rows_, width_;
    std::unique_ptr<std::uint8_t[]> memory_;
};

unsigned naive(const Codes& a, std::size_t i, const Codes& b, std::size_t j) {
    unsigned count = 0;
    for (std::size_t byte = 0; byte < a.width; ++byte)
        for (unsigned bits = a.row(i)[byte] ^ b.row(j)[byte]; bits; bits &= bits - 1) ++count;
    return count;
}

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
               return a.query == b.query && a.place == b.place && a.distance == b.distance;
           });
}

// From nothing to everything, and mostly near the distances that occur.
std::int32_t some_bound(std::size_t width) {
    const std::size_t top = 8 * width;
    switch (below(5)) {
        case 0: return static_cast<std::int32_t>(below(5));
        case 1: return static_cast<std::int32_t>(top - below(2));
        default: return static_cast<std::int32_t>(top / 2 + below(width + 1) - width / 2);
    }
}

void check_row_wise(const Kernels& path, std::size_t width, const std::string& name) {
    const std::size_t rows = below(200);
    Buffer query(1, width), codes(rows, width);
    codes.resemble(query);
    std::unique_ptr<std::uint16_t[]> distances(new std::uint16_t[rows]);
    path.distances(query.data(), codes.data(), rows, width, distances.get());
    for (std::size_t row = 0; row < rows; ++row) {
        const unsigned expected = naive(query.codes(), 0, codes.codes(), row);
        require(distances[row] == expected, name + " distances");
        require(path.distance(query.data(), codes.codes().row(row), width) == expected, name + " distance");
    }
    const std::int32_t bound = some_bound(width);
    std::unique_ptr<Hit[]> hits(new Hit[rows]);
    const auto count = path.near(query.data(), codes.data(), rows, width, static_cast<unsigned>(bound), hits.get());
    require(same(hits.get(), count, naive_hits(query.codes(), 0, codes.codes(), bound)), name + " near");
}

// Where each query finds its sums in the tables of a word, as SlicedQueries says.
std::vector<std::uint16_t> table_places(const Codes& queries, std::size_t lanes) {
    std::vector<std::uint16_t> places;
    for (std::size_t query = 0; query < queries.rows; ++query)
        for (std::size_t word = 0; word < queries.words(); ++word) {
            const auto bit = [&](std::size_t number) -> unsigned {
                const std::size_t byte = 8 * word + number / 8;
                return byte < queries.width ? queries.row(query)[byte] >> number % 8 & 1 : 0;
            };
            for (std::size_t triple = 0; triple < kinbits::triples; ++triple) {
                const unsigned pattern = bit(3 * triple) | bit(3 * triple + 1) << 1 | bit(3 * triple + 2) << 2;
                places.push_back(static_cast<std::uint16_t>((triple * kinbits::patterns + pattern) * 2 * lanes / 8));
            }
            places.push_back(static_cast<std::uint16_t>((kinbits::table_vectors - 2 + bit(63)) * lanes / 8));
        }
    return places;
}

void check_sliced(const Kernels& path, std::size_t width, const std::string& name) {
    const std::size_t rows = below(3) ? path.lanes : 1 + below(path.lanes), count = below(6);
    Buffer queries(count, width), codes(rows, width);
    codes.resemble(queries);
    const std::size_t words = codes.codes().words();
    const std::align_val_t alignment{64};
    const auto free = [=](void* memory) { ::operator delete(memory, alignment); };
    const std::unique_ptr<void, decltype(free)> tables(
        ::operator new(words * kinbits::table_vectors * path.lanes / 8, alignment), free);
    const kinbits::Slice slice{tables.get(), words};
    path.cut(codes.data(), rows, width, slice);

    std::vector<std::int32_t> bounds(count);
    std::vector<Hit> expected;
    for (std::size_t query = 0; query < count; ++query) {
        bounds[query] = below(6) ? std::min(some_bound(width), static_cast<std::int32_t>(64 * words - 1)) : -1;
        const auto hits = naive_hits(queries.codes(), query, codes.codes(), bounds[query]);
        expected.insert(expected.end(), hits.begin(), hits.end());
    }
    std::unique_ptr<Hit[]> hits(new Hit[count * path.lanes]);
    const auto found =
        path.near_slice(slice, {queries.data(), table_places(queries.codes(), path.lanes).data(), bounds.data(), count},
                        codes.data(), rows, width, hits.get());
    require(same(hits.get(), found, expected), name + " near_slice");
}

// Bits of a filter, those behind the last row set; an empty vector allows all.
std::vector<std::uint8_t> some_filter(std::size_t rows) {
    const std::size_t one_in = std::vector<std::size_t>{0, 1, 2, 40, 1000}[below(5)];
    if (!one_in) return {};
    std::vector<std::uint8_t> bits((rows + 7) / 8);
    for (std::size_t row = 0; row < rows; ++row)
        if (!below(one_in)) bits[row / 8] |= static_cast<std::uint8_t>(1 << row % 8);
    if (rows % 8) bits.back() |= static_cast<std::uint8_t>(0xFF << rows % 8);
    return bits;
}

void compare_search(const Codes& q, const Codes& c, std::size_t limit, std::uint32_t radius,
                    const std::vector<std::uint8_t>& filter) {
    const std::size_t threads = 1 + below(4);
    const auto found = kinbits::search(q, c, {limit, radius, filter.empty() ? nullptr : filter.data()}, threads);
    const std::string name = "search " + std::to_string(q.width) + " bytes, " + std::to_string(q.rows) + " queries, " +
                             std::to_string(c.rows) + " rows, limit " + std::to_string(limit) + ", radius " +
                             std::to_string(radius) + ", " + std::to_string(threads) + " threads";
    require(found.counts.size() == q.rows && found.distances.size() == found.rows.size(), name + ": sizes");
    std::size_t at = 0;
    for (std::size_t query = 0; query < q.rows; ++query) {
        std::vector<std::pair<std::int32_t, std::int64_t>> expected;
        for (std::size_t row = 0; row < c.rows; ++row) {
            const unsigned distance = naive(q, query, c, row);
            if (distance <= radius && (filter.empty() || filter[row / 8] >> row % 8 & 1))
                expected.emplace_back(distance, row);
        }
        std::sort(expected.begin(), expected.end());
        expected.resize(std::min(expected.size(), limit));
        require(found.counts[query] == static_cast<std::int64_t>(expected.size()), name + ": count");
        for (const auto& [distance, row] : expected) {
            require(found.distances[at] == distance && found.rows[at] == row, name + ": answer");
            ++at;
        }
    }
    require(at == found.rows.size(), name + ": more than was asked for");
}

void check_search(std::size_t width, std::size_t most_rows, std::size_t most_queries) {
    Buffer queries(below(most_queries + 1), width), codes(below(most_rows + 1), width);
    codes.resemble(queries);
    const std::size_t rows = codes.codes().rows;
    const std::size_t limit = std::vector<std::size_t>{0, 1, 10, rows / 2, rows + 5, SIZE_MAX}[below(6)];
    const auto radius = below(2) ? 8 * width : static_cast<std::size_t>(some_bound(width));
    compare_search(queries.codes(), codes.codes(), limit, static_cast<std::uint32_t>(radius), some_filter(rows));
}

// Distances that fall slowly, so that most rows get in for a while and must be forgotten again.
void check_selector(std::size_t limit, std::uint32_t radius) {
    kinbits::Selector selector(limit, radius);
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
    for (std::size_t run = 0; run < runs; ++run) ends[run] = below(c.rows + 1);
    std::sort(ends.begin(), ends.end());
    std::vector<std::uint16_t> level(q.rows * ends.size());
    for (auto& one : level) one = below(levels);
    std::vector<std::int64_t> counts(q.rows * levels * distances), expected(counts.size());
    for (std::size_t query = 0; query < q.rows; ++query)
        for (std::size_t row = 0; row < c.rows; ++row) {
            const auto end = std::upper_bound(ends.begin(), ends.end(), static_cast<std::int64_t>(row));
            const std::size_t worth = level[query * ends.size() + (end - ends.begin())];
            ++expected[(query * levels + worth) * distances + naive(q, query, c, row)];
        }
    kinbits::tally(q, c, {ends.data(), ends.size(), level.data(), levels}, counts.data(), 1 + below(3));
    require(counts == expected, "tally");
}

const std::size_t widths[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 15, 16, 17, 24, 31, 32, 33, 63, 64, 65, 100, 256, 257};

}  // namespace

// selftest [rounds]: the inner loops of all paths, then the searches by the path that KINBITS_SIMD names.
int main(int count, char** arguments) {
    const std::size_t rounds = count > 1 ? std::strtoul(arguments[1], nullptr, 10) : 3;
    for (const Kernels* path : kinbits::compiled_kernels()) {
        if (!path->supported()) continue;
        std::printf("%s\n", path->name);
        for (const std::size_t width : widths)
            for (std::size_t round = 0; round < 2 + rounds * 300 / (width + 5); ++round) {
                const std::string name = std::string(path->name) + ", " + std::to_string(width) + " bytes:";
                check_row_wise(*path, width, name);
                check_sliced(*path, width, name);
            }
        check_row_wise(*path, 8191, path->name);
        check_sliced(*path, 8191, path->name);
    }
    std::printf("search by %s\n", kinbits::kernels().name);
    for (const std::size_t width : widths)
        for (std::size_t round = 0; round < rounds; ++round) {
            check_search(width, 1500, 20);
            check_histograms(width);
            check_tally(width, 2300, below(9));
        }
    for (std::size_t round = 0; round < rounds; ++round) {
        check_search(8, 30000, 20);  // enough for several threads and for blocks of every size
        check_search(16, 40000, 12);
        check_search(16, 200, 600);  // more queries than are taken at one time
        check_search(8, 200000, 2);
        check_tally(8, 200000, 12);  // several blocks and threads
    }
    for (const std::size_t limit : {1, 30, 500}) check_selector(limit, 300);
}
