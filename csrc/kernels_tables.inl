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

// The rows of a block in the order of their sums. Row 8 i + j has place 8 j + i, see transpose_squares; the sums of the
// even bytes of a vector come before those of its odd ones.
struct RowOrder {
    std::uint8_t rows[table_block];

    constexpr RowOrder() : rows() {
        for (std::size_t sum = 0; sum < table_block; ++sum) {
            const std::size_t vector = sum / sizeof(Bytes), inside = sum % sizeof(Bytes);
            const std::size_t place = vector * sizeof(Bytes) + inside % half * 2 + inside / half;
            rows[sum] = static_cast<std::uint8_t>(place % 8 * 8 + place / 8);
        }
    }
};
constexpr RowOrder row_order;

constexpr std::size_t tile = 8 * table_block;  // bytes of eight columns

// Exchanges the upper part of `low` with the lower part of `high`, in groups of 2 * bits.
KINBITS_INLINE void exchange(Word& low, Word& high, int bits, std::uint64_t mask) {
    const Word differ = ((low >> bits) ^ high) & mask;
    high ^= differ;
    low ^= differ << bits;
}

// Transposes squares of 8 x 8 bytes, one in each 64-bit lane.
KINBITS_INLINE void transpose_squares(Word (&rows)[8]) {
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) exchange(rows[row], rows[row + 4], 32, 0x00000000FFFFFFFF);
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row)
        exchange(rows[row + row / 2 * 2], rows[row + row / 2 * 2 + 2], 16, 0x0000FFFF0000FFFF);
#pragma GCC unroll 4
    for (int row = 0; row < 8; row += 2) exchange(rows[row], rows[row + 1], 8, 0x00FF00FF00FF00FF);
}

// Writes eight columns of the codes, from byte `first` on, one after the other.
KINBITS_INLINE void load_columns(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t first,
                                 std::uint8_t* columns) {
    alignas(64) std::uint64_t words[table_block] = {};  // the next eight bytes of each row
    const void* from = words;
    if (width == 8 && rows == table_block)
        from = codes;
    else if (first + 8 <= width)
        for (std::size_t row = 0; row < rows; ++row) words[row] = load64(codes + row * width + first);
    else
        for (std::size_t row = 0; row < rows; ++row) words[row] = load_tail(codes + row * width + first, width - first);
#pragma GCC unroll 4
    for (std::size_t part = 0; part < 8; part += groups) {
        Word lanes[8];
#pragma GCC unroll 8
        for (std::size_t row = 0; row < 8; ++row)
            __builtin_memcpy(&lanes[row], static_cast<const std::uint8_t*>(from) + 64 * row + 8 * part, sizeof(Word));
        transpose_squares(lanes);
#pragma GCC unroll 8
        for (std::size_t column = 0; column < 8; ++column)
            __builtin_memcpy(columns + column * table_block + 8 * part, &lanes[column], sizeof(Word));
    }
}

void split_parts(const std::uint8_t* codes, std::size_t rows, std::size_t width, std::size_t bytes, std::size_t words,
                 std::uint8_t* block) {
    alignas(64) std::uint8_t columns[tile];
    for (std::size_t first = 0; first < bytes; first += 8) {
        load_columns(codes, rows, width, first, columns);
        const std::size_t count = bytes - first < 8 ? bytes - first : 8;
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

// Writes the sums of a block, in the order of row_order.
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
    for (std::size_t part = 0; part < 2 * block_vectors; ++part) {
        const Word within = (Word)(sums[part] <= bound);
        for (std::size_t lane = 0; lane < groups; ++lane)
            for (std::uint64_t left = within[lane], sum = part * half + 4 * lane; left; left >>= 16, ++sum)
                if (left & 1) rows[count++] = row_order.rows[sum];
    }
    return count;
}

std::size_t collect_sums(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables, std::size_t words,
                         std::uint16_t bound, std::uint16_t* rows) {
    if (words == 16) return collect_low(block, parts, tables, BySixteen{}, bound, rows);
    return collect_low(block, parts, tables, By256{}, bound, rows);
}

std::size_t collect_scaled(const std::uint8_t* block, std::size_t parts, const std::uint8_t* tables,
                           const ScaledBound& bound, const BlockFactors& factors, std::uint16_t* rows) {
    alignas(64) Sums sums[2 * block_vectors];
    add_look_ups(block, parts, tables, BySixteen{}, sums);
    std::uint16_t values[table_block];
    __builtin_memcpy(values, sums, sizeof values);
    std::uint32_t low[table_block];
    std::uint32_t some = 0;
    for (std::size_t sum = 0; sum < table_block; ++sum) {
        const float least = bound.base + bound.step * static_cast<float>(values[sum]);
        const float scale = factors.scales[sum], offset = factors.offsets[sum];
        const float loss = bound.slack * factors.errors[sum];
        const float size = __builtin_fabsf(offset) + scale * bound.most + __builtin_fabsf(loss);
        low[sum] = !(offset + scale * least - loss - (rounding * size + smallest) > bound.limit);
        some |= low[sum];
    }
    if (!some) return 0;
    std::size_t count = 0;
    for (std::size_t sum = 0; sum < table_block; ++sum)
        if (low[sum]) rows[count++] = row_order.rows[sum];
    return count;
}

}  // namespace
}  // namespace kinbits
