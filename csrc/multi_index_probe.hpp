// Probes of substring tables, with the memory that they will read asked for in time.
#pragma once

#include <array>
#include <bit>
#include <cmath>

#include "multi_index.hpp"

namespace kinbits::mih {

inline void prefetch(const void* address) { __builtin_prefetch(address); }

inline void prefetch(const std::uint8_t* begin, std::size_t bytes) {
    constexpr std::size_t line = 64, most = 16 * line;  // of longer ranges the processor foresees the rest itself
    const std::uint8_t* end = begin + std::min(bytes, most);
    for (const std::uint8_t* at = begin - reinterpret_cast<std::uintptr_t>(begin) % line; at < end; at += line)
        prefetch(at);
}

// The numbers of `bits` bits of which `ones` are set, ascending.
class Masks {
public:
    Masks(unsigned bits, unsigned ones) : mask_((std::uint64_t{1} << ones) - 1), end_(std::uint64_t{1} << bits) {}

    bool next(std::uint32_t& mask) {
        if (mask_ >= end_) return false;
        mask = static_cast<std::uint32_t>(mask_);
        if (mask_ == 0) return mask_ = end_, true;
        const std::uint64_t lowest = mask_ & -mask_, moved = mask_ + lowest;
        mask_ = ((mask_ ^ moved) >> 2 >> std::countr_zero(mask_)) | moved;
        return true;
    }

private:
    std::uint64_t mask_, end_;
};

inline constexpr std::uint32_t unknown = 0xFFFFFFFF;

inline unsigned distance(const MultiIndex& index, const Item& a, const Item& b) {
    return index.narrow() ? static_cast<unsigned>(std::popcount(a.key ^ b.key))
                          : code_distance(a.code, b.code, index.width);
}

// A table as it is read: the groups themselves for table 0, its entries for the others.
class Reader {
public:
    static constexpr std::uint32_t most = 4096;  // entries compared before the bound is asked for again

    Reader(const MultiIndex& index, const Table& table) : index_(index), table_(table) {
        first_ = &table == index.tables.data();
        const auto groups = static_cast<std::uint32_t>(index.groups);
        if (!first_)
            entries_ = {table.entries, table.stride, index.narrow() ? std::size_t{0} : sizeof(std::uint32_t), unknown};
        else if (index.narrow())
            entries_ = {reinterpret_cast<const std::uint8_t*>(index.keys), 8, 0, groups - std::min(groups, 7u)};
        else
            entries_ = {index.codes, index.width, 0, 0};
    }

    const MultiIndex& index() const { return index_; }
    const Table& table() const { return table_; }

    // What a query has where entries are compared.
    std::uint64_t own(const Item& query) const { return first_ ? query.key : index_.entry(query, 0, table_); }

    void prefetch_offsets(std::uint32_t value) const { prefetch(&table_.offsets[value]); }
    void open(Probe& probe) const {
        probe.range = index_.bucket(table_, probe.value);
        const std::size_t stride = entries_.stride;
        prefetch(entries_.data + probe.range.begin * stride, (probe.range.end - probe.range.begin) * stride);
    }

    // Calls visit(probe, item, group) for entries that may be within bound() of their query; the group is `unknown`
    // where the entry does not tell it. `apart`: the bits in which the substrings differ.
    template <class Query, class Bound, class Visit>
    void each_near(Probe* probes, std::size_t count, unsigned apart, Query query, Bound bound, Visit visit) const {
        std::size_t total = 0;
        for (std::size_t i = 0; i < count; ++i) total += probes[i].range.end - probes[i].range.begin;
        if (total == 0) return;
        if (total <= most) return visit_near(probes, count, apart, query, bound(), visit);
        for (std::size_t i = 0; i < count; ++i) {
            Probe piece = probes[i];
            while (piece.range.begin < probes[i].range.end) {
                piece.range.end = piece.range.begin + std::min(most, probes[i].range.end - piece.range.begin);
                visit_near(&piece, 1, apart, query, bound(), visit);
                piece.range.begin = piece.range.end;
            }
        }
    }

private:
    template <class Query, class Visit>
    void visit_near(const Probe* probes, std::size_t count, unsigned apart, Query query, unsigned bound,
                    Visit& visit) const {
        std::array<Hit, most> hits;
        if (first_ && !index_.narrow()) {
            for (std::size_t i = 0; i < count; ++i) {
                const std::size_t found =
                    near_codes(index_.codes, index_.width, query(probes[i]).code, probes[i].range, bound, hits.data());
                for (std::size_t hit = 0; hit < found; ++hit)
                    visit(probes[i], index_.item(hits[hit].entry), hits[hit].entry);
            }
            return;
        }
        if (!first_ && bound < apart) return;
        const unsigned left = first_ ? bound : bound - apart;
        visit_hits(probes, hits.data(), near_entries(entries_, probes, count, left, hits.data()), visit);
    }

    template <class Visit>
    void visit_hits(const Probe* probes, const Hit* hits, std::size_t found, Visit& visit) const {
        const auto entry = [&](std::size_t i) { return load_low(table_.entries + hits[i].entry * table_.stride); };
        const auto group = [&](std::size_t i) {
            const auto held = static_cast<std::uint32_t>(entry(i));
            if (held >= index_.groups) throw Damaged();
            return held;
        };
        if (first_) {
            for (std::size_t i = 0; i < found; ++i)
                visit(probes[hits[i].probe], index_.item(hits[i].entry), hits[i].entry);
        } else if (index_.narrow()) {
            for (std::size_t i = 0; i < found; ++i) {
                const Probe& probe = probes[hits[i].probe];
                visit(probe, Item{index_.key(entry(i), probe.value, table_), nullptr}, unknown);
            }
        } else {
            for (std::size_t i = 0; i < found; ++i) prefetch(index_.codes + group(i) * index_.width);
            for (std::size_t i = 0; i < found; ++i) visit(probes[hits[i].probe], index_.item(group(i)), group(i));
        }
    }

    const MultiIndex& index_;
    const Table& table_;
    bool first_;
    Entries entries_;
};

// Names all probes by next(probe), and hands them to visit(probes, count) with their ranges filled in, until one of the
// two says false. The offsets of a block of probes are asked for some blocks before they are read, and so are the
// entries: small blocks, so that the processor always has both something to fetch and something to compare.
template <class Next, class Visit>
void each_block(const Reader& reader, Next next, Visit visit) {
    constexpr std::size_t size = 2, ahead = 4, ring = 2 * ahead + 1;
    std::array<std::array<Probe, size>, ring> blocks;
    std::array<std::size_t, ring> filled{};
    for (std::size_t now = 0, empty = 0; empty < ring; now = (now + 1) % ring) {
        auto& coming = blocks[now];
        for (filled[now] = 0; filled[now] < size && next(coming[filled[now]]); ++filled[now])
            reader.prefetch_offsets(coming[filled[now]].value);
        empty = filled[now] ? 0 : empty + 1;
        const std::size_t opened = (now + ring - ahead) % ring, visited = (now + 1) % ring;
        for (std::size_t i = 0; i < filled[opened]; ++i) reader.open(blocks[opened][i]);
        if (filled[visited] && !visit(blocks[visited].data(), filled[visited])) return;
    }
}

// What the steps of a search cost, in nanoseconds of one thread; measured with tables larger than the cache.
struct Cost {
    static constexpr double probe = 20.0, entry = 1.0, scanned_word = 0.5;
};

// How many numbers of `bits` bits have `ones` of them set.
inline double masks_of(unsigned bits, unsigned ones) {
    double count = 1;
    for (unsigned i = 0; i < ones; ++i) count *= (static_cast<double>(bits) - i) / (i + 1.0);
    return count;
}

// What it is expected to cost to look at all buckets at one distance from a substring, if codes were spread evenly.
inline double shell_cost(const MultiIndex& index, const Table& table, unsigned distance) {
    const double per_bucket = static_cast<double>(index.groups) / std::exp2(table.bits);
    return masks_of(table.bits, distance) * (Cost::probe + per_bucket * Cost::entry);
}

// Whether no other table has shown this code before: `done` is the largest distance completed in each, -1 for none.
inline bool is_new(const MultiIndex& index, const Item& query, const Item& item, std::size_t table, const int* done) {
    for (std::size_t other = 0; other < index.tables.size(); ++other) {
        if (other == table || done[other] < 0) continue;
        const std::uint32_t differing = index.part(query, index.tables[other]) ^ index.part(item, index.tables[other]);
        if (std::popcount(differing) <= done[other]) return false;
    }
    return true;
}

}  // namespace kinbits::mih
