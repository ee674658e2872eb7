// The innermost loops, written with the compiler's vector extension and compiled once per instruction set.
//
// The including file defines, in an anonymous namespace, before it includes this one:
//   Word            a vector of 64-bit integers
//   add3(a, b, c)   the bitwise full adder: b becomes the sum a ^ b ^ c, and c the majority
//   any(word)       whether a bit is set
//   AnyWithin       tells whether any of AnyWithin::rows codes of 64 bits is within a bound
// It then includes one of the kernels_entries files, and kernels_tables.inl.
//
// These files call no inline function of the standard library. The linker would keep one copy of it for all paths,
// perhaps the copy with the newest instructions.
//
// A block of codes is bit-sliced: plane p holds bit p of 64 codes in each 64-bit integer, so a Word holds one plane of
// `lanes` codes. The distance to a query is a sum over planes, each complemented where the query has a 1. Full adders
// compute this sum vertically, in all lanes at once. Three planes give a sum bit and a carry bit, which depend on only
// three bits of the query. Both are tabulated for the eight patterns, and all queries look them up: the method of the
// four Russians on top of a Harley-Seal counter.

#include <cstddef>
#include <cstdint>

#include "kernels.hpp"

namespace kinbits {
namespace {

#define KINBITS_INLINE inline __attribute__((always_inline))

constexpr std::size_t lanes = 8 * sizeof(Word);
constexpr std::size_t groups = sizeof(Word) / 8;  // of 64 codes

KINBITS_INLINE std::uint64_t load64(const std::uint8_t* from) {
    std::uint64_t word;
    __builtin_memcpy(&word, from, 8);  // codes are not aligned
    return word;
}

// Loads the last bytes of a code, followed by zeros.
KINBITS_INLINE std::uint64_t load_tail(const std::uint8_t* from, std::size_t bytes) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, from, bytes);
    return word;
}

KINBITS_INLINE unsigned popcount(std::uint64_t word) { return static_cast<unsigned>(__builtin_popcountll(word)); }

KINBITS_INLINE unsigned count_differing(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    unsigned count = 0;
    std::size_t byte = 0;
    for (; byte + 8 <= width; byte += 8) count += popcount(load64(a + byte) ^ load64(b + byte));
    if (byte < width) count += popcount(load_tail(a + byte, width - byte) ^ load_tail(b + byte, width - byte));
    return count;
}

// Calls loop(width). The usual widths are constants, so that the compiler unrolls the loops over bytes.
template <class Loop>
KINBITS_INLINE auto with_width(std::size_t width, Loop loop) {
    switch (width) {
        case 2: return loop(std::size_t{2});
        case 4: return loop(std::size_t{4});
        case 6: return loop(std::size_t{6});
        case 8: return loop(std::size_t{8});
        case 16: return loop(std::size_t{16});
        case 32: return loop(std::size_t{32});
        case 64: return loop(std::size_t{64});
        default: return loop(width);
    }
}

unsigned distance(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    return with_width(width,
                      [=](std::size_t bytes) __attribute__((always_inline)) { return count_differing(a, b, bytes); });
}

void distances(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
               std::uint16_t* out) {
    with_width(width, [=](std::size_t bytes) __attribute__((always_inline)) {
        for (std::size_t row = 0; row < rows; ++row)
            out[row] = static_cast<std::uint16_t>(count_differing(query, codes + row * bytes, bytes));
    });
}

// `__restrict` keeps the query in registers: without it, an increment might change the query.
KINBITS_INLINE void count_singly(const std::uint8_t* __restrict query, const std::uint8_t* __restrict codes,
                                 std::size_t rows, std::size_t bytes, std::uint32_t* __restrict counters) {
    std::size_t row = 0;
    for (; row + counter_lanes <= rows; row += counter_lanes)
#pragma GCC unroll 8
        for (std::size_t lane = 0; lane < counter_lanes; ++lane)
            ++counters[lane * counter_stride(bytes) + count_differing(query, codes + (row + lane) * bytes, bytes)];
    for (; row < rows; ++row) ++counters[count_differing(query, codes + row * bytes, bytes)];
}

void count_distances(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                     std::uint32_t* counters) {
    with_width(width, [=](std::size_t bytes)
                          __attribute__((always_inline)) { count_singly(query, codes, rows, bytes, counters); });
}

// How far ahead codes are prefetched. Measured: 15 GB/s without, 19 GB/s with; a loop that only reads reaches 21 GB/s.
constexpr std::size_t prefetch_bytes = 2048;

KINBITS_INLINE void prefetch(const std::uint8_t* codes, std::size_t bytes) {
    for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(codes + prefetch_bytes + line);
}

// Appends the code at `position` if it is a hit; returns the new number of hits.
KINBITS_INLINE std::size_t append_if_within(std::size_t count, std::size_t position, unsigned distance, unsigned bound,
                                            Hit* hits) {
    if (__builtin_expect(distance > bound, 1)) return count;
    hits[count] = {0, static_cast<std::uint16_t>(position), static_cast<std::uint16_t>(distance)};
    return count + 1;
}

// Compares the rows from `first` on, one at a time.
KINBITS_INLINE std::size_t collect_singly(const std::uint8_t* query, const std::uint8_t* codes, std::size_t first,
                                          std::size_t rows, std::size_t width, unsigned bound, Hit* hits) {
    std::size_t count = 0;
#pragma GCC unroll 4
    for (std::size_t row = first; row < rows; ++row) {
        if (width >= 16) prefetch(codes + row * width, width);
        count = append_if_within(count, row, count_differing(query, codes + row * width, width), bound, hits);
    }
    return count;
}

// Compares codes of 64 bits, AnyWithin::rows at a time. Hits are rare: a group that has one is compared again.
KINBITS_INLINE std::size_t collect_words(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows,
                                         unsigned bound, Hit* hits) {
    const AnyWithin any_within(load64(query), bound);
    std::size_t count = 0, row = 0;
    for (; row + AnyWithin::rows <= rows; row += AnyWithin::rows) {
        prefetch(codes + row * 8, AnyWithin::rows * 8);
        if (__builtin_expect(any_within.any(codes + row * 8), 0))
            count += collect_singly(query, codes, row, row + AnyWithin::rows, 8, bound, hits + count);
    }
    return count + collect_singly(query, codes, row, rows, 8, bound, hits + count);
}

std::size_t collect_within(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                           unsigned bound, Hit* hits) {
    if (width == 8) return collect_words(query, codes, rows, bound, hits);
    return with_width(width, [=](std::size_t bytes) __attribute__((always_inline)) {
        return collect_singly(query, codes, 0, rows, bytes, bound, hits);
    });
}

// Compares the entries of one probe. There is no branch on a hit, which would be mispredicted.
KINBITS_INLINE std::size_t collect_probe(const mih::Entries& entries, const mih::Probe& probe, std::uint32_t number,
                                         unsigned bound, mih::EntryHit* hits) {
    std::size_t found = 0;
    for (std::uint32_t i = probe.range.begin; i < probe.range.end; ++i) {
        hits[found] = {i, number};
        found += popcount((load64(entries.data + i * entries.stride) ^ probe.query_bits) & entries.mask) <= bound;
    }
    return found;
}

// Swaps the bits (r, p + step) and (r + step, p) of the matrix whose row r is the 64-bit integer in word r.
template <int step>
KINBITS_INLINE void swap_blocks(Word& low, Word& high) {
    constexpr std::uint64_t keep = ~std::uint64_t{0} / ((std::uint64_t{1} << step) + 1);
    const Word moved = ((low >> step) ^ high) & keep;
    high ^= moved;
    low ^= moved << step;
}

// Does three of the six steps of a transposition, on every `stride`-th of eight words.
template <int stride>
KINBITS_INLINE void transpose_part(Word* rows) {
    Word w[8];
    for (int i = 0; i < 8; ++i) w[i] = rows[i * stride];
    for (int i = 0; i < 4; ++i) swap_blocks<4 * stride>(w[i], w[i + 4]);
    for (int i = 0; i < 8; i += 4)
        for (int j = i; j < i + 2; ++j) swap_blocks<2 * stride>(w[j], w[j + 2]);
    for (int i = 0; i < 8; i += 2) swap_blocks<stride>(w[i], w[i + 1]);
    for (int i = 0; i < 8; ++i) rows[i * stride] = w[i];
}

// Transposes 64 x 64 bits in each 64-bit lane: before, word r holds code r; after, word p holds bit p of the codes.
void transpose(Word* rows) {
    for (int first = 0; first < 8; ++first) transpose_part<8>(rows + first);
    for (int first = 0; first < 64; first += 8) transpose_part<1>(rows + first);
}

// Loads the 64-bit word at `byte` of each code: word r of `planes` gets codes groups * r to groups * r + groups - 1.
// In this order, whole blocks load fast, and 64-bit codes load without a change.
KINBITS_INLINE void gather_whole(const std::uint8_t* codes, std::size_t width, std::size_t byte, Word* planes) {
    for (std::size_t number = 0; number < 64; ++number, codes += groups * width) {
        std::uint64_t part[groups];
        for (std::size_t lane = 0; lane < groups; ++lane) part[lane] = load64(codes + lane * width + byte);
        __builtin_memcpy(planes + number, part, sizeof(Word));
    }
}

// Does the same where codes end within a word, or the block has fewer rows than lanes.
void gather_part(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t byte, Word* planes) {
    const std::size_t bytes = width - byte < 8 ? width - byte : 8;
    for (std::size_t row = 0; row < lanes; ++row)
        planes[row / groups][row % groups] = row < rows ? load_tail(codes + row * width + byte, bytes) : 0;
}

// Tabulates the sums and carries of three planes for all patterns of the query's bits; bit 0 belongs to plane a.
KINBITS_INLINE void tabulate(Word a, Word b, Word c, Word* table) {
    for (unsigned pattern = 0; pattern < patterns / 2; ++pattern) {
        Word sum = pattern & 2 ? ~b : b, carry = c;
        add3(pattern & 1 ? ~a : a, sum, carry);
        table[2 * pattern] = sum;
        table[2 * pattern + 1] = carry;
        const unsigned opposite = patterns - 1 - pattern;  // complements all three planes: the count is 3 minus theirs
        table[2 * opposite] = ~sum;
        table[2 * opposite + 1] = ~carry;
    }
}

void build_slice(const std::uint8_t* codes, std::size_t rows, std::size_t width, const Slice& slice) {
    alignas(64) Word planes[64];
    auto* table = static_cast<Word*>(slice.tables);
    for (std::size_t byte = 0; byte < width; byte += 8, table += table_vectors) {
        if (rows == lanes && byte + 8 <= width)
            with_width(width, [=, &planes](std::size_t bytes)
                                  __attribute__((always_inline)) { gather_whole(codes, bytes, byte, planes); });
        else
            gather_part(codes, rows, width, byte, planes);
        transpose(planes);
        for (std::size_t triple = 0; triple < triples; ++triple)
            tabulate(planes[3 * triple], planes[3 * triple + 1], planes[3 * triple + 2], table + triple * patterns * 2);
        table[table_vectors - 2] = planes[63];
        table[table_vectors - 1] = ~planes[63];
    }
}

// Counts set bits in every lane. `sum[l]` holds bit l of the count; `waiting[l]` holds the first input of each pair.
// All indices are constants, so the compiler keeps everything in registers.
struct Counter {
    static constexpr int levels = 6;  // a 64-bit word carries out of them at most once
    Word sum[levels], waiting[levels], carried;

    // `number`: how many inputs this level had before. Level 1 also gets the carries of the triples.
    template <int level, int number>
    KINBITS_INLINE void add(Word bits) {
        if constexpr (level == levels) {
            carried = bits;
        } else if constexpr (number % 2 == 0) {
            waiting[level] = bits;
        } else {
            add3(waiting[level], sum[level], bits);  // the sum last: the next addition waits for it
            add<level + 1, number / 2 + (level ? 0 : number)>(bits);
        }
    }

    KINBITS_INLINE static Word at(const char* table, std::size_t offset) {
        return *reinterpret_cast<const Word*>(table + offset);
    }

    template <std::size_t triple>
    KINBITS_INLINE void add_triple(const char* table, const std::uint16_t* offsets) {
        if constexpr (triple < triples) {
            constexpr int number = triple, before = number / 2 + number;
            add<0, number>(at(table, offsets[triple]));
            add<1, before + number % 2>(at(table, offsets[triple] + sizeof(Word)));
            add_triple<triple + 1>(table, offsets);
        }
    }

    KINBITS_INLINE void add_word(const char* table, const std::uint16_t* offsets) {
        add_triple<0>(table, offsets);
        add<0, triples>(at(table, offsets[triples]));
    }
};

// The number of bits of a counter up to 64 * words.
constexpr unsigned levels_of(std::size_t words) {
    unsigned levels = 7;
    while ((std::size_t{1} << levels) <= 64 * words) ++levels;
    return levels;
}

// Returns the lanes farther away than `bound`. Counting starts at 2^levels - 1 - bound, so that exactly these lanes
// overflow. With a constant number of words the compiler removes all branches.
template <class Words>
KINBITS_INLINE Word lanes_beyond(const char* table, const std::uint16_t* offsets, unsigned bound, Words words) {
    const unsigned levels = levels_of(words);
    const std::uint64_t start = (std::uint64_t{1} << levels) - 1 - bound;
    const auto bit = [=](unsigned level) __attribute__((always_inline)) { return Word{} - (start >> level & 1); };
    Counter counter;
    for (unsigned level = 0; level < Counter::levels; ++level) counter.sum[level] = bit(level);
    Word high[16], overflow{};
    for (unsigned level = Counter::levels; level < levels; ++level) high[level - Counter::levels] = bit(level);
    for (std::size_t word = 0; word < words; ++word) {
        counter.add_word(table + word * table_vectors * sizeof(Word), offsets + word * lookups);
        Word carry = counter.carried;
        for (unsigned level = 0; level < levels - Counter::levels; ++level) {
            const Word both = high[level] & carry;
            high[level] ^= carry;
            carry = both;
        }
        overflow |= carry;
    }
    return overflow;
}

// Visits the codes of the set lanes in order: code r is bit r / groups of lane r % groups.
template <class Visit>
KINBITS_INLINE void each_lane(Word lanes_set, Visit visit) {
    std::uint64_t bits = 0;
    for (std::size_t lane = 0; lane < groups; ++lane) bits |= lanes_set[lane];
    for (; bits; bits &= bits - 1) {
        const int bit = __builtin_ctzll(bits);
        for (std::size_t lane = 0; lane < groups; ++lane)
            if (lanes_set[lane] >> bit & 1) visit(bit * groups + lane);
    }
}

template <class Words>
KINBITS_INLINE std::size_t collect_sliced_words(const Slice& slice, const SlicedQueries& queries,
                                                const std::uint8_t* codes, std::size_t rows, std::size_t width,
                                                Hit* hits, Words words) {
    const auto* table = static_cast<const char*>(slice.tables);
    std::size_t count = 0;
    for (std::size_t query = 0; query < queries.count; ++query) {
        if (queries.bounds[query] < 0) continue;
        const std::uint16_t* offsets = queries.offsets + query * words * lookups;
        const Word within = ~lanes_beyond(table, offsets, static_cast<unsigned>(queries.bounds[query]), words);
        if (__builtin_expect(!any(within), 1)) continue;
        each_lane(within, [&](std::size_t position) __attribute__((always_inline)) {
            if (position >= rows) return;
            const unsigned bits = count_differing(queries.codes + query * width, codes + position * width, width);
            hits[count++] = {static_cast<std::uint32_t>(query), static_cast<std::uint16_t>(position),
                             static_cast<std::uint16_t>(bits)};
        });
    }
    return count;
}

// A number that is known at compile time, passed as an argument.
template <std::size_t value>
struct Constant {
    constexpr operator std::size_t() const { return value; }
};

std::size_t collect_sliced(const Slice& slice, const SlicedQueries& queries, const std::uint8_t* codes,
                           std::size_t rows, std::size_t width, Hit* hits) {
    switch (width) {
        case 8: return collect_sliced_words(slice, queries, codes, rows, 8, hits, Constant<1>{});
        case 16: return collect_sliced_words(slice, queries, codes, rows, 16, hits, Constant<2>{});
        case 32: return collect_sliced_words(slice, queries, codes, rows, 32, hits, Constant<4>{});
        default: break;
    }
    if (slice.words == 1) return collect_sliced_words(slice, queries, codes, rows, width, hits, Constant<1>{});
    return collect_sliced_words(slice, queries, codes, rows, width, hits, slice.words);
}

}  // namespace
}  // namespace kinbits

#define KINBITS_KERNELS(name, supported)                                                                   \
    {name,        supported,      distance,        distances,      count_distances, collect_within, lanes, \
     build_slice, collect_sliced, collect_entries, row_order.rows, split_parts,     collect_sums,   collect_scaled}
