#include "search.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <memory>
#include <new>

#include "kernels.hpp"
#include "parallel.hpp"
#include "selector.hpp"

namespace kinbits {
namespace {

static_assert(std::endian::native == std::endian::little, "bitmaps and codes are read as words");

constexpr std::size_t group_queries = 256;                  // their state stays in cache while the codes stream past
constexpr std::size_t group_levels = std::size_t{1} << 20;  // counters of all queries of a group; wide codes have many
constexpr std::size_t fewest_sliced = 8;                    // cutting a block into planes pays for itself from here on
constexpr std::size_t most_sliced_words = 32;
constexpr std::size_t most_lanes = 512;
constexpr std::size_t most_rows = 4096;  // per block of the row-wise scan
constexpr std::size_t sparse = 16;       // up to one allowed row in so many, each is looked at by itself
constexpr std::size_t rows_per_thread = std::size_t{1} << 17;  // below, starting a thread takes longer

// Which rows of a block may be found: the filter's bits, and none beyond the last row.
class Allowed {
public:
    explicit Allowed(const std::uint8_t* bitmap) : bitmap_(bitmap) {}

    // Moves to the rows first .. first + rows - 1; first is a multiple of 64. Returns how many are allowed.
    std::size_t load(std::size_t first, std::size_t rows) {
        words_ = (rows + 63) / 64;
        if (bitmap_) {
            flags_[words_ - 1] = 0;
            std::memcpy(flags_, bitmap_ + first / 8, (rows + 7) / 8);
        } else {
            std::fill_n(flags_, words_, ~std::uint64_t{0});
        }
        if (rows % 64) flags_[words_ - 1] &= (std::uint64_t{1} << rows % 64) - 1;
        count_ = 0;
        for (std::size_t word = 0; word < words_; ++word) count_ += std::popcount(flags_[word]);
        return count_;
    }

    bool is_sparse(std::size_t rows) const { return count_ * sparse <= rows; }
    bool has(std::size_t place) const { return flags_[place / 64] >> place % 64 & 1; }

    // Calls visit(place) for every allowed place.
    template <class Visit>
    void each(Visit visit) const {
        for (std::size_t word = 0; word < words_; ++word)
            for (std::uint64_t left = flags_[word]; left; left &= left - 1) visit(word * 64 + std::countr_zero(left));
    }

private:
    const std::uint8_t* bitmap_;
    std::size_t words_ = 0, count_ = 0;
    std::uint64_t flags_[most_rows / 64];
};

// One thread's scan over a range of rows.
class Scan {
public:
    Scan(const Codes& queries, const Codes& codes, const Wanted& wanted)
        : kernels_(kernels()),
          queries_(queries),
          codes_(codes),
          allowed_(wanted.allow),
          selectors(queries.rows, Selector(wanted.limit, wanted.radius)) {}

    void run(std::size_t first, std::size_t last) {
        if (queries_.rows >= fewest_sliced && codes_.words() <= most_sliced_words)
            sliced(first, last);
        else
            row_wise(first, last);
    }

private:
    const Kernels& kernels_;
    const Codes queries_, codes_;
    Allowed allowed_;

public:
    std::vector<Selector> selectors;  // one per query

private:
    // Takes those hits that are still near enough; `first` is the row at place 0.
    void take(std::size_t first, const Hit* hits, std::size_t count, std::size_t query = 0) {
        for (const Hit* hit = hits; hit < hits + count; ++hit) {
            Selector& selector = selectors[query + hit->query];
            if (hit->distance <= selector.bound() && allowed_.has(hit->place))
                selector.add(first + hit->place, hit->distance);
        }
    }

    bool finished() const {
        return std::all_of(selectors.begin(), selectors.end(), [](const auto& one) { return one.bound() < 0; });
    }

    void each_allowed(std::size_t first) {
        for (std::size_t query = 0; query < queries_.rows; ++query)
            if (selectors[query].bound() >= 0) allowed_.each([&](std::size_t place) { near_one(query, first, place); });
    }

    void near_one(std::size_t query, std::size_t first, std::size_t place) {
        const unsigned distance = kernels_.distance(queries_.row(query), codes_.row(first + place), codes_.width);
        const Hit hit{0, static_cast<std::uint16_t>(place), static_cast<std::uint16_t>(distance)};
        take(first, &hit, 1, query);
    }

    // A query at a time passes over each block. The first blocks are small, for a bound is soon found.
    void row_wise(std::size_t first, std::size_t last) {
        std::size_t step = 256;
        for (; first < last && !finished(); first += step, step = std::min(2 * step, most_rows)) {
            const std::size_t rows = std::min(step, last - first);
            if (!allowed_.load(first, rows)) continue;
            if (allowed_.is_sparse(rows)) {
                each_allowed(first);
                continue;
            }
            for (std::size_t query = 0; query < queries_.rows; ++query) whole_block(query, first, rows);
        }
    }

    void whole_block(std::size_t query, std::size_t first, std::size_t rows) {
        if (selectors[query].bound() < 0) return;
        const auto bound = static_cast<unsigned>(selectors[query].bound());
        take(first, hits_.data(),
             kernels_.near(queries_.row(query), codes_.row(first), rows, codes_.width, bound, hits_.data()), query);
    }

    // All queries pass over each block together, while its tables lie in the first-level cache.
    void sliced(std::size_t first, std::size_t last) {
        const std::size_t lanes = kernels_.lanes, words = codes_.words();
        const std::size_t bytes = words * table_vectors * lanes / 8;
        const auto free = [](void* memory) { ::operator delete(memory, std::align_val_t{64}); };
        const std::unique_ptr<void, decltype(free)> tables(::operator new(bytes, std::align_val_t{64}), free);
        const Slice slice{tables.get(), words};
        const std::vector<std::uint16_t> places = table_places();
        std::vector<std::int32_t> bounds(queries_.rows);
        hits_.resize(std::max(most_rows, queries_.rows * lanes));
        for (; first < last && !finished(); first += lanes) {
            const std::size_t rows = std::min(lanes, last - first);
            if (!allowed_.load(first, rows)) continue;
            if (allowed_.is_sparse(rows)) {
                each_allowed(first);
                continue;
            }
            kernels_.cut(codes_.row(first), rows, codes_.width, slice);
            for (std::size_t query = 0; query < queries_.rows; ++query)
                bounds[query] = sliced_bound(query, first, rows);
            take(first, hits_.data(),
                 kernels_.near_slice(slice, {queries_.data, places.data(), bounds.data(), queries_.rows},
                                     codes_.row(first), rows, codes_.width, hits_.data()));
        }
    }

    // While every distance is still welcome there is nothing to compare: the block is taken whole.
    std::int32_t sliced_bound(std::size_t query, std::size_t first, std::size_t rows) {
        if (selectors[query].bound() < static_cast<std::int32_t>(64 * codes_.words())) return selectors[query].bound();
        whole_block(query, first, rows);
        return -1;
    }

    // Where each query finds its sums in the tables of a word; see SlicedQueries.
    std::vector<std::uint16_t> table_places() const {
        const std::size_t bytes = kernels_.lanes / 8;
        std::vector<std::uint16_t> places;
        places.reserve(queries_.rows * codes_.words() * choices);
        for (std::size_t query = 0; query < queries_.rows; ++query)
            for (std::size_t byte = 0; byte < codes_.width; byte += 8) {
                std::uint64_t word = 0;
                std::memcpy(&word, queries_.row(query) + byte, std::min<std::size_t>(8, codes_.width - byte));
                for (std::size_t triple = 0; triple < triples; ++triple, word >>= 3)
                    places.push_back(static_cast<std::uint16_t>((triple * patterns + word % patterns) * 2 * bytes));
                places.push_back(static_cast<std::uint16_t>((table_vectors - 2 + word) * bytes));
            }
        return places;
    }

    std::vector<Hit> hits_ = std::vector<Hit>(most_rows);  // of one block
};

void append(const Selector& selector, Found& found) {
    const std::size_t before = found.rows.size(), count = selector.size();
    found.counts.push_back(static_cast<std::int64_t>(count));
    found.distances.resize(before + count);
    found.rows.resize(before + count);
    selector.write(found.distances.data() + before, found.rows.data() + before);
}

}  // namespace

Found search(const Codes& queries, const Codes& codes, const Wanted& wanted, std::size_t threads) {
    Found found;
    const std::size_t step = std::clamp(group_levels / (wanted.radius + 1), fewest_sliced, group_queries);
    for (std::size_t start = 0; start < queries.rows; start += step) {
        const Codes group{queries.row(start), std::min(step, queries.rows - start), queries.width};
        const std::size_t useful = group.rows * codes.rows / rows_per_thread + 1;
        const Ranges ranges(codes.rows, std::min({threads, useful, most_threads}), most_lanes);
        std::vector<std::unique_ptr<Scan>> scans;
        for (std::size_t i = 0; i < ranges.count(); ++i) scans.push_back(std::make_unique<Scan>(group, codes, wanted));
        in_parallel(ranges.count(), [&](std::size_t i) { scans[i]->run(ranges.first(i), ranges.first(i + 1)); });
        for (std::size_t query = 0; query < group.rows; ++query) {
            Selector& selector = scans[0]->selectors[query];
            for (std::size_t i = 1; i < scans.size(); ++i) selector.append(scans[i]->selectors[query]);
            append(selector, found);
        }
    }
    return found;
}

}  // namespace kinbits
