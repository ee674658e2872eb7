// A multi-index with the memory of its arrays, each of which ends where its last value ends.
#pragma once

#include "multi_index.hpp"
#include "selftest.hpp"

namespace selftest {

namespace mih = kinbits::mih;

struct MadeIndex {
    MadeIndex(const Codes& codes, std::size_t table_count, std::size_t bits, std::size_t threads);

    // Points the index to the arrays.
    void connect();
    std::uint32_t first_member(std::size_t group) const { return members[starts.empty() ? group : starts[group]]; }

    std::vector<std::uint64_t> keys;
    std::vector<std::uint8_t> unique;
    std::vector<std::uint32_t> members, starts;
    std::vector<std::vector<std::uint32_t>> offsets;
    std::vector<std::vector<std::uint8_t>> entries;
    mih::MultiIndex index{};
};

// An index with a random number of tables over a random number of bits.
MadeIndex random_index(const Codes& codes, std::size_t threads);

}  // namespace selftest
