#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <numeric>
#include <utility>

#include "multi_index.hpp"
#include "parallel.hpp"

namespace kinbits::mih {
namespace {

constexpr unsigned digit_bits = 11;  // more streams than 2^11 at a time are written more slowly
constexpr std::size_t digits = 1 << digit_bits;

struct Record {
    std::uint64_t key, row;
    auto operator<=>(const Record&) const = default;
};

// The digit of a key that begins at a bit.
std::size_t digit(std::uint64_t key, unsigned bit = 0) { return key << bit >> (64 - digit_bits); }

// Writes the records ordered by (first digit of the key, row). Returns the first record of each digit.
std::vector<std::size_t> partition(const Codes& codes, std::size_t threads, Record* records) {
    const auto border = [&](std::size_t thread) { return codes.rows * thread / threads; };
    const auto key = [&](std::size_t row) { return load_key(codes.data + row * codes.width, codes.width); };
    std::vector<std::array<std::size_t, digits>> next(threads);
    in_parallel(threads, [&](std::size_t thread) {
        next[thread].fill(0);
        for (std::size_t row = border(thread); row < border(thread + 1); ++row) ++next[thread][digit(key(row))];
    });
    std::vector<std::size_t> begins(digits + 1, 0);
    std::size_t sum = 0;
    for (std::size_t d = 0; d < digits; ++d) {
        begins[d] = sum;
        for (auto& counts : next) sum += std::exchange(counts[d], sum);
    }
    begins[digits] = sum;
    in_parallel(threads, [&](std::size_t thread) {
        for (std::size_t row = border(thread); row < border(thread + 1); ++row)
            records[next[thread][digit(key(row))]++] = {key(row), row};
    });
    return begins;
}

// Orders by (key, row) records whose keys are equal before `bit`: digit by digit as long as there are many.
void sort_keys(Record* begin, Record* end, unsigned bit, Record* scratch) {
    constexpr std::ptrdiff_t few = 512;
    if (end - begin < few || bit + digit_bits > 64) return std::sort(begin, end);
    std::vector<std::size_t> next(digits + 1, 0);
    for (const Record* record = begin; record < end; ++record) ++next[digit(record->key, bit) + 1];
    std::partial_sum(next.begin(), next.end(), next.begin());
    for (const Record* record = begin; record < end; ++record) scratch[next[digit(record->key, bit)]++] = *record;
    std::copy(scratch, scratch + (end - begin), begin);
    std::size_t from = 0;  // next[d] is now the end of digit d
    for (std::size_t d = 0; d < digits; from = next[d++])
        if (next[d] - from > 1) sort_keys(begin + from, begin + next[d], bit + digit_bits, scratch);
}

// Orders the records by (code, row). Their keys are the first bytes of the codes; the first digits are equal.
void sort_records(const Codes& codes, Record* begin, Record* end) {
    const std::unique_ptr<Record[]> scratch(new Record[static_cast<std::size_t>(end - begin)]);
    sort_keys(begin, end, digit_bits, scratch.get());
    if (codes.width <= 8) return;
    const auto rest = [&](const Record& record) { return codes.data + record.row * codes.width + 8; };
    while (begin < end) {
        Record* same = begin + 1;
        while (same < end && same->key == begin->key) ++same;
        if (same - begin > 1)
            std::sort(begin, same, [&](const Record& a, const Record& b) {
                const int order = std::memcmp(rest(a), rest(b), codes.width - 8);
                return order ? order < 0 : a.row < b.row;
            });
        begin = same;
    }
}

bool same_code(const Codes& codes, const Record& a, const Record& b) {
    return a.key == b.key && (codes.width <= 8 || std::memcmp(codes.data + a.row * codes.width,
                                                              codes.data + b.row * codes.width, codes.width) == 0);
}

}  // namespace

std::size_t group_rows(const Codes& codes, std::size_t threads, std::uint64_t* keys, std::uint32_t* members,
                       std::uint64_t* scratch) {
    static_assert(sizeof(Record) == 2 * sizeof(std::uint64_t));
    auto* records = reinterpret_cast<Record*>(scratch);
    const auto begins = partition(codes, std::clamp<std::size_t>(codes.rows >> 16, 1, threads), records);
    each_task(threads, digits,
              [&](std::size_t d) { sort_records(codes, records + begins[d], records + begins[d + 1]); });
    std::size_t groups = 0;
    const auto set_start = [&](std::size_t row) {  // the starts grow more slowly than the records are read
        const auto start = static_cast<std::uint32_t>(row);
        std::memcpy(reinterpret_cast<unsigned char*>(scratch) + groups * sizeof(start), &start, sizeof(start));
    };
    Record last{};
    for (std::size_t i = 0; i < codes.rows; ++i) {
        const Record record = records[i];
        members[i] = static_cast<std::uint32_t>(record.row);
        if (i > 0 && same_code(codes, last, record)) continue;
        set_start(i);
        keys[groups++] = record.key;
        last = record;
    }
    set_start(codes.rows);
    return groups;
}

std::vector<Table> substrings(std::size_t width, unsigned bits, unsigned count) {
    const std::size_t stride = width <= 8 ? (8 * width - bits / count + 7) / 8 : 8;
    std::vector<Table> tables;
    unsigned first = 0;
    for (unsigned i = 0; i < count; ++i) {
        const unsigned length = bits / count + (i < bits % count), after = first + length;
        const unsigned left = static_cast<unsigned>(8 * width) - after;
        const bool fits = left >= first || left >= 32;
        const unsigned sketch = std::min(32u, fits ? left : first);
        tables.push_back({first, length, fits ? after : first - sketch, sketch, stride, nullptr, nullptr});
        first = after;
    }
    return tables;
}

void fill_table(const MultiIndex& index, const Table& table, std::uint32_t* offsets, std::uint8_t* entries) {
    constexpr std::size_t ahead = 16;  // groups: their offsets and entries are prefetched
    const std::size_t buckets = std::size_t{1} << table.bits;
    const auto substring = [&](std::size_t group) {
        return index.substring(index.code(std::min(group, index.groups - 1)), table);
    };
    std::fill(offsets, offsets + buckets + 1, 0);
    for (std::size_t group = 0; group < index.groups; ++group) {
        __builtin_prefetch(&offsets[substring(group + ahead) + 1], 1);
        ++offsets[substring(group) + 1];
    }
    std::partial_sum(offsets, offsets + buckets + 1, offsets);
    if (!entries) return;
    for (std::size_t group = 0; group < index.groups; ++group) {
        __builtin_prefetch(&offsets[substring(group + 2 * ahead)], 1);
        __builtin_prefetch(entries + table.stride * offsets[substring(group + ahead)], 1);
        const std::uint64_t entry = index.entry(index.code(group), group, table);
        store_low(entries + table.stride * offsets[substring(group)]++, entry, table.stride);
    }
    std::fill_n(entries + table.stride * index.groups, Entries::slack, std::uint8_t{0});
    std::copy_backward(offsets, offsets + buckets, offsets + buckets + 1);  // each is now the start of the next bucket
    offsets[0] = 0;
}

}  // namespace kinbits::mih
