#include "table_search.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>

#include "allowed_rows.hpp"
#include "float_selector.hpp"
#include "kernels.hpp"
#include "scan_ranges.hpp"

namespace kinbits {
namespace {

constexpr std::size_t group_queries = 64;         // their tables stay in cache while the codes are read
constexpr std::size_t chunk_bytes = 1 << 14;      // parts that are split at once: half of the first-level cache
constexpr std::size_t sums_per_thread = 1 << 16;  // with fewer blocks of sums, starting a thread takes longer
constexpr double largest_sum = 65535;

// The tables of one query in small whole numbers: sum >= base + step * sum of entries, for every code.
class SmallTables {
public:
    SmallTables(const float* values, std::size_t parts, std::size_t words)
        : values_(values),
          words_(words),
          entries_(parts * words),
          least_(parts),
          largest_(std::min<double>(max_entry, std::floor(largest_sum / static_cast<double>(parts)))) {
        for (std::size_t part = 0; part < parts; ++part) {
            const auto [low, high] = std::minmax_element(values + part * words, values + (part + 1) * words);
            least_[part] = *low;
            base_ += *low;
            range_ = std::max(range_, static_cast<double>(*high) - *low);
            most_ += std::max(std::fabs(*low), std::fabs(*high));
        }
        // Sums in float32 round once for each part, by at most half of 2^-23 of their size; so do the numbers above.
        base_ -= static_cast<double>(parts + 2) * (0x1p-23 * most_ + 0x1p-149);
        fill();
    }

    const std::uint8_t* entries() const { return entries_.data(); }

    // Returns the maximum sum of entries of a row with a sum of at most `bound`; negative if there is none. A part
    // beyond the bound alone needs no size, so the steps become smaller with the bound.
    std::int32_t bound(float bound) {
        const double room = bound - base_;
        if (room < 0) return -1;
        if (room < range_ / 2) {
            range_ = room;
            fill();
        }
        return static_cast<std::int32_t>(std::min(std::floor(room / step_), largest_sum));
    }

    // Returns when base + x is at most `limit` in float32, for what is scaled of a row's distance, x.
    ScaledBound scaled_bound(float base, float slack, float limit) const {
        const double room = static_cast<double>(limit) - base + 0x1p-22 * (std::fabs(base) + std::fabs(limit));
        // All rows, if those that are no number are within reach, or entries are too small for float32.
        const bool any = limit >= std::numeric_limits<float>::max() || most_ < 0x1p-100;
        return {static_cast<float>(base_), static_cast<float>(step_), static_cast<float>(most_ + std::fabs(base_)),
                slack, any ? std::numeric_limits<float>::infinity() : static_cast<float>(room)};
    }

private:
    void fill() {
        step_ = range_ > 0 ? range_ / largest_ : 1;
        std::uint8_t* entry = entries_.data();
        for (std::size_t part = 0; part < least_.size(); ++part)
            for (const float* value = values_ + part * words_; value < values_ + (part + 1) * words_; ++value)
                *entry++ = static_cast<std::uint8_t>(std::min(largest_, (*value - least_[part]) / step_));
    }

    const float* values_;
    std::size_t words_;
    std::vector<std::uint8_t> entries_;
    std::vector<float> least_;  // per part
    double largest_, base_ = 0, range_ = 0, step_ = 1, most_ = 0;
};

// Scans a range of rows in one thread.
class TableScan {
public:
    TableScan(const Tables& tables, const std::vector<SmallTables>& small, const Codes& codes,
              const TableLimits& limits)
        : kernels_(kernels()),
          tables_(tables),
          small_(small),
          codes_(codes),
          allowed_(limits.allow),
          selectors(tables.queries, FloatSelector(limits.limit, limits.radius)) {}

    void run(std::size_t first, std::size_t last) {
        const std::size_t bytes = tables_.parts * table_block;
        const std::size_t step = table_block * std::clamp<std::size_t>(chunk_bytes / bytes, 1, max_rows / table_block);
        parts_.resize(step / table_block * bytes);
        if (tables_.scaled)
            for (auto* factors : {&scales_, &offsets_, &errors_}) factors->resize(step);
        for (; first < last; first += step) scan_chunk(first, std::min(step, last - first));
    }

private:
    const Kernels& kernels_;
    const Tables tables_;
    std::vector<SmallTables> small_;  // one per query, with steps for our own bounds
    const Codes codes_;
    AllowedRows allowed_;
    std::vector<std::uint8_t> parts_;               // of the blocks of a chunk
    std::vector<float> scales_, offsets_, errors_;  // of a chunk, each block in the order of its sums

public:
    std::vector<FloatSelector> selectors;  // one per query

private:
    void scan_chunk(std::size_t first, std::size_t rows) {
        if (!allowed_.load(first, rows)) return;
        if (allowed_.is_sparse(rows)) {
            for (std::size_t query = 0; query < tables_.queries; ++query)
                allowed_.each([&](std::size_t position) { add(query, first + position); });
            return;
        }
        for (std::size_t row = 0; row < rows; row += table_block)
            kernels_.split_parts(codes_.row(first + row), std::min(table_block, rows - row), codes_.width,
                                 tables_.bytes(), tables_.words, parts_.data() + row * tables_.parts);
        if (tables_.scaled) order_factors(first, rows);
        for (std::size_t query = 0; query < tables_.queries; ++query)
            if (tables_.scaled)
                scan_scaled(query, first, rows);
            else
                scan_sums(query, first, rows);
    }

    void order_factors(std::size_t first, std::size_t rows) {
        for (std::size_t sum = 0; sum < (rows + table_block - 1) / table_block * table_block; ++sum) {
            const std::size_t row = sum / table_block * table_block + kernels_.row_order[sum % table_block];
            const Factors factors = row < rows ? factors_of(first + row) : Factors{};
            scales_[sum] = factors.scale < 0 ? std::numeric_limits<float>::quiet_NaN() : factors.scale;
            offsets_[sum] = factors.offset;
            errors_[sum] = factors.error;
        }
    }

    Factors factors_of(std::size_t row) const {
        Factors factors;
        std::memcpy(&factors, codes_.row(row) + tables_.bytes(), factor_bytes);
        return factors;
    }

    void scan_sums(std::size_t query, std::size_t first, std::size_t rows) {
        SmallTables& small = small_[query];
        std::int32_t bound = small.bound(selectors[query].bound());
        std::uint16_t found[table_block];
        for (std::size_t row = 0; row < rows && bound >= 0; row += table_block) {
            const std::size_t count =
                kernels_.collect_sums(parts_.data() + row * tables_.parts, tables_.parts, small.entries(),
                                      tables_.words, static_cast<std::uint16_t>(bound), found);
            if (!count) continue;
            add_found(query, first, rows, row, found, count);
            bound = small.bound(selectors[query].bound());
        }
    }

    void scan_scaled(std::size_t query, std::size_t first, std::size_t rows) {
        std::uint16_t found[table_block];
        for (std::size_t row = 0; row < rows; row += table_block) {
            const std::size_t count = kernels_.collect_scaled(
                parts_.data() + row * tables_.parts, tables_.parts, small_[query].entries(),
                small_[query].scaled_bound(tables_.base(query), tables_.slack(query), selectors[query].bound()),
                {scales_.data() + row, offsets_.data() + row, errors_.data() + row}, found);
            add_found(query, first, rows, row, found, count);
        }
    }

    // Adds what is allowed of the rows found in the block that begins `row` rows behind the first.
    void add_found(std::size_t query, std::size_t first, std::size_t rows, std::size_t row, const std::uint16_t* found,
                   std::size_t count) {
        for (const std::uint16_t* one = found; one < found + count; ++one)
            if (row + *one < rows && allowed_.has(row + *one)) add(query, first + row + *one);
    }

    void add(std::size_t query, std::size_t row) {
        const float sum = sum_of(tables_.of(query), codes_.row(row));
        selectors[query].add({tables_.scaled ? scaled(query, factors_of(row), sum) : sum, row});
    }

    float scaled(std::size_t query, const Factors& factors, float sum) const {
        const float distance =
            tables_.base(query) + (factors.offset + factors.scale * sum - tables_.slack(query) * factors.error);
        constexpr float largest = std::numeric_limits<float>::max();
        return std::isnan(distance) ? largest : std::clamp(distance, -largest, largest);
    }

    float sum_of(const float* table, const std::uint8_t* code) const {
        float sum = 0;
        for (std::size_t part = 0; part < tables_.parts; ++part, table += tables_.words) {
            const unsigned word = tables_.words == 256 ? code[part]
                                  : part % 2           ? code[part / 2] & 15
                                                       : code[part / 2] >> 4;
            sum += table[word];
        }
        return sum;
    }
};

void append(std::vector<ScoredRow>&& hits, ScoredNeighbours& found) {
    found.counts.push_back(static_cast<std::int64_t>(hits.size()));
    for (const ScoredRow& hit : hits) {
        found.distances.push_back(hit.distance);
        found.rows.push_back(static_cast<std::int64_t>(hit.row));
    }
}

}  // namespace

ScoredNeighbours search_tables(const Tables& tables, const Codes& codes, const TableLimits& limits,
                               std::size_t threads) {
    ScoredNeighbours found;
    if (!limits.limit) {
        found.counts.resize(tables.queries);
        return found;
    }
    for (std::size_t start = 0; start < tables.queries; start += group_queries) {
        const Tables group{tables.of(start), std::min(group_queries, tables.queries - start), tables.parts,
                           tables.words, tables.scaled};
        std::vector<SmallTables> small;
        for (std::size_t query = 0; query < group.queries; ++query)
            small.emplace_back(group.of(query), group.parts, group.words);
        const std::size_t sums = group.queries * (codes.rows / table_block) * group.parts;
        const Ranges ranges(codes.rows, std::min({threads, sums / sums_per_thread + 1, max_threads}), max_rows);
        scan_ranges(
            ranges, [&] { return std::make_unique<TableScan>(group, small, codes, limits); },
            [&](FloatSelector& selector) { append(selector.take(), found); });
    }
    return found;
}

}  // namespace kinbits
