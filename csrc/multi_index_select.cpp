#include "multi_index_select.hpp"

#include <algorithm>
#include <numeric>

#include "multi_index_probe.hpp"

namespace kinbits::mih {

std::uint32_t MultiIndex::group_of(std::uint64_t key) const {
    const Range range = bucket(tables[0], substring(CodeRef{key, nullptr}, tables[0]));
    const std::uint64_t* at = std::lower_bound(keys + range.begin, keys + range.end, key);
    if (at == keys + range.end || *at != key) throw Damaged();
    return static_cast<std::uint32_t>(at - keys);
}

GroupSelector::GroupSelector(const MultiIndex& index, const SearchLimits& limits)
    : index_(index),
      limits_(limits),
      one_row_each_(!index.starts && !limits.allow),
      bound_(std::min(limits.radius, static_cast<unsigned>(8 * index.width))),
      excluded_(unknown_group),
      capacity_(8192),
      counts_(bound_ + 1, 0) {}

std::uint64_t GroupSelector::within(unsigned radius) const {
    const auto end = counts_.begin() + std::min<std::size_t>(radius + std::size_t{1}, counts_.size());
    return std::accumulate(counts_.begin(), end, std::uint64_t{0});
}

void GroupSelector::add(unsigned distance, std::uint32_t group, std::uint64_t key) {
    if (distance > bound_) return;
    GroupCandidate candidate{distance, group, key};
    const std::uint64_t rows = weight(candidate);
    if (rows == 0) return;
    candidates_.push_back(candidate);
    counts_[distance] += rows;
    row_count_ += rows;
    while (bound_ > 0 && row_count_ - counts_[bound_] >= limits_.limit) row_count_ -= counts_[bound_--];
    if (candidates_.size() > capacity_) compact();
}

void GroupSelector::restart() {
    std::fill(counts_.begin(), counts_.end(), 0);
    row_count_ = 0;
    candidates_.clear();
}

std::uint64_t GroupSelector::weight(GroupCandidate& candidate) const {
    if (one_row_each_ && excluded_ == unknown_group) return 1;
    const std::uint32_t group = group_of(candidate);
    const Range range = index_.members_of(group);
    if (!limits_.allow) return std::min<std::uint64_t>(limits_.limit, range.end - range.begin - (group == excluded_));
    std::uint64_t rows = 0;  // more than the limit make no difference
    for (std::uint32_t i = range.begin; i < range.end && rows < limits_.limit; ++i) rows += allowed(index_.row(i));
    return rows;
}

std::uint32_t GroupSelector::group_of(GroupCandidate& candidate) const {
    if (candidate.group == unknown_group) candidate.group = index_.group_of(candidate.key);
    return candidate.group;
}

std::uint32_t GroupSelector::first_row(std::uint32_t group) const {
    const Range range = index_.members_of(group);
    for (std::uint32_t i = range.begin; i < range.end; ++i)
        if (allowed(index_.row(i))) return index_.row(i);
    throw Damaged();  // only groups with an allowed row become candidates
}

void GroupSelector::drop_beyond_bound() {
    std::erase_if(candidates_, [&](const GroupCandidate& candidate) { return candidate.distance > bound_; });
}

// A group after `limit` other groups, by (distance, smallest row), has no row among the nearest.
void GroupSelector::compact() {
    drop_beyond_bound();
    if (candidates_.size() > limits_.limit && candidates_.size() > capacity_ / 2) {
        struct Rank {
            std::uint32_t distance, row, at;
            auto operator<=>(const Rank&) const = default;
        };
        std::vector<Rank> ranks;
        for (std::uint32_t i = 0; i < candidates_.size(); ++i)
            ranks.push_back({candidates_[i].distance, first_row(group_of(candidates_[i])), i});
        std::nth_element(ranks.begin(), ranks.begin() + static_cast<std::ptrdiff_t>(limits_.limit), ranks.end());
        std::vector<GroupCandidate> kept;
        for (std::size_t i = 0; i < limits_.limit; ++i) kept.push_back(candidates_[ranks[i].at]);
        candidates_.swap(kept);
    }
    capacity_ = std::max(capacity_, 2 * candidates_.size());
}

void GroupSelector::collect_rows(const GroupCandidate* begin, const GroupCandidate* end, std::uint64_t limit,
                                 std::vector<std::int64_t>& rows) const {
    rows.clear();
    for (; begin < end; ++begin) {
        const Range range = index_.members_of(begin->group);
        std::uint64_t taken = 0;
        for (std::uint32_t i = range.begin; i < range.end && taken < limit; ++i) {
            if (!allowed(index_.row(i))) continue;
            rows.push_back(index_.row(i));
            ++taken;
        }
    }
    if (rows.size() > limit) {
        std::nth_element(rows.begin(), rows.begin() + static_cast<std::ptrdiff_t>(limit), rows.end());
        rows.resize(limit);
    }
    std::sort(rows.begin(), rows.end());
}

void GroupSelector::finish(Neighbours& found) {
    drop_beyond_bound();
    for (auto& candidate : candidates_) group_of(candidate);
    std::sort(candidates_.begin(), candidates_.end(),
              [](const GroupCandidate& a, const GroupCandidate& b) { return a.distance < b.distance; });
    std::vector<std::int64_t> rows;
    std::uint64_t left = limits_.limit;
    const GroupCandidate* end = candidates_.data() + candidates_.size();
    for (const GroupCandidate* level = candidates_.data(); level < end && left > 0;) {
        const GroupCandidate* next = level;
        while (next < end && next->distance == level->distance) ++next;
        collect_rows(level, next, left, rows);
        found.rows.insert(found.rows.end(), rows.begin(), rows.end());
        found.distances.insert(found.distances.end(), rows.size(), static_cast<std::int32_t>(level->distance));
        left -= rows.size();
        level = next;
    }
}

}  // namespace kinbits::mih
