// Exact multi-index hashing over packed codes: equal codes are grouped, and each of several disjoint substrings of the
// codes has a table of the groups (Norouzi, Punjani, Fleet: Fast Exact Search in Hamming Space with Multi-Index
// Hashing, TPAMI 2014). Plain C++, independent of Python. The arrays may come from a damaged file: every value that is
// read from them is checked before it is used as a position.
#pragma once

#include <cstddef>
#include <cstdint>
#include <stdexcept>
#include <vector>

#include "codes.hpp"
#include "kernels.hpp"
#include "multi_index_bits.hpp"
#include "search_limits.hpp"

namespace kinbits::mih {

// The values of the arrays are impossible.
struct Damaged : std::invalid_argument {
    Damaged() : std::invalid_argument("the arrays of the multi-index contradict each other") {}
};

// A code: an integer if eight bytes hold it, a pointer to its bytes otherwise.
struct CodeRef {
    std::uint64_t key;
    const std::uint8_t* bytes;
};

// The groups in the order of one substring. Table 0 belongs to the first bits: the groups themselves have its order,
// and it needs no entries of its own.
//
// An entry is an integer of `stride` bytes. The speed of a search is limited by the memory that it reads, so an entry
// is small and is compared as it is. The entry of a code of up to eight bytes holds all bits outside the substring; the
// bucket gives the rest. The entry of a wider code is `sketch << 32 | group`, where the sketch is some more of its
// bits.
struct Table {
    unsigned first, bits;                // the substring: bits [first, first + bits)
    unsigned sketch_first, sketch_bits;  // of wide codes
    std::size_t stride;                  // bytes per entry
    const std::uint32_t* offsets;        // (2^bits + 1): bucket b holds the entries [offsets[b], offsets[b + 1])
    const std::uint8_t* entries;         // (groups * stride + Entries::slack)
};

struct MultiIndex {
    std::size_t width, rows, groups, member_count;
    const std::uint64_t* keys;     // (groups), ascending; for codes of up to eight bytes
    const std::uint8_t* codes;     // (groups, width), ascending; for wider codes
    const std::uint32_t* starts;   // (groups + 1), into members; null if every group has one row
    const std::uint32_t* members;  // (member_count): the rows of each group, ascending, group after group
    std::vector<Table> tables;
    const Kernels* kernels = &kinbits::kernels();

    bool narrow() const { return width <= 8; }
    CodeRef query(const std::uint8_t* code) const { return {narrow() ? load_key(code, width) : 0, code}; }
    CodeRef code(std::size_t group) const {
        return narrow() ? CodeRef{keys[group], nullptr} : CodeRef{0, codes + group * width};
    }
    unsigned distance(const CodeRef& a, const CodeRef& b) const {
        return narrow() ? static_cast<unsigned>(std::popcount(a.key ^ b.key))
                        : kernels->distance(a.bytes, b.bytes, width);
    }
    std::uint32_t substring(const CodeRef& code, unsigned first, unsigned bits) const {
        return static_cast<std::uint32_t>(narrow() ? field(code.key, first, bits)
                                                   : field(code.bytes, width, first, bits));
    }
    std::uint32_t substring(const CodeRef& code, const Table& table) const {
        return substring(code, table.first, table.bits);
    }

    Range bucket(const Table& table, std::uint32_t substring) const {
        const Range range{table.offsets[substring], table.offsets[substring + 1]};
        if (range.begin > range.end || range.end > groups) throw Damaged();
        return range;
    }
    Range members_of(std::uint32_t group) const {
        if (group >= groups) throw Damaged();
        const Range range = starts ? Range{starts[group], starts[group + 1]} : Range{group, group + 1};
        if (range.begin > range.end || range.end > member_count) throw Damaged();
        return range;
    }
    std::uint32_t row(std::uint32_t member) const {
        if (members[member] >= rows) throw Damaged();
        return members[member];
    }
    // The entry of a code, and the code of an entry in the bucket of `substring`.
    std::uint64_t entry(const CodeRef& code, std::size_t group, const Table& table) const {
        if (!narrow()) return std::uint64_t{substring(code, table.sketch_first, table.sketch_bits)} << 32 | group;
        const std::uint64_t bits = code.key >> (64 - 8 * width);
        const unsigned last = bits_after(table);
        return (table.first ? bits >> (last + table.bits) << last : 0) | (bits & low_bits(last));
    }
    std::uint64_t key(std::uint64_t entry, std::uint32_t substring, const Table& table) const {
        const unsigned last = bits_after(table);
        entry &= low_bits(last + table.first);
        const std::uint64_t before = table.first ? entry >> last << (last + table.bits) : 0;
        return (before | std::uint64_t{substring} << last | (entry & low_bits(last))) << (64 - 8 * width);
    }
    unsigned bits_after(const Table& table) const {
        return static_cast<unsigned>(8 * width) - table.first - table.bits;
    }
    // The group of a code of up to eight bytes.
    std::uint32_t group_of(std::uint64_t key) const;
};

// Splits the first `bits` bits into the substrings of `count` tables; the first ones are longer if it does not divide.
std::vector<Table> substrings(std::size_t width, unsigned bits, unsigned count);

// Orders rows by (code, row). Writes keys (n): the codes of the groups, if they have up to eight bytes; members (n):
// the rows; scratch (2 n words): the starts of the groups, as 32-bit integers, at its beginning. Returns the number of
// groups.
std::size_t group_rows(const Codes& codes, std::size_t threads, std::uint64_t* keys, std::uint32_t* members,
                       std::uint64_t* scratch);

// Fills the offsets and the entries (null for table 0) of one table of the index.
void fill_table(const MultiIndex& index, const Table& table, std::uint32_t* offsets, std::uint8_t* entries);

// What the search of one query has read.
struct Work {
    std::uint64_t probes = 0, entries = 0;
};

struct Neighbours {
    std::vector<std::int32_t> distances;
    std::vector<std::int64_t> rows;
};

// Appends the nearest rows of the query, ordered by (distance, row). After `budget` nanoseconds, as they are estimated,
// a scan of the groups finishes the query; 0 scans at once.
Work search(const MultiIndex& index, const std::uint8_t* query, const SearchLimits& limits, double budget,
            Neighbours& found);

// Searches without one row of the group `excluded`. Step r of `steps` (radii, 3) becomes {rows within r, probes,
// entries} when radius r is complete, or -1 if the budget ends before.
void trace(const MultiIndex& index, const std::uint8_t* query, std::uint32_t excluded, const SearchLimits& limits,
           double budget, std::int64_t* steps, std::size_t radii);

// Groups first < second at `distance`; or a group with itself, if it has several rows.
struct GroupPair {
    std::uint32_t first, second, distance;
};

// Appends the pairs whose first group is in [begin, end), ordered by (first, second).
void pair_groups(const MultiIndex& index, std::uint32_t begin, std::uint32_t end, unsigned radius, std::size_t threads,
                 std::vector<GroupPair>& pairs);

// The next pair of rows to expand: the number of the group pair, and the members of its two groups.
struct PairCursor {
    std::size_t pair, first, second;
};

// Expands pairs of groups to at most `room` pairs of rows, the smaller row first; returns their number.
std::size_t expand_pairs(const MultiIndex& index, const GroupPair* pairs, std::size_t count, PairCursor& cursor,
                         std::size_t room, std::int64_t* first, std::int64_t* second, std::int32_t* distances);

}  // namespace kinbits::mih
