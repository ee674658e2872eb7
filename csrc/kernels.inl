// The innermost loops, written with the compiler's vector extension and compiled once per instruction set.
//
// The including file defines, in an anonymous namespace, before this line:
//   Word            a vector of 64-bit integers
//   add3(a, b, c)   the full adder, bit by bit: b becomes the sum a ^ b ^ c, and c the majority
//   any(word)       whether a bit is set
//   Nearness        tells whether any of Nearness::rows codes of 64 bits lies within a bound
// Nothing from the standard library with code of its own is used here: the linker would keep one copy of an inline
// function for all paths, perhaps that with the newest instructions.
//
// A block of codes is cut into bit planes: bit p of 64 codes in one 64-bit integer, so a Word holds a plane of `lanes`
// codes. The distance to a query is a sum over planes, each complemented where the query has a 1; it is counted
// vertically, with full adders, in all lanes at once. Three planes sum up to a sum bit and a carry bit, which depend on
// the query by three bits only: both are tabulated for the eight patterns, and all queries look them up. This is the
// method of the four Russians on top of a Harley-Seal counter.

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

// The last bytes of a code, zeros behind them.
KINBITS_INLINE std::uint64_t load_tail(const std::uint8_t* from, std::size_t bytes) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, from, bytes);
    return word;
}

KINBITS_INLINE unsigned ones(std::uint64_t word) { return static_cast<unsigned>(__builtin_popcountll(word)); }

KINBITS_INLINE unsigned differing(const std::uint8_t* a, const std::uint8_t* b, std::size_t width) {
    unsigned count = 0;
    std::size_t byte = 0;
    for (; byte + 8 <= width; byte += 8) count += ones(load64(a + byte) ^ load64(b + byte));
    if (byte < width) count += ones(load_tail(a + byte, width - byte) ^ load_tail(b + byte, width - byte));
    return count;
}

// Calls loop(width) with the usual widths as constants, so that the loops over bytes vanish.
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
    return with_width(width, [=](std::size_t bytes) __attribute__((always_inline)) { return differing(a, b, bytes); });
}

void distances(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
               std::uint16_t* out) {
    with_width(width, [=](std::size_t bytes) __attribute__((always_inline)) {
        for (std::size_t row = 0; row < rows; ++row)
            out[row] = static_cast<std::uint16_t>(differing(query, codes + row * bytes, bytes));
    });
}

// One step of `count`, for a query that stays in registers: the compiler may not assume that counters are no bytes of
// it.
KINBITS_INLINE void count_lanes_of(const std::uint8_t* __restrict query, const std::uint8_t* __restrict codes,
                                   std::size_t rows, std::size_t bytes, std::uint32_t* __restrict bins) {
    std::size_t row = 0;
    for (; row + count_lanes <= rows; row += count_lanes)
#pragma GCC unroll 8
        for (std::size_t lane = 0; lane < count_lanes; ++lane)
            ++bins[lane * count_stride(bytes) + differing(query, codes + (row + lane) * bytes, bytes)];
    for (; row < rows; ++row) ++bins[differing(query, codes + row * bytes, bytes)];
}

void count(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
           std::uint32_t* bins) {
    with_width(width, [=](std::size_t bytes)
                          __attribute__((always_inline)) { count_lanes_of(query, codes, rows, bytes, bins); });
}

// Memory answers late: what is needed this many bytes later is asked for now. Measured: 15 GB/s without, 19 with, where
// a loop that only reads reaches 21.
constexpr std::size_t ahead = 2048;

KINBITS_INLINE void prefetch(const std::uint8_t* codes, std::size_t bytes) {
    for (std::size_t line = 0; line < bytes; line += 64) __builtin_prefetch(codes + ahead + line);
}

// Writes the code at `place` down if it is a hit; returns how many hits that makes.
KINBITS_INLINE std::size_t keep_if_near(std::size_t count, std::size_t place, unsigned distance, unsigned bound,
                                        Hit* hits) {
    if (__builtin_expect(distance > bound, 1)) return count;
    hits[count] = {0, static_cast<std::uint16_t>(place), static_cast<std::uint16_t>(distance)};
    return count + 1;
}

// The rows from `first` on, one at a time.
KINBITS_INLINE std::size_t near_singly(const std::uint8_t* query, const std::uint8_t* codes, std::size_t first,
                                       std::size_t rows, std::size_t width, unsigned bound, Hit* hits) {
    std::size_t count = 0;
#pragma GCC unroll 4
    for (std::size_t row = first; row < rows; ++row) {
        if (width >= 16) prefetch(codes + row * width, width);
        count = keep_if_near(count, row, differing(query, codes + row * width, width), bound, hits);
    }
    return count;
}

// Codes of 64 bits, as many at a time as the path likes; what is near is rare and looked at again.
KINBITS_INLINE std::size_t near_words(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows,
                                      unsigned bound, Hit* hits) {
    const Nearness nearness(load64(query), bound);
    std::size_t count = 0, row = 0;
    for (; row + Nearness::rows <= rows; row += Nearness::rows) {
        prefetch(codes + row * 8, Nearness::rows * 8);
        if (__builtin_expect(nearness.any(codes + row * 8), 0))
            count += near_singly(query, codes, row, row + Nearness::rows, 8, bound, hits + count);
    }
    return count + near_singly(query, codes, row, rows, 8, bound, hits + count);
}

std::size_t near(const std::uint8_t* query, const std::uint8_t* codes, std::size_t rows, std::size_t width,
                 unsigned bound, Hit* hits) {
    if (width == 8) return near_words(query, codes, rows, bound, hits);
    return with_width(width, [=](std::size_t bytes) __attribute__((always_inline)) {
        return near_singly(query, codes, 0, rows, bytes, bound, hits);
    });
}

// Swaps the bits (r, p + step) and (r + step, p) of the matrix whose row r is the 64-bit integer in word r.
template <int step>
KINBITS_INLINE void swap_blocks(Word& low, Word& high) {
    constexpr std::uint64_t keep = ~std::uint64_t{0} / ((std::uint64_t{1} << step) + 1);
    const Word moved = ((low >> step) ^ high) & keep;
    high ^= moved;
    low ^= moved << step;
}

// Three of the six steps of a transposition, on eight words that lie `stride` apart.
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

// 64 x 64 bits in every lane of 64: word r holds code r, afterwards word p holds bit p of the codes.
void transpose(Word* rows) {
    for (int first = 0; first < 8; ++first) transpose_part<8>(rows + first);
    for (int first = 0; first < 64; first += 8) transpose_part<1>(rows + first);
}

// Word r of `planes` = the 64-bit word at `byte` of the codes `groups` * r and following: neighbours lie side by side,
// so that whole blocks are loaded fast, and codes of 64 bits just as they are.
KINBITS_INLINE void gather_whole(const std::uint8_t* codes, std::size_t width, std::size_t byte, Word* planes) {
    for (std::size_t number = 0; number < 64; ++number, codes += groups * width) {
        std::uint64_t part[groups];
        for (std::size_t lane = 0; lane < groups; ++lane) part[lane] = load64(codes + lane * width + byte);
        __builtin_memcpy(planes + number, part, sizeof(Word));
    }
}

// The same where codes end within a word, or the block has fewer rows than lanes.
void gather_part(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t byte, Word* planes) {
    const std::size_t bytes = width - byte < 8 ? width - byte : 8;
    for (std::size_t row = 0; row < lanes; ++row)
        planes[row / groups][row % groups] = row < rows ? load_tail(codes + row * width + byte, bytes) : 0;
}

// The sums and carries of three planes under all patterns of the query's bits (bit 0 belongs to plane a).
KINBITS_INLINE void tabulate(Word a, Word b, Word c, Word* table) {
    for (unsigned pattern = 0; pattern < patterns / 2; ++pattern) {
        Word sum = pattern & 2 ? ~b : b, carry = c;
        add3(pattern & 1 ? ~a : a, sum, carry);
        table[2 * pattern] = sum;
        table[2 * pattern + 1] = carry;
        const unsigned opposite = patterns - 1 - pattern;  // complements all three planes: 3 - (their count)
        table[2 * opposite] = ~sum;
        table[2 * opposite + 1] = ~carry;
    }
}

void cut(const std::uint8_t* codes, std::size_t rows, std::size_t width, const Slice& slice) {
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

// Counts set bits in every lane. Level l holds bit l of the count in `sum`, and every second arrival in `waiting`.
// All indices are constants, so everything stays in registers.
struct Counter {
    static constexpr int levels = 6;  // a 64-bit word carries out of them once
    Word sum[levels], waiting[levels], carried;

    // `number`: how many arrived at this level before. Level 1 also gets the carries of the triples.
    template <int level, int number>
    KINBITS_INLINE void add(Word bits) {
        if constexpr (level == levels) {
            carried = bits;
        } else if constexpr (number % 2 == 0) {
            waiting[level] = bits;
        } else {
            add3(waiting[level], sum[level], bits);  // the running sum last: it is what the next addition waits for
            add<level + 1, number / 2 + (level ? 0 : number)>(bits);
        }
    }

    KINBITS_INLINE static Word at(const char* table, std::size_t place) {
        return *reinterpret_cast<const Word*>(table + place);
    }

    template <std::size_t triple>
    KINBITS_INLINE void add_triple(const char* table, const std::uint16_t* places) {
        if constexpr (triple < triples) {
            constexpr int number = triple, before = number / 2 + number;
            add<0, number>(at(table, places[triple]));
            add<1, before + number % 2>(at(table, places[triple] + sizeof(Word)));
            add_triple<triple + 1>(table, places);
        }
    }

    KINBITS_INLINE void add_word(const char* table, const std::uint16_t* places) {
        add_triple<0>(table, places);
        add<0, triples>(at(table, places[triples]));
    }
};

// Bits that hold any count up to 64 * words.
constexpr unsigned levels_of(std::size_t words) {
    unsigned levels = 7;
    while ((std::size_t{1} << levels) <= 64 * words) ++levels;
    return levels;
}

// The lanes that lie farther away than `bound`: counting starts at 2^levels - 1 - bound, so that exactly these
// overflow. With the usual numbers of words as constants all of it is one straight line.
template <class Words>
KINBITS_INLINE Word beyond(const char* table, const std::uint16_t* places, unsigned bound, Words words) {
    const unsigned levels = levels_of(words);
    const std::uint64_t start = (std::uint64_t{1} << levels) - 1 - bound;
    const auto bit = [=](unsigned level) __attribute__((always_inline)) { return Word{} - (start >> level & 1); };
    Counter counter;
    for (unsigned level = 0; level < Counter::levels; ++level) counter.sum[level] = bit(level);
    Word high[16], overflow{};
    for (unsigned level = Counter::levels; level < levels; ++level) high[level - Counter::levels] = bit(level);
    for (std::size_t word = 0; word < words; ++word) {
        counter.add_word(table + word * table_vectors * sizeof(Word), places + word * choices);
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

// Visits the set lanes in order of their codes: code r is bit r / groups of lane r % groups.
template <class Visit>
KINBITS_INLINE void each_place(Word lanes_set, Visit visit) {
    std::uint64_t bits = 0;
    for (std::size_t lane = 0; lane < groups; ++lane) bits |= lanes_set[lane];
    for (; bits; bits &= bits - 1) {
        const int bit = __builtin_ctzll(bits);
        for (std::size_t lane = 0; lane < groups; ++lane)
            if (lanes_set[lane] >> bit & 1) visit(bit * groups + lane);
    }
}

template <class Words>
KINBITS_INLINE std::size_t near_queries(const Slice& slice, const SlicedQueries& queries, const std::uint8_t* codes,
                                        std::size_t rows, std::size_t width, Hit* hits, Words words) {
    const auto* table = static_cast<const char*>(slice.tables);
    std::size_t count = 0;
    for (std::size_t query = 0; query < queries.count; ++query) {
        if (queries.bounds[query] < 0) continue;
        const std::uint16_t* places = queries.places + query * words * choices;
        const Word near = ~beyond(table, places, static_cast<unsigned>(queries.bounds[query]), words);
        if (__builtin_expect(!any(near), 1)) continue;
        each_place(near, [&](std::size_t place) __attribute__((always_inline)) {
            if (place >= rows) return;
            const unsigned bits = differing(queries.codes + query * width, codes + place * width, width);
            hits[count++] = {static_cast<std::uint32_t>(query), static_cast<std::uint16_t>(place),
                             static_cast<std::uint16_t>(bits)};
        });
    }
    return count;
}

template <std::size_t value>
struct Constant {
    constexpr operator std::size_t() const { return value; }
};

std::size_t near_slice(const Slice& slice, const SlicedQueries& queries, const std::uint8_t* codes, std::size_t rows,
                       std::size_t width, Hit* hits) {
    switch (width) {
        case 8: return near_queries(slice, queries, codes, rows, 8, hits, Constant<1>{});
        case 16: return near_queries(slice, queries, codes, rows, 16, hits, Constant<2>{});
        case 32: return near_queries(slice, queries, codes, rows, 32, hits, Constant<4>{});
        default: break;
    }
    if (slice.words == 1) return near_queries(slice, queries, codes, rows, width, hits, Constant<1>{});
    return near_queries(slice, queries, codes, rows, width, hits, slice.words);
}

}  // namespace
}  // namespace kinbits

#define KINBITS_KERNELS(name, supported) {name, supported, distance, distances, count, near, lanes, cut, near_slice}
