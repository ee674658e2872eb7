// The nearest groups that a search has met so far, and the distance beyond which it need not look any more.
#pragma once

#include <vector>

#include "multi_index.hpp"

namespace kinbits::mih {

struct Candidate {
    std::uint32_t distance, group;  // group: `unknown` until it is needed, for codes that say it themselves
    std::uint64_t key;
};

// Distances are small integers: candidates are counted by distance, and the bound falls as soon as k rows are within a
// smaller one.
class Selection {
public:
    Selection(const MultiIndex& index, const Limits& limits);

    // No row farther away than this can be among the nearest k.
    unsigned bound() const { return bound_; }
    // Rows met within a radius; at most k of each group are counted.
    std::uint64_t within(unsigned radius) const;

    void add(unsigned distance, std::uint32_t group, std::uint64_t key);
    // Forgets the candidates but not the bound: for a search that starts anew.
    void restart();
    // Appends the rows of the nearest groups, ordered by (distance, row), at most k.
    void finish(Found& found);

    // One row fewer is there (a search by a code of the index leaves out that code's own row).
    void leave_out(std::uint32_t group) { without_ = group; }

private:
    std::uint64_t weight(Candidate& candidate) const;
    std::uint32_t resolved(Candidate& candidate) const;
    std::uint32_t first_row(std::uint32_t group) const;
    bool allowed(std::uint32_t row) const { return !limits_.allow || limits_.allow[row / 8] >> (row % 8) & 1; }
    void drop_far();
    void compact();
    void rows_of(const Candidate* begin, const Candidate* end, std::uint64_t wanted,
                 std::vector<std::int64_t>& rows) const;

    const MultiIndex& index_;
    const Limits limits_;
    const bool single_;  // every group is one row that is allowed: to count it needs no look
    unsigned bound_;
    std::uint32_t without_;
    std::uint64_t near_ = 0;  // rows within the bound
    std::size_t room_;        // candidates held before the far ones are dropped
    std::vector<std::uint64_t> counts_;
    std::vector<Candidate> candidates_;
};

}  // namespace kinbits::mih
