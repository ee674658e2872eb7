// Selects the nearest rows of one query by distances in float32.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

namespace kinbits {

// Ordered by distance, then by row. Distances are no NaN.
struct ScoredRow {
    float distance;
    std::uint64_t row;

    friend bool operator<(const ScoredRow& a, const ScoredRow& b) {
        return a.distance < b.distance || (a.distance == b.distance && a.row < b.row);
    }
};

// Rows may be added in any order.
class FloatSelector {
public:
    // Keeps the `limit` nearest rows within `radius`; the limit is not 0.
    FloatSelector(std::size_t limit, float radius) : limit_(limit), radius_(radius) {}

    // The maximum distance of a row that can still be added.
    float bound() const { return kept_.size() < limit_ ? radius_ : kept_.front().distance; }

    void add(const ScoredRow& row) {
        if (kept_.size() < limit_) {
            if (!(row.distance <= radius_)) return;
            kept_.push_back(row);
            if (kept_.size() == limit_) std::make_heap(kept_.begin(), kept_.end());
        } else if (row < kept_.front()) {
            std::pop_heap(kept_.begin(), kept_.end());
            kept_.back() = row;
            std::push_heap(kept_.begin(), kept_.end());
        }
    }

    void append(const FloatSelector& other) {
        for (const ScoredRow& row : other.kept_) add(row);
    }

    // Returns the selected rows in order, and keeps none.
    std::vector<ScoredRow> take() {
        std::sort(kept_.begin(), kept_.end());
        return std::move(kept_);
    }

private:
    std::size_t limit_;
    float radius_;
    std::vector<ScoredRow> kept_;  // a heap with the farthest row in front, once there are `limit_`
};

}  // namespace kinbits
