// Exact multi-index hashing over packed codes: equal codes are grouped, and each of several disjoint substrings of the
// codes has a table of the groups (Norouzi, Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index
// Hashing, TPAMI 2014). Plain C++: knows nothing of Python. The arrays may come from a damaged file: what is read from
// them is checked before it is used as a position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "codes.hpp"
#include "multi_index_bits.hpp"

namespace kinbits::mih {

// What the arrays say cannot be.
struct Damaged : std::invalid_argument {
    Damaged() : std::invalid_argument("the arrays of the multi-index contradict each other") {}
};

// The groups in the order of one substring. Table 0 belongs to the first bits: the groups themselves have its order,
// and it needs no entries of its own.
//
// An entry is an integer of `stride` bytes. Searches are bound by the memory that they read, so it is small, and it
// stands where it is compared: of a code of up to eight bytes, all bits outside the substring, which the bucket tells;
// of a wider code, `sketch << 32 | group`, with some further bits of the code as sketch.
struct Table {
    unsigned first, bits;                // the substring: bits [first, first + bits)
    unsigned sketch_first, sketch_bits;  // of wide codes
    std::size_t stride;                  // bytes from entry to entry
    const std::uint32_t* offsets;        // (2^bits + 1): bucket b holds the entries [offsets[b], offsets[b + 1])
    const std::uint8_t* entries;         // (groups * stride + Entries::slack)
};

struct MultiIndex {
    std::size_t width, rows, groups, held;  // held: the length of members
    const std::uint64_t* keys;              // (groups), ascending; for codes of up to eight bytes
    const std::uint8_t* codes;              // (groups, width), ascending; for wider codes
    const std::uint32_t* starts;            // (groups + 1), into members; null where every group is one row
    const std::uint32_t* members;           // (held): the rows of one group after those of another, ascending in each
    std::vector<Table> tables;

    bool narrow() const { return width <= 8; }
    Item query(const std::uint8_t* code) const { return {narrow() ? load_key(code, width) : 0, code}; }
    Item item(std::size_t group) const {
        return narrow() ? Item{keys[group], nullptr} : Item{0, codes + group * width};
    }
    std::uint32_t part(const Item& item, unsigned first, unsigned bits) const {
        return static_cast<std::uint32_t>(narrow() ? field(item.key, first, bits)
                                                   : field(item.code, width, first, bits));
    }
    std::uint32_t part(const Item& item, const Table& table) const { return part(item, table.first, table.bits); }

    Range bucket(const Table& table, std::uint32_t value) const {
        const Range range{table.offsets[value], table.offsets[value + 1]};
        if (range.begin > range.end || range.end > groups) throw Damaged();
        return range;
    }
    Range members_of(std::uint32_t group) const {
        if (group >= groups) throw Damaged();
        const Range range = starts ? Range{starts[group], starts[group + 1]} : Range{group, group + 1};
        if (range.begin > range.end || range.end > held) throw Damaged();
        return range;
    }
    std::uint32_t row(std::uint32_t member) const {
        if (members[member] >= rows) throw Damaged();
        return members[member];
    }
    // What an entry holds of a code, and the code of an entry in bucket `value`.
    std::uint64_t entry(const Item& item, std::size_t group, const Table& table) const {
        if (!narrow()) return std::uint64_t{part(item, table.sketch_first, table.sketch_bits)} << 32 | group;
        const std::uint64_t code = item.key >> (64 - 8 * width);
        const unsigned behind = bits_behind(table);
        return (table.first ? code >> (behind + table.bits) << behind : 0) | (code & low_bits(behind));
    }
    std::uint64_t key(std::uint64_t entry, std::uint32_t value, const Table& table) const {
        const unsigned behind = bits_behind(table);
        entry &= low_bits(behind + table.first);
        const std::uint64_t before = table.first ? entry >> behind << (behind + table.bits) : 0;
        return (before | std::uint64_t{value} << behind | (entry & low_bits(behind))) << (64 - 8 * width);
    }
    unsigned bits_behind(const Table& table) const {
        return static_cast<unsigned>(8 * width) - table.first - table.bits;
    }
    // The group of a code.
    std::uint32_t group_of(std::uint64_t key) const;
};

// The substrings of `count` tables over the first `bits` bits; the first ones are longer where it does not divide.
std::vector<Table> substrings(std::size_t width, unsigned bits, unsigned count);

// Orders rows by (code, row). keys (n) become the codes of the groups, in codes of up to eight bytes; members (n) the
// rows; scratch (2 n) words begin with the starts of the groups, as 32-bit integers. Returns the number of groups.
std::size_t group_rows(const Codes& codes, std::size_t threads, std::uint64_t* keys, std::uint32_t* members,
                       std::uint64_t* scratch);

// Fills offsets, and entries (null for table 0), of one table of the index.
void fill_table(const MultiIndex& index, const Table& table, std::uint32_t* offsets, std::uint8_t* entries);

// What the search of one query cost.
struct Work {
    std::uint64_t probes = 0, entries = 0;
};

struct Limits {
    std::uint64_t k;            // rows wanted
    unsigned radius;            // largest distance wanted
    const std::uint8_t* allow;  // bit r % 8 of byte r / 8 tells whether row r may be found; null: all may
    double budget;              // nanoseconds after which a scan of the groups finishes the query; 0: scan at once
};

struct Found {
    std::vector<std::int32_t> distances;
    std::vector<std::int64_t> rows;
};

// Appends the rows nearest to the query, ordered by (distance, row).
Work search(const MultiIndex& index, const std::uint8_t* query, const Limits& limits, Found& found);

// As search, with one row of the group `without` left out; steps[3 r ..] becomes {rows within r, probes, entries} when
// radius r is complete, -1 where the budget ended before.
void trace(const MultiIndex& index, const std::uint8_t* query, std::uint32_t without, const Limits& limits,
           std::int64_t* steps, std::size_t radii);

// Groups first < second at `distance`; or one group with itself, where it has several rows.
struct GroupPair {
    std::uint32_t first, second, distance;
};

// Appends the pairs whose first group is in [begin, end), ordered by (first, second).
void pair_groups(const MultiIndex& index, std::uint32_t begin, std::uint32_t end, unsigned radius, std::size_t threads,
                 std::vector<GroupPair>& pairs);

// Where the expansion of group pairs to rows goes on.
struct PairCursor {
    std::size_t pair, first, second;
};

// Writes up to `room` pairs of rows, the smaller row first; returns how many.
std::size_t expand_pairs(const MultiIndex& index, const GroupPair* pairs, std::size_t count, PairCursor& cursor,
                         std::size_t room, std::int64_t* first, std::int64_t* second, std::int32_t* distances);

}  // namespace kinbits::mih
