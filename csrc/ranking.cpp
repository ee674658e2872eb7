#include "ranking.hpp"

#include <algorithm>
#include <vector>

#include "kernels.hpp"
#include "parallel.hpp"

namespace kinbits {
namespace {

constexpr std::size_t pairs_per_thread = std::size_t{1} << 17;  // with fewer pairs, starting a thread takes longer
constexpr std::size_t block_bytes = 1 << 18;  // codes stay in the second-level cache while all queries pass over them

// Counts some of the queries against all codes, in one thread.
class Tally {
public:
    Tally(const Codes& codes, const GradeRuns& runs)
        : codes_(codes),
          runs_(runs),
          stride_(counter_stride(codes.width)),
          counters_(runs.levels * counter_lanes * stride_) {}

    // Adds the rows [first, last) to the counts of one query. `run` is the run of the first row.
    void add(const std::uint8_t* query, const std::uint16_t* grades, std::size_t run, std::size_t first,
             std::size_t last, std::int64_t* counts) {
        for (; first < last; ++run) {
            const std::size_t end = std::min(last, static_cast<std::size_t>(runs_.ends[run]));
            kernels().count_distances(query, codes_.row(first), end - first, codes_.width,
                                      counters_.data() + grades[run] * counter_lanes * stride_);
            first = end;
        }
        flush(counts);
    }

private:
    void flush(std::int64_t* counts) {
        const std::uint32_t* lane_counts = counters_.data();
        const std::size_t distances = 8 * codes_.width + 1;
        for (std::size_t level = 0; level < runs_.levels; ++level, counts += distances)
            for (std::size_t lane = 0; lane < counter_lanes; ++lane, lane_counts += stride_)
                for (std::size_t distance = 0; distance < distances; ++distance)
                    counts[distance] += lane_counts[distance];
        std::fill(counters_.begin(), counters_.end(), 0);
    }

    const Codes& codes_;
    const GradeRuns& runs_;
    const std::size_t stride_;  // counters per lane
    std::vector<std::uint32_t> counters_;
};

}  // namespace

void tally(const Codes& queries, const Codes& codes, const GradeRuns& runs, std::int64_t* counts, std::size_t threads) {
    // A block has many more codes than counters, so that adding the counters up costs little.
    const std::size_t counters = runs.levels * counter_lanes * (8 * codes.width + 1);
    const std::size_t block = std::max(block_bytes / codes.width, 4 * counters);
    const std::size_t per_query = runs.levels * (8 * codes.width + 1);
    const std::size_t useful = queries.rows * codes.rows / pairs_per_thread + 1;
    const Ranges parts(queries.rows, std::min({threads, useful, max_threads}), 1);
    in_parallel(parts.count(), [&](std::size_t part) {
        Tally work(codes, runs);
        std::size_t run = 0;
        for (std::size_t first = 0; first < codes.rows; first += block) {
            while (static_cast<std::size_t>(runs.ends[run]) <= first) ++run;
            for (std::size_t query = parts.first(part); query < parts.first(part + 1); ++query)
                work.add(queries.row(query), runs.grades + query * runs.count, run, first,
                         std::min(codes.rows, first + block), counts + query * per_query);
        }
    });
}

}  // namespace kinbits
