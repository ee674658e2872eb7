#include "ranking.hpp"

#include <algorithm>
#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"

namespace kinbits {
namespace {

constexpr std::size_t pairs_per_thread = std::size_t{1} << 17;  // below, starting a thread takes longer
constexpr std::size_t block_bytes = 1 << 18;  // codes that stay in the second-level cache while all queries pass

// One thread's work: some of the queries, against all codes.
class Tally {
public:
    Tally(const Codes& codes, const Worth& worth)
        : codes_(codes),
          worth_(worth),
          stride_(count_stride(codes.width)),
          bins_(worth.count * count_lanes * stride_) {}

    // Counts the rows from `first` to `last`, of which the first one lies in run `run`; counts of one query.
    void add(const std::uint8_t* query, const std::uint16_t* levels, std::size_t run, std::size_t first,
             std::size_t last, std::int64_t* counts) {
        for (; first < last; ++run) {
            const std::size_t end = std::min(last, static_cast<std::size_t>(worth_.ends[run]));
            kernels().count(query, codes_.row(first), end - first, codes_.width,
                            bins_.data() + levels[run] * count_lanes * stride_);
            first = end;
        }
        flush(counts);
    }

private:
    void flush(std::int64_t* counts) {
        const std::uint32_t* bins = bins_.data();
        const std::size_t distances = 8 * codes_.width + 1;
        for (std::size_t level = 0; level < worth_.count; ++level, counts += distances)
            for (std::size_t lane = 0; lane < count_lanes; ++lane, bins += stride_)
                for (std::size_t distance = 0; distance < distances; ++distance) counts[distance] += bins[distance];
        std::fill(bins_.begin(), bins_.end(), 0);
    }

    const Codes& codes_;
    const Worth& worth_;
    const std::size_t stride_;  // bins per lane
    std::vector<std::uint32_t> bins_;
};

}  // namespace

void tally(const Codes& queries, const Codes& codes, const Worth& worth, std::int64_t* counts, std::size_t threads) {
    // Each pass over the bins must be paid for by many more codes.
    const std::size_t bins = worth.count * count_lanes * (8 * codes.width + 1);
    const std::size_t block = std::max(block_bytes / codes.width, 4 * bins);
    const std::size_t per_query = worth.count * (8 * codes.width + 1);
    const std::size_t useful = queries.rows * codes.rows / pairs_per_thread + 1;
    const Ranges parts(queries.rows, std::min({threads, useful, most_threads}), 1);
    in_parallel(parts.count(), [&](std::size_t part) {
        Tally work(codes, worth);
        std::size_t run = 0;
        for (std::size_t first = 0; first < codes.rows; first += block) {
            while (static_cast<std::size_t>(worth.ends[run]) <= first) ++run;
            for (std::size_t query = parts.first(part); query < parts.first(part + 1); ++query)
                work.add(queries.row(query), worth.levels + query * worth.runs, run, first,
                         std::min(codes.rows, first + block), counts + query * per_query);
        }
    });
}

}  // namespace kinbits
