// Keeps the nearest groups of one query, and the distance beyond which the search may stop.
#pragma once

#include <vector>

#include "multi_index.hpp"

namespace kinbits::mih {

struct GroupCandidate {
    std::uint32_t distance, group;  // of codes of up to eight bytes, group is `unknown_group` until it is needed
    std::uint64_t key;
};

// Distances are small integers, so candidates are counted by distance. The bound falls when enough rows are within a
// smaller distance.
class GroupSelector {
public:
    GroupSelector(const MultiIndex& index, const SearchLimits& limits);

    // The maximum distance of a row that can still be among the nearest.
    unsigned bound() const { return bound_; }
    // The number of rows found within a radius; at most `limit` of each group are counted.
    std::uint64_t within(unsigned radius) const;

    void add(unsigned distance, std::uint32_t group, std::uint64_t key);
    // Drops the candidates but keeps the bound, for a search that starts again.
    void restart();
    // Appends the rows of the nearest groups, ordered by (distance, row).
    void finish(Neighbours& found);

    // Excludes one row of a group: a code of the index that is searched for excludes its own row.
    void exclude(std::uint32_t group) { excluded_ = group; }

private:
    std::uint64_t weight(GroupCandidate& candidate) const;
    std::uint32_t group_of(GroupCandidate& candidate) const;
    std::uint32_t first_row(std::uint32_t group) const;
    bool allowed(std::uint32_t row) const { return !limits_.allow || limits_.allow[row / 8] >> (row % 8) & 1; }
    void drop_beyond_bound();
    void compact();
    void collect_rows(const GroupCandidate* begin, const GroupCandidate* end, std::uint64_t limit,
                      std::vector<std::int64_t>& rows) const;

    const MultiIndex& index_;
    const SearchLimits limits_;
    const bool one_row_each_;  // and all rows are allowed: nothing needs to be counted
    unsigned bound_;
    std::uint32_t excluded_;
    std::uint64_t row_count_ = 0;  // rows within the bound
    std::size_t capacity_;         // candidates kept before those beyond the bound are dropped
    std::vector<std::uint64_t> counts_;
    std::vector<GroupCandidate> candidates_;
};

}  // namespace kinbits::mih
