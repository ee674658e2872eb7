#include "multi_index_select.hpp"

#include <algorithm>
#include <numeric>

#include "multi_index_probe.hpp"

namespace kinbits::mih {

std::uint32_t MultiIndex::group_of(std::uint64_t key) const {
    const Range range = bucket(tables[0], part(Item{key, nullptr}, tables[0]));
    const std::uint64_t* at = std::lower_bound(keys + range.begin, keys + range.end, key);
    if (at == keys + range.end || *at != key) throw Damaged();
    return static_cast<std::uint32_t>(at - keys);
}

Selection::Selection(const MultiIndex& index, const Limits& limits)
    : index_(index),
      limits_(limits),
      single_(!index.starts && !limits.allow),
      bound_(std::min(limits.radius, static_cast<unsigned>(8 * index.width))),
      without_(unknown),
      room_(8192),
      counts_(bound_ + 1, 0) {}

std::uint64_t Selection::within(unsigned radius) const {
    const auto end = counts_.begin() + std::min<std::size_t>(radius + std::size_t{1}, counts_.size());
    return std::accumulate(counts_.begin(), end, std::uint64_t{0});
}

void Selection::add(unsigned distance, std::uint32_t group, std::uint64_t key) {
    if (distance > bound_) return;
    Candidate candidate{distance, group, key};
    const std::uint64_t rows = weight(candidate);
    if (rows == 0) return;
    candidates_.push_back(candidate);
    counts_[distance] += rows;
    near_ += rows;
    while (bound_ > 0 && near_ - counts_[bound_] >= limits_.k) near_ -= counts_[bound_--];
    if (candidates_.size() > room_) compact();
}

void Selection::restart() {
    std::fill(counts_.begin(), counts_.end(), 0);
    near_ = 0;
    candidates_.clear();
}

std::uint64_t Selection::weight(Candidate& candidate) const {
    if (single_ && without_ == unknown) return 1;
    const std::uint32_t group = resolved(candidate);
    const Range range = index_.members_of(group);
    if (!limits_.allow) return std::min<std::uint64_t>(limits_.k, range.end - range.begin - (group == without_));
    std::uint64_t rows = 0;  // more than k make no difference
    for (std::uint32_t i = range.begin; i < range.end && rows < limits_.k; ++i) rows += allowed(index_.row(i));
    return rows;
}

std::uint32_t Selection::resolved(Candidate& candidate) const {
    if (candidate.group == unknown) candidate.group = index_.group_of(candidate.key);
    return candidate.group;
}

std::uint32_t Selection::first_row(std::uint32_t group) const {
    const Range range = index_.members_of(group);
    for (std::uint32_t i = range.begin; i < range.end; ++i)
        if (allowed(index_.row(i))) return index_.row(i);
    throw Damaged();  // a group without an allowed row is no candidate
}

void Selection::drop_far() {
    std::erase_if(candidates_, [&](const Candidate& candidate) { return candidate.distance > bound_; });
}

// A group with k others before it, by distance and then by smallest row, has no row among the nearest k.
void Selection::compact() {
    drop_far();
    if (candidates_.size() > limits_.k && candidates_.size() > room_ / 2) {
        struct Rank {
            std::uint32_t distance, row, at;
            auto operator<=>(const Rank&) const = default;
        };
        std::vector<Rank> ranks;
        for (std::uint32_t i = 0; i < candidates_.size(); ++i)
            ranks.push_back({candidates_[i].distance, first_row(resolved(candidates_[i])), i});
        std::nth_element(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(limits_.k), ranks.end());
        std::vector<Candidate> kept;
        for (std::size_t i = 0; i < limits_.k; ++i) kept.push_back(candidates_[ranks[i].at]);
        candidates_.swap(kept);
    }
    room_ = std::max(room_, 2 * candidates_.size());
}

void Selection::rows_of(const Candidate* begin, const Candidate* end, std::uint64_t wanted,
                        std::vector<std::int64_t>& rows) const {
    rows.clear();
    for (; begin < end; ++begin) {
        const Range range = index_.members_of(begin->group);
        std::uint64_t taken = 0;
        for (std::uint32_t i = range.begin; i < range.end && taken < wanted; ++i) {
            if (!allowed(index_.row(i))) continue;
            rows.push_back(index_.row(i));
            ++taken;
        }
    }
    if (rows.size() > wanted) {
        std::nth_element(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(wanted), rows.end());
        rows.resize(wanted);
    }
    std::sort(rows.begin(), rows.end());
}

void Selection::finish(Found& found) {
    drop_far();
    for (auto& candidate : candidates_) resolved(candidate);
    std::sort(candidates_.begin(), candidates_.end(),
              [](const Candidate& a, const Candidate& b) { return a.distance < b.distance; });
    std::vector<std::int64_t> rows;
    std::uint64_t wanted = limits_.k;
    const Candidate* end = candidates_.data() + candidates_.size();
    for (const Candidate* level = candidates_.data(); level < end && wanted > 0;) {
        const Candidate* next = level;
        while (next < end && next->distance == level->distance) ++next;
        rows_of(level, next, wanted, rows);
        found.rows.insert(found.rows.end(), rows.begin(), rows.end());
        found.distances.insert(found.distances.end(), rows.size(), static_cast<std::int32_t>(level->distance));
        wanted -= rows.size();
        level = next;
    }
}

}  // namespace kinbits::mih
