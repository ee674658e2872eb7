// Sums of look-ups for a block of codes. Include it after kernels.inl.
//
// The including file defines, in an anonymous namespace, before it includes this one:
//   Bytes                       a vector of bytes
//   look_up_16(table, index)    the entries of a table of 16 bytes at each byte of index, all below 16
//   look_up_256(table, index)   the entries of a table of 256 bytes at each byte of index
//
// A block holds each part of all its codes side by side, so that one vector of indices looks up many codes at once
// (Andre, Kermarrec, Le Scouarnec, "Quicker ADC", 2018). Entries are below 64: four of them are added in bytes, and
// then widened to 16 bits. A vector of 16-bit sums is read from a vector of bytes twice: the sum of all pairs of bytes,
// and that of the odd bytes, which is subtracted in the end.

namespace kinbits {
namespace {

typedef std::uint16_t Sums __attribute__((vector_size(sizeof(Bytes)), may_alias));

constexpr std::size_t block_vectors = table_block / sizeof(Bytes);
constexpr std::size_t half = sizeof(Bytes) / 2;

// The place of a row in its block: the first half of each vector lies in its even bytes, the second in its odd ones.
constexpr std::size_t place_of(std::size_t row) {
    const std::size_t inside = row % sizeof(Bytes);
    return row - inside + (inside < half ? 2 * inside : 2 * (inside - half) + 1);
}

typedef std::uint16_t Pair __attribute__((may_alias));

constexpr std::size_t tile = 8 * table_block;  // bytes of eight columns

// Moves the even bytes of a tile to its first half, and the odd ones to its second.
KINBITS_INLINE void unzip(const std::uint8_t* __restrict from, std::uint8_t* __restrict to) {
    const auto* pairs = reinterpret_cast<const Pair*>(from);
    for (std::size_t pair = 0; pair < tile / 2; ++pair) to[pair] = static_cast<std::uint8_t>(pairs[pair]);
    for (std::size_t pair = 0; pair < tile / 2; ++pair)
        to[tile / 2 + pair] = static_cast<std::uint8_t>(pairs[pair] >> 8);
}

// Writes eight columns of the codes, from byte `first` on, one after the other: a transposition, since the place of a
// byte in its tile is the number of its row and then, in three bits, that of its column.
KINBITS_INLINE void load_columns(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t first,
                                 std::uint8_t* columns) {
    alignas(64) std::uint64_t words[table_block] = {};
    if (first + 8 <= width)
        for (std::size_t row = 0; row < rows; ++row) words[place_of(row)] = load64(codes + row * width + first);
    else
        for (std::size_t row = 0; row < rows; ++row)
            words[place_of(row)] = load_tail(codes + row * width + first, width - first);
    alignas(64) std::uint8_t other[tile];
    unzip(reinterpret_cast<const std::uint8_t*>(words), columns);
    unzip(columns, other);
    unzip(other, columns);
}

void split_parts(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t words,
                 std::uint8_t* block) {
    alignas(64) std::uint8_t columns[tile];
    for (std::size_t first = 0; first < width; first += 8) {
        load_columns(codes, rows, width, first, columns);
        const std::size_t count = width - first < 8 ? width - first : 8;
        if (words == 256) {
            __builtin_memcpy(block + first * table_block, columns, count * table_block);
            continue;
        }
        for (std::size_t column = 0; column < count; ++column) {
            std::uint8_t* __restrict to = block + 2 * (first + column) * table_block;
            for (std::size_t place = 0; place < table_block; ++place) {
                to[place] = columns[column * table_block + place] >> 4;
                to[table_block + place] = columns[column * table_block + place] & 15;
            }
        }
    }
}

struct BySixteen {
    static constexpr std::size_t words = 16;
    KINBITS_INLINE Bytes operator()(const std::uint8_t* table, Bytes index) const { return look_up_16(table, index); }
};

struct By256 {
    static constexpr std::size_t words = 256;
    KINBITS_INLINE Bytes operator()(const std::uint8_t* table, Bytes index) const { return look_up_256(table, index); }
};

// Writes the sum of each row of a block, in order.
template <class LookUp>
KINBITS_INLINE void add_look_ups(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables,
                                 LookUp look_up, Sums (&sums)[2 * block_vectors]) {
    Sums all[block_vectors] = {}, odd[block_vectors] = {};
    const auto entries = [&](std::size_t part, std::size_t vector) __attribute__((always_inline)) {
        Bytes index;
        __builtin_memcpy(&index, block + part * table_block + vector * sizeof(Bytes), sizeof(Bytes));
        return look_up(tables + part * LookUp::words, index);
    };
    const auto widen = [&](std::size_t vector, Bytes bytes) __attribute__((always_inline)) {
        all[vector] += (Sums)bytes;
        odd[vector] += (Sums)bytes >> 8;
    };
    std::size_t part = 0;
    for (; part + 4 <= parts; part += 4)
#pragma GCC unroll 4
        for (std::size_t vector = 0; vector < block_vectors; ++vector)
            widen(vector, (entries(part, vector) + entries(part + 1, vector)) +
                              (entries(part + 2, vector) + entries(part + 3, vector)));
    for (; part < parts; ++part)
#pragma GCC unroll 4
        for (std::size_t vector = 0; vector < block_vectors; ++vector) widen(vector, entries(part, vector));
#pragma GCC unroll 4
    for (std::size_t vector = 0; vector < block_vectors; ++vector) {
        sums[2 * vector] = all[vector] - (odd[vector] << 8);
        sums[2 * vector + 1] = odd[vector];
    }
}

template <class LookUp>
KINBITS_INLINE std::size_t collect_low(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables,
                                       LookUp look_up, std::uint16_t bound, std::uint16_t* rows) {
    alignas(64) Sums sums[2 * block_vectors];
    add_look_ups(block, parts, tables, look_up, sums);
    Sums low = {};
    for (const Sums& part : sums) low |= (Sums)(part <= bound);
    if (__builtin_expect(!any((Word)low), 1)) return 0;
    std::size_t count = 0;
    for (std::size_t row = 0; row < table_block; ++row)
        if (sums[row / half][row % half] <= bound) rows[count++] = static_cast<std::uint16_t>(row);
    return count;
}

std::size_t collect_sums(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables, std::size_t words,
                         std::uint16_t bound, std::uint16_t* rows) {
    if (words == 16) return collect_low(block, parts, tables, BySixteen{}, bound, rows);
    return collect_low(block, parts, tables, By256{}, bound, rows);
}

std::size_t collect_scaled(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables, std::size_t words,
                           const ScaledBound& bound, const float* scales, const float* offsets, std::uint16_t* rows) {
    alignas(64) Sums sums[2 * block_vectors];
    if (words == 16)
        add_look_ups(block, parts, tables, BySixteen{}, sums);
    else
        add_look_ups(block, parts, tables, By256{}, sums);
    std::uint16_t values[table_block];
    __builtin_memcpy(values, sums, sizeof values);
    std::uint32_t low[table_block];
    std::uint32_t some = 0;
    for (std::size_t row = 0; row < table_block; ++row) {
        const float least = bound.base + bound.step * static_cast<float>(values[row]);
        const float size = __builtin_fabsf(offsets[row]) + scales[row] * bound.most;
        low[row] = offsets[row] + scales[row] * least - rounding * size <= bound.limit;
        some |= low[row];
    }
    if (!some) return 0;
    std::size_t count = 0;
    for (std::size_t row = 0; row < table_block; ++row)
        if (low[row]) rows[count++] = static_cast<std::uint16_t>(row);
    return count;
}

}  // namespace
}  // namespace kinbits
