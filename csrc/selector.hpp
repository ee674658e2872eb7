// Keeps the nearest rows of one query while candidates stream in. Distances are small integers, so it counts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kinbits {

struct Candidate {
    std::uint64_t row;
    std::uint32_t distance;
};

// Rows must be offered in ascending order: the first of those at equal distance are kept.
class Selector {
public:
    // The `limit` nearest rows among those at most `radius` away.
    Selector(std::size_t limit, std::uint32_t radius)
        : limit_(limit), bound_(limit ? static_cast<std::int32_t>(radius) : -1), kth_(bound_), counts_(radius + 1) {}

    // The largest distance of a row that can still get in; negative if none can.
    std::int32_t bound() const { return bound_; }

    // Takes a row that lies within the bound.
    void add(std::uint64_t row, std::uint32_t distance) {
        kept_.push_back({row, distance});
        ++counts_[distance];
        ++within_;
        if (within_ >= limit_) lower();
    }

    // Joins what another range of rows, all after ours, has found.
    void append(const Selector& later) {
        for (const Candidate& candidate : later.kept_)
            if (static_cast<std::int32_t>(candidate.distance) <= bound_) add(candidate.row, candidate.distance);
    }

    // How many rows there are in the end.
    std::size_t size() const { return within_ < limit_ ? within_ : limit_; }

    // Writes size() distances and rows, ordered by distance, then row.
    void write(std::int32_t* distances, std::int64_t* rows) const {
        std::vector<std::size_t> next(counts_.size());
        for (std::size_t level = 1; level < next.size(); ++level) next[level] = next[level - 1] + counts_[level - 1];
        for (const Candidate& candidate : kept_) {
            if (static_cast<std::int32_t>(candidate.distance) > kth_) continue;
            const std::size_t place = next[candidate.distance]++;
            if (place >= limit_) continue;
            distances[place] = static_cast<std::int32_t>(candidate.distance);
            rows[place] = static_cast<std::int64_t>(candidate.row);
        }
    }

private:
    // Enough rows lie within kth_: falls to the least distance of which that is true. Later rows must be nearer.
    void lower() {
        while (within_ - counts_[kth_] >= limit_) within_ -= counts_[kth_--];
        bound_ = kth_ - 1;
        if (kept_.size() >= 4 * limit_ + 4096) forget();
    }

    void forget() {
        std::size_t left = 0;
        for (const Candidate& candidate : kept_)
            if (static_cast<std::int32_t>(candidate.distance) <= kth_) kept_[left++] = candidate;
        kept_.resize(left);
    }

    std::size_t limit_;
    std::int32_t bound_;
    std::int32_t kth_;                 // rows beyond are not needed
    std::size_t within_ = 0;           // rows within kth_
    std::vector<std::size_t> counts_;  // rows per distance
    std::vector<Candidate> kept_;
};

}  // namespace kinbits
