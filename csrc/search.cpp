#include "search.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "allowed_rows.hpp"
#include "kernels.hpp"
#include "scan_ranges.hpp"
#include "selector.hpp"

namespace kinbits {
namespace {

static_assert(std::endian::native == std::endian::little, "codes are read as words");

constexpr std::size_t group_queries = 256;                  // their state stays in cache while the codes are read
constexpr std::size_t group_levels = std::size_t{1} << 20;  // counters of all queries of a group
constexpr std::size_t min_sliced_queries = 8;  // with fewer queries, building slices takes longer than it saves
constexpr std::size_t max_sliced_words = 32;
constexpr std::size_t max_lanes = 512;
constexpr std::size_t rows_per_thread = std::size_t{1} << 17;  // with fewer rows, starting a thread takes longer

// Scans a range of rows in one thread.
class Scan {
public:
    Scan(const Codes& queries, const Codes& codes, const SearchLimits& limits)
        : kernels_(kernels()),
          queries_(queries),
          codes_(codes),
          allowed_(limits.allow),
          selectors(queries.rows, RowSelector(limits.limit, limits.radius)) {}

    void run(std::size_t first, std::size_t last) {
        if (queries_.rows >= min_sliced_queries && codes_.words() <= max_sliced_words)
            scan_slices(first, last);
        else
            scan_rows(first, last);
    }

private:
    const Kernels& kernels_;
    const Codes queries_, codes_;
    AllowedRows allowed_;

public:
    std::vector<RowSelector> selectors;  // one per query

private:
    // Selects the hits that are allowed and still within the bound; `first` is the first row of the block.
    void select(std::size_t first, const Hit* hits, std::size_t count, std::size_t query = 0) {
        for (const Hit* hit = hits; hit < hits + count; ++hit) {
            RowSelector& selector = selectors[query + hit->query];
            if (hit->distance <= selector.bound() && allowed_.has(hit->position))
                selector.add(first + hit->position, hit->distance);
        }
    }

    bool finished() const {
        return std::all_of(selectors.begin(), selectors.end(), [](const auto& one) { return one.bound() < 0; });
    }

    void scan_allowed(std::size_t first) {
        for (std::size_t query = 0; query < queries_.rows; ++query)
            if (selectors[query].bound() >= 0)
                allowed_.each([&](std::size_t position) { compare_one(query, first, position); });
    }

    void compare_one(std::size_t query, std::size_t first, std::size_t position) {
        const unsigned distance = kernels_.distance(queries_.row(query), codes_.row(first + position), codes_.width);
        const Hit hit{0, static_cast<std::uint16_t>(position), static_cast<std::uint16_t>(distance)};
        select(first, &hit, 1, query);
    }

    // Scans each block with one query at a time. The first blocks are small, so that bounds fall soon.
    void scan_rows(std::size_t first, std::size_t last) {
        std::size_t step = 256;
        for (; first < last && !finished(); first += step, step = std::min(2 * step, max_rows)) {
            const std::size_t rows = std::min(step, last - first);
            if (!allowed_.load(first, rows)) continue;
            if (allowed_.is_sparse(rows)) {
                scan_allowed(first);
                continue;
            }
            for (std::size_t query = 0; query < queries_.rows; ++query) scan_block(query, first, rows);
        }
    }

    void scan_block(std::size_t query, std::size_t first, std::size_t rows) {
        if (selectors[query].bound() < 0) return;
        const auto bound = static_cast<unsigned>(selectors[query].bound());
        select(first, hits_.data(),
               kernels_.collect_within(queries_.row(query), codes_.row(first), rows, codes_.width, bound, hits_.data()),
               query);
    }

    // Scans each block with all queries, while its tables are in the first-level cache.
    void scan_slices(std::size_t first, std::size_t last) {
        const std::size_t lanes = kernels_.lanes, words = codes_.words();
        const std::size_t bytes = words * table_vectors * lanes / 8;
        const auto free = [](void* memory) { ::operator delete(memory, std::align_val_t{64}); };
        const std::unique_ptr<void, decltype(free)> tables(::operator new(bytes, std::align_val_t{64}), free);
        const Slice slice{tables.get(), words};
        const std::vector<std::uint16_t> offsets = table_offsets();
        std::vector<std::int32_t> bounds(queries_.rows);
        hits_.resize(std::max(max_rows, queries_.rows * lanes));
        for (; first < last && !finished(); first += lanes) {
            const std::size_t rows = std::min(lanes, last - first);
            if (!allowed_.load(first, rows)) continue;
            if (allowed_.is_sparse(rows)) {
                scan_allowed(first);
                continue;
            }
            kernels_.build_slice(codes_.row(first), rows, codes_.width, slice);
            for (std::size_t query = 0; query < queries_.rows; ++query)
                bounds[query] = sliced_bound(query, first, rows);
            select(first, hits_.data(),
                   kernels_.collect_sliced(slice, {queries_.data, offsets.data(), bounds.data(), queries_.rows},
                                           codes_.row(first), rows, codes_.width, hits_.data()));
        }
    }

    // A slice cannot compare with a bound that all distances are within: then the block is scanned by rows.
    std::int32_t sliced_bound(std::size_t query, std::size_t first, std::size_t rows) {
        if (selectors[query].bound() < static_cast<std::int32_t>(64 * codes_.words())) return selectors[query].bound();
        scan_block(query, first, rows);
        return -1;
    }

    // The offsets of SlicedQueries.
    std::vector<std::uint16_t> table_offsets() const {
        const std::size_t bytes = kernels_.lanes / 8;
        std::vector<std::uint16_t> offsets;
        offsets.reserve(queries_.rows * codes_.words() * lookups);
        for (std::size_t query = 0; query < queries_.rows; ++query)
            for (std::size_t byte = 0; byte < codes_.width; byte += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, queries_.row(query) + byte, std::min<std::size_t>(8, codes_.width - byte));
                for (std::size_t triple = 0; triple < triples; ++triple, word >>= 3)
                    offsets.push_back(static_cast<std::uint16_t>((triple * patterns + word % patterns) * 2 * bytes));
                offsets.push_back(static_cast<std::uint16_t>((table_vectors - 2 + word) * bytes));
            }
        return offsets;
    }

    std::vector<Hit> hits_ = std::vector<Hit>(max_rows);  // of one block
};

void append(const RowSelector& selector, BatchNeighbours& found) {
    const std::size_t before = found.rows.size(), count = selector.size();
    found.counts.push_back(static_cast<std::int64_t>(count));
    found.distances.resize(before + count);
    found.rows.resize(before + count);
    selector.write(found.distances.data() + before, found.rows.data() + before);
}

}  // namespace

BatchNeighbours search(const Codes& queries, const Codes& codes, const SearchLimits& limits, std::size_t threads) {
    BatchNeighbours found;
    const std::size_t step = std::clamp(group_levels / (limits.radius + 1), min_sliced_queries, group_queries);
    for (std::size_t start = 0; start < queries.rows; start += step) {
        const Codes group{queries.row(start), std::min(step, queries.rows - start), queries.width};
        const std::size_t useful_threads = group.rows * codes.rows / rows_per_thread + 1;
        const Ranges ranges(codes.rows, std::min({threads, useful_threads, max_threads}), max_lanes);
        scan_ranges(
            ranges, [&] { return std::make_unique<Scan>(group, codes, limits); },
            [&](const RowSelector& selector) { append(selector, found); });
    }
    return found;
}

}  // namespace kinbits
