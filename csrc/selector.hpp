// Keeps the nearest rows of one query. Distances are small integers, so rows are counted by distance.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace kinbits {

struct RowCandidate {
    std::uint64_t row;
    std::uint32_t distance;
};

// Rows must be added in ascending order: of those at equal distance, the first are kept.
class RowSelector {
public:
    // Keeps the `limit` nearest rows within `radius`.
    RowSelector(std::size_t limit, std::uint32_t radius)
        : limit_(limit),
          bound_(limit ? static_cast<std::int32_t>(radius) : -1),
          kth_distance_(bound_),
          counts_(radius + 1) {}

    // The maximum distance of a row that can still be added; negative if none can.
    std::int32_t bound() const { return bound_; }

    // Adds a row within the bound.
    void add(std::uint64_t row, std::uint32_t distance) {
        kept_.push_back({row, distance});
        ++counts_[distance];
        ++within_;
        if (within_ >= limit_) tighten_bound();
    }

    // Adds the rows of another selector, all of which are after ours.
    void append(const RowSelector& later) {
        for (const RowCandidate& candidate : later.kept_)
            if (static_cast<std::int32_t>(candidate.distance) <= bound_) add(candidate.row, candidate.distance);
    }

    // The number of selected rows.
    std::size_t size() const { return within_ < limit_ ? within_ : limit_; }

    // Writes size() distances and rows, ordered by distance, then row.
    void write(std::int32_t* distances, std::int64_t* rows) const {
        std::vector<std::size_t> next(counts_.size());
        for (std::size_t level = 1; level < next.size(); ++level) next[level] = next[level - 1] + counts_[level - 1];
        for (const RowCandidate& candidate : kept_) {
            if (static_cast<std::int32_t>(candidate.distance) > kth_distance_) continue;
            const std::size_t place = next[candidate.distance]++;
            if (place >= limit_) continue;
            distances[place] = static_cast<std::int32_t>(candidate.distance);
            rows[place] = static_cast<std::int64_t>(candidate.row);
        }
    }

private:
    // Lowers kth_distance_ to the smallest distance that has `limit` rows within it. Later rows must be nearer.
    void tighten_bound() {
        while (within_ - counts_[kth_distance_] >= limit_) within_ -= counts_[kth_distance_--];
        bound_ = kth_distance_ - 1;
        if (kept_.size() >= 4 * limit_ + 4096) drop_beyond_bound();
    }

    void drop_beyond_bound() {
        std::size_t left = 0;
        for (const RowCandidate& candidate : kept_)
            if (static_cast<std::int32_t>(candidate.distance) <= kth_distance_) kept_[left++] = candidate;
        kept_.resize(left);
    }

    std::size_t limit_;
    std::int32_t bound_;
    std::int32_t kth_distance_;        // rows beyond it are not needed
    std::size_t within_ = 0;           // rows within kth_distance_
    std::vector<std::size_t> counts_;  // rows per distance
    std::vector<RowCandidate> kept_;
};

}  // namespace kinbits
