// Reads the tables of a multi-index, and prefetches the memory that it is about to read.
#pragma once

#include <array>
#include <bit>
#include <cmath>

#include "multi_index.hpp"

namespace kinbits::mih {

inline void prefetch(const void* address) { __builtin_prefetch(address); }

inline void prefetch(const std::uint8_t* begin, std::size_t bytes) {
    constexpr std::size_t line = 64, limit = 16 * line;  // the processor itself prefetches the rest of longer ranges
    const std::uint8_t* end = begin + std::min(bytes, limit);
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

inline constexpr std::uint32_t unknown_group = 0xFFFFFFFF;

// Reads a table: the groups themselves for table 0, its entries for the others.
class TableReader {
public:
    static constexpr std::uint32_t max_compared = 4096;  // entries compared before the bound is updated

    TableReader(const MultiIndex& index, const Table& table)
        : index_(index), table_(table), is_first_(&table == index.tables.data()) {
        const auto groups = static_cast<std::uint32_t>(index.groups);
        if (!is_first_)
            entries_ =
                with_mask(table.entries, table.stride, index.narrow() ? 0 : sizeof(std::uint32_t), unknown_group);
        else if (index.narrow())
            entries_ =
                with_mask(reinterpret_cast<const std::uint8_t*>(index.keys), 8, 0, groups - std::min(groups, 7u));
        else
            entries_ = {index.codes, index.width, 0, 0, 0};
    }

    const Table& table() const { return table_; }

    // The bits of a query that are compared with entries.
    std::uint64_t compared_bits(const CodeRef& query) const {
        return is_first_ ? query.key : index_.entry(query, 0, table_);
    }

    void prefetch_offsets(std::uint32_t substring) const { prefetch(&table_.offsets[substring]); }

    // Sets the range of a probe, and prefetches its entries.
    void open(Probe& probe) const {
        probe.range = index_.bucket(table_, probe.substring);
        const std::size_t stride = entries_.stride;
        prefetch(entries_.data + probe.range.begin * stride, (probe.range.end - probe.range.begin) * stride);
    }

    // Calls visit(probe, code, group) for every code within bound() of its query, and for some others. The group is
    // `unknown_group` if the entry does not hold it. `flipped`: the number of bits in which the substrings differ.
    template <class Query, class Bound, class Visit>
    void each_within(Probe* probes, std::size_t count, unsigned flipped, Query query, Bound bound, Visit visit) const {
        std::size_t total = 0;
        for (std::size_t i = 0; i < count; ++i) total += probes[i].range.end - probes[i].range.begin;
        if (total == 0) return;
        if (total <= max_compared) return visit_within(probes, count, flipped, query, bound(), visit);
        for (std::size_t i = 0; i < count; ++i) {
            Probe piece = probes[i];
            while (piece.range.begin < probes[i].range.end) {
                piece.range.end = piece.range.begin + std::min(max_compared, probes[i].range.end - piece.range.begin);
                visit_within(&piece, 1, flipped, query, bound(), visit);
                piece.range.begin = piece.range.end;
            }
        }
    }

private:
    static Entries with_mask(const std::uint8_t* data, std::size_t stride, std::size_t skipped, std::uint32_t safe) {
        const std::uint64_t ignored = low_bits(static_cast<unsigned>(8 * skipped));
        return {data, stride, skipped, low_bits(static_cast<unsigned>(8 * stride)) & ~ignored, safe};
    }

    template <class Query, class Visit>
    void visit_within(const Probe* probes, std::size_t count, unsigned flipped, Query query, unsigned bound,
                      Visit& visit) const {
        if (is_first_ && !index_.narrow()) {
            for (std::size_t i = 0; i < count; ++i) visit_codes(probes[i], query(probes[i]).bytes, bound, visit);
        } else if (is_first_ || bound >= flipped) {
            std::array<EntryHit, max_compared> hits;
            const unsigned left = is_first_ ? bound : bound - flipped;
            visit_hits(probes, hits.data(), index_.kernels->collect_entries(entries_, probes, count, left, hits.data()),
                       visit);
        }
    }

    template <class Visit>
    void visit_codes(const Probe& probe, const std::uint8_t* query, unsigned bound, Visit& visit) const {
        std::array<Hit, max_compared> hits;
        const std::size_t rows = probe.range.end - probe.range.begin;
        const std::uint8_t* codes = index_.codes + probe.range.begin * index_.width;
        const std::size_t found = index_.kernels->collect_within(query, codes, rows, index_.width, bound, hits.data());
        for (std::size_t hit = 0; hit < found; ++hit) {
            const std::uint32_t group = probe.range.begin + hits[hit].position;
            visit(probe, index_.code(group), group);
        }
    }

    template <class Visit>
    void visit_hits(const Probe* probes, const EntryHit* hits, std::size_t found, Visit& visit) const {
        const auto entry = [&](std::size_t i) { return load_low(table_.entries + hits[i].entry * table_.stride); };
        const auto group = [&](std::size_t i) {
            const auto stored = static_cast<std::uint32_t>(entry(i));
            if (stored >= index_.groups) throw Damaged();
            return stored;
        };
        if (is_first_) {
            for (std::size_t i = 0; i < found; ++i)
                visit(probes[hits[i].probe], index_.code(hits[i].entry), hits[i].entry);
        } else if (index_.narrow()) {
            for (std::size_t i = 0; i < found; ++i) {
                const Probe& probe = probes[hits[i].probe];
                visit(probe, CodeRef{index_.key(entry(i), probe.substring, table_), nullptr}, unknown_group);
            }
        } else {
            for (std::size_t i = 0; i < found; ++i) prefetch(index_.codes + group(i) * index_.width);
            for (std::size_t i = 0; i < found; ++i) visit(probes[hits[i].probe], index_.code(group(i)), group(i));
        }
    }

    const MultiIndex& index_;
    const Table& table_;
    const bool is_first_;
    Entries entries_;
};

// Gets all probes from next(probe), and passes them to visit(probes, count) with their ranges filled in, until one of
// the two returns false. The offsets of a block of probes are prefetched some blocks before they are read, and so are
// the entries. Blocks are small, so that the processor always has both something to fetch and something to compare.
template <class Next, class Visit>
void each_block(const TableReader& reader, Next next, Visit visit) {
    constexpr std::size_t size = 2, ahead = 4, ring = 2 * ahead + 1;
    std::array<std::array<Probe, size>, ring> blocks;
    std::array<std::size_t, ring> filled{};
    for (std::size_t now = 0, empty = 0; empty < ring; now = (now + 1) % ring) {
        auto& coming = blocks[now];
        for (filled[now] = 0; filled[now] < size && next(coming[filled[now]]); ++filled[now])
            reader.prefetch_offsets(coming[filled[now]].substring);
        empty = filled[now] ? 0 : empty + 1;
        const std::size_t opened = (now + ring - ahead) % ring, visited = (now + 1) % ring;
        for (std::size_t i = 0; i < filled[opened]; ++i) reader.open(blocks[opened][i]);
        if (filled[visited] && !visit(blocks[visited].data(), filled[visited])) return;
    }
}

// Costs of the steps of a search, in nanoseconds of one thread, measured with tables larger than the cache.
struct Cost {
    static constexpr double probe = 20.0, entry = 1.0, scanned_word = 0.5;
};

// How many numbers of `bits` bits have `ones` bits set.
inline double binomial(unsigned bits, unsigned ones) {
    double count = 1;
    for (unsigned i = 0; i < ones; ++i) count *= (static_cast<double>(bits) - i) / (i + 1.0);
    return count;
}

// The expected cost of a shell, which is all buckets at one distance from a substring, for uniformly random codes.
inline double shell_cost(const MultiIndex& index, const Table& table, unsigned distance) {
    const double per_bucket = static_cast<double>(index.groups) / std::exp2(table.bits);
    return binomial(table.bits, distance) * (Cost::probe + per_bucket * Cost::entry);
}

// Whether no other table has found this code before. `searched` is the largest complete shell of each table, or -1.
inline bool is_new(const MultiIndex& index, const CodeRef& query, const CodeRef& code, std::size_t table,
                   const int* searched) {
    for (std::size_t other = 0; other < index.tables.size(); ++other) {
        if (other == table || searched[other] < 0) continue;
        const Table& earlier = index.tables[other];
        const std::uint32_t differing = index.substring(query, earlier) ^ index.substring(code, earlier);
        if (std::popcount(differing) <= searched[other]) return false;
    }
    return true;
}

}  // namespace kinbits::mih
